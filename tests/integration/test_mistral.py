"""The type `mistral`, against a strict fake of its Files API."""

import any_provider as any_
import pytest
from fakes.mistral import Mistral
from fakes.openai import answer, on_head, on_stored
from gw import config, refused
from wire import file_part, form, part, upload, upload_chunked

DAY = 24 * 3600
ERROR = {"object": "error", "message": "said so", "type": "t", "code": "1300"}


def provider(fake, **more):
    return {"type": "mistral", "base_url": fake.url, "api_key": fake.api_key, **more}


def mapped(fake):
    return provider(fake, purposes={"user_data": "ocr"}, retention="0")


def signed(fake):
    return provider(fake, download="signed_url", headers={"x-team": "files"})


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    providers = {"up": provider, "mapped": mapped, "signed": signed}
    yield from any_.pair(tmp_path_factory, Mistral(), **providers)


@pytest.fixture
def fake(pair):
    yield from any_.fresh(pair)


@pytest.fixture
def gw(pair):
    return any_.with_key(pair)


class TestEvery(any_.Every):
    purpose = "batch"
    error = ERROR


class TestEverySigned(TestEvery):
    path = "/signed/v1/files"


def send(gw, data=b"{}\n", purpose="batch", **kw):
    kw.setdefault("fields", {})["purpose"] = purpose
    return gw.upload(gw.key, data, "in.jsonl", **kw)


def test_a_length_that_is_null_is_what_was_counted(gw, fake):
    fake.quirks.add("null_bytes")
    assert send(gw, b"12345").json()["bytes"] == 5


def test_a_range_that_it_does_not_serve_is_the_whole(gw, fake):
    path = f"/v1/files/{send(gw, b'0123456789').json()['id']}/content"
    got = gw.call(gw.key, "GET", path, headers={"Range": "bytes=2-4"})
    assert (got.status_code, got.content) == (200, b"0123456789")
    assert "accept-ranges" not in got.headers


def signed_file(gw, data):
    made = send(gw, data, path="/signed/v1/files").json()
    return f"/v1/files/{made['id']}/content"


def test_a_signed_url_takes_no_credentials_along(gw, fake):
    fake.blobs.seen.clear()
    assert gw.call(gw.key, "GET", signed_file(gw, b"0123456789")).status_code == 200
    assert fake.seen[-1].query == [("expiry", "1")]
    names = {n.lower() for n, _ in fake.blobs.seen[0].head.fields}
    assert names == {"host", "accept", "accept-encoding"}


def test_a_range_is_served_by_signed_url(gw, fake):
    path = signed_file(gw, b"0123456789")
    got = gw.call(gw.key, "GET", path, headers={"Range": "bytes=2-4"})
    assert (got.status_code, got.content) == (206, b"234")
    assert got.headers["content-range"] == "bytes 2-4/10"


@pytest.mark.parametrize("url", [None, "", "/x", "ftp://x/y", "http://a@127.0.0.1/"])
def test_nothing_is_fetched_from_nowhere(gw, fake, url):
    path = signed_file(gw, b"{}")
    fake.fault(on_head(answer(200, {"url": url})))
    refused(gw.call(gw.key, "GET", path), 502, "upstream_bad_response")


@pytest.mark.parametrize(
    "theirs, ours, code",
    [(403, 502, "upstream_error"), (404, 404, None), (503, 503, None)],
)
def test_what_the_store_refuses_is_told(gw, fake, theirs, ours, code):
    path = signed_file(gw, b"{}")
    fake.fault(on_head(answer(theirs, "<Error/>")), path="/blobs/")
    reply = gw.call(gw.key, "GET", path)
    refused(reply, ours, code)
    assert "sig=" not in reply.text and "blobs" not in reply.text


def lifetime(made):
    return made["expires_at"] - made["created_at"]


def test_seconds_go_as_hours_and_hold_as_seconds(gw, fake):
    fields = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "5000"}
    made = send(gw, fields=fields).json()
    assert fake.uploads()[0].fields == {"purpose": "batch", "expiry": "2"}
    assert lifetime(made) == 5000


def test_seconds_behind_the_file_hold_too(gw, fake):
    after = (
        part("purpose", "batch"),
        part("expires_after[anchor]", "created_at"),
        part("expires_after[seconds]", "5000"),
    )
    with gw.wire() as w:
        assert upload(w, gw.key, form(file_part(b"{}"), *after)).status == 200
    (made,) = gw.call(gw.key, "GET", "/v1/files").json()["data"]
    assert lifetime(made) == 5000
    assert fake.uploads()[0].order[0] == "file"


def test_a_file_lives_as_long_as_it_is_kept_there(gw, fake):
    assert lifetime(send(gw).json()) == 30 * DAY
    assert send(gw, path="/mapped/v1/files").json()["expires_at"] is None


def test_a_purpose_is_translated_and_shown_as_it_was(gw, fake):
    made = send(gw, purpose="user_data", path="/mapped/v1/files").json()
    assert fake.uploads()[0].fields["purpose"] == "ocr"
    assert made["purpose"] == "user_data"


def test_a_purpose_behind_the_file_is_translated_too(gw, fake):
    body = form(file_part(b"{}"), part("purpose", "user_data"))
    with gw.wire() as w:
        assert upload(w, gw.key, body, "/mapped/v1/files").status == 200
    assert fake.uploads()[0].fields["purpose"] == "ocr"


def test_a_purpose_that_it_does_not_know_is_its_own_422(gw, fake):
    error = refused(send(gw, purpose="vision"), 422)
    assert "Input should be one of" in error["message"]
    assert error["param"] == "purpose"
    any_.nothing_is_left(gw)


@pytest.mark.parametrize(
    "theirs, ours, code",
    [(401, 502, "upstream_auth"), (404, 404, None), (429, 429, None),
     (500, 502, None)],
)  # fmt: skip
def test_statuses_are_translated(gw, fake, theirs, ours, code):
    fake.fault(on_stored(answer(theirs, ERROR, {"Retry-After": "7"})))
    reply = send(gw)
    error = refused(reply, ours, code)
    assert ("said so" in error["message"]) == (ours in (404, 429))
    if ours == 429:
        assert reply.headers["retry-after"] == "7"
    any_.nothing_is_left(gw)


def test_a_wrong_key_of_ours_is_never_shown_as_the_clients(start, fake):
    conf = {"providers": {"up": provider(fake, api_key="sk-outdated")}}
    gw = start(config(conf))
    gw.key = gw.new_key()
    error = refused(send(gw), 502, "upstream_auth")
    assert "sk-" not in error["message"]


def test_a_body_of_unknown_length_streams_when_that_is_allowed(start, fake):
    conf = {"providers": {"up": provider(fake, upload_length="optional")}}
    gw = start(config(conf))
    body = form(part("purpose", "batch"), file_part(b"{}"))
    with gw.wire() as w:
        refused(upload_chunked(w, gw.new_key(), body), 502)
    assert fake.uploads()[0].framing == "chunked"
