"""The type `together`: direct uploads, by a signed URL, and in parts."""

import any_provider as any_
import openai
import pytest
from fakes import pattern
from fakes.openai import after_bytes, answer, on_head, on_stored, reset
from fakes.together import Together
from gw import MB, config, refused, until
from wire import form, form_type, part, upload_chunked

ERROR = {"error": {"message": "said so", "type": "t", "param": None, "code": None}}
# It takes few purposes, and the tests of every provider send another.
WAYS = {
    "direct": {},
    "presigned": {"upload": "presigned"},
    "parts": {"upload": "presigned", "multipart_above": "6MB"},
}


def provider(fake, **more):
    auth = {"type": "together", "base_url": fake.url, "api_key": fake.api_key}
    return {**auth, "purposes": {"vision": "eval"}, **more}


@pytest.fixture
def fake():
    fake = Together()
    yield fake
    fake.stop()
    assert fake.violations == []


@pytest.fixture
def gw(start, fake, request):
    more = WAYS[getattr(request, "param", "direct")]
    gw = start(config({"providers": {"up": provider(fake, **more)}}))
    gw.key = gw.new_key()
    yield gw
    told = gw.stderr()
    assert fake.api_key not in told and "X-Signature" not in told
    assert not any(s in told for s in fake.storage.signed)


def ways(*names):
    return pytest.mark.parametrize("gw", names, indirect=True)


def nothing_is_left(gw, fake):
    any_.nothing_is_left(gw)
    until(lambda: fake.pending == {}, "what was begun is taken back")
    assert fake.files == {}


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    fake = Together()
    conf = {name: provider(fake, **more) for name, more in WAYS.items()}
    yield from any_.pair(tmp_path_factory, fake, **conf)


class TestEvery(any_.Every):
    error = ERROR

    @pytest.fixture
    def fake(self, pair):
        fake = pair[1]
        fake.pending.clear()
        yield from any_.fresh(pair)
        until(lambda: fake.pending == {}, "what was begun is taken back")

    @pytest.fixture
    def gw(self, pair):
        return any_.with_key(pair)


class TestEveryPresigned(TestEvery):
    path = "/presigned/v1/files"


class TestEveryInParts(TestEvery):
    path = "/parts/v1/files"


def client(gw):
    return openai.OpenAI(api_key=gw.key, base_url=gw.url + "/v1", max_retries=0)


@ways("direct", "presigned")
def test_a_batch_is_called_by_their_name_there_and_by_ours_here(gw, fake):
    made = client(gw).files.create(file=("in.jsonl", b"{}\n"), purpose="batch")
    (stored,) = fake.files.values()
    assert (stored.purpose, stored.type) == ("batch-api", "jsonl")
    assert (made.purpose, made.filename, made.bytes) == ("batch", "in.jsonl", 3)


@ways("direct")
def test_a_file_is_processed_once_they_have_looked_at_it(gw, fake):
    path = f"/v1/files/{any_.made(any_.send(gw, 5))['id']}"
    assert gw.call(gw.key, "GET", path).json()["status"] == "uploaded"
    for f in fake.files.values():
        f.processed = True
    assert gw.call(gw.key, "GET", path).json()["status"] == "processed"


@ways("direct")
def test_an_expiry_is_kept_here_for_they_have_none(gw, fake):
    fields = [
        part("purpose", "vision"),
        part("expires_after[anchor]", "created_at"),
        part("expires_after[seconds]", "3600"),
    ]
    file = part("file", "hello", "a.txt", "text/plain")
    for body in (form(*fields, file), form(fields[0], file, *fields[1:])):
        reply = gw.call(gw.key, "POST", "/v1/files", content=body,
                        headers={"Content-Type": form_type()})  # fmt: skip
        obj = any_.made(reply)
        assert obj["expires_at"] == obj["created_at"] + 3600
    assert "expires" not in str([s.fields for s in fake.uploads()])


