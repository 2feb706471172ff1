"""What holds of every provider, whatever it speaks: for its test module.

    @pytest.fixture(scope="module")
    def pair(tmp_path_factory):
        yield from any_.pair(tmp_path_factory, Fake(), up=provider)

    class TestEvery(any_.Every):
        error = {"error": "said so"}

and `fake` and `gw` as any_.fresh() and any_.with_key() give them: the
gateway's default provider is the first one, with the fake behind it; gw.key is
a key. The functions serve tests of one's own as well.
"""

import json

import pytest
from fakes import pattern
from fakes.openai import after_bytes, after_sent, answer, on_head, reset
from gw import MB, Gateway, config, refused, until
from wire import form_around, form_type, part, upload_chunked

KIB = 1024
SIZES = [0, 1, 256 * KIB - 1, 256 * KIB, 256 * KIB + 1, 20 * MB]
HOWS = [{}, {"chunks": True}, {"file_first": True}, {"chunks": True, "file_first": True}]  # fmt: skip
# What they answer, what the client sees, its code.
STATUSES = [(401, 502, "upstream_auth"), (404, 404, None), (429, 429, None),
            (500, 502, "upstream_error"), (503, 503, None), (529, 503, None)]  # fmt: skip
CALLS = [("GET", "/content"), ("DELETE", "")]


# --- a gateway that several tests share, and the fake behind it ---


def pair(tmp_path_factory, fake, **providers):
    """For a fixture of a module: (gateway, fake), both stopped at the end.
    The providers are keys of the configuration, or make them of the fake."""
    providers = {n: p(fake) if callable(p) else p for n, p in providers.items()}
    default = next(iter(providers))
    conf = config({"providers": providers, "routing": {"default": default}})
    gw = Gateway(tmp_path_factory.mktemp("pair"), conf)
    fake.as_made = fake.first_status, set(fake.quirks)
    try:
        yield gw.start(), fake
        gw.stop()
    finally:
        gw.end()
        fake.stop()


def fresh(pair):
    """For a fixture: the fake as it was made, and then without violations."""
    fake = pair[1]
    fake.seen.clear()
    fake.faults.clear()
    fake.files.clear()
    fake.first_status, fake.quirks = fake.as_made[0], set(fake.as_made[1])
    yield fake
    assert fake.violations == []


def with_key(pair):
    """The gateway, with a new key."""
    gw = pair[0]
    gw.key = gw.new_key()
    return gw


# --- what a test does ---


def send(gw, size, chunks=False, file_first=False, purpose="vision", after=(),
         path="/v1/files"):  # fmt: skip
    """An upload of the pattern; the reply."""
    fields = [part("purpose", purpose)]
    before, after = ([], fields + list(after)) if file_first else (fields, after)
    prefix, suffix, length = form_around(size, *before, after=after)
    body = prefix + pattern.pattern(size) + suffix
    headers = {"Content-Type": form_type()}
    if chunks:
        with gw.wire() as w:
            return upload_chunked(w, gw.key, body, step=100_003, target=path)
    return gw.call(gw.key, "POST", path, content=body, headers=headers)


def made(reply):
    """The file object of an upload that went well."""
    status = getattr(reply, "status_code", None) or reply.status
    text = reply.text if hasattr(reply, "text") else reply.body.decode()
    assert status == 200, text
    return json.loads(text)


def arrives(gw, fake, size, purpose="vision", **how):
    """An upload of that size is stored to the byte; the file object."""
    obj = made(send(gw, size, purpose=purpose, **how))
    assert obj["bytes"] == size and obj["object"] == "file"
    assert obj["filename"] == "x.bin" and obj["purpose"] == purpose
    (stored,) = fake.files.values()
    assert stored.sha256 == pattern.sha256(size) and stored.size == size
    for seen in fake.uploads():
        assert seen.declared in (None, seen.raw_length)
    return obj


def nothing_is_left(gw):
    assert gw.call(gw.key, "GET", "/v1/files").json()["data"] == []
    until(lambda: gw.transfers() == 0, "no transfer is under way")


def lives(gw, fake, **how):
    """get, list, delete, delete again."""
    obj = made(send(gw, 5, **how))
    path = f"/v1/files/{obj['id']}"
    shown = gw.call(gw.key, "GET", path).json()
    assert {**shown, "status": None} == {**obj, "status": None}
    assert gw.call(gw.key, "GET", "/v1/files").json()["data"] == [shown]
    gone = gw.call(gw.key, "DELETE", path).json()
    assert gone == {"id": obj["id"], "object": "file", "deleted": True}
    assert len(fake.files) == 0
    refused(gw.call(gw.key, "DELETE", path), 404)
    nothing_is_left(gw)


