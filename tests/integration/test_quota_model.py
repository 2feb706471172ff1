"""Random operations against a model: what is stored, what counts, what is left.

The seed is fixed, and told when a test fails; FILEMUX_SEED sets another one.
"""

import os
import random
import re
import threading
import time
from collections import Counter

import pytest
from fakes.metered import Metered
from fakes.openai import after_bytes, on_head, on_stored, reset
from gw import config, refused, until
from quota import new_team, of_today, scope, until_used
from wire import chunked, file_part, form, form_type, part

SEED = int(os.environ.get("FILEMUX_SEED", "20261"))
PURPOSE = part("purpose", "vision")


class Limited(Metered):
    """Also counts by key, which the names of its files begin with. A connection
    serves one request: what is sent on one that was kept alive may be sent
    again, so a file whose answer was lost may be stored twice."""

    def __init__(self, own, **kw):
        self.own = own
        super().__init__(**kw)

    def handle(self, conn, head):
        super().handle(conn, head)
        return False

    def by_key(self):
        files, size = Counter(), Counter()
        for f in list(self.files.values()):
            files[f.filename.split("-")[0]] += 1
            size[f.filename.split("-")[0]] += f.size
        return files, size

    def _weigh(self):
        super()._weigh()
        files, size = self.by_key()
        for name in files:
            if size[name] > self.own["max_storage_bytes"]:
                self.excess.append(f"{name}: {size[name]} bytes")
            if files[name] > self.own["max_files"]:
                self.excess.append(f"{name}: {files[name]} files")


OWN = {"max_files": 12, "max_storage_bytes": 300_000}
DAY_LIMIT = 1_500_000
CREW = {"max_files": 20, "max_storage_bytes": 450_000}


@pytest.fixture
def fake():
    fake = Limited(OWN, max_bytes=CREW["max_storage_bytes"], max_files=20)
    yield fake
    fake.stop()
    assert fake.violations == []
    assert fake.excess == [], f"seed {SEED}"


@pytest.fixture
def pair(start, fake, redis):
    quick = {"journal": {"lease": "2s", "sweep_interval": "300ms"}}
    conf = config({"redis": {"url": redis.url}, **quick}, up=fake)
    return start(conf), start(conf)


def body_of(name, data, late):
    parts = [file_part(data, name), PURPOSE]
    return form(*(parts if late else reversed(parts)))


def send(gw, key, name, data, is_chunked, late, until_byte=None):
    """An upload; cut off after so many bytes of its body, if any."""
    body, fields = body_of(name, data, late), {}
    if is_chunked:
        body, fields["Transfer_Encoding"] = chunked(body, 20_011), "chunked"
    else:
        fields["Content_Length"] = len(body)
    with gw.wire() as w:
        w.head("POST", "/v1/files", key, Content_Type=form_type(), **fields)
        if until_byte is None:
            w.send_what_is_taken([body])
            return w.reply()
        w.send_what_is_taken([body[: min(until_byte, len(body) - 9)]])
        w.reset()


def ask(gw, key, method, path):
    with gw.wire() as w:
        w.head(method, path, key)
        return w.reply()


def made_id(reply):
    return re.search(rb'"id":"([^"]+)"', reply.body).group(1).decode()


# --- one after the other: every answer is foreseen ---


class Model:
    """What should be."""

    def __init__(self, names):
        self.files = {}  # id -> name of the key, size
        self.up = Counter()
        self.names = names

    def used(self, name=None):
        sizes = [n for who, n in self.files.values() if name in (None, who)]
        return len(sizes), sum(sizes)

    def add(self, one, name, size):
        self.files[one] = (name, size)
        self.up[name] += size

    def refusal(self, name, size):
        """The first limit that an upload of that size would pass."""
        for who, limits, up in [(name, OWN, self.up[name]), (None, CREW, 0)]:
            files, total = self.used(who)
            if files + 1 > limits["max_files"]:
                return "max_files"
            if size and total + size > limits["max_storage_bytes"]:
                return "max_storage_bytes"
            if size and who and up + size > DAY_LIMIT:
                return "max_upload_bytes_per_day"
        return None


