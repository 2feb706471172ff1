"""The type `mistral`, against a strict fake of its Files API."""

import pytest
from fakes import pattern
from fakes.mistral import Mistral
from fakes.openai import after_bytes, after_sent, answer, on_head, on_stored, reset
from gw import MB, Gateway, config, refused, until
from wire import file_part, form, part, upload, upload_chunked

KIB = 1024
SIZES = [0, 1, 256 * KIB - 1, 256 * KIB, 256 * KIB + 1, 20 * MB]
DAY = 24 * 3600


def provider(fake, **more):
    return {"type": "mistral", "base_url": fake.url, "api_key": fake.api_key, **more}


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    up = Mistral()
    mapped = provider(up, purposes={"user_data": "ocr"}, retention="0")
    providers = {"up": provider(up), "mapped": mapped}
    conf = config({"providers": providers, "routing": {"default": "up"}})
    gw = Gateway(tmp_path_factory.mktemp("mistral"), conf)
    try:
        yield gw.start(), up
        gw.stop()
    finally:
        gw.end()
    up.stop()


@pytest.fixture
def gw(pair):
    return pair[0]


@pytest.fixture
def up(pair):
    up = pair[1]
    up.seen.clear()
    up.faults.clear()
    up.files.clear()
    up.quirks = {"no_ranges"}
    yield up
    assert up.violations == []


@pytest.fixture
def key(gw):
    return gw.new_key()


def send(gw, key, data=b"{}\n", purpose="batch", **kw):
    kw.setdefault("fields", {})["purpose"] = purpose
    return gw.upload(key, data, "in.jsonl", **kw)


def nothing_is_recorded(gw, key):
    assert gw.call(key, "GET", "/v1/files").json()["data"] == []
    until(lambda: gw.transfers() == 0, "no transfer is under way")


@pytest.mark.parametrize("chunks", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("size", SIZES)
def test_what_goes_up_comes_down(gw, up, key, size, chunks):
    data = pattern.pattern(size)
    body = form(part("purpose", "batch"), file_part(data))
    with gw.wire() as w:
        if chunks:
            reply = upload_chunked(w, key, body, 100_000)
        else:
            reply = upload(w, key, body)
    assert reply.status == 200, reply.body
    (made,) = gw.call(key, "GET", "/v1/files").json()["data"]
    assert (made["bytes"], made["status"]) == (size, "processed")
    got = gw.call(key, "GET", f"/v1/files/{made['id']}/content")
    assert got.status_code == 200 and got.content == data
    assert up.uploads()[0].framing == "length"
    assert up.uploads()[0].file.sha256 == pattern.sha256(size)


def test_a_file_is_made_shown_listed_and_deleted(gw, up, key):
    made = send(gw, key).json()
    assert made["id"].startswith("file-up-") and made["object"] == "file"
    assert made["purpose"] == "batch" and made["filename"] == "in.jsonl"
    assert gw.call(key, "GET", f"/v1/files/{made['id']}").json() == made
    assert gw.call(key, "GET", "/v1/files").json()["data"] == [made]
    for status in (200, 404):
        gone = gw.call(key, "DELETE", f"/v1/files/{made['id']}")
        assert gone.status_code == status
    assert up.files == {}


def test_what_was_deleted_there_can_still_be_deleted_here(gw, up, key):
    made = send(gw, key).json()
    up.files.clear()
    refused(gw.call(key, "GET", f"/v1/files/{made['id']}/content"), 404)
    assert gw.call(key, "DELETE", f"/v1/files/{made['id']}").json()["deleted"]
    nothing_is_recorded(gw, key)


def test_a_length_that_is_null_is_what_was_counted(gw, up, key):
    up.quirks.add("null_bytes")
    assert send(gw, key, b"12345").json()["bytes"] == 5


def test_a_range_that_it_does_not_serve_is_the_whole(gw, up, key):
    made = send(gw, key, b"0123456789").json()
    got = gw.call(
        key, "GET", f"/v1/files/{made['id']}/content", headers={"Range": "bytes=2-4"}
    )
    assert (got.status_code, got.content) == (200, b"0123456789")
    assert "accept-ranges" not in got.headers


def lifetime(made):
    return made["expires_at"] - made["created_at"]


def test_seconds_go_as_hours_and_hold_as_seconds(gw, up, key):
    fields = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "5000"}
    made = send(gw, key, fields=fields).json()
    assert up.uploads()[0].fields == {"purpose": "batch", "expiry": "2"}
    assert lifetime(made) == 5000


