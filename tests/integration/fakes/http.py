"""A strict HTTP/1.1 server on blocking sockets, a thread per connection.

Blocking on purpose: a fault is then a plain statement at the place where it
happens -- stop reading, sleep, reset the connection. Whatever in a request
does not follow RFC 9112 to the letter is answered with 400 *and* noted in
Server.violations, which tests look at when they end.
"""

import re
import select
import socket
import struct
import threading
import time
from urllib.parse import parse_qsl, unquote

TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
HEAD_MAX = 64 * 1024


class Gone(Exception):
    """The other side closed or reset the connection."""


class Violation(Exception):
    """The request is not proper HTTP."""


class Head:
    def __init__(self, raw):
        self.raw = raw
        lines = raw[:-4].split(b"\r\n")
        self._request_line(lines[0])
        self.fields = [self._field(line) for line in lines[1:]]
        self._check_framing()

    def _request_line(self, line):
        words = line.split(b" ")
        if len(words) != 3 or words[2] != b"HTTP/1.1":
            raise Violation(f"request line {line!r}")
        if not TOKEN.match(words[0]) or not words[1].startswith(b"/"):
            raise Violation(f"request line {line!r}")
        self.method = words[0].decode()
        self.target = words[1].decode("ascii")
        path, _, query = self.target.partition("?")
        self.path = unquote(path)
        self.query = parse_qsl(query, keep_blank_values=True)

    @staticmethod
    def _field(line):
        name, colon, value = line.partition(b":")
        if not colon or not TOKEN.match(name):
            raise Violation(f"header line {line!r}")
        if b"\r" in value or b"\n" in value or b"\0" in value:
            raise Violation(f"header value {line!r}")
        return name.decode(), value.strip(b" \t").decode("latin-1")

    def _check_framing(self):
        if len(self.get_all("host")) != 1:
            raise Violation("not exactly one Host")
        lengths = self.get_all("content-length")
        codings = self.get_all("transfer-encoding")
        if len(lengths) + len(codings) > 1:
            raise Violation("more than one framing header")
        if codings and codings[0].lower() != "chunked":
            raise Violation(f"transfer coding {codings[0]!r}")
        if lengths and not lengths[0].isdigit():
            raise Violation(f"content-length {lengths[0]!r}")
        self.length = int(lengths[0]) if lengths else None
        self.chunked = bool(codings)

    def get_all(self, name):
        return [v for n, v in self.fields if n.lower() == name.lower()]

    def get(self, name, default=None):
        values = self.get_all(name)
        return values[0] if values else default


class Connection:
    """A socket with what was read too much."""

    def __init__(self, sock):
        self.sock = sock
        self.rest = b""

    def recv(self, n):
        """1 to n bytes; raises Gone at the end of the stream."""
        if self.rest:
            data, self.rest = self.rest[:n], self.rest[n:]
            return data
        try:
            data = self.sock.recv(n)
        except OSError as e:
            raise Gone(str(e)) from e
        if not data:
            raise Gone("end of stream")
        return data

    def send(self, data):
        try:
            self.sock.sendall(data)
        except OSError as e:
            raise Gone(str(e)) from e

    def read_head(self):
        """The next request's head, or None when the connection ends."""
        raw = b""
        while b"\r\n\r\n" not in raw:
            if len(raw) > HEAD_MAX:
                raise Violation("head too large")
            try:
                raw += self.recv(65536)
            except Gone:
                if raw:
                    raise
                return None
        end = raw.index(b"\r\n\r\n") + 4
        self.rest = raw[end:] + self.rest
        return Head(raw[:end])

    def read_line(self, limit=1024):
        line = b""
        while not line.endswith(b"\r\n"):
            line += self.recv(1)
            if len(line) > limit:
                raise Violation("line too long")
        return line[:-2]

    def is_gone(self):
        """Has the other side closed? Never waits, takes nothing."""
        poll = select.poll()
        poll.register(self.sock, select.POLLRDHUP)
        gone = select.POLLRDHUP | select.POLLHUP | select.POLLERR | select.POLLNVAL
        return any(events & gone for _, events in poll.poll(0))

    def reset(self):
        """Close with an RST, as a dying machine does."""
        linger = struct.pack("ii", 1, 0)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close()

    def close(self):
        try:
            self.sock.close()
        except OSError:
            pass

    def wake(self):
        """From another thread: whoever reads or writes here sees the end."""
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