class Sequence:
    """Random operations, one after the other."""

    def __init__(self, seed, pair, fake, redis):
        self.rng = random.Random(seed)
        self.pair, self.fake, self.redis = pair, fake, redis
        new_team(redis, "crew", **CREW)
        limits = {"max_upload_bytes_per_day": DAY_LIMIT, **OWN}
        self.keys = {n: pair[0].new_key(team_id="crew", **limits) for n in "ab"}
        self.model = Model(self.keys)

    def step(self, i):
        acts = [self.upload] * 3 + [self.delete] * 2 + [self.give_up, self.look]
        act, rng = self.rng.choice(acts), self.rng
        try:
            act(rng.choice(self.pair), rng.choice("ab"), i)
        except AssertionError as e:
            raise AssertionError(f"step {i}, {act.__name__}: {e}") from e

    def size(self, name):
        """Often one that just fits, or just does not."""
        rng = self.rng
        left = OWN["max_storage_bytes"] - self.model.used(name)[1]
        if rng.random() < 0.3:
            return max(left + rng.choice([-1, 0, 1]), 1)
        return rng.choice([0, 1, 1000, 40_000, rng.randrange(150_000)])

    def upload(self, gw, name, i):
        size = self.size(name)
        is_chunked, late = self.rng.random() < 0.5, self.rng.random() < 0.3
        limit = self.model.refusal(name, size)
        reply = send(gw, self.keys[name], f"{name}-{i}", b"x" * size, is_chunked, late)
        told = (reply, size, is_chunked, late)
        # That it is empty is not known before its end, then it is too late.
        is_unforeseen = size == 0 and (is_chunked or late)
        if limit is None and not (is_unforeseen and reply.status == 429):
            assert reply.status == 200, told
            self.model.add(made_id(reply), name, size)
            return
        assert reply.status in ((413, 429) if is_chunked else (429,)), told
        error = refused(reply, reply.status)
        assert error["type"] == "insufficient_quota", told
        if not is_chunked and not late:
            assert error["param"] == limit, told

    def give_up(self, gw, name, i):
        size = self.rng.randrange(60_000)
        at = self.rng.randrange(1, size + 200)
        before = gw.metric("filemux_requests_total", route="files.create")
        send(gw, self.keys[name], f"{name}-{i}", b"x" * size,
             self.rng.random() < 0.5, False, at)  # fmt: skip

        def is_over():
            told = gw.metric("filemux_requests_total", route="files.create")
            is_told = told > before and not gw.transfers()
            return is_told and settled(self.redis, self.fake)

        until(is_over, "what it held is free again")

    def delete(self, gw, name, i):
        if self.model.files:
            one = self.rng.choice(sorted(self.model.files))
            assert ask(gw, self.keys[name], "DELETE", f"/v1/files/{one}").status == 200
            del self.model.files[one]

    def look(self, gw, name, i):
        if self.model.files:
            one = self.rng.choice(sorted(self.model.files))
            reply = ask(gw, self.keys[name], "GET", f"/v1/files/{one}/content")
            assert reply.status == 200
            assert len(reply.body) == self.model.files[one][1]


@pytest.mark.parametrize("seed", [SEED, SEED + 1])
def test_every_answer_is_as_the_model_says(pair, fake, redis, seed):
    print(f"seed {seed}")
    sequence = Sequence(seed, pair, fake, redis)
    for i in range(150):
        sequence.step(i)
    model = sequence.model
    until_used(redis, "t:crew", *model.used())
    for name, key in sequence.keys.items():
        until_used(redis, scope(key), *model.used(name))
        assert of_today(redis, scope(key))["up"] == model.up[name]
    assert fake.stored_bytes == model.used()[1]


# --- all at once, with everything that breaks ---

WORKERS = 6
RUN_S = 12


