"""Providers that die, stall, refuse early, or answer nonsense."""

import pytest
from fakes import pattern
from fakes.openai import (
    after_answer_head,
    after_bytes,
    after_sent,
    answer,
    close,
    on_head,
    on_stored,
    reset,
    stall,
)
from gw import MB, config, free_port, refused, until
from wire import form_around, form_type, part

ERROR = {"error": {"message": "said so", "type": "t", "param": None, "code": "c"}}


def nothing_is_recorded(gw, key):
    assert gw.call(key, "GET", "/v1/files").json()["data"] == []
    until(lambda: gw.transfers() == 0, "no transfer is under way")


@pytest.mark.parametrize("how", [reset, close])
@pytest.mark.parametrize(
    "when", [on_head, lambda act: after_bytes(2 * MB, act), on_stored]
)
def test_a_provider_that_dies_is_a_502_and_no_record(gw, up, key, when, how):
    up.fault(when(how), times=9)
    refused(gw.upload(key, pattern.pattern(6 * MB)), 502)
    nothing_is_recorded(gw, key)


def test_a_provider_that_dies_is_a_502_to_a_chunked_client_too(gw, up, key):
    up.fault(after_bytes(2 * MB, reset))
    prefix, _, _ = form_around(0, part("purpose", "vision"))
    with gw.wire() as w:
        w.head(
            "POST", "/v1/files", key, Content_Type=form_type(),
            Transfer_Encoding="chunked",
        )  # fmt: skip
        pieces = [prefix] + [pattern.BLOCK] * 50
        w.send_what_is_taken(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces)
        refused(w.reply(), 502)
    nothing_is_recorded(gw, key)


@pytest.mark.parametrize("method, tail", [("GET", "/content"), ("DELETE", "")])
def test_a_provider_that_dies_is_a_502_on_every_call(gw, up, key, method, tail):
    made = gw.upload(key).json()["id"]
    up.fault(on_head(reset), times=9)
    refused(gw.call(key, method, f"/v1/files/{made}{tail}"), 502)
    assert gw.call(key, "GET", "/v1/files").json()["data"][0]["id"] == made


def test_a_kept_connection_that_was_closed_costs_nobody_an_error(gw, up, key):
    made = gw.upload(key).json()["id"]
    for conn in list(up.connections):
        conn.wake()
    assert gw.call(key, "GET", f"/v1/files/{made}/content").content == b"hello"
    for conn in list(up.connections):
        conn.wake()
    assert gw.upload(key, pattern.pattern(3 * MB)).status_code == 200


@pytest.fixture
def impatient(start, fake):
    """A gateway that gives its provider one second."""
    provider = {"timeout": "1s", "connect_timeout": "1s"}
    gw = start(config({"providers": {"up": provider}}, up=fake))
    gw.key = gw.new_key()
    return gw


@pytest.mark.parametrize(
    "when", [on_head, lambda act: after_bytes(2 * MB, act), on_stored]
)
def test_a_provider_that_stalls_is_a_504_and_no_record(impatient, fake, when):
    fake.fault(when(stall))
    reply = impatient.upload(impatient.key, pattern.pattern(20 * MB))
    refused(reply, 504, "upstream_timeout")
    nothing_is_recorded(impatient, impatient.key)


def test_a_slow_client_is_not_the_providers_fault(impatient, fake):
    """While it is the client's turn, the provider's deadline rests."""
    prefix, suffix, length = form_around(10, part("purpose", "vision"))
    with impatient.wire() as w:
        w.head(
            "POST", "/v1/files", impatient.key, Content_Type=form_type(),
            Content_Length=length,
        )  # fmt: skip
        w.send(prefix + b"01234")
        assert w.is_quiet(2.5)
        w.send(b"56789" + suffix)
        assert w.reply().status == 200


def test_a_download_that_stalls_is_broken_off(impatient, fake):
    made = impatient.upload(impatient.key, pattern.pattern(2 * MB)).json()["id"]
    fake.fault(after_sent(MB, stall))
    with impatient.wire() as w:
        w.head("GET", f"/v1/files/{made}/content", impatient.key)
        reply = w.reply()
    assert reply.status == 200 and not reply.whole
    assert reply.body == pattern.pattern(2 * MB)[: len(reply.body)]


def test_a_download_that_never_begins_is_a_504(impatient, fake):
    made = impatient.upload(impatient.key).json()["id"]
    fake.fault(on_head(stall))
    reply = impatient.call(impatient.key, "GET", f"/v1/files/{made}/content")
    refused(reply, 504)


@pytest.mark.parametrize("how", [reset, close])
@pytest.mark.parametrize("chunks", [False, True])
def test_a_download_cut_short_is_never_taken_for_whole(gw, up, key, how, chunks):
    made = gw.upload(key, pattern.pattern(3 * MB)).json()["id"]
    if chunks:
        up.quirks.add("chunked_content")
    up.fault(after_sent(MB + 7, how))
    with gw.wire() as w:
        w.head("GET", f"/v1/files/{made}/content", key)
        reply = w.reply()
    assert reply.status == 200 and not reply.whole
    assert reply.body == pattern.pattern(3 * MB)[: len(reply.body)]


