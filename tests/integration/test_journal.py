"""kill -9 between the provider's answer and the record: nothing is lost."""

import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from fakes.openai import after_bytes, call, on_stored
from gw import MB, config, refused, until
from quota import scope, use

QUICK = {"journal": {"lease": "2s", "sweep_interval": "1s"}}


def upload_to_its_end(gw, key, data=b"hello", **kw):
    """The upload during which filemux is killed."""
    with pytest.raises(httpx.TransportError):
        gw.upload(key, data, **kw)
    until(lambda: not gw.runs, "the kill is over")


def swept(gw):
    return gw.metric("filemux_journal_swept_total")


def is_mended(gw, key, fake):
    """Either adopted, record and file; or deleted, neither."""
    records = gw.call(key, "GET", "/v1/files").json()["data"]
    return len(records) == len(fake.files)


def test_what_a_killed_process_stored_is_adopted_or_deleted(start, fake):
    gw = start(config(QUICK, up=fake))
    key = gw.new_key()
    kept = gw.upload(key, b"kept").json()["id"]
    fake.fault(on_stored(call(lambda x: gw.kill())))
    upload_to_its_end(gw, key)
    assert len(fake.files) == 2
    gw.start()
    until(lambda: swept(gw) == 1 and is_mended(gw, key, fake), "it is mended", 60)
    assert gw.call(key, "GET", f"/v1/files/{kept}/content").content == b"kept"
    for file in gw.call(key, "GET", "/v1/files").json()["data"]:
        reply = gw.call(key, "GET", f"/v1/files/{file['id']}/content")
        assert reply.content in (b"kept", b"hello")


def test_what_a_killed_process_had_only_begun_is_cleared(start, fake):
    gw = start(config(QUICK, up=fake))
    key = gw.new_key()
    fake.fault(after_bytes(MB, call(lambda x: gw.kill())))
    upload_to_its_end(gw, key, bytes(8 * MB))
    gw.start()
    until(lambda: swept(gw) == 1, "the entry is cleared", 60)
    assert fake.files == {}
    assert gw.call(key, "GET", "/v1/files").json()["data"] == []


def test_a_file_of_the_same_name_is_not_mistaken(start, fake):
    """One that was there before, and one of another owner that comes after."""
    gw = start(config(QUICK, up=fake))
    one, two = gw.new_key(), gw.new_key()
    before = gw.upload(one, b"before").json()["id"]
    fake.fault(on_stored(call(lambda x: gw.kill())))
    upload_to_its_end(gw, one, b"killed")
    gw.start()
    after = gw.upload(two, b"after").json()["id"]
    until(lambda: swept(gw) == 1, "it is mended", 60)
    assert gw.call(one, "GET", f"/v1/files/{before}/content").content == b"before"
    assert gw.call(two, "GET", f"/v1/files/{after}/content").content == b"after"
    listed = gw.call(one, "GET", "/v1/files").json()["data"]
    assert len(listed) == len(fake.files) - 1


def test_a_running_upload_is_not_swept(start, fake):
    """Longer than its lease: the process renews it."""
    gw = start(config(QUICK, up=fake))
    key = gw.new_key()
    fake.read_rate = 2 * MB
    made = gw.upload(key, bytes(10 * MB))
    assert made.status_code == 200
    assert gw.call(key, "GET", f"/v1/files/{made.json()['id']}").status_code == 200
    assert swept(gw) == 0


def test_another_process_mends_what_was_left(start, fake, redis):
    conf = config({**QUICK, "redis": {"url": redis.url}}, up=fake)
    one, two = start(conf), start(conf)
    key = one.new_key()
    fake.fault(on_stored(call(lambda x: one.kill())))
    upload_to_its_end(one, key)
    until(lambda: swept(two) == 1 and is_mended(two, key, fake), "it is mended", 60)


