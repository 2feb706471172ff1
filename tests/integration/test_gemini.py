"""The type `gemini`, against a strict fake of its Files API.

What was uploaded there cannot be downloaded. So uploads are compared by the
hash that the fake took, and downloads are of files that the fake then says it
generated.
"""

import pytest
from fakes import pattern
from fakes.gemini import TYPE, Gemini
from fakes.openai import after_bytes, after_sent, answer, on_head, on_stored, reset
from gw import MB, Gateway, config, refused, until
from wire import file_part, form, part, upload, upload_chunked

KIB = 1024
SIZES = [0, 1, 256 * KIB - 1, 256 * KIB, 256 * KIB + 1, 20 * MB]


def provider(fake, **more):
    return {"type": "gemini", "base_url": fake.url, "api_key": fake.api_key, **more}


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    up = Gemini()
    spooled = provider(up, upload_length="required")
    providers = {"up": provider(up), "spooled": spooled}
    conf = config({"providers": providers, "routing": {"default": "up"}})
    gw = Gateway(tmp_path_factory.mktemp("gemini"), conf)
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
    up.first_status = "ACTIVE"
    yield up
    assert up.violations == []


@pytest.fixture
def key(gw):
    return gw.new_key()


def send(gw, key, data=b"{}\n", **kw):
    return gw.upload(key, data, "in.jsonl", **kw)


def generated(gw, up, key, data):
    """The id of a file that can be downloaded."""
    made = send(gw, key, data).json()["id"]
    for f in up.files.values():
        f.source = "GENERATED"
    return made


def content(gw, key, made):
    return gw.call(key, "GET", f"/v1/files/{made}/content")


def nothing_is_recorded(gw, key):
    assert gw.call(key, "GET", "/v1/files").json()["data"] == []
    until(lambda: gw.transfers() == 0, "no transfer is under way")


