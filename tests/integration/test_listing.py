"""Lists: exact pages over all providers, whatever happens meanwhile."""

import pytest
from gw import by_time, refused, until


@pytest.fixture
def many(gw, up, other, key):
    """24 files at two providers, two purposes, oldest first."""
    out = []
    for i in range(24):
        path = "/v1/files" if i % 2 else "/other/v1/files"
        fields = {"purpose": "vision" if i % 3 else "evals"}
        made = gw.upload(key, b"%d" % i, f"{i}.jsonl", path, fields=fields)
        out.append(made.json())
    return sorted(out, key=lambda f: by_time(f["id"]))


def pages(gw, key, **params):
    """All pages, walked as the SDK does; every claim of each is checked."""
    out = []
    while True:
        page = gw.call(key, "GET", "/v1/files", params=params).json()
        assert page["object"] == "list"
        ids = [f["id"] for f in page["data"]]
        assert page["first_id"] == (ids[0] if ids else None)
        assert page["last_id"] == (ids[-1] if ids else None)
        assert len(ids) <= params.get("limit", 10000)
        assert not (page["has_more"] and len(ids) < params["limit"])
        out.append(page["data"])
        if not page["has_more"]:
            return out
        params["after"] = ids[-1]


@pytest.mark.parametrize("limit", [1, 5, 8, 23, 24, 25, 10000])
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_pages_of_every_size_hold_every_file_once(gw, many, key, limit, order):
    want = many if order == "asc" else many[::-1]
    got = pages(gw, key, limit=limit, order=order)
    assert [f for page in got for f in page] == want
    assert len(got) == -(-24 // limit), "has_more was true before an empty page"


@pytest.mark.parametrize("limit", [1, 3, 100])
def test_filters_and_pages_go_together(gw, many, key, limit):
    for params in (
        {"purpose": "evals"},
        {"provider": "other"},
        {"provider": "up", "purpose": "vision"},
        {"purpose": "nothing"},
    ):
        got = pages(gw, key, limit=limit, order="asc", **params)
        want = [
            f
            for f in many
            if params.get("purpose", f["purpose"]) == f["purpose"]
            and params.get("provider", f["filemux"]["provider"])
            == f["filemux"]["provider"]
        ]
        assert [f for page in got for f in page] == want


def test_an_empty_list_is_whole(gw, up, key):
    assert gw.call(key, "GET", "/v1/files").json() == {
        "object": "list", "data": [], "first_id": None, "last_id": None,
        "has_more": False,
    }  # fmt: skip


def test_a_walk_is_stable_while_files_come_and_go(gw, many, key):
    params = {"limit": 6, "order": "desc"}
    first = gw.call(key, "GET", "/v1/files", params=params).json()["data"]
    gw.upload(key)
    gw.call(key, "DELETE", f"/v1/files/{many[10]['id']}")
    got = pages(gw, key, after=first[-1]["id"], **params)
    ids = [f["id"] for f in first] + [f["id"] for page in got for f in page]
    want = [f["id"] for f in many[::-1] if f["id"] != many[10]["id"]]
    assert ids == want


def test_a_deleted_cursor_still_tells_the_place(gw, many, key):
    cursor = many[12]["id"]
    gw.call(key, "DELETE", f"/v1/files/{cursor}")
    reply = gw.call(key, "GET", "/v1/files", params={"after": cursor, "order": "asc"})
    if reply.status_code == 200:
        assert [f["id"] for f in reply.json()["data"]] == [f["id"] for f in many[13:]]
    else:
        assert refused(reply, 400)["param"] == "after"


@pytest.mark.parametrize(
    "query, param",
    [("limit=0", "limit"), ("limit=10001", "limit"), ("limit=-1", "limit"),
     ("limit=ten", "limit"), ("limit=1.5", "limit"), ("limit=", "limit"),
     ("limit=99999999999999999999", "limit"), ("order=up", "order"),
     ("after=file-abc", "after"), ("after=%ff", "after")],
)  # fmt: skip
def test_bad_parameters_are_named(gw, up, key, query, param):
    assert refused(gw.call(key, "GET", f"/v1/files?{query}"), 400)["param"] == param


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_files_with_names_that_grow_make_a_long_page(gw, up, key, limit):
    names = [chr(i) * 1024 for i in (1, 2, 3)]
    ours = [up.put(name).id for name in names]
    gw.admin("POST", "/admin/files/import",
             json={"provider": "up", "upstream_ids": ours, "owner": {"key": key}})  # fmt: skip

    def listed():
        got = [f for page in pages(gw, key, limit=limit) for f in page]
        return len(got) == 3 and got

    got = until(listed, "all are adopted")
    assert sorted(f["filename"] for f in got) == names


def test_listing_never_asks_a_provider(gw, many, up, other, key):
    up.seen.clear()
    other.seen.clear()
    gw.call(key, "GET", "/v1/files")
    assert up.seen == [] and other.seen == []
