"""The type `gemini`, against a strict fake of its Files API.

What was uploaded there cannot be downloaded. So uploads are compared by the
hash that the fake took, and downloads are of files that the fake then says it
generated.
"""

import any_provider as any_
import pytest
from fakes import pattern
from fakes.gemini import TYPE, Gemini
from fakes.openai import after_bytes, answer, on_head, on_stored, reset
from gw import MB, config, refused, until

KIB = 1024


def provider(fake, **more):
    return {"type": "gemini", "base_url": fake.url, "api_key": fake.api_key, **more}


def spooled(fake):
    return provider(fake, upload_length="required")


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    yield from any_.pair(tmp_path_factory, Gemini(), up=provider, spooled=spooled)


@pytest.fixture
def fake(pair):
    yield from any_.fresh(pair)


@pytest.fixture
def gw(pair):
    return any_.with_key(pair)


def error(status, reason=None, delay=None):
    details = []
    if reason:
        details.append({"@type": TYPE + "ErrorInfo", "reason": reason})
    if delay:
        details.append({"@type": TYPE + "RetryInfo", "retryDelay": delay})
    body = {"code": status, "message": "said so", "status": "S", "details": details}
    return {"error": body}


class TestEvery(any_.Every):
    error = error(418)

    def serve(self, fake):
        for f in fake.files.values():
            f.source = "GENERATED"


class TestEverySpooled(TestEvery):
    path = "/spooled/v1/files"


def send(gw, data=b"{}\n", **kw):
    return gw.upload(gw.key, data, "in.jsonl", **kw)


def content(gw, made):
    return gw.call(gw.key, "GET", f"/v1/files/{made}/content")


@pytest.mark.parametrize(
    "name, framings", [("up", ["chunked"]), ("spooled", ["length", "length"])]
)
def test_a_length_is_declared_where_it_is_wanted(gw, fake, name, framings):
    any_.made(any_.send(gw, 1000, path=f"/{name}/v1/files"))
    assert [s.framing for s in fake.uploads()] == framings


def test_a_file_ends_after_48_hours(gw, fake):
    made = send(gw).json()
    assert made["expires_at"] == made["created_at"] + 48 * 3600


def test_a_file_ends_when_the_client_said_if_that_is_sooner(gw, fake):
    for seconds, lifetime in ((3600, 3600), (30 * 24 * 3600, 48 * 3600)):
        fields = {"expires_after[anchor]": "created_at"}
        fields["expires_after[seconds]"] = str(seconds)
        made = send(gw, fields=fields).json()
        assert made["expires_at"] == made["created_at"] + lifetime


def test_a_batch_is_called_by_its_own_type(gw, fake):
    send(gw)
    assert [f.content_type for f in fake.files.values()] == ["application/jsonl"]


def test_what_was_uploaded_cannot_be_downloaded(gw, fake):
    reply = content(gw, send(gw).json()["id"])
    error = refused(reply, 400, "unsupported_operation")
    assert "'up'" in error["message"] and "'content'" in error["message"]


def test_a_file_that_is_looked_at_is_uploaded_until_it_is_processed(gw, fake):
    fake.first_status = "PROCESSING"
    made = send(gw).json()
    path = f"/v1/files/{made['id']}"
    assert made["status"] == "uploaded"
    assert gw.call(gw.key, "GET", path).json()["status"] == "uploaded"
    for f in fake.files.values():
        f.status = "ACTIVE"
    assert gw.call(gw.key, "GET", path).json()["status"] == "processed"


@pytest.mark.parametrize("name", ["up", "spooled"])
@pytest.mark.parametrize(
    "body, ours, code",
    [(error(401), 502, "upstream_auth"), (error(404), 404, None),
     (error(400, "API_KEY_INVALID"), 502, "upstream_auth"),
     (error(403), 502, "upstream_auth"), (error(429, delay="7s"), 429, None),
     (error(500), 502, None)],
)  # fmt: skip
def test_statuses_are_translated(gw, fake, name, body, ours, code):
    # Twice, for a resumable upload is two requests, and the second stores.
    fake.fault(on_stored(answer(body["error"]["code"], body)), times=2)
    reply = send(gw, path=f"/{name}/v1/files")
    told = refused(reply, ours, code)
    assert ("said so" in told["message"]) == (ours in (404, 429))
    if ours == 429:
        assert reply.headers["retry-after"] == "7"
    any_.nothing_is_left(gw)


def test_a_wrong_key_of_ours_is_never_shown_as_the_clients(start, fake):
    conf = {"providers": {"up": provider(fake, api_key="k-outdated")}}
    gw = start(config(conf))
    gw.key = gw.new_key()
    told = refused(send(gw), 502, "upstream_auth")
    assert "k-" not in told["message"]


def test_a_start_that_is_refused_is_relayed_before_any_byte_is_sent(gw, fake):
    fake.fault(on_head(answer(429, error(429, delay="7s"), then_close=True)))
    reply = send(gw, pattern.pattern(MB), path="/spooled/v1/files")
    refused(reply, 429)
    assert reply.headers["retry-after"] == "7"
    assert len(fake.seen) == 1 and fake.seen[0].declared < KIB
    any_.nothing_is_left(gw)


def test_an_upload_that_fails_is_cancelled(gw, fake):
    fake.uploads_open.clear()
    fake.fault(after_bytes(2 * MB, reset), times=2)
    refused(any_.send(gw, 6 * MB, path="/spooled/v1/files"), 502)
    until(lambda: fake.uploads_open == {}, "the upload is cancelled")
    commands = [s.header("x-goog-upload-command") for s in fake.seen]
    assert commands == ["start", "upload, finalize", "cancel"]


def test_bytes_go_to_no_other_host(gw, fake):
    url = "http://localhost:1/upload/v1beta/files?upload_id=U"
    fake.fault(on_head(lambda x: (x.body.read_all(),
                                  answer(200, "", {"X-Goog-Upload-URL": url})(x))))  # fmt: skip
    refused(send(gw, path="/spooled/v1/files"), 502, "upstream_bad_response")
