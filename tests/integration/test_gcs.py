"""The types `gcs` and `vertex`, against a strict fake of Cloud Storage.

`up` has a token that does not end, chunks as small as they may be, and tries
nothing twice. Where its rules need a purpose that follows the file, the file is
spooled, and its length known. What is about getting tokens is in
test_google_auth.py.
"""

import any_provider as any_
import httpx
import pytest
from fakes import pattern
from fakes.gcs import CHUNK, GCS
from fakes.openai import (
    after_bytes,
    after_sent,
    answer,
    call,
    on_head,
    on_stored,
    reset,
)
from gw import MB, Gateway, config, refused, until
from wire import form_around, form_type, part, upload_chunked

TOKEN = "ya29.static"


def provider(fake, **more):
    out = {"type": "gcs", "base_url": fake.url, "bucket": fake.bucket}
    return {**out, "token": TOKEN, "chunk_size": "256KB", **more}


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    fake = GCS(token=TOKEN)
    usual = provider(fake)
    del usual["chunk_size"]
    providers = {
        "up": provider(fake, upload_retries=0),
        "tries": provider(fake, upload_retries=3),
        "wide": provider(fake, chunk_size="1MB", upload_retries=5),
        "usual": {**usual, "prefix": ""},
        "vertex": {**provider(fake), "type": "vertex", "project": "p-1"},
    }
    rules = [{"match": {"purpose": "batch"}, "use": "wide"}]
    conf = config(
        {"providers": providers, "routing": {"default": "up", "rules": rules}}
    )
    gw = Gateway(tmp_path_factory.mktemp("gcs"), conf)
    try:
        yield gw.start(), fake
        gw.stop()
    finally:
        gw.end()
    fake.stop()


@pytest.fixture
def gw(pair):
    gw = pair[0]
    gw.key = gw.new_key()
    return gw


@pytest.fixture
def fake(pair):
    fake = pair[1]
    fake.forget()
    yield fake
    assert fake.violations == []


def send_chunks(gw, size, name="tries"):
    prefix, suffix, _ = form_around(size, part("purpose", "vision"))
    body = prefix + pattern.pattern(size) + suffix
    with gw.wire() as w:
        return upload_chunked(w, gw.key, body, 100_003, f"/{name}/v1/files")


def is_stored(gw, fake, reply, size):
    """Byte for byte, there and back here."""
    obj = any_.made(reply)
    assert obj["bytes"] == size
    (stored,) = fake.files.values()
    assert (stored.size, stored.sha256) == (size, pattern.sha256(size))
    any_.comes_back(gw, obj, size)
    return obj


def ranges(fake):
    return [s.header("content-range") for s in fake.seen if s.method == "PUT"]


class TestEvery(any_.Every):
    error = {"error": {"code": 418, "message": "said so", "errors": []}}
    cut_at = 100_000


@pytest.mark.parametrize("how", [{}, {"chunks": True}, {"file_first": True}], ids=str)
@pytest.mark.parametrize("size", [0, CHUNK, CHUNK + 1])
def test_what_is_longer_than_a_chunk_has_a_session(gw, fake, size, how):
    any_.arrives(gw, fake, size, **how)
    kinds = [dict(s.query)["uploadType"] for s in fake.uploads()]
    is_whole = size <= CHUNK or "file_first" in how
    assert kinds == ["multipart" if is_whole else "resumable"]
    assert not fake.open_sessions()


@pytest.mark.parametrize("theirs, ours, code", any_.STATUSES)
@pytest.mark.parametrize("size", [1000, 3 * CHUNK])
def test_statuses_are_told_where_the_length_is_not_known(
    gw, fake, theirs, ours, code, size
):
    fake.fault(
        on_stored(answer(theirs, {"error": {}}, {"Retry-After": "7"})), path="/upload/"
    )
    reply = send_chunks(gw, size, "up")
    refused(reply, ours, code)
    if ours in (429, 503):
        assert reply.get("retry-after") == "7"
    any_.nothing_is_left(gw)


@pytest.mark.parametrize("theirs, ours", [(401, 502), (403, 502), (429, 429), (500, 502)])
def test_statuses_are_told_on_every_call(gw, fake, theirs, ours):
    path = f"/v1/files/{any_.made(any_.send(gw, 5))['id']}"
    for method, tail in (("GET", "/content"), ("DELETE", "")):
        fake.fault(on_head(answer(theirs, "said so", {"Retry-After": "7"})))
        refused(gw.call(gw.key, method, path + tail), ours)


