"""Clients that go away, read slowly, or do not read at all."""

import pytest
from fakes import pattern
from gw import MB, config, until
from wire import form_around, form_type, part

BIG = 64 * MB


def begin_upload(gw, key, size=BIG, target="/v1/files", chunks=False):
    """A wire with the head and the form's beginning sent; and the length."""
    prefix, _, length = form_around(size, part("purpose", "vision"))
    framing = {"Transfer_Encoding": "chunked"} if chunks else {"Content_Length": length}
    w = gw.wire()
    w.head("POST", target, key, Content_Type=form_type(), **framing)
    w.send(b"%x\r\n%s\r\n" % (len(prefix), prefix) if chunks else prefix)
    return w


def is_at_rest(gw):
    return gw.transfers() == 0 and gw.metric("filemux_pipe_bytes") == 0


def nothing_is_left(gw, key):
    until(lambda: is_at_rest(gw), "no transfer is under way")
    assert gw.call(key, "GET", "/v1/files").json()["data"] == []


@pytest.mark.parametrize("chunks", [False, True])
@pytest.mark.parametrize("how", ["close", "reset", "half_close"])
def test_a_client_gone_in_mid_upload_aborts_the_upstream(gw, up, key, how, chunks):
    w = begin_upload(gw, key, chunks=chunks)
    piece = bytes(MB)
    w.send(b"%x\r\n%s\r\n" % (MB, piece) if chunks else piece)
    until(lambda: up.seen and up.seen[0].raw_length > MB // 2, "bytes go upstream")
    getattr(w, how)()
    until(lambda: up.seen[0].aborted, "the provider sees the abort")
    nothing_is_left(gw, key)
    assert up.files == {}
    w.close()


def test_a_client_gone_while_the_upstream_does_not_read_is_noticed(gw, up, key):
    up.read_rate = 1000
    w = begin_upload(gw, key)
    w.sock.settimeout(1)
    w.send_what_is_taken(pattern.pieces(BIG))
    until(lambda: gw.transfers() == 1, "the upload is under way")
    w.reset()
    nothing_is_left(gw, key)


def test_a_client_gone_before_the_file_leaves_nothing(gw, up, key):
    w = gw.wire()
    w.head("POST", "/v1/files", key, Content_Type=form_type(), Content_Length=5000)
    w.send(b"------formdata-undici-0919")
    w.reset()
    nothing_is_left(gw, key)
    assert up.files == {}


def test_a_client_gone_in_mid_upload_leaves_no_file_on_the_disk(gw, key):
    w = begin_upload(gw, key, target="/local/v1/files")
    w.send(bytes(2 * MB))
    folder = gw.folder / "data/files"
    until(lambda: list(folder.glob(".tmp-*")), "the temporary file is there")
    w.reset()
    until(lambda: not list(folder.glob(".tmp-*")), "it is removed")
    nothing_is_left(gw, key)


@pytest.fixture
def big_file(gw, up, key):
    up.keep = False
    yield gw.upload(key, pattern.pattern(BIG)).json()["id"]
    up.keep = True


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_client_gone_in_mid_download_aborts_the_upstream(gw, up, key, big_file, how):
    up.seen.clear()
    with gw.wire() as w:
        w.head("GET", f"/v1/files/{big_file}/content", key)
        assert w.reply_head().status == 200
        assert len(w.take(2 * MB)) == 2 * MB
        getattr(w, how)()
    until(lambda: up.seen[0].gone, "the provider sees the abort")
    assert up.seen[0].sent < BIG
    until(lambda: is_at_rest(gw), "no transfer is under way")


def test_a_reader_that_pauses_gets_all_of_it(gw, up, key, big_file):
    up.seen.clear()
    with gw.wire() as w:
        w.head("GET", f"/v1/files/{big_file}/content", key)
        assert w.reply_head().status == 200
        got = w.take(MB)
        sent = until(lambda: settled(lambda: up.seen[0].sent), "the sender is held")
        assert sent < BIG
        got += w.take(BIG - MB)
    assert got == pattern.pattern(BIG)


def settled(count):
    """count() once it has stopped moving."""
    import time

    last = -1
    while (now := count()) != last:
        last = now
        time.sleep(0.3)
    return now


def test_a_reader_that_never_reads_is_closed_at_its_deadline(start, fake):
    gw = start(config({"limits": {"idle_timeout": "1s"}}, up=fake))
    key = gw.new_key()
    fake.keep = False
    made = gw.upload(key, pattern.pattern(BIG)).json()["id"]
    with gw.wire() as w:
        w.head("GET", f"/v1/files/{made}/content", key)
        until(lambda: fake.seen[-1].gone, "the provider sees the abort")
        until(lambda: is_at_rest(gw), "no transfer is under way")


def test_a_client_gone_while_it_waits_for_an_answer_is_forgotten(gw, up, key):
    with gw.wire() as w:
        w.send("GET /v1/files HTTP/1.1\r\nHost: f\r\nx-api-key: ")
        w.reset()
    assert gw.call(key, "GET", "/v1/files").status_code == 200


def test_a_wave_of_resets_leaves_nothing(gw, up, key):
    for i in range(40):
        w = begin_upload(gw, key, chunks=i % 2 == 0)
        if i % 2:
            w.send(bytes(i * 10_000))
        w.reset()
    nothing_is_left(gw, key)
    until(lambda: all(s.done.is_set() for s in up.seen), "the fake is at rest")
    assert up.files == {}