def gone_counts_as_deleted(gw, fake, **how):
    path = f"/v1/files/{made(send(gw, 5, **how))['id']}"
    fake.files.clear()
    refused(gw.call(gw.key, "GET", path + "/content"), 404)
    assert gw.call(gw.key, "DELETE", path).json()["deleted"] is True
    refused(gw.call(gw.key, "DELETE", path), 404)


def comes_back(gw, obj, size):
    """A download of what was sent, to the byte."""
    reply = gw.call(gw.key, "GET", f"/v1/files/{obj['id']}/content")
    assert reply.status_code == 200, reply.text
    assert reply.content == pattern.pattern(size)


def status_is_told(gw, fake, theirs, ours, code, error, **how):
    fake.fault(on_head(lambda x: (x.body.read_all(1 << 26),
                                  answer(theirs, error, {"Retry-After": "7"})(x))),
               times=9)  # fmt: skip
    reply = send(gw, 1000, **how)
    refused(reply, ours, code)
    if ours in (429, 503):
        assert reply.headers["retry-after"] == "7"
    fake.faults.clear()
    nothing_is_left(gw)


def status_of_a_call_is_told(gw, fake, call, theirs, ours, code, error, **how):
    """The same of a call on a file that is there."""
    method, tail = call
    path = f"/v1/files/{made(send(gw, 5, **how))['id']}{tail}"
    fake.fault(on_head(answer(theirs, error, {"Retry-After": "7"})), times=9)
    reply = gw.call(gw.key, method, path)
    if (method, theirs) == ("DELETE", 404):
        assert reply.json()["deleted"] is True
        return
    refused(reply, ours, code)
    if ours in (429, 503):
        assert reply.headers["retry-after"] == "7"


def cut_upload_leaves_nothing(gw, fake, at=2 * MB, **how):
    fake.fault(after_bytes(at, reset), times=99)
    refused(send(gw, 6 * MB, **how), 502)
    assert len(fake.files) == 0
    fake.faults.clear()
    nothing_is_left(gw)


def cut_download_is_not_whole(gw, fake, obj, size):
    fake.fault(after_sent(MB + 7, reset), times=9)
    with gw.wire() as w:
        w.head("GET", f"/v1/files/{obj['id']}/content", gw.key)
        reply = w.reply()
    assert reply.status == 200 and not reply.whole
    assert reply.body == pattern.pattern(size)[: len(reply.body)]


# --- the tests of every type ---


class Stores:
    """Of those, too, behind which there is no fake: `fake` then stands for the
    place, with files (of a size and a sha256) and uploads()."""

    path = "/v1/files"  # another one than the default: "/name/v1/files"
    purpose = "vision"  # one that the provider takes

    def to(self, **how):
        return {"path": self.path, "purpose": self.purpose, **how}

    def serve(self, fake):
        """What is there can be downloaded from now on."""

    @pytest.mark.parametrize("how", HOWS, ids=lambda how: "-".join(how) or "plain")
    @pytest.mark.parametrize("size", SIZES)
    def test_a_file_of_any_size_arrives_and_comes_back(self, gw, fake, size, how):
        obj = arrives(gw, fake, size, **self.to(**how))
        self.serve(fake)
        comes_back(gw, obj, size)

    def test_a_file_lives_and_is_deleted_twice(self, gw, fake):
        lives(gw, fake, **self.to())

    def test_what_is_gone_there_can_be_deleted_here(self, gw, fake):
        gone_counts_as_deleted(gw, fake, **self.to())


class Every(Stores):
    """Of those that are reached by HTTP."""

    error = None  # the body of an error, as they write it
    cut_at = 2 * MB  # of a request that has a part of the file

    @pytest.mark.parametrize("theirs, ours, code", STATUSES)
    def test_the_status_of_an_upload_is_told(self, gw, fake, theirs, ours, code):
        status_is_told(gw, fake, theirs, ours, code, self.error, **self.to())

    @pytest.mark.parametrize("theirs, ours, code", STATUSES)
    @pytest.mark.parametrize("call", CALLS, ids=["content", "delete"])
    def test_the_status_of_a_call_is_told(self, gw, fake, call, theirs, ours, code):
        status_of_a_call_is_told(
            gw, fake, call, theirs, ours, code, self.error, **self.to()
        )

    def test_a_connection_cut_in_mid_upload_leaves_nothing(self, gw, fake):
        cut_upload_leaves_nothing(gw, fake, self.cut_at, **self.to())

    def test_a_connection_cut_in_mid_download_is_seen(self, gw, fake):
        obj = made(send(gw, 3 * MB, **self.to()))
        self.serve(fake)
        cut_download_is_not_whole(gw, fake, obj, 3 * MB)
