"""Bounded memory both ways, by the process's own peak (release build)."""

import os
import threading
import time
from itertools import chain

import pytest
from fakes import pattern
from fakes.openai import after_bytes, call
from gw import MB, RELEASE, config, until
from wire import Pacer, form_around, form_type, part

GB = 1 << 30
RATE = 20 * MB

pytestmark = pytest.mark.skipif(
    not os.path.exists(RELEASE), reason=f"no release build at {RELEASE}"
)


@pytest.fixture
def lean(start, fake):
    """A release build that has seen some transfers, its peak set back."""
    fake.keep = False
    gw = start(config({"limits": {"max_file_bytes": "2GB"}}, up=fake), binary=RELEASE)
    gw.key = gw.new_key()
    for _ in range(4):
        made = gw.upload(gw.key, pattern.pattern(2 * MB)).json()["id"]
        gw.call(gw.key, "GET", f"/v1/files/{made}/content")
    gw.reset_peak()
    gw.before = gw.memory()
    return gw


def growth(gw):
    return gw.memory("VmHWM") - gw.before


def counted(pieces, out):
    """The pieces; how much of them went by is in out[0]."""
    for piece in pieces:
        yield piece
        if out is not None:
            out[0] += len(piece)


def send_file(gw, size, out=None):
    """Upload size bytes of the pattern as fast as they are taken."""
    prefix, suffix, length = form_around(size, part("purpose", "vision"))
    with gw.wire() as w:
        w.sock.settimeout(120)
        w.head(
            "POST", "/v1/files", gw.key, Content_Type=form_type(), Content_Length=length
        )
        w.send_what_is_taken(
            counted(chain([prefix], pattern.pieces(size), [suffix]), out)
        )
        return w.reply()


@pytest.mark.long
def test_a_gigabyte_up_to_a_slow_provider_stays_under_16_mb(lean, fake):
    fake.read_rate = RATE
    reply = send_file(lean, GB)
    assert reply.status == 200, reply
    assert fake.uploads()[-1].file.sha256 == pattern.sha256(GB)
    assert growth(lean) < 16 * MB


@pytest.mark.long
def test_a_gigabyte_down_to_a_slow_client_stays_under_16_mb(lean, fake):
    import json

    made = json.loads(send_file(lean, GB).body)["id"]
    lean.reset_peak()
    with lean.wire() as w:
        w.sock.settimeout(120)
        w.head("GET", f"/v1/files/{made}/content", lean.key)
        assert w.reply_head().status == 200
        assert Pacer(w, RATE).read(GB) == GB
    assert growth(lean) < 16 * MB


def stops_moving(count):
    last, since = count(), time.monotonic()
    while time.monotonic() - since < 0.5:
        if count() != last:
            last, since = count(), time.monotonic()
        time.sleep(0.02)


def test_64_uploads_held_up_stay_under_one_mb_each(lean, fake):
    gate = threading.Event()
    fake.fault(after_bytes(300_000, call(lambda x: gate.wait(60))), times=64)
    counts = [[0] for _ in range(64)]
    replies = []
    threads = [
        threading.Thread(target=lambda c=c: replies.append(send_file(lean, 16 * MB, c)))
        for c in counts
    ]
    for t in threads:
        t.start()
    until(lambda: lean.transfers() == 64, "all are under way", 60)
    stops_moving(lambda: sum(c[0] for c in counts))
    held = growth(lean)
    gate.set()
    for t in threads:
        t.join(60)
    bad = [r for r in replies if r is None or r.status != 200]
    assert bad == [] and len(replies) == 64
    assert max(held, growth(lean)) < 16 * MB + 63 * MB


def test_64_downloads_held_up_stay_under_one_mb_each(lean, fake):
    made = lean.upload(lean.key, pattern.pattern(32 * MB)).json()["id"]
    lean.reset_peak()
    wires = [lean.wire() for _ in range(64)]
    fake.seen.clear()
    for w in wires:
        w.head("GET", f"/v1/files/{made}/content", lean.key)
        assert w.reply_head().status == 200
    stops_moving(lambda: sum(s.sent for s in fake.seen))
    assert lean.transfers() == 64
    held = growth(lean)
    for w in wires:
        w.close()
    until(lambda: lean.transfers() == 0, "all are over")
    assert max(held, growth(lean)) < 16 * MB + 63 * MB
