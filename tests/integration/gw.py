"""filemux and redis-server as child processes of a test.

gw = Gateway(tmp_path, config(up=fake)).start()
secret = gw.new_key(providers=["up"])
gw.stop()          # SIGTERM; exit code 0 and clean sanitizers, or it fails
"""

import json
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import httpx
from wire import Wire

ROOT = Path(__file__).resolve().parents[2]
BINARY = os.environ.get("FILEMUX_BIN", str(ROOT / "build/tests/filemux"))
RELEASE = os.environ.get("FILEMUX_BIN_RELEASE", str(ROOT / "build/release/filemux"))
MASTER = "sk-master-0123456789abcdef"
SANITIZER_WORDS = re.compile(
    r"runtime error:|AddressSanitizer|LeakSanitizer|ThreadSanitizer|"
    r"UndefinedBehaviorSanitizer|assertion .* failed|filemux: BUG at "
)
MB = 1 << 20


def until(condition, what, timeout=15):
    """Poll until condition() is true, and return what it returned."""
    end = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"waited {timeout} s in vain until {what}")
        time.sleep(0.01)
    return value


def refused(reply, status, code=None):
    """The reply is the error envelope, whole; its `error`."""
    got = reply.status_code if hasattr(reply, "status_code") else reply.status
    text = reply.text if hasattr(reply, "text") else reply.body.decode()
    headers = reply.headers if hasattr(reply, "headers") else reply
    assert got == status, f"{got}, not {status}: {text}"
    assert headers.get("content-type") == "application/json"
    error = json.loads(text)["error"]
    assert set(error) == {"message", "type", "param", "code"}, error
    assert error["message"] and error["type"], error
    assert code is None or error["code"] == code, error
    return error


def by_time(file_id):
    """What files are listed by: the ULID. Two of one millisecond stand in
    either order."""
    return file_id[-26:]


_ports = iter(range(0))


def free_port():
    """Below the range from which the kernel gives ports to clients, a part of
    its own for each test process: nobody else takes it before its use."""
    global _ports
    worker = int(re.sub(r"\D", "", os.environ.get("PYTEST_XDIST_WORKER", "0")) or 0)
    while True:
        port = next(_ports, None)
        if port is None:
            first = 18000 + 1500 * (worker % 9)
            _ports = iter(range(first + os.getpid() % 700, first + 1500))
            continue
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def merged(a, b):
    """b over a, maps within maps joined. A value of None takes a key away."""
    out = dict(a)
    for key, value in b.items():
        if isinstance(value, dict) and isinstance(out.get(key), dict):
            value = merged(out[key], value)
        out[key] = value
    return {k: v for k, v in out.items() if v is not None}


def openai_provider(fake, **more):
    return {"type": "openai", "base_url": fake.url, "api_key": fake.api_key, **more}


def config(more=None, **fakes):
    """A configuration with an openai provider per fake, the first of them the
    default, and `more` laid over it. Most tests send bytes of any kind as
    files of any purpose: batches are looked at where `more` says so."""
    out = {
        "batch_check": {"enabled": False},
        "workers": 2,
        "master_key": MASTER,
        "log": {"level": "info", "format": "json"},
        "providers": {n: openai_provider(f) for n, f in fakes.items()},
    }
    if fakes:
        out["routing"] = {"default": next(iter(fakes))}
    return merged(out, more or {})


def breakers_off(conf):
    """Tests of faults cause many at one provider. Those of breakers say so."""
    providers = {
        name: {"breaker": {"failures": 0, "rate": "0%"}, **p} if p else p
        for name, p in conf.get("providers", {}).items()
    }
    return {**conf, "providers": providers} if providers else conf