def test_a_killed_upload_to_the_disk_leaves_no_file_and_no_record(start, fake):
    disk = {"providers": {"local": {"type": "disk", "path": "./data/files"}}}
    gw = start(config({**QUICK, **disk}, up=fake))
    key = gw.new_key()
    gw.upload(key, b"kept", path="/local/v1/files")
    wire = gw.wire()
    wire.head(
        "POST", "/local/v1/files", key, Content_Length=10 * MB,
        Content_Type="multipart/form-data; boundary=x",
    )  # fmt: skip
    wire.send(
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
        + bytes(2 * MB)
    )
    folder = gw.folder / "data/files"
    until(lambda: list(folder.glob(".tmp-*")), "the temporary file is there")
    gw.kill()
    wire.close()
    gw.start()
    until(lambda: swept(gw) == 1, "the entry is cleared", 60)
    assert len(list(folder.iterdir())) == 1
    assert len(gw.call(key, "GET", "/v1/files").json()["data"]) == 1


# --- a process that lives, and has lost Redis ---------------------------------


class Line:
    """The way of one process to Redis, which can be cut."""

    def __init__(self, port):
        self.to, self.is_cut, self.ends = port, False, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            if self.is_cut:
                near.close()
                continue
            far = socket.create_connection(("127.0.0.1", self.to))
            self.ends += [near, far]
            for a, b in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(a, b), daemon=True).start()

    def _pump(self, a, b):
        try:
            while data := a.recv(65536):
                b.sendall(data)
        except OSError:
            pass
        self._shut(a, b)

    def _shut(self, *ends):
        for end in ends:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        self.is_cut = True
        self._shut(*self.ends)

    def mend(self):
        self.is_cut = False

    def close(self):
        self.listener.close()
        self.cut()


@pytest.fixture
def line(redis):
    line = Line(redis.port)
    yield line
    line.close()


def send_apart(start, redis, line, fake, is_gone):
    """An upload of one who lost Redis until is_gone(another one), and is back."""
    quick = {"lease": "1s", "sweep_interval": "300ms"}
    one = start(config({"redis": {"url": line.url}, "journal": quick}, up=fake))
    two = start(config({"redis": {"url": redis.url}, "journal": quick}, up=fake))
    key = two.new_key()
    until(lambda: one.call(key, "GET", "/v1/files").status_code == 200, "it is known")
    fake.fault(on_stored(call(lambda _: line.cut())), method="POST", path="/files")
    with ThreadPoolExecutor(1) as other:
        sent = other.submit(one.upload, key)
        until(lambda: is_gone(two), "it is time", 30)
        line.mend()
        reply = sent.result()
    return two, key, reply


def test_what_another_process_swept_is_not_recorded(start, redis, line, fake):
    two, key, reply = send_apart(start, redis, line, fake, lambda two: swept(two) == 1)
    error = refused(reply, 503, "store_unavailable")
    assert "send the file again" in error["message"]
    assert two.call(key, "GET", "/v1/files").json()["data"] == []
    assert not any(use(redis, scope(key)).values())
    assert fake.files == {}
    assert two.upload(key).status_code == 200


def test_what_nobody_swept_is_recorded_late(start, redis, line, fake):
    def is_stored(_):
        return len(fake.files) == 1 and line.is_cut

    two, key, reply = send_apart(start, redis, line, fake, is_stored)
    assert reply.status_code == 200, reply.text
    (file,) = two.call(key, "GET", "/v1/files").json()["data"]
    assert file["id"] == reply.json()["id"]
    assert two.call(key, "GET", f"/v1/files/{file['id']}/content").content == b"hello"
    until(lambda: use(redis, scope(key))["files"] == 1, "it counts")


def test_a_file_whose_record_cannot_be_written_keeps_its_entry(start, redis, fake):
    gw = start(config({"redis": {"url": redis.url}, "limits": {"drain_timeout": "1s"}},
                      up=fake))  # fmt: skip
    key = gw.new_key()
    redis.command("SET", f"fm:{{o:{scope(key)}}}:idx", "this is no index")
    try:
        assert gw.upload(key, timeout=2).status_code >= 500
    except httpx.TimeoutException:
        pass  # it is tried again
    assert len(fake.files) == 1
    assert redis.command("HLEN", "fm:{gw}:entries") == b":1\r\n"
    assert use(redis, scope(key))["files"] == 0
