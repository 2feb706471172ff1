"""Bounded memory both ways, by the process's own peak (release build).

The same bound for every type of provider: what is kept of a file on its way is
what the pipe holds, whoever is slow. TYPES has a line for each.
"""

import json
import os
import threading
import time
from itertools import chain

import pytest
import test_anthropic
import test_azure
import test_disk
import test_fireworks
import test_gcs
import test_gemini
import test_mistral
import test_openai
import test_s3
import test_together
from fakes import pattern
from fakes.anthropic import Anthropic
from fakes.azure import Azure
from fakes.fireworks import Fireworks
from fakes.gcs import GCS
from fakes.gemini import Gemini
from fakes.mistral import Mistral
from fakes.openai import OpenAI, after_bytes, call
from fakes.s3 import S3
from fakes.together import Together
from gw import MB, RELEASE, config, until
from wire import Pacer, form_around, form_type, part

GB = 1 << 30
RATE = 20 * MB
BOUND = 16 * MB
# Six times the bound, for two seconds each way.
SIZE, FAST = 96 * MB, 48 * MB
SPOOL_MEMORY = MB  # by default

# A fake, and the module with its provider() and TestEvery; more that may grow.
TYPES = {
    "openai": (OpenAI, test_openai, 0),
    "azure": (lambda: Azure(None), test_azure, 0),
    "anthropic": (Anthropic, test_anthropic, SPOOL_MEMORY),
    "gemini": (Gemini, test_gemini, 0),
    "mistral": (Mistral, test_mistral, 0),
    "gcs": (lambda: GCS(token=test_gcs.TOKEN), test_gcs, 0),
    "s3": (S3, test_s3, 0),
    "together": (Together, test_together, 0),
    "fireworks": (Fireworks, test_fireworks, SPOOL_MEMORY),
    "disk": (test_disk.Disk, test_disk, 0),
}

pytestmark = pytest.mark.skipif(
    not os.path.exists(RELEASE), reason=f"no release build at {RELEASE}"
)


def warmed_up(gw, every, fake):
    """It has seen some transfers; its peak is set back."""
    gw.key = gw.new_key()
    for _ in range(4):
        body = pattern.pattern(2 * MB)
        made = gw.upload(gw.key, body, fields={"purpose": every.purpose}).json()
        every.serve(fake)
        gw.call(gw.key, "GET", f"/v1/files/{made['id']}/content")
    gw.reset_peak()
    gw.before = gw.memory()
    return gw


@pytest.fixture
def lean(start, fake):
    """A release build in front of a fake that keeps nothing."""
    fake.keep = False
    gw = start(config({"limits": {"max_file_bytes": "2GB"}}, up=fake), binary=RELEASE)
    return warmed_up(gw, test_openai.TestEvery(), fake)


def growth(gw):
    return gw.memory("VmHWM") - gw.before


def counted(pieces, out):
    """The pieces; how much of them went by is in out[0]."""
    for piece in pieces:
        yield piece
        if out is not None:
            out[0] += len(piece)


def send_file(gw, size, out=None, purpose="vision"):
    """Upload size bytes of the pattern as fast as they are taken."""
    prefix, suffix, length = form_around(size, part("purpose", purpose))
    with gw.wire() as w:
        w.sock.settimeout(120)
        w.head(
            "POST", "/v1/files", gw.key, Content_Type=form_type(), Content_Length=length
        )
        w.send_what_is_taken(
            counted(chain([prefix], pattern.pieces(size), [suffix]), out)
        )
        return w.reply()


def read_slowly(gw, file_id, size, rate):
    with gw.wire() as w:
        w.sock.settimeout(120)
        w.head("GET", f"/v1/files/{file_id}/content", gw.key)
        assert w.reply_head().status == 200
        assert Pacer(w, rate).read(size) == size


@pytest.fixture
def stop_later():
    fakes = []
    yield fakes.append
    for fake in fakes:
        fake.stop()
        assert fake.violations == []


@pytest.mark.parametrize("name", TYPES)
def test_every_type_stays_under_16_mb_and_its_spool(start, stop_later, name):
    make, module, more = TYPES[name]
    fake, every = make(), module.TestEvery()
    stop_later(fake)
    fake.keep = False
    conf = config({"providers": {"up": module.provider(fake)}})
    gw = warmed_up(start(conf, binary=RELEASE), every, fake)

    fake.read_rate = FAST
    reply = send_file(gw, SIZE, purpose=every.purpose)
    assert reply.status == 200, reply
    assert growth(gw) < BOUND + more
    every.serve(fake)
    made = json.loads(reply.body)["id"]
    gw.reset_peak()
    read_slowly(gw, made, SIZE, FAST)
    assert growth(gw) < BOUND + more


@pytest.mark.long
def test_a_gigabyte_up_to_a_slow_provider_stays_under_16_mb(lean, fake):
    fake.read_rate = RATE
    reply = send_file(lean, GB)
    assert reply.status == 200, reply
    assert fake.uploads()[-1].file.sha256 == pattern.sha256(GB)
    assert growth(lean) < BOUND


@pytest.mark.long
def test_a_gigabyte_down_to_a_slow_client_stays_under_16_mb(lean, fake):
    made = json.loads(send_file(lean, GB).body)["id"]
    lean.reset_peak()
    read_slowly(lean, made, GB, RATE)
    assert growth(lean) < BOUND


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
    assert max(held, growth(lean)) < BOUND + 63 * MB


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
    assert max(held, growth(lean)) < BOUND + 63 * MB