def test_a_cut_upload_leaves_nothing(gw, fake):
    for file_first, after in ((True, 2 * MB), (False, 100_000)):
        fake.fault(after_bytes(after, reset), path="/upload/", times=9)
        refused(any_.send(gw, 6 * MB, file_first=file_first), 502)
        assert fake.files == {}
        any_.nothing_is_left(gw)
        fake.faults.clear()
    until(lambda: len(fake.cancelled) == 1, "the session is cancelled")


# --- objects ---


def test_an_object_has_the_name_of_our_id_and_the_clients_in_its_metadata(gw, fake):
    obj = any_.made(any_.send(gw, 5))
    (stored,) = fake.files.values()
    assert stored.id == "filemux/" + obj["id"][-26:]
    assert stored.metadata == {"filename": "x.bin", "purpose": "vision"}
    text = gw.call(gw.key, "GET", f"/v1/files/{obj['id']}").text
    assert "gs:" not in text and fake.bucket not in text


def test_a_chunk_is_4_mib_unless_told_otherwise(gw, fake):
    is_stored(gw, fake, send_chunks(gw, 9 * MB, "usual"), 9 * MB)
    assert len(ranges(fake)) == 3
    (stored,) = fake.files
    assert "/" not in stored


def test_vertex_has_the_same_files(gw, fake):
    obj = is_stored(gw, fake, send_chunks(gw, 3 * CHUNK, "vertex"), 3 * CHUNK)
    assert obj["filemux"] == {"provider": "vertex"}


@pytest.mark.parametrize(
    "text, first, last", [("bytes=5-9", 5, 9), ("bytes=99990-", 99990, 99999)]
)
def test_a_range_is_a_part(gw, fake, text, first, last):
    obj = any_.made(any_.send(gw, 100_000))
    path = f"/v1/files/{obj['id']}/content"
    reply = gw.call(gw.key, "GET", path, headers={"Range": text})
    assert reply.status_code == 206
    assert reply.headers["content-range"] == f"bytes {first}-{last}/100000"
    assert reply.content == pattern.pattern(100_000)[first : last + 1]
    reply = gw.call(gw.key, "GET", path, headers={"Range": "bytes=100000-"})
    refused(reply, 416)


def test_an_object_that_is_gone_is_a_404_whatever_it_is_called_there(gw, fake):
    path = f"/v1/files/{any_.made(any_.send(gw, 5))['id']}"
    fake.files.clear()
    told = refused(gw.call(gw.key, "GET", path + "/content"), 404)
    assert "filemux/" not in told["message"] and fake.bucket not in told["message"]
    fake.fault(on_head(answer(403, "x does not have storage.objects.list access")))
    refused(gw.call(gw.key, "GET", path + "/content"), 404)


def test_a_delete_that_is_forbidden_is_none(gw, fake):
    path = f"/v1/files/{any_.made(any_.send(gw, 5))['id']}"
    fake.fault(on_head(answer(403, "x does not have storage.objects.delete access")))
    refused(gw.call(gw.key, "DELETE", path), 502, "upstream_auth")
    assert gw.call(gw.key, "GET", path).status_code == 200


# --- uploads that break off ---
#
# A request that is in memory is sent again by the HTTP client itself when a kept
# connection breaks: only so many faults in a row are seen by the provider.


