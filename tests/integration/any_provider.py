"""What holds of every provider, whatever it speaks: for its test module.

    @pytest.mark.parametrize("size", SIZES)
    def test_files_of_any_size_arrive(gw, fake, size):
        arrives(gw, fake, size)

The gateway's only provider is `up`, with the fake behind it; gw.key is a key.
"""

import json

from fakes import pattern
from fakes.openai import after_bytes, after_sent, answer, on_head, reset
from gw import MB, refused, until
from wire import form_around, form_type, part, upload_chunked

SIZES = [0, 1, 256 * 1024 - 1, 256 * 1024, 256 * 1024 + 1, 20 * MB]
# What they answer, what the client sees, its code.
STATUSES = [(401, 502, "upstream_auth"), (404, 404, None), (429, 429, None),
            (500, 502, "upstream_error"), (503, 503, None), (529, 503, None)]  # fmt: skip


def send(gw, size, chunks=False, file_first=False, purpose="vision", after=()):
    """An upload of the pattern; the file object."""
    fields = [part("purpose", purpose)]
    before, after = ([], fields + list(after)) if file_first else (fields, after)
    prefix, suffix, length = form_around(size, *before, after=after)
    body = prefix + pattern.pattern(size) + suffix
    headers = {"Content-Type": form_type()}
    if chunks:
        with gw.wire() as w:
            return upload_chunked(w, gw.key, body, step=100_003)
    return gw.call(gw.key, "POST", "/v1/files", content=body, headers=headers)


def made(reply):
    """The file object of an upload that went well."""
    status = getattr(reply, "status_code", None) or reply.status
    text = reply.text if hasattr(reply, "text") else reply.body.decode()
    assert status == 200, text
    return json.loads(text)


def arrives(gw, fake, size, **how):
    """An upload of that size is stored to the byte; the file object."""
    obj = made(send(gw, size, **how))
    assert obj["bytes"] == size and obj["object"] == "file"
    assert obj["filename"] == "x.bin" and obj["purpose"] == "vision"
    (stored,) = fake.files.values()
    assert stored.sha256 == pattern.sha256(size) and stored.size == size
    seen = fake.uploads()[0]
    assert seen.raw_length == seen.declared
    return obj


def nothing_is_left(gw):
    assert gw.call(gw.key, "GET", "/v1/files").json()["data"] == []
    until(lambda: gw.transfers() == 0, "no transfer is under way")


def lives(gw, fake):
    """get, list, delete, delete again."""
    obj = made(send(gw, 5))
    path = f"/v1/files/{obj['id']}"
    assert gw.call(gw.key, "GET", path).json()["id"] == obj["id"]
    listed = gw.call(gw.key, "GET", "/v1/files").json()["data"]
    assert [f["id"] for f in listed] == [obj["id"]]
    gone = gw.call(gw.key, "DELETE", path).json()
    assert gone == {"id": obj["id"], "object": "file", "deleted": True}
    assert fake.files == {}
    refused(gw.call(gw.key, "DELETE", path), 404)
    nothing_is_left(gw)


def gone_counts_as_deleted(gw, fake):
    path = f"/v1/files/{made(send(gw, 5))['id']}"
    fake.files.clear()
    assert gw.call(gw.key, "DELETE", path).json()["deleted"] is True
    refused(gw.call(gw.key, "DELETE", path), 404)


def comes_back(gw, obj, size):
    """A download of what was sent, to the byte."""
    reply = gw.call(gw.key, "GET", f"/v1/files/{obj['id']}/content")
    assert reply.status_code == 200, reply.text
    assert reply.content == pattern.pattern(size)


def status_is_told(gw, fake, theirs, ours, code, error):
    fake.fault(on_head(lambda x: (x.body.read_all(1 << 26),
                                  answer(theirs, error, {"Retry-After": "7"})(x))),
               times=9)  # fmt: skip
    reply = send(gw, 1000)
    refused(reply, ours, code)
    if ours in (429, 503):
        assert reply.headers["retry-after"] == "7"
    nothing_is_left(gw)


def cut_upload_leaves_nothing(gw, fake):
    fake.fault(after_bytes(2 * MB, reset), times=9)
    refused(send(gw, 6 * MB), 502)
    assert fake.files == {}
    nothing_is_left(gw)


def cut_download_is_not_whole(gw, fake, obj, size):
    fake.fault(after_sent(MB + 7, reset), times=9)
    with gw.wire() as w:
        w.head("GET", f"/v1/files/{obj['id']}/content", gw.key)
        reply = w.reply()
    assert reply.status == 200 and not reply.whole
    assert reply.body == pattern.pattern(size)[: len(reply.body)]