class Pace:
    """Holds whoever calls step() to a rate in bytes per second."""

    def __init__(self, rate):
        self.rate = rate
        self.start = time.monotonic()
        self.done = 0

    def step(self, n):
        if not self.rate:
            return
        self.done += n
        ahead = self.done / self.rate - (time.monotonic() - self.start)
        if ahead > 0:
            time.sleep(ahead)


class Body:
    """A request's body, whichever way it is framed; read() until b""."""

    def __init__(self, conn, head, rate=0, watch=None):
        self.conn = conn
        self.chunked = head.chunked
        self.left = 0 if head.chunked else (head.length or 0)
        self.total = 0  # body bytes read, framing not counted
        self.chunks = 0
        self.ended = not head.chunked and self.left == 0
        self.pace = Pace(rate)
        self.watch = watch or (lambda total: None)

    def read(self, n=1 << 18):
        if self.ended:
            return b""
        if self.chunked and self.left == 0 and not self._next_chunk():
            return b""
        data = self.conn.recv(min(n, self.left))
        self.left -= len(data)
        self.total += len(data)
        if self.chunked and self.left == 0:
            self._expect_crlf()
        if not self.chunked and self.left == 0:
            self.ended = True
        self.pace.step(len(data))
        self.watch(self.total)
        return data

    def _next_chunk(self):
        line = self.conn.read_line()
        if not re.fullmatch(rb"[0-9a-fA-F]{1,15}", line):
            raise Violation(f"chunk size {line!r}")
        self.left = int(line, 16)
        self.chunks += 1
        if self.left == 0:
            self._expect_crlf()
            self.ended = True
        return self.left > 0

    def _expect_crlf(self):
        if self.conn.recv(1) + self.conn.recv(1) != b"\r\n":
            raise Violation("no CRLF behind a chunk")

    def read_all(self, limit=1 << 24):
        data = b""
        while piece := self.read():
            data += piece
            if len(data) > limit:
                raise Violation("body too large")
        return data


REASONS = {
    100: "Continue", 200: "OK", 204: "No Content", 206: "Partial Content",
    304: "Not Modified", 307: "Temporary Redirect", 400: "Bad Request",
    401: "Unauthorized", 403: "Forbidden", 404: "Not Found",
    405: "Method Not Allowed", 413: "Content Too Large",
    416: "Range Not Satisfiable", 429: "Too Many Requests",
    500: "Internal Server Error", 503: "Service Unavailable",
}  # fmt: skip


def head_bytes(status, fields):
    lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}"]
    lines += [f"{name}: {value}" for name, value in fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class Server:
    """Listens on a free port of 127.0.0.1 until stop().

    Subclasses write handle(conn, head), which reads the body, answers, and
    returns whether the connection may serve another request.
    """

    port = 0  # any

    def __init__(self, tls=None):
        self.tls = tls
        self.violations = []
        self.connections = set()
        self.accepted = 0
        self.stopping = threading.Event()
        self.sock = socket.create_server(("127.0.0.1", self.port), backlog=512)
        self.port = self.sock.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while not self.stopping.is_set():
            try:
                sock, _ = self.sock.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        conn = Connection(sock)
        self.connections.add(conn)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls:
                conn.sock = self.tls.wrap_socket(sock, server_side=True)
            while (head := conn.read_head()) is not None:
                if not self.handle(conn, head):
                    break
        except Violation as e:
            self._refuse(conn, str(e))
        except (Gone, OSError, ValueError):
            pass
        finally:
            conn.close()
            self.connections.discard(conn)

    def _refuse(self, conn, what):
        self.violations.append(what)
        fields = [("Content-Length", "0"), ("Connection", "close")]
        try:
            conn.send(head_bytes(400, fields))
        except Gone:
            pass

    def handle(self, conn, head):
        raise NotImplementedError

    def stop(self):
        self.stopping.set()
        self.sock.close()
        for conn in list(self.connections):
            conn.wake()