def test_seconds_behind_the_file_hold_too(gw, up, key):
    after = (
        part("purpose", "batch"),
        part("expires_after[anchor]", "created_at"),
        part("expires_after[seconds]", "5000"),
    )
    with gw.wire() as w:
        assert upload(w, key, form(file_part(b"{}"), *after)).status == 200
    (made,) = gw.call(key, "GET", "/v1/files").json()["data"]
    assert lifetime(made) == 5000
    assert up.uploads()[0].order[0] == "file"


def test_a_file_lives_as_long_as_it_is_kept_there(gw, up, key):
    assert lifetime(send(gw, key).json()) == 30 * DAY
    assert send(gw, key, path="/mapped/v1/files").json()["expires_at"] is None


def test_a_purpose_is_translated_and_shown_as_it_was(gw, up, key):
    made = send(gw, key, purpose="user_data", path="/mapped/v1/files").json()
    assert up.uploads()[0].fields["purpose"] == "ocr"
    assert made["purpose"] == "user_data"


def test_a_purpose_behind_the_file_is_translated_too(gw, up, key):
    body = form(file_part(b"{}"), part("purpose", "user_data"))
    with gw.wire() as w:
        assert upload(w, key, body, "/mapped/v1/files").status == 200
    assert up.uploads()[0].fields["purpose"] == "ocr"


def test_a_purpose_that_it_does_not_know_is_its_own_422(gw, up, key):
    error = refused(send(gw, key, purpose="vision"), 422)
    assert "Input should be one of" in error["message"]
    assert error["param"] == "purpose"
    nothing_is_recorded(gw, key)


ERROR = {"object": "error", "message": "said so", "type": "t", "code": "1300"}


@pytest.mark.parametrize(
    "theirs, ours, code",
    [(401, 502, "upstream_auth"), (404, 404, None), (429, 429, None),
     (500, 502, None)],
)  # fmt: skip
def test_statuses_are_translated(gw, up, key, theirs, ours, code):
    up.fault(on_stored(answer(theirs, ERROR, {"Retry-After": "7"})))
    reply = send(gw, key)
    error = refused(reply, ours, code)
    assert ("said so" in error["message"]) == (ours in (404, 429))
    if ours == 429:
        assert reply.headers["retry-after"] == "7"
    nothing_is_recorded(gw, key)


@pytest.mark.parametrize("status", [401, 404, 429, 500])
@pytest.mark.parametrize("method, tail", [("GET", "/content"), ("DELETE", "")])
def test_statuses_are_translated_on_every_call(gw, up, key, status, method, tail):
    made = send(gw, key).json()["id"]
    up.fault(on_head(answer(status, ERROR, {"Retry-After": "7"})))
    reply = gw.call(key, method, f"/v1/files/{made}{tail}")
    if (method, status) == ("DELETE", 404):
        assert reply.json()["deleted"]
        return
    refused(reply, {401: 502, 500: 502}.get(status, status))
    assert reply.headers["retry-after"] == "7"


def test_a_wrong_key_of_ours_is_never_shown_as_the_clients(start, up):
    conf = {"providers": {"up": provider(up, api_key="sk-outdated")}}
    gw = start(config({**conf, "routing": {"default": "up"}}))
    error = refused(send(gw, gw.new_key()), 502, "upstream_auth")
    assert "sk-" not in error["message"]


def test_an_upload_that_is_cut_is_a_502_and_no_record(gw, up, key):
    up.fault(after_bytes(2 * MB, reset), times=9)
    refused(send(gw, key, pattern.pattern(6 * MB)), 502)
    nothing_is_recorded(gw, key)


def test_a_download_that_is_cut_is_never_taken_for_whole(gw, up, key):
    made = send(gw, key, pattern.pattern(3 * MB)).json()["id"]
    up.fault(after_sent(MB + 7, reset))
    with gw.wire() as w:
        w.head("GET", f"/v1/files/{made}/content", key)
        reply = w.reply()
    assert reply.status == 200 and not reply.whole
    assert reply.body == pattern.pattern(3 * MB)[: len(reply.body)]


def test_a_body_of_unknown_length_streams_when_that_is_allowed(start, up):
    conf = {"providers": {"up": provider(up, upload_length="optional")}}
    gw = start(config({**conf, "routing": {"default": "up"}}))
    body = form(part("purpose", "batch"), file_part(b"{}"))
    with gw.wire() as w:
        refused(upload_chunked(w, gw.new_key(), body), 502)
    assert up.uploads()[0].framing == "chunked"
