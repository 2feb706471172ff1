"""A form cut into segments anywhere: what is stored is what was sent.

The file's bytes are looked at in the very buffer they are read into, so where
one read ends and the next begins must not matter: not inside a delimiter, not
inside what only looks like one, not inside a chunk's size line.
"""

import json
import random
import time

import pytest
from wire import BOUNDARY, chunked, file_part, form, form_type, part

# Everything that may start a delimiter, and most of one.
LOOKALIKES = (
    b"\r\n--" + BOUNDARY.encode()[:-1] + b"\r\n"
    b"\r\r\n\r\n-\r\n--\r\n--" + BOUNDARY.encode()[:5] + b"\r\n--\r"
)
# Longer than the round trip of a segment within the machine.
SEGMENT_GAP_S = 0.0005


def send_in(w, pieces):
    for piece in pieces:
        w.send(piece)
        time.sleep(SEGMENT_GAP_S)


def store(w, key, pieces, **fields):
    w.head(
        "POST",
        "/local/v1/files",
        key,
        Content_Type=form_type(),
        **fields,
    )
    send_in(w, pieces)
    reply = w.reply()
    assert reply.status == 200, reply
    return reply


def content(w, key, reply):
    w.head("GET", f"/v1/files/{json.loads(reply.body)['id']}/content", key)
    return w.reply().body


@pytest.mark.parametrize("first", ["file", "purpose"])
def test_a_form_split_at_every_offset_is_stored_as_sent(gw, key, first):
    parts = [file_part(LOOKALIKES), part("purpose", "vision")]
    body = form(*(parts if first == "file" else reversed(parts)))
    with gw.wire() as w:
        for at in range(1, len(body)):
            reply = store(w, key, [body[:at], body[at:]], Content_Length=len(body))
            assert json.loads(reply.body)["bytes"] == len(LOOKALIKES), at
            assert content(w, key, reply) == LOOKALIKES, at


def test_a_chunked_form_split_at_every_offset_is_stored_as_sent(gw, key):
    whole = form(file_part(LOOKALIKES), part("purpose", "vision"))
    body = chunked(whole, 50)
    with gw.wire() as w:
        for at in range(1, len(body)):
            reply = store(w, key, [body[:at], body[at:]], Transfer_Encoding="chunked")
            assert content(w, key, reply) == LOOKALIKES, at


def test_random_bytes_in_random_segments_are_stored_as_sent(gw, key):
    rng = random.Random(7)
    alphabet = [b"\r", b"\n", b"-", b"\r\n--", BOUNDARY.encode(), b"x", b"\0"]
    with gw.wire() as w:
        for _ in range(150):
            data = b"".join(rng.choices(alphabet, k=rng.randrange(300)))
            # By chance a whole delimiter: no form could carry that.
            data = data.replace(b"\r\n--" + BOUNDARY.encode(), b"")
            if b"\r\n--" + BOUNDARY.encode() in b"\r\n" + data:
                continue
            body = form(file_part(data), part("purpose", "vision"))
            pieces = []
            while body:
                n = rng.randrange(1, 200)
                pieces.append(body[:n])
                body = body[n:]
            total = sum(map(len, pieces))
            reply = store(w, key, pieces, Content_Length=total)
            assert content(w, key, reply) == data