@pytest.mark.parametrize("chunks", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("name", ["up", "spooled"])
@pytest.mark.parametrize("size", SIZES)
def test_what_goes_up_comes_down(gw, up, key, size, name, chunks):
    data = pattern.pattern(size)
    body = form(part("purpose", "batch"), file_part(data))
    with gw.wire() as w:
        if chunks:
            reply = upload_chunked(w, key, body, 100_000, f"/{name}/v1/files")
        else:
            reply = upload(w, key, body, f"/{name}/v1/files")
    assert reply.status == 200, reply.body
    (made,) = gw.call(key, "GET", "/v1/files").json()["data"]
    assert (made["bytes"], made["status"]) == (size, "processed")
    framings = {"up": ["chunked"], "spooled": ["length", "length"]}
    assert [s.framing for s in up.uploads()] == framings[name]
    (stored,) = up.files.values()
    assert (stored.size, stored.sha256) == (size, pattern.sha256(size))
    stored.source = "GENERATED"
    got = content(gw, key, made["id"])
    assert got.status_code == 200 and got.content == data


def test_a_file_is_made_shown_listed_and_deleted(gw, up, key):
    made = send(gw, key).json()
    assert made["id"].startswith("file-up-") and made["object"] == "file"
    assert made["purpose"] == "vision" and made["filename"] == "in.jsonl"
    assert made["expires_at"] == made["created_at"] + 48 * 3600
    assert gw.call(key, "GET", f"/v1/files/{made['id']}").json() == made
    assert gw.call(key, "GET", "/v1/files").json()["data"] == [made]
    for status in (200, 404):
        gone = gw.call(key, "DELETE", f"/v1/files/{made['id']}")
        assert gone.status_code == status
    assert up.files == {}


def test_a_file_ends_when_the_client_said_if_that_is_sooner(gw, up, key):
    for seconds, lifetime in ((3600, 3600), (30 * 24 * 3600, 48 * 3600)):
        fields = {"expires_after[anchor]": "created_at"}
        fields["expires_after[seconds]"] = str(seconds)
        made = send(gw, key, fields=fields).json()
        assert made["expires_at"] == made["created_at"] + lifetime


def test_a_batch_is_called_by_its_own_type(gw, up, key):
    send(gw, key)
    assert [f.content_type for f in up.files.values()] == ["application/jsonl"]


def test_what_was_deleted_there_can_still_be_deleted_here(gw, up, key):
    made = send(gw, key).json()["id"]
    up.files.clear()
    refused(content(gw, key, made), 404)
    assert gw.call(key, "DELETE", f"/v1/files/{made}").json()["deleted"]
    nothing_is_recorded(gw, key)


def test_what_was_uploaded_cannot_be_downloaded(gw, up, key):
    error = refused(
        content(gw, key, send(gw, key).json()["id"]), 400, "unsupported_operation"
    )
    assert "'up'" in error["message"] and "'content'" in error["message"]


def test_a_file_that_is_looked_at_is_uploaded_until_it_is_processed(gw, up, key):
    up.first_status = "PROCESSING"
    made = send(gw, key).json()
    path = f"/v1/files/{made['id']}"
    assert made["status"] == "uploaded"
    assert gw.call(key, "GET", path).json()["status"] == "uploaded"
    for f in up.files.values():
        f.status = "ACTIVE"
    assert gw.call(key, "GET", path).json()["status"] == "processed"


def error(status, reason=None, delay=None):
    details = []
    if reason:
        details.append({"@type": TYPE + "ErrorInfo", "reason": reason})
    if delay:
        details.append({"@type": TYPE + "RetryInfo", "retryDelay": delay})
    body = {"code": status, "message": "said so", "status": "S", "details": details}
    return {"error": body}


@pytest.mark.parametrize("name", ["up", "spooled"])
@pytest.mark.parametrize(
    "body, ours, code",
    [(error(401), 502, "upstream_auth"), (error(404), 404, None),
     (error(400, "API_KEY_INVALID"), 502, "upstream_auth"),
     (error(403), 502, "upstream_auth"), (error(429, delay="7s"), 429, None),
     (error(500), 502, None)],
)  # fmt: skip
def test_statuses_are_translated(gw, up, key, name, body, ours, code):
    # Twice, for a resumable upload is two requests, and the second stores.
    up.fault(on_stored(answer(body["error"]["code"], body)), times=2)
    reply = send(gw, key, path=f"/{name}/v1/files")
    told = refused(reply, ours, code)
    assert ("said so" in told["message"]) == (ours in (404, 429))
    if ours == 429:
        assert reply.headers["retry-after"] == "7"
    nothing_is_recorded(gw, key)


@pytest.mark.parametrize(
    "status, ours", [(401, 502), (403, 404), (404, 404), (429, 429), (500, 502)]
)
def test_statuses_are_translated_on_every_call(gw, up, key, status, ours):
    made = send(gw, key).json()["id"]
    for method, tail in (("GET", "/content"), ("DELETE", "")):
        up.fault(on_head(answer(status, error(status), {"Retry-After": "7"})))
        reply = gw.call(key, method, f"/v1/files/{made}{tail}")
        if method == "DELETE" and ours == 404:
            assert reply.json()["deleted"]
        else:
            refused(reply, ours)


def test_a_wrong_key_of_ours_is_never_shown_as_the_clients(start, up):
    conf = {"providers": {"up": provider(up, api_key="k-outdated")}}
    gw = start(config({**conf, "routing": {"default": "up"}}))
    told = refused(send(gw, gw.new_key()), 502, "upstream_auth")
    assert "k-" not in told["message"]


@pytest.mark.parametrize("name", ["up", "spooled"])
def test_an_upload_that_is_cut_is_a_502_and_no_record(gw, up, key, name):
    up.fault(after_bytes(2 * MB, reset), times=9)
    reply = send(gw, key, pattern.pattern(6 * MB), path=f"/{name}/v1/files")
    refused(reply, 502)
    assert up.files == {}
    nothing_is_recorded(gw, key)


def test_a_start_that_is_refused_is_relayed_before_any_byte_is_sent(gw, up, key):
    up.fault(on_head(answer(429, error(429, delay="7s"), then_close=True)))
    reply = send(gw, key, pattern.pattern(MB), path="/spooled/v1/files")
    refused(reply, 429)
    assert reply.headers["retry-after"] == "7"
    assert len(up.seen) == 1 and up.seen[0].declared < KIB
    nothing_is_recorded(gw, key)


def test_bytes_go_to_no_other_host(gw, up, key):
    url = "http://localhost:1/upload/v1beta/files?upload_id=U"
    up.fault(on_head(lambda x: (x.body.read_all(),
                                answer(200, "", {"X-Goog-Upload-URL": url})(x))))  # fmt: skip
    refused(send(gw, key, path="/spooled/v1/files"), 502, "upstream_bad_response")


def test_a_download_that_is_cut_is_never_taken_for_whole(gw, up, key):
    made = generated(gw, up, key, pattern.pattern(3 * MB))
    up.fault(after_sent(MB + 7, reset), path=":download")
    with gw.wire() as w:
        w.head("GET", f"/v1/files/{made}/content", key)
        reply = w.reply()
    assert reply.status == 200 and not reply.whole
    assert reply.body == pattern.pattern(3 * MB)[: len(reply.body)]