def test_a_download_that_dies_behind_its_head_is_never_taken_for_empty(gw, up, key):
    made = gw.upload(key, pattern.pattern(MB)).json()["id"]
    up.fault(after_answer_head(reset), times=9)
    with gw.wire() as w:
        w.head("GET", f"/v1/files/{made}/content", key)
        reply = w.reply()
    assert reply is None or reply.status == 502 or not reply.whole


@pytest.mark.parametrize("status", [400, 413, 429])
def test_an_early_refusal_is_relayed_without_the_rest(gw, up, key, status):
    up.fault(on_head(answer(status, ERROR, then_close=True)))
    size = 256 * MB
    prefix, _, length = form_around(size, part("purpose", "vision"))
    with gw.wire() as w:
        w.head(
            "POST", "/v1/files", key, Content_Type=form_type(), Content_Length=length
        )
        w.send(prefix)
        sent = w.send_what_is_taken(pattern.pieces(size))
        assert refused(w.reply(), status)["message"].count("said so") == 1
    assert sent < size / 2 and up.seen[0].drained < size / 2
    nothing_is_recorded(gw, key)


def test_an_early_refusal_in_mid_body_is_relayed(gw, up, key):
    up.fault(after_bytes(3 * MB, answer(413, ERROR, then_close=True)))
    refused(gw.upload(key, pattern.pattern(5 * MB)), 413)
    nothing_is_recorded(gw, key)


@pytest.mark.parametrize(
    "theirs, ours, code",
    [(400, 400, None), (401, 502, "upstream_auth"), (404, 404, None),
     (413, 413, None), (422, 422, None), (429, 429, None), (500, 502, None),
     (503, 503, None), (529, 503, None)],
)  # fmt: skip
def test_statuses_are_translated(gw, up, key, theirs, ours, code):
    up.fault(on_stored(answer(theirs, ERROR, {"Retry-After": "7"})))
    reply = gw.upload(key)
    error = refused(reply, ours, code)
    if ours in (400, 413, 422, 429):
        assert "said so" in error["message"]
    if ours == 429:
        assert reply.headers["retry-after"] == "7"
    nothing_is_recorded(gw, key)


def test_a_wrong_key_of_ours_is_never_shown_as_the_clients(start, fake):
    gw = start(config({"providers": {"up": {"api_key": "sk-outdated-key"}}}, up=fake))
    reply = gw.upload(gw.new_key())
    error = refused(reply, 502, "upstream_auth")
    assert "sk-" not in error["message"]
    assert reply.headers["x-should-retry"] == "false"


@pytest.mark.parametrize(
    "body",
    ["", "null", "[]", "{}", "<html>oops</html>", '{"id":7}', '{"id":""}', "{",
     '{"id":"' + "x" * 2049 + '"}', "[" * 200, "x" * (3 * MB)],
    ids=lambda b: b[:20],
)  # fmt: skip
def test_an_answer_that_makes_no_sense_is_a_502(gw, up, key, body):
    up.fault(on_head(lambda x: (x.body.read_all(), answer(200, body)(x))))
    error = refused(gw.upload(key), 502)
    assert "html" not in error["message"]
    nothing_is_recorded(gw, key)


@pytest.mark.parametrize(
    "raw",
    [b"HTTP/1.1 200\r\n\r\n", b"SMTP ready\r\n", b"HTTP/1.1 200 OK\r\n", b"\0" * 100],
)
def test_an_answer_that_is_no_http_is_a_502(gw, up, key, raw):
    def nonsense(x):
        x.body.read_all()
        x.conn.send(raw)
        close(x)

    up.fault(on_head(nonsense), times=9)
    refused(gw.upload(key), 502)
    nothing_is_recorded(gw, key)


def test_a_redirect_of_an_upload_is_not_followed_with_our_key(gw, up, other, key):
    up.fault(on_head(answer(307, "", {"Location": other.url + "/files"})))
    refused(gw.upload(key), 502)
    assert other.seen == []
    nothing_is_recorded(gw, key)


def test_nobody_listening_is_a_502(start):
    provider = {"type": "openai", "base_url": f"http://127.0.0.1:{free_port()}/v1"}
    gw = start(config({"providers": {"up": {**provider, "api_key": "sk-none"}}}))
    error = refused(gw.upload(gw.new_key()), 502, "upstream_unreachable")
    assert "127.0.0.1" not in error["message"]


def test_times_that_are_strings_become_numbers(gw, up, key):
    up.quirks |= {"string_times", "no_status"}
    made = gw.upload(key, b"{}", "a.jsonl", fields={"purpose": "batch"}).json()
    assert type(made["created_at"]) is int and type(made["expires_at"]) is int
    assert made["status"] == "processed" and made["status_details"] is None


def test_a_provider_that_reads_slowly_slows_the_client(gw, up, key):
    up.read_rate = 4 * MB
    size = 12 * MB
    made = gw.upload(key, pattern.pattern(size))
    assert made.json()["bytes"] == size
    assert up.uploads()[0].file.sha256 == pattern.sha256(size)
