"""Downloads: headers, ranges, conditions."""

import pytest
from fakes import pattern
from fakes.openai import answer, on_head
from gw import MB, refused

DATA = bytes(range(256)) * 40


@pytest.fixture(params=["up", "local"])
def file(request, gw, up, key):
    """A file of DATA, at an OpenAI and on the disk."""
    path = f"/{request.param}/v1/files"
    return gw.upload(key, DATA, 'näme "x".bin', path).json()["id"]


@pytest.fixture
def get(gw, key, file):
    def get(method="GET", **headers):
        headers = {k.replace("_", "-"): v for k, v in headers.items()}
        return gw.call(key, method, f"/v1/files/{file}/content", headers=headers)

    return get


def test_the_headers_of_a_download_are_complete(get, file):
    reply = get()
    assert reply.content == DATA
    assert reply.headers["content-length"] == str(len(DATA))
    assert reply.headers["content-type"] == "application/octet-stream"
    assert file in reply.headers["etag"]
    disposition = reply.headers["content-disposition"]
    assert disposition.startswith("attachment")
    assert "n%C3%A4me%20%22x%22.bin" in disposition


def test_head_is_get_without_the_body(get):
    got, head = get(), get("HEAD")
    assert head.status_code == 200 and head.content == b""
    for name in ("content-length", "content-type", "etag", "content-disposition"):
        assert head.headers[name] == got.headers[name]


@pytest.mark.parametrize(
    "text, first, last",
    [("0-0", 0, 0), ("0-99", 0, 99), ("100-", 100, 10239), ("-10", 10230, 10239),
     ("10239-", 10239, 10239), ("5-999999", 5, 10239), ("-99999", 0, 10239)],
)  # fmt: skip
def test_a_range_is_a_206(get, text, first, last):
    reply = get(Range=f"bytes={text}")
    assert reply.status_code == 206
    assert reply.content == DATA[first : last + 1]
    assert reply.headers["content-range"] == f"bytes {first}-{last}/{len(DATA)}"
    assert reply.headers["content-length"] == str(last - first + 1)


@pytest.mark.parametrize("text", ["10240-", "99999-100000", "-0"])
def test_a_range_outside_is_a_416(get, text):
    reply = get(Range=f"bytes={text}")
    refused(reply, 416, "range_not_satisfiable")
    assert reply.headers["content-range"] == f"bytes */{len(DATA)}"


@pytest.mark.parametrize(
    "text", ["lines=1-2", "bytes=b-a", "bytes=9-1", "bytes=1-2,5-6"]
)
def test_a_range_that_is_not_understood_is_ignored(get, text):
    reply = get(Range=text)
    assert reply.status_code == 200 and reply.content == DATA


def test_a_file_that_one_has_is_not_sent_again(get, up):
    etag = get().headers["etag"]
    up.seen.clear()
    for value in (etag, "*", f'"other", {etag}', f"W/{etag}"):
        reply = get(If_None_Match=value)
        assert reply.status_code == 304 and reply.content == b""
        assert reply.headers["etag"] == etag
    assert get("HEAD", If_None_Match=etag).status_code == 304
    assert up.seen == [], "no provider had to be asked"


def test_another_etag_gets_the_file(get):
    assert get(If_None_Match='"other"').content == DATA


def test_a_range_of_a_changed_file_is_the_whole_file(get):
    etag = get().headers["etag"]
    assert get(Range="bytes=0-1", If_Range=etag).status_code == 206
    assert get(Range="bytes=0-1", If_Range='"other"').content == DATA


def test_accept_is_never_a_reason_to_refuse(get):
    for accept in ("application/json", "application/binary", "text/none"):
        assert get(Accept=accept).status_code == 200


def test_a_provider_without_ranges_sends_the_whole(gw, up, key):
    up.quirks.add("no_ranges")
    made = gw.upload(key, DATA).json()["id"]
    reply = gw.call(
        key, "GET", f"/v1/files/{made}/content", headers={"Range": "bytes=0-1"}
    )
    assert reply.status_code == 200 and reply.content == DATA


def test_a_length_that_the_provider_does_not_tell_is_no_hindrance(gw, up, key):
    up.quirks.add("chunked_content")
    data = pattern.pattern(2 * MB + 17)
    made = gw.upload(key, data).json()["id"]
    assert gw.call(key, "GET", f"/v1/files/{made}/content").content == data


def test_what_may_not_be_downloaded_is_the_providers_word(gw, up, key):
    made = gw.upload(key, fields={"purpose": "assistants"}).json()["id"]
    reply = gw.call(key, "GET", f"/v1/files/{made}/content")
    assert "assistants" in refused(reply, 400)["message"]


def test_a_file_gone_upstream_is_not_found_and_names_our_id(gw, up, key):
    made = gw.upload(key).json()["id"]
    (raw,) = up.files
    up.files.clear()
    for path in (f"/v1/files/{made}/content", f"/v1/files/{made}/content"):
        error = refused(gw.call(key, "GET", path), 404)
        assert raw not in str(error)


def test_a_file_gone_upstream_counts_as_deleted(gw, up, key):
    made = gw.upload(key).json()["id"]
    up.files.clear()
    assert gw.call(key, "DELETE", f"/v1/files/{made}").json()["deleted"] is True
    refused(gw.call(key, "DELETE", f"/v1/files/{made}"), 404)


def test_an_overlong_type_is_none(gw, up, key):
    made = gw.upload(key, DATA, "f" * 200, "/up/v1/files").json()["id"]
    long = [("Content-Type", "a" * 32500)]
    up.fault(on_head(answer(200, DATA, long)), path="/content")
    reply = gw.call(key, "GET", f"/v1/files/{made}/content")
    assert reply.status_code == 200 and reply.content == DATA
    assert len(reply.headers["content-type"]) < 100


def test_an_overlong_coding_is_no_answer(gw, up, key):
    made = gw.upload(key, DATA, "a.bin", "/up/v1/files").json()["id"]
    long = [("Content-Encoding", "a" * 2000)]
    up.fault(on_head(answer(200, DATA, long)), path="/content")
    reply = gw.call(key, "GET", f"/v1/files/{made}/content")
    refused(reply, 502, "upstream_bad_response")