def test_what_is_streamed_needs_no_length_where_that_is_allowed(start, fake):
    fake.quirks.add("chunks")
    gw = start(config({"providers": {"up": provider(fake, upload_length="optional")}}))
    gw.key = gw.new_key()
    any_.made(any_.send(gw, MB, chunks=True))
    assert [s.framing for s in fake.uploads()] == ["chunked"]


@ways("presigned", "parts")
@pytest.mark.parametrize(
    "theirs, ours", [(400, 502), (403, 502), (404, 502), (413, 413), (429, 429), (503, 503)]
)
def test_what_the_storage_refuses_is_taken_back(gw, fake, theirs, ours):
    refuse = answer(theirs, "<Error><Code>X</Code></Error>", then_close=True)
    fake.fault(on_head(refuse), method="PUT", times=9)
    error = refused(any_.send(gw, 7 * MB), ours)
    assert "bucket" not in error["message"] and "X-Sig" not in error["message"]
    nothing_is_left(gw, fake)


@ways("presigned", "parts")
@pytest.mark.parametrize("step", ["preprocess", "complete"])
def test_a_last_step_that_fails_is_taken_back(gw, fake, step):
    fake.fault(on_head(lambda x: (x.body.read_all(), answer(500, ERROR)(x))),
               path=step)  # fmt: skip
    reply = any_.send(gw, 7 * MB)
    if fake.faults[0].left:  # a step of the other way
        any_.made(reply)
        return
    refused(reply, 502)
    nothing_is_left(gw, fake)


@ways("parts")
def test_a_part_whose_connection_was_cut_is_put_again(gw, fake):
    fake.fault(after_bytes(MB, reset), method="PUT")
    obj = any_.made(any_.send(gw, 20 * MB))
    any_.comes_back(gw, obj, 20 * MB)
    assert len([s for s in fake.storage.seen if s.method == "PUT"]) == 4


@ways("presigned")
@pytest.mark.parametrize(
    "fields",
    [{}, {"Location": "/bucket"}, {"Location": "ftp://a/b"}, {"Location": "http://u@a/"}],
)
def test_a_redirect_to_nowhere_is_taken_back(gw, fake, fields):
    def elsewhere(x):
        (file_id,) = fake.pending
        answer(302, "", {"X-Together-File-Id": file_id, **fields})(x)

    fake.fault(on_stored(elsewhere), method="POST")
    refused(any_.send(gw, 5), 502, "upstream_bad_response")
    nothing_is_left(gw, fake)


@ways("direct")
def test_a_part_of_a_file_comes_back_and_so_it_does_from_elsewhere(gw, fake):
    path = f"/v1/files/{any_.made(any_.send(gw, 1000))['id']}/content"
    for quirks in (set(), {"redirects"}):
        fake.quirks = quirks
        reply = gw.call(gw.key, "GET", path, headers={"Range": "bytes=10-19"})
        assert reply.status_code == 206 and reply.content == pattern.pattern(20)[10:]
        assert gw.call(gw.key, "GET", path).content == pattern.pattern(1000)
    assert len(fake.storage.seen) == 2


def test_a_wrong_key_is_the_gateways_fault(start, fake):
    gw = start(config({"providers": {"up": provider(fake, api_key="other")}}))
    gw.key = gw.new_key()
    error = refused(any_.send(gw, 5), 502, "upstream_auth")
    assert "other" not in error["message"]


@ways("presigned")
def test_the_clients_own_credentials_go_nowhere(gw, fake):
    any_.made(any_.send(gw, 5))
    for seen in fake.seen:
        assert seen.head.get_all("authorization") == [f"Bearer {fake.api_key}"]
        assert gw.key not in str(seen.head.fields)
    (put,) = fake.storage.seen
    assert (put.method, put.declared, put.head.get("authorization")) == ("PUT", 5, None)


@ways("presigned")
def test_a_chunked_upload_is_put_with_its_length(gw, fake):
    body = form(part("purpose", "vision"), part("file", "hello", "a.csv", "text/csv"))
    with gw.wire() as w:
        any_.made(upload_chunked(w, gw.key, body))
    assert [s.declared for s in fake.storage.seen] == [5]
