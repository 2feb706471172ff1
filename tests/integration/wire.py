"""A client without manners: what goes over the wire, byte by byte."""

import re
import socket
import struct
import time

BOUNDARY = "----formdata-undici-091903099327"


class Reply:
    def __init__(self, status, fields, body=b"", whole=True):
        self.status, self.fields, self.body = status, fields, body
        self.whole = whole  # the framing was satisfied

    def get(self, name):
        values = [v for n, v in self.fields if n.lower() == name.lower()]
        return values[0] if values else None

    def __repr__(self):
        return f"<{self.status} {self.fields} {self.body[:300]!r}>"


class Wire:
    """A connection to filemux."""

    def __init__(self, port, timeout=20):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.held = bytearray()  # what came and was not asked for yet

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def send(self, data):
        self.sock.sendall(data.encode() if isinstance(data, str) else data)

    def send_slowly(self, data, step=1):
        for i in range(0, len(data), step):
            self.sock.sendall(data[i : i + step])

    def send_what_is_taken(self, pieces):
        """Send until all is sent or the other side closes; the count."""
        sent = 0
        try:
            for piece in pieces:
                self.sock.sendall(piece)
                sent += len(piece)
        except OSError:
            pass
        return sent

    def head(self, method, target, key=None, **fields):
        """Send a request head. A field's _ stands for -."""
        lines = [f"{method} {target} HTTP/1.1", "Host: filemux"]
        if key:
            lines.append(f"Authorization: Bearer {key}")
        lines += [f"{n.replace('_', '-')}: {v}" for n, v in fields.items()]
        self.send("\r\n".join(lines) + "\r\n\r\n")

    def _fill(self):
        """More bytes; False at the end, a reset being one."""
        try:
            data = self.sock.recv(1 << 18)
        except ConnectionResetError:
            return False
        self.held += data
        return data != b""

    def _cut(self, n):
        out = bytes(self.held[:n])
        del self.held[:n]
        return out

    def reply_head(self):
        """The next reply's head, 1xx among them; None at the end."""
        while b"\r\n\r\n" not in self.held:
            if not self._fill():
                return None
        raw = self._cut(self.held.index(b"\r\n\r\n") + 4)[:-4]
        lines = raw.decode("latin-1").split("\r\n")
        m = re.fullmatch(r"HTTP/1\.1 (\d{3}) ?.*", lines[0])
        assert m, f"not a status line: {lines[0]!r}"
        fields = [tuple(line.split(": ", 1)) for line in lines[1:]]
        return Reply(int(m.group(1)), fields)

    def reply(self, method="GET"):
        """The next final reply with its body; None at the end."""
        reply = self.reply_head()
        while reply and reply.status < 200:
            reply = self.reply_head()
        if reply and method != "HEAD" and reply.status not in (204, 304):
            self._body(reply)
        return reply

    def _body(self, reply):
        if (reply.get("transfer-encoding") or "").lower() == "chunked":
            self._chunked(reply)
            return
        length = int(reply.get("content-length"))
        while len(self.held) < length and self._fill():
            pass
        reply.body = self._cut(length)
        reply.whole = len(reply.body) == length

    def _chunked(self, reply):
        size = -1
        while size != 0:
            while b"\r\n" not in self.held:
                if not self._fill():
                    reply.whole = False
                    return
            size = int(self._cut(self.held.index(b"\r\n") + 2), 16)
            while len(self.held) < size + 2:
                if not self._fill():
                    reply.whole = False
                    return
            reply.body += self._cut(size)
            self._cut(2)

    def take(self, n):
        """n bytes of whatever comes, fewer at the end."""
        while len(self.held) < n and self._fill():
            pass
        return self._cut(n)

    def is_closed(self, timeout=10):
        """Does the other side close, sending nothing more, in that time?"""
        self.sock.settimeout(timeout)
        try:
            return not self.held and not self._fill()
        except TimeoutError:
            return False

    def is_quiet(self, seconds):
        """Does nothing at all come for so long?"""
        self.sock.settimeout(seconds)
        try:
            self._fill()
        except TimeoutError:
            self.sock.settimeout(20)
            return not self.held
        return False

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self):
        linger = struct.pack("ii", 1, 0)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close()

    def close(self):
        self.sock.close()


# --- forms -------------------------------------------------------------------


def part(name, value, filename=None, content_type=None, extra=""):
    head = f'Content-Disposition: form-data; name="{name}"'
    if filename is not None:
        head += f'; filename="{filename}"'
    if content_type:
        head += f"\r\nContent-Type: {content_type}"
    value = value if isinstance(value, bytes) else value.encode()
    return (head + extra + "\r\n\r\n").encode() + value


def file_part(data, filename="x.jsonl", content_type="application/octet-stream"):
    return part("file", data, filename, content_type)


def form(*parts, boundary=BOUNDARY):
    b = b"--" + boundary.encode()
    return b"".join(b + b"\r\n" + p + b"\r\n" for p in parts) + b + b"--\r\n"


def form_around(size, *before, after=(), filename="x.bin", boundary=BOUNDARY):
    """Prefix and suffix of a form whose file has size bytes, and the length
    of all of it."""
    mark = b"\0file\0"
    whole = form(*before, file_part(mark, filename), *after, boundary=boundary)
    prefix, suffix = whole.split(mark)
    return prefix, suffix, len(prefix) + size + len(suffix)


def form_type(boundary=BOUNDARY):
    return f"multipart/form-data; boundary={boundary}"


def chunked(data, step):
    out = b""
    for i in range(0, len(data), step):
        piece = data[i : i + step]
        out += b"%x\r\n" % len(piece) + piece + b"\r\n"
    return out + b"0\r\n\r\n"


def upload(wire, key, body, target="/v1/files", boundary=BOUNDARY, **fields):
    """A form with Content-Length, in one go; the reply."""
    wire.head(
        "POST", target, key, Content_Type=form_type(boundary),
        Content_Length=len(body), **fields,
    )  # fmt: skip
    wire.send(body)
    return wire.reply()


def upload_chunked(wire, key, body, step=1000, target="/v1/files", **fields):
    wire.head(
        "POST", target, key, Content_Type=form_type(),
        Transfer_Encoding="chunked", **fields,
    )  # fmt: skip
    wire.send(chunked(body, step))
    return wire.reply()


class Pacer:
    """Reads from a wire at a rate, counting, holding nothing."""

    def __init__(self, wire, rate):
        self.wire, self.rate = wire, rate

    def read(self, total):
        """Up to total bytes of body; how many came."""
        got = len(self.wire.held)
        self.wire.held.clear()
        start = time.monotonic()
        while got < total:
            n = len(self.wire.sock.recv(1 << 16))
            if n == 0:
                break
            got += n
            ahead = got / self.rate - (time.monotonic() - start)
            if ahead > 0:
                time.sleep(ahead)
        return got