class Gateway:
    """One filemux process."""

    def __init__(self, folder, conf, binary=BINARY, env=None):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.binary = binary
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.file = self.folder / "filemux.yaml"
        self.data = self.folder / "data"
        self.base = {"listen": f"127.0.0.1:{self.port}", "data_dir": str(self.data)}
        self.write(conf)
        self.env = {
            **os.environ,
            "ASAN_OPTIONS": "detect_leaks=1:exitcode=99",
            "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
            **(env or {}),
        }
        self.process = None
        self.err = self.folder / "stderr"
        self.http = httpx.Client(base_url=self.url, timeout=20)

    def write(self, conf):
        """JSON is YAML too. `listen_also` is beside the usual listener."""
        conf = dict(conf)
        if also := conf.pop("listen_also", None):
            conf["listen"] = [self.base["listen"], also]
        self.conf = breakers_off(merged(self.base, conf))
        self.file.write_text(json.dumps(self.conf, indent=1))

    # --- life ---

    def start(self, wait=True):
        with open(self.err, "ab") as err:
            self.process = subprocess.Popen(
                [self.binary, "--config", str(self.file)],
                stdin=subprocess.DEVNULL, stdout=err, stderr=err,
                env=self.env, cwd=self.folder,
            )  # fmt: skip
        if wait:
            until(self.is_ready, "filemux is ready", 20)
        return self

    def is_ready(self):
        if self.process.poll() is not None:
            raise AssertionError(f"filemux exited at once:\n{self.stderr()}")
        try:
            return self.http.get("/health/readiness").status_code == 200
        except httpx.TransportError:
            return False

    @property
    def runs(self):
        return self.process is not None and self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        """SIGTERM, and all is well at the end."""
        if self.process is None or self.process.poll() == -signal.SIGKILL:
            return
        if self.runs:
            self.signal(signal.SIGTERM)
        try:
            code = self.process.wait(40)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(
                f"SIGTERM did not end filemux:\n{self.last_words()}"
            ) from None
        self.process = None
        self.http.close()
        assert code == 0, f"exit code {code}:\n{self.last_words()}"
        self.check_stderr()

    def end(self):
        """Whatever happened: nothing of it runs on."""
        if self.runs:
            self.process.kill()
            self.process.wait()

    def kill(self):
        """SIGKILL: no farewell of any kind."""
        self.process.kill()
        self.process.wait()
        self.check_stderr()

    def bury(self):
        """It died by itself: its last words, out of the way of the next."""
        told = f"exit code {self.process.wait()}\n{self.last_words()}"
        self.err.unlink()
        self.process = None
        return told

    def check_stderr(self):
        found = SANITIZER_WORDS.search(self.stderr())
        assert not found, f"on stderr:\n{self.last_words()}"

    def last_words(self):
        """What a sanitizer said, or the end of the log."""
        text = self.stderr()
        if found := SANITIZER_WORDS.search(text):
            lines = text[found.start() :].splitlines()[:70]
            return "\n".join(lines)[:6000]
        lines = [e for e in text.splitlines() if '"metrics"' not in e]
        return "\n".join(lines[-12:])

    def stderr(self):
        return self.err.read_text(errors="replace") if self.err.exists() else ""

    # --- what it tells ---

    def log(self):
        """The lines of the log that are JSON objects."""
        out = []
        for line in self.stderr().splitlines(keepends=True):
            if line.startswith("{") and line.endswith("\n"):
                out.append(json.loads(line))
        return out

    def access(self, request_id):
        """The access line of a request, once it is written."""

        def found():
            return [e for e in self.log() if e.get("request_id") == request_id
                    and "status" in e]  # fmt: skip

        return until(found, f"the access line of {request_id} is there")[0]

    def metrics(self):
        """{'name{labels}': value}"""
        out = {}
        for line in self.http.get("/metrics").text.splitlines():
            if line and not line.startswith("#"):
                series, value = line.rsplit(" ", 1)
                out[series] = float(value)
        return out

    def metric(self, name, **labels):
        """Sum of the series of that name with those labels."""
        want = [f'{k}="{v}"' for k, v in labels.items()]
        return sum(
            value
            for series, value in self.metrics().items()
            if series.split("{")[0] == name and all(w in series for w in want)
        )

    def memory(self, what="VmRSS"):
        """Bytes, from the kernel: VmRSS now, VmHWM at its peak."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"{what}:\s+(\d+) kB", text).group(1)) * 1024

    def reset_peak(self):
        """VmHWM starts anew from what is held now."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def child(self, name="redis-server"):
        """The pid of a child process of that name, or None."""
        pid = self.process.pid
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                text = stat.read_text()
            except OSError:
                continue
            comm = text[text.index("(") + 1 : text.rindex(")")]
            state, parent = text[text.rindex(")") + 2 :].split()[:2]
            if comm == name and int(parent) == pid and state != "Z":
                return int(stat.parent.name)
        return None

    # --- talking to it ---

    def wire(self):
        return Wire(self.port)

    def admin(self, method, path, **kw):
        headers = {"Authorization": f"Bearer {MASTER}"}
        return self.http.request(method, path, headers=headers, **kw)

    def new_key(self, **fields):
        reply = self.admin("POST", "/key/generate", json=fields)
        assert reply.status_code == 200, reply.text
        return reply.json()["key"]

    def call(self, key, method, path, **kw):
        headers = {"Authorization": f"Bearer {key}", **kw.pop("headers", {})}
        return self.http.request(method, self.url + path, headers=headers, **kw)

    def upload(self, key, data=b"hello", filename="a.txt", path="/v1/files", **kw):
        """An upload as httpx makes it: scalars first, Content-Length."""
        fields = {"purpose": "vision", **kw.pop("fields", {})}
        return self.call(
            key, "POST", path, data=fields, files={"file": (filename, data)}, **kw
        )

    def transfers(self):
        return self.metric("filemux_active_transfers")


class Redis:
    """A redis-server that is not filemux's own."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1",
             "--dir", str(self.folder), "--appendonly", "yes", "--save", ""],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        until(self.answers, "redis-server answers")
        return self

    def command(self, *words, timeout=2):
        """A command with words as arguments; the raw reply."""
        with socket.create_connection(("127.0.0.1", self.port), timeout) as s:
            words = [w.encode() if isinstance(w, str) else w for w in words]
            s.sendall(b"*%d\r\n" % len(words))
            s.sendall(b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))
            return s.recv(1 << 16)

    def answers(self):
        try:
            return self.command("PING").startswith(b"+PONG")
        except OSError:
            return False

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None
