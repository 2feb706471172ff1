"""SIGTERM drains, SIGHUP reloads, and nothing of it costs a transfer."""

import signal
import threading

import httpx
import pytest
from fakes import pattern
from fakes.openai import OpenAI, after_bytes, call
from gw import MB, Gateway, config, until
from wire import Wire


class Running:
    """An upload that is held in its middle until let_go()."""

    def __init__(self, gw, fake, size=4 * MB):
        self.gate, self.held = threading.Event(), threading.Event()
        fake.fault(after_bytes(MB, call(self._hold)))
        self.key = gw.new_key()
        self.reply = None
        self.thread = threading.Thread(target=self._run, args=(gw, size))
        self.thread.start()
        assert self.held.wait(20)

    def _hold(self, x):
        self.held.set()
        self.gate.wait(60)

    def _run(self, gw, size):
        try:
            with httpx.Client(base_url=gw.url, timeout=60) as http:
                self.reply = http.post(
                    "/v1/files", headers={"Authorization": f"Bearer {self.key}"},
                    data={"purpose": "vision"},
                    files={"file": ("a", pattern.pattern(size))},
                )  # fmt: skip
        except httpx.TransportError as e:
            self.reply = e

    def let_go(self):
        self.gate.set()
        self.thread.join(60)
        return self.reply


def refuses_connections(gw):
    try:
        Wire(gw.port, 1).close()
    except ConnectionRefusedError:
        return True
    return False


def test_sigterm_lets_a_transfer_finish(start, fake):
    gw = start(config(up=fake))
    running = Running(gw, fake)
    gw.signal(signal.SIGTERM)
    until(lambda: refuses_connections(gw), "new connections are refused")
    assert gw.runs
    reply = running.let_go()
    assert reply.status_code == 200
    assert gw.process.wait(20) == 0
    gw.start()
    got = gw.call(running.key, "GET", f"/v1/files/{reply.json()['id']}/content")
    assert got.content == pattern.pattern(4 * MB)


def test_sigterm_waits_no_longer_than_told(start, fake):
    gw = start(config({"limits": {"drain_timeout": "1s"}}, up=fake))
    running = Running(gw, fake)
    gw.signal(signal.SIGTERM)
    assert gw.process.wait(30) == 0
    assert isinstance(running.let_go(), (httpx.TransportError, httpx.Response))
    if isinstance(running.reply, httpx.Response):
        assert running.reply.status_code == 503


def test_sigterm_closes_idle_connections(start, fake):
    gw = start(config(up=fake))
    with gw.wire() as w:
        w.head("GET", "/health/liveliness")
        assert w.reply().status == 200
        gw.signal(signal.SIGTERM)
        assert w.is_closed()
    assert gw.process.wait(20) == 0


def test_a_second_sigterm_does_no_harm(start, fake):
    gw = start(config(up=fake))
    running = Running(gw, fake)
    gw.signal(signal.SIGTERM)
    until(lambda: refuses_connections(gw), "it drains")
    gw.signal(signal.SIGTERM)
    running.let_go()
    assert gw.process.wait(30) == 0


@pytest.fixture
def second():
    fake = OpenAI(api_key="sk-second")
    yield fake
    fake.stop()


def goes_to(gw, key, fake):
    before = len(fake.files)
    return gw.upload(key).status_code == 200 and len(fake.files) > before


def test_sighup_changes_a_provider_without_dropping_a_transfer(start, fake, second):
    gw = start(config(up=fake))
    running = Running(gw, fake)
    key = gw.new_key()
    gw.write(config(up=second))
    gw.signal(signal.SIGHUP)
    until(lambda: goes_to(gw, key, second), "uploads go to the second provider")
    assert running.let_go().status_code == 200
    assert len(fake.files) >= 1


@pytest.mark.parametrize(
    "text",
    ["listen: [", "nonsense: 1\n", "providers: {up: {type: nothing}}\n",
     "limits: {max_file_bytes: 9XB}\n", "routing: {default: nowhere}\n"],
)  # fmt: skip
def test_a_bad_file_is_refused_and_the_old_one_stays(start, fake, text):
    gw = start(config(up=fake))
    key = gw.new_key()
    gw.file.write_text(text)
    gw.signal(signal.SIGHUP)
    until(lambda: "filemux.yaml:" in gw.stderr(), "the fault is told")
    assert goes_to(gw, key, fake)


def test_a_file_that_is_gone_is_refused_and_the_old_one_stays(start, fake):
    gw = start(config(up=fake))
    key = gw.new_key()
    gw.file.unlink()
    gw.signal(signal.SIGHUP)
    until(lambda: "filemux.yaml" in gw.stderr(), "the fault is told")
    assert goes_to(gw, key, fake)


def test_many_reloads_under_load_lose_nothing(start, fake):
    gw = start(config(up=fake))
    key = gw.new_key()
    done = threading.Event()

    def reload():
        while not done.wait(0.02):
            gw.signal(signal.SIGHUP)

    thread = threading.Thread(target=reload)
    thread.start()
    replies = [gw.upload(key, b"%d" % i) for i in range(40)]
    done.set()
    thread.join()
    assert [r.status_code for r in replies] == [200] * 40
    assert [f.read() for f in fake.files.values()] == [b"%d" % i for i in range(40)]


def fails_to_start(gw):
    """What it said before it gave up."""
    gw.start(wait=False)
    try:
        assert gw.process.wait(20) not in (0, 99), "it started"
    finally:
        gw.end()
    gw.check_stderr()
    return gw.stderr()


def test_a_port_that_is_taken_is_told(start, fake, tmp_path):
    gw = start(config(up=fake))
    conf = config({"listen": f"127.0.0.1:{gw.port}"}, up=fake)
    twin = Gateway(tmp_path / "twin", conf)
    told = fails_to_start(twin)
    assert str(gw.port) in told


def test_a_data_directory_has_one_process(start, fake, tmp_path):
    gw = start(config(up=fake))
    twin = Gateway(tmp_path / "twin", config({"data_dir": str(gw.data)}, up=fake))
    assert str(gw.process.pid) in fails_to_start(twin)
