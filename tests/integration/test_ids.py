"""Ids that are none of ours: refused without a word to any provider."""

import pytest
from gw import refused
from wire import Wire

ULID = "01hqzyxwvtsrqpnmkjhgfedcba"
BAD = {
    "a raw OpenAI id": "file-abc123",
    "a raw OpenAI id of 24": "file-52voFe6FU6MWyAwa1Uj39RaB",
    "another kind": f"batch_up-{ULID}",
    "upper case": f"file-up-{ULID.upper()}",
    "no namespace": f"file-{ULID}",
    "an empty namespace": f"file--{ULID}",
    "a long namespace": f"file-{'a' * 17}-{ULID}",
    "a short ulid": f"file-up-{ULID[1:]}",
    "a long ulid": f"file-up-{ULID}0",
    "a letter that is none of the 32": f"file-up-{ULID[:-1]}u",
    "a time over 48 bits": f"file-up-8{ULID[1:]}",
    "dots": "%2e%2e",
    "a way up": "%2e%2e%2fv1%2ffiles",
    "a slash in it": f"file-up-{ULID}%2fcontent",
    "a NUL": "%00",
    "a NUL behind": f"file-up-{ULID}%00",
    "a line end": f"file-up-{ULID}%0d%0aX-Y:%20z",
    "no UTF-8": "%ff%fe",
    "raw bytes": "file-\xff\xfe",
    "half an escape": "file-%4",
    "overlong": "file-" + "a" * 3000,
    "a bucket": "gs:%2f%2fbucket%2fobject",
    "a query in it": f"file-up-{ULID}%3fx=1",
}
CALLS = [("GET", ""), ("DELETE", ""), ("GET", "/content"), ("HEAD", "/content")]


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_ids_that_are_none_are_refused_unasked(gw, up, key, bad):
    for method, tail in CALLS:
        with Wire(gw.port) as w:
            w.send(
                f"{method} /v1/files/{bad}{tail} HTTP/1.1\r\nHost: f\r\n"
                f"Authorization: Bearer {key}\r\n\r\n".encode("latin-1")
            )
            reply = w.reply(method)
        assert reply.status in (400, 404), reply
        if method != "HEAD":
            refused(reply, reply.status)
    assert up.seen == []


def test_a_well_formed_id_that_nobody_has_is_not_found(gw, up, key):
    for method, tail in CALLS:
        reply = gw.call(key, method, f"/v1/files/file-up-{ULID}{tail}")
        assert reply.status_code == 404
    assert up.seen == []


def test_an_id_in_another_namespace_is_not_found(gw, up, other, key):
    made = gw.upload(key).json()["id"]
    moved = made.replace("file-up-", "file-other-")
    refused(gw.call(key, "GET", f"/v1/files/{moved}"), 404, "file_not_found")
    assert other.seen == []


def test_the_providers_own_id_is_refused_though_it_exists(gw, up, key):
    gw.upload(key)
    (raw,) = up.files
    up.seen.clear()
    for method, tail in CALLS:
        assert gw.call(key, method, f"/v1/files/{raw}{tail}").status_code == 404
    assert up.seen == [] and raw in up.files


def test_ids_sort_by_time_and_never_repeat(gw, up, key):
    made = [gw.upload(key).json()["id"] for _ in range(20)]
    assert len(set(made)) == 20
    assert all(len(i) == len("file-up-") + 26 for i in made)
    assert [i[:18] for i in made] == sorted(i[:18] for i in made)