def test_a_chunk_that_is_cut_goes_on_where_it_was_stored(gw, fake):
    fake.fault(after_bytes(600_000, reset), method="PUT", times=6)
    is_stored(gw, fake, send_chunks(gw, 5 * MB // 2, "wide"), 5 * MB // 2)
    told = ranges(fake)
    at = told.index("bytes */*")
    assert set(told[:at]) == {"bytes 0-1048575/*"}
    assert told[at + 1] == "bytes 524288-1048575/*"


def test_every_chunk_may_be_cut(gw, fake):
    for after in (700_000, 1, 300_000, 262_144, 100_000, 500_000, 0, 262_143):
        fake.fault(after_bytes(after, reset), method="PUT")
    is_stored(gw, fake, send_chunks(gw, 4 * MB, "wide"), 4 * MB)


def test_the_answer_to_the_last_chunk_may_be_lost(gw, fake):
    size = CHUNK + 5
    last = (lambda x: "262148" in x.head.get("content-range") and reset(x))  # fmt: skip
    fake.fault(on_stored(call(last)), method="PUT", times=9)
    is_stored(gw, fake, send_chunks(gw, size), size)
    assert ranges(fake)[-1] == "bytes */*"


def test_what_was_not_stored_is_sent_again(gw, fake):
    fake.store_at_most = [CHUNK, MB, 0, CHUNK]
    is_stored(gw, fake, send_chunks(gw, 3 * MB, "wide"), 3 * MB)
    assert ranges(fake)[:2] == ["bytes 0-1048575/*", "bytes 262144-1048575/*"]
    assert fake.repeated == 0


def test_an_upload_of_one_chunk_is_sent_again(gw, fake):
    fake.fault(after_bytes(500, reset), method="POST")
    fake.fault(on_stored(answer(503, "")), method="POST")
    is_stored(gw, fake, send_chunks(gw, 1000), 1000)
    assert len(fake.uploads()) == 3


def test_failures_that_may_pass_are_waited_for(gw, fake):
    for method in ("POST", "PUT", "PUT"):
        fake.fault(on_head(lambda x: (x.body.read_all(), answer(503)(x))), method)
    is_stored(gw, fake, send_chunks(gw, 3 * CHUNK), 3 * CHUNK)


def test_a_session_that_does_not_go_on_is_cancelled(gw, fake):
    fake.fault(
        on_head(lambda x: (x.body.read_all(), answer(503)(x))), "PUT", times=99
    )
    refused(send_chunks(gw, 3 * MB), 503)
    until(lambda: len(fake.cancelled) == 1, "the session is cancelled")
    assert fake.files == {} and not fake.open_sessions()
    any_.nothing_is_left(gw)


def test_a_session_that_is_lost_is_told(gw, fake):
    fake.fault(on_stored(call(lambda x: x.fake.sessions.clear())), "PUT")
    told = refused(send_chunks(gw, 5 * CHUNK), 502)
    assert "dropped the upload" in told["message"]
    any_.nothing_is_left(gw)


@pytest.mark.parametrize("url", ["http://localhost:1/u?upload_id=U", "//[::1]:1/", ""])
def test_chunks_go_to_no_other_host(gw, fake, url):
    fake.fault(
        on_head(lambda x: (x.body.read_all(), answer(200, "", {"Location": url})(x))),
        method="POST",
    )
    refused(send_chunks(gw, 3 * CHUNK), 502, "upstream_bad_response")
    assert ranges(fake) == []


def test_a_client_that_goes_away_takes_its_session_along(gw, fake):
    prefix, _, _ = form_around(9 * CHUNK, part("purpose", "vision"))
    data = prefix + pattern.pattern(3 * CHUNK)
    with gw.wire() as w:
        w.head(
            "POST", "/v1/files", gw.key, Content_Type=form_type(),
            Transfer_Encoding="chunked",
        )  # fmt: skip
        w.send(b"%x\r\n" % len(data) + data + b"\r\n")
        until(lambda: fake.sessions and len(ranges(fake)) > 1, "chunks arrive")
    until(lambda: len(fake.cancelled) == 1, "the session is cancelled")
    any_.nothing_is_left(gw)


def test_no_secret_is_in_the_log(gw, fake):
    upload_ids = []
    fake.fault(
        on_stored(call(lambda x: upload_ids.extend(x.fake.sessions))), method="POST"
    )
    fake.fault(on_head(reset), "PUT", times=99)
    refused(send_chunks(gw, 3 * CHUNK), 502)
    told = gw.stderr()
    assert upload_ids and upload_ids[0] not in told
    assert TOKEN not in told and "upload_id=" not in told


def test_what_a_killed_process_stored_is_deleted(start, fake):
    quick = {"journal": {"lease": "2s", "sweep_interval": "1s"}}
    up = {"providers": {"up": provider(fake)}, "routing": {"default": "up"}}
    gw = start(config({**up, **quick}))
    gw.key = gw.new_key()
    kept = any_.made(any_.send(gw, 5))
    fake.fault(on_stored(call(lambda x: gw.kill())), method="POST")
    with pytest.raises(httpx.TransportError):
        any_.send(gw, 1000)
    until(lambda: not gw.runs, "the kill is over")
    assert len(fake.files) == 2
    gw.start()
    until(lambda: len(fake.files) == 1, "the other one is deleted", 60)
    any_.comes_back(gw, kept, 5)