class Worker(threading.Thread):
    """Random operations; what is certain of their outcome."""

    def __init__(self, index, pair, fake, keys, stop):
        super().__init__()
        self.rng = random.Random(SEED * 1000 + index)
        self.index, self.pair, self.fake, self.keys = index, pair, fake, keys
        self.stop = stop
        self.stored = {}  # id -> name, size: told to be stored
        self.deleted = set()  # told to be deleted
        self.doubtful = set()  # asked to be deleted, and not told
        self.seen = Counter()
        self.fault = None
        self.is_full = False

    def run(self):
        i = 0
        try:
            while not self.stop.is_set():
                i += 1
                self.act(i)
        except Exception as e:
            self.fault = f"worker {self.index}, step {i}: {e!r}"

    def act(self, i):
        rng, name = self.rng, self.rng.choice("ab")
        gw, key = rng.choice(self.pair), self.keys[name]
        odds = {"upload": 60, "delete": 34, "give up": 10, "break": 1}
        (what,) = rng.choices(list(odds), odds.values())
        if self.is_full:
            what = "delete"
            self.stop.wait(0.01)
        try:
            if what == "upload":
                self.upload(gw, key, name, i)
            elif what == "give up":
                size = rng.randrange(100_000)
                send(gw, key, f"{name}-{self.index}-{i}", b"x" * size,
                     rng.random() < 0.5, False, rng.randrange(1, size + 200))  # fmt: skip
            elif what == "break":
                self.break_something()
            elif what == "delete":
                self.is_full = False
                if self.stored:
                    self.delete(gw, key)
        except OSError:
            self.seen["no connection"] += 1
            self.stop.wait(0.05)

    def upload(self, gw, key, name, i):
        rng = self.rng
        size = rng.choice([0, 1, 5000, 50_000, rng.randrange(200_000)])
        reply = send(gw, key, f"{name}-{self.index}-{i}", b"x" * size,
                     rng.random() < 0.5, rng.random() < 0.3)  # fmt: skip
        if reply is None or not reply.whole:
            self.seen["upload: no answer"] += 1
            return
        self.seen[f"upload: {reply.status}"] += 1
        self.is_full = reply.status in (413, 429)
        if reply.status == 200:
            self.stored[made_id(reply)] = (name, size)
        elif reply.status in (413, 429):
            assert refused(reply, reply.status)["type"] == "insufficient_quota"
        else:
            assert reply.status in (502, 503), reply

    def delete(self, gw, key):
        one = self.rng.choice(sorted(self.stored))
        self.doubtful.add(one)
        reply = ask(gw, key, "DELETE", f"/v1/files/{one}")
        status = reply.status if reply else None
        self.seen[f"delete: {status}"] += 1
        assert status in (200, 404, 502, 503, None), reply
        if status == 200 or status == 404:
            self.deleted.add(one)
            del self.stored[one]
            self.doubtful.discard(one)

    def break_something(self):
        when = self.rng.choice([on_head, on_stored, None])
        when = when(reset) if when else after_bytes(self.rng.randrange(1, 30_000), reset)
        self.fake.fault(when, method=self.rng.choice(["POST", "DELETE"]))


def settled(redis, fake):
    return not (
        table_size(redis, "holds") or table_size(redis, "entries") or fake.under_way
    )


def table_size(redis, name):
    return int(redis.command("HLEN", f"fm:{{gw}}:{name}")[1:])


def listed(gw, key):
    return {f["id"]: f for f in gw.call(key, "GET", "/v1/files").json()["data"]}


def kill_now_and_then(pair, workers):
    """While they work; how often."""
    rng, stop = random.Random(SEED), workers[0].stop
    end, kills = time.monotonic() + RUN_S, 0
    for w in workers:
        w.start()
    try:
        while time.monotonic() < end:
            stop.wait(rng.uniform(0.5, 2))
            victim = rng.choice(pair)
            victim.kill()
            kills += 1
            stop.wait(rng.uniform(0, 0.5))
            victim.start()
    finally:
        stop.set()
        for w in workers:
            w.join()
    return kills


@pytest.mark.long
def test_nothing_ever_exceeds_and_all_counts_are_true_after_quiet(pair, fake, redis):
    """Uploads, deletions, clients that hang up, a provider that breaks off, and
    kill -9 of either process."""
    new_team(redis, "crew", **CREW)
    keys = {n: pair[0].new_key(team_id="crew", **OWN) for n in ("a", "b")}
    stop = threading.Event()
    workers = [Worker(i, pair, fake, keys, stop) for i in range(WORKERS)]
    kills = kill_now_and_then(pair, workers)
    seen = sum((w.seen for w in workers), Counter())
    print(f"seed {SEED}, {kills} kills, {dict(seen)}")
    assert [w.fault for w in workers if w.fault] == []
    fake.faults.clear()
    until(lambda: settled(redis, fake), "all is quiet", 30)

    assert kills >= 3 and seen["upload: 200"] and seen["upload: 429"]
    print(f"{sum(len(w.stored) for w in workers)} files are left")
    there = listed(pair[0], keys["a"])
    assert len(there) == len(fake.files)
    assert sum(f["bytes"] for f in there.values()) == fake.stored_bytes
    for w in workers:
        certain = {o: v[1] for o, v in w.stored.items() if o not in w.doubtful}
        assert certain == {one: there[one]["bytes"] for one in certain}
        assert not w.deleted & set(there)
    files, size = fake.by_key()
    until_used(redis, "t:crew", len(fake.files), fake.stored_bytes)
    for name, key in keys.items():
        until_used(redis, scope(key), files[name], size[name])
