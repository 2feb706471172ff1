"""HTTP itself: what RFC 9112 forbids is refused, and nobody gets smuggled."""

import json
import os
import resource

import httpx
import pytest
from gw import config, refused, until
from wire import chunked, file_part, form, form_type, part

GET = "GET /health/liveliness HTTP/1.1\r\nHost: f\r\n"
POST = "POST /key/generate HTTP/1.1\r\nHost: f\r\n"

BAD_HEADS = {
    "two lengths": (POST + "Content-Length: 2\r\nContent-Length: 3\r\n", 400),
    "two equal lengths": (POST + "Content-Length: 2\r\nContent-Length: 2\r\n", 400),
    "a list of lengths": (POST + "Content-Length: 2, 2\r\n", 400),
    "a length that is none": (POST + "Content-Length: 2x\r\n", 400),
    "a negative length": (POST + "Content-Length: -2\r\n", 400),
    "a length with a sign": (POST + "Content-Length: +2\r\n", 400),
    "a length over 63 bits": (POST + "Content-Length: 9223372036854775808\r\n", 400),
    "length and chunked": (
        POST + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", 400),
    "gzip, chunked": (POST + "Transfer-Encoding: gzip, chunked\r\n", 501),
    "an unknown coding": (POST + "Transfer-Encoding: xchunked\r\n", 501),
    "chunked twice": (POST + "Transfer-Encoding: chunked, chunked\r\n", 400),
    "two codings": (
        POST + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400),
    "a space before the colon": (GET + "X-A : b\r\n", 400),
    "a folded line": (GET + "X-A: b\r\n c\r\n", 400),
    "a bare CR": (GET + "X-A: b\rc\r\n", 400),
    "a NUL": (GET + "X-A: b\0c\r\n", 400),
    "a field without a colon": (GET + "X-A\r\n", 400),
    "a field without a name": (GET + ": x\r\n", 400),
    "a name that is no token": (GET + "X(A): b\r\n", 400),
    "no host": ("GET / HTTP/1.1\r\n", 400),
    "two hosts": (GET + "Host: g\r\n", 400),
    "HTTP/2.0": ("GET / HTTP/2.0\r\nHost: f\r\n", 505),
    "HTTP/9.9": ("GET / HTTP/9.9\r\nHost: f\r\n", 505),
    "no version": ("GET /\r\nHost: f\r\n", 400),
    "two spaces": ("GET  / HTTP/1.1\r\nHost: f\r\n", 400),
    "a method that is no token": ("G@T / HTTP/1.1\r\nHost: f\r\n", 400),
    "CONNECT": ("CONNECT example.com:443 HTTP/1.1\r\nHost: f\r\n", 400),
    "a target without a slash": ("GET v1/files HTTP/1.1\r\nHost: f\r\n", 400),
    "a long target": ("GET /" + "a" * 9000 + " HTTP/1.1\r\nHost: f\r\n", 414),
    "many fields": (GET + "X-A: b\r\n" * 200, 431),
    "a large head": (GET + "X-A: " + "b" * 40000 + "\r\n", 431),
}  # fmt: skip


@pytest.mark.parametrize("head, status", BAD_HEADS.values(), ids=BAD_HEADS.keys())
def test_a_bad_head_is_refused_and_the_connection_closed(gw, head, status):
    with gw.wire() as w:
        w.send_what_is_taken([head.encode("latin-1"), b"\r\n", GET.encode() + b"\r\n"])
        refused(w.reply(), status)
        assert w.is_closed()


def test_endless_headers_are_cut_off(gw):
    with gw.wire() as w:
        w.send(GET)
        sent = w.send_what_is_taken(b"X-A: b\r\n" * 1000 for _ in range(10_000))
        assert sent < 8000 * 10_000
        reply = w.reply()
        assert reply is None or reply.status == 431


def test_a_head_may_come_byte_by_byte(gw, key):
    with gw.wire() as w:
        head = f"GET /v1/files HTTP/1.1\r\nHost: f\r\nAuthorization: Bearer {key}\r\n"
        w.send_slowly(head.encode() + b"\r\n")
        assert json.loads(w.reply().body)["object"] == "list"


def test_a_path_in_two_segments_is_one_path(gw, up, key):
    made = gw.upload(key).json()["id"]
    with gw.wire() as w:
        w.send(f"GET /v1/files/{made[:12]}")
        assert w.is_quiet(0.05)
        w.send(f"{made[12:]}/content HTTP/1.1\r\nHost: f\r\nx-api-key: {key}\r\n\r\n")
        assert w.reply().body == b"hello"


def test_pipelined_requests_are_answered_in_order(gw, key):
    with gw.wire() as w:
        auth = f"Host: f\r\nAuthorization: Bearer {key}\r\n\r\n"
        w.send(
            "".join(f"GET /v1/files?limit={n} HTTP/1.1\r\n{auth}" for n in (1, 0, 2))
        )
        assert [w.reply().status for _ in range(3)] == [200, 400, 200]


def test_a_request_in_the_body_of_a_refused_one_is_not_served(gw, up, key):
    inner = f"GET /v1/files HTTP/1.1\r\nHost: f\r\nx-api-key: {key}\r\n\r\n"
    with gw.wire() as w:
        w.head("POST", "/v1/files", "sk-wrong", Content_Length=len(inner))
        w.send(inner)
        refused(w.reply(), 401)
        # Kept or closed: the next answer is to the next request.
        w.send_what_is_taken([b"GET /nowhere HTTP/1.1\r\nHost: f\r\n\r\n"])
        reply = w.reply()
        assert reply is None or reply.status in (401, 404)


def test_a_request_in_a_body_that_the_route_does_not_take_is_not_served(gw, key):
    inner = f"GET /v1/files HTTP/1.1\r\nHost: f\r\nx-api-key: {key}\r\n\r\n"
    with gw.wire() as w:
        w.head("GET", "/health/liveliness", Content_Length=len(inner))
        w.send(inner + "GET /nowhere HTTP/1.1\r\nHost: f\r\n\r\n")
        assert w.reply().status == 200
        reply = w.reply()
        assert reply is None or reply.status == 404


def test_trailers_are_read_and_dropped(gw, up, key):
    body = form(part("purpose", "vision"), file_part(b"x", "a"))
    with gw.wire() as w:
        w.head(
            "POST", "/v1/files", key, Content_Type=form_type(),
            Transfer_Encoding="chunked",
        )  # fmt: skip
        w.send(chunked(body, 50)[:-2] + b"X-A: b\r\nGET /x HTTP/1.1: c\r\n\r\n")
        assert w.reply().status == 200
        w.head("GET", "/v1/files", key)
        assert w.reply().status == 200


def test_chunk_extensions_are_skipped(gw, key):
    with gw.wire() as w:
        w.head(
            "POST", "/key/generate", "sk-master-0123456789abcdef",
            Transfer_Encoding="chunked",
        )  # fmt: skip
        w.send('2;name="va;lue"\r\n{}\r\n0\r\n\r\n')
        assert w.reply().status == 200


def test_a_large_body_to_a_refusal_is_answered_before_it_is_read(gw, up):
    with gw.wire() as w:
        w.head(
            "POST", "/v1/files", "sk-wrong", Content_Type=form_type(),
            Content_Length=1 << 30,
        )  # fmt: skip
        refused(w.reply(), 401)
        sent = w.send_what_is_taken(b"x" * 65536 for _ in range(16384))
        assert sent < 64 << 20, "the connection was closed at last"


def test_keep_alive_and_close_are_honoured(gw, key):
    with gw.wire() as w:
        for _ in range(3):
            w.head("GET", "/v1/files", key)
            assert w.reply().status == 200
        w.head("GET", "/v1/files", key, Connection="close")
        assert w.reply().get("connection") == "close"
        assert w.is_closed()


def test_every_reply_has_an_id_of_its_own(gw, key):
    ids = {gw.call(key, "GET", p).headers["x-request-id"] for p in ("/v1/files", "/x")}
    assert len(ids) == 2


@pytest.fixture
def hasty(start, fake):
    """A gateway with short deadlines."""
    limits = {"header_timeout": "1s", "idle_timeout": "2s", "min_rate": "10KB"}
    return start(config({"limits": limits}, up=fake))


def test_a_head_that_never_ends_meets_its_deadline(hasty):
    with hasty.wire() as w:
        w.send(GET)
        refused(w.reply(), 408, "request_timeout")
        assert w.is_closed()


def test_an_idle_connection_is_closed(hasty):
    with hasty.wire() as w:
        w.head("GET", "/health/liveliness")
        assert w.reply().status == 200
        assert w.is_closed()


def test_a_body_that_stops_meets_its_deadline(hasty, fake):
    body = form(part("purpose", "vision"), file_part(b"x" * 9999, "a"))
    key = hasty.new_key()
    with hasty.wire() as w:
        w.head(
            "POST", "/v1/files", key, Content_Type=form_type(), Content_Length=len(body)
        )
        w.send(body[:5000])
        refused(w.reply(), 408, "request_timeout")
        assert w.is_closed()
    assert fake.files == {}
    assert hasty.call(key, "GET", "/v1/files").json()["data"] == []


def test_a_unix_socket_is_served(start, fake, tmp_path):
    path = str(tmp_path / "s.sock")
    gw = start(config({"listen_also": f"unix:{path}"}, up=fake))
    with httpx.Client(transport=httpx.HTTPTransport(uds=path)) as client:
        assert client.get("http://f/health/readiness").status_code == 200
    assert gw.runs


def test_running_out_of_descriptors_is_survived(start, fake):
    gw = start(config({"workers": 1}, up=fake))
    pid = gw.process.pid
    n = len(os.listdir(f"/proc/{pid}/fd")) + 12
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (n, n))
    wires = [gw.wire() for _ in range(60)]
    for w in wires:
        w.send(GET + "\r\n")
    assert wires[0].reply().status == 200
    for w in wires:
        w.close()
    until(lambda: serves(gw), "it serves again")
    assert len(gw.stderr()) < 200_000, "the log was not flooded"


def serves(gw):
    try:
        return httpx.get(gw.url + "/health/liveliness", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def test_connections_have_a_bound_and_places_are_given_back(start, fake):
    gw = start(config({"workers": 1, "limits": {"max_connections": 8}}, up=fake))
    gw.http.close()
    wires = [gw.wire() for _ in range(30)]
    answers = 0
    for w in wires:
        w.send_what_is_taken([GET.encode() + b"\r\n"])
    for w in wires:
        reply = w.reply()
        answers += bool(reply and reply.status == 200)
        assert reply is None or reply.status in (200, 503)
    assert 1 <= answers <= 8
    for w in wires:
        w.close()
    until(lambda: serves(gw), "it serves again")
