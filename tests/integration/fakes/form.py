"""multipart/form-data as a strict server reads it, in bounded memory.

Stricter than RFC 7578 wherever some provider is: no preamble, part headers
are Content-Disposition and Content-Type alone (Azure refuses a part with a
Content-Length), the file part has a filename and a Content-Type (Azure
refuses its absence), quoting as HTML wants it, a closing delimiter.
"""

import re
from hashlib import sha256

PART_HEAD_MAX = 8 * 1024
FIELD_MAX = 64 * 1024


class Refused(Exception):
    """An answer of the API: status, message, param, code."""

    def __init__(self, status, message, param=None, code=None):
        super().__init__(message)
        self.status, self.message = status, message
        self.param, self.code = param, code


class File:
    """What is known of the file part; its bytes went to the sink."""

    def __init__(self, filename, content_type):
        self.filename = filename
        self.content_type = content_type
        self.size = 0
        self.digest = sha256()

    @property
    def sha256(self):
        return self.digest.hexdigest()


class Form:
    def __init__(self):
        self.fields = []  # (name, text) in the order of the body
        self.order = []  # names, "file" among them
        self.file = None  # the first one
        self.files = []  # (name, File), where a form may have several
        self.epilogue = 0  # bytes behind the closing delimiter

    def get(self, name):
        values = [v for n, v in self.fields if n == name]
        if len(values) > 1:
            raise Refused(400, f"Duplicate parameter: '{name}'.", name)
        return values[0] if values else None


def boundary_of(content_type):
    m = re.fullmatch(
        r'multipart/form-data; ?boundary=("?)([0-9A-Za-z\'()+_,./:=? -]{1,70})\1',
        content_type or "",
    )
    if not m:
        raise Refused(400, f"unusable Content-Type {content_type!r}")
    return m.group(2).encode()


class _Parts:
    """The body, cut at its delimiters."""

    def __init__(self, body, boundary):
        self.body = body
        self.delimiter = b"\r\n--" + boundary
        self.held = b"\r\n"  # so that the first delimiter looks like all
        self.more = True

    def fill(self):
        if not self.more:
            raise Refused(400, "the form ends without its closing delimiter")
        piece = self.body.read()
        self.more = piece != b""
        self.held += piece

    def take(self, n):
        while len(self.held) < n:
            self.fill()
        out, self.held = self.held[:n], self.held[n:]
        return out

    def data(self):
        """Pieces up to the next delimiter, which is consumed too."""
        keep = len(self.delimiter) - 1
        while (at := self.held.find(self.delimiter)) < 0:
            if len(self.held) > keep:
                yield self.take(len(self.held) - keep)
            self.fill()
        yield self.take(at)
        self.take(len(self.delimiter))

    def head(self):
        while b"\r\n\r\n" not in self.held:
            if len(self.held) > PART_HEAD_MAX:
                raise Refused(400, "a part's headers are too long")
            self.fill()
        return self.take(self.held.index(b"\r\n\r\n") + 4)[:-4]


def _unescape(text):
    """HTML's escapes, and no others: a %20 in a name is those three letters."""
    for escape, char in (("%22", '"'), ("%0D", "\r"), ("%0A", "\n")):
        text = text.replace(escape, char)
    return text


def _disposition(value):
    m = re.fullmatch(r'form-data; name="([^"]*)"(?:; filename="([^"]*)")?', value)
    if not m:
        raise Refused(400, f"unusable Content-Disposition: {value}")
    return tuple(v and _unescape(v) for v in m.groups())


def _part_head(raw):
    headers = {}
    for line in raw.decode("utf-8").split("\r\n"):
        name, colon, value = line.partition(": ")
        if not colon or name.lower() in headers:
            raise Refused(400, f"unusable part header: {line!r}")
        headers[name.lower()] = value
    extra = set(headers) - {"content-disposition", "content-type"}
    if extra or "content-disposition" not in headers:
        raise Refused(400, f"unusable part headers: {sorted(headers)}")
    name, filename = _disposition(headers["content-disposition"])
    return name, filename, headers.get("content-type")


def _read_file(parts, form, part, sink):
    name, filename, content_type = part
    if form.file and not name.endswith("[]") and name in dict(form.files):
        raise Refused(400, f"Duplicate parameter: '{name}'.", name)
    if not filename or not content_type:
        raise Refused(400, "the file part lacks a filename or Content-Type", name)
    file = File(filename, content_type)
    form.file = form.file or file
    form.files.append((name, file))
    for piece in parts.data():
        file.size += len(piece)
        file.digest.update(piece)
        sink(piece)


def _read_field(parts, form, name, filename):
    if filename is not None:
        raise Refused(400, f"parameter '{name}' is not a file", name)
    value = b""
    for piece in parts.data():
        value += piece
        if len(value) > FIELD_MAX:
            raise Refused(400, f"parameter '{name}' is too long", name)
    form.fields.append((name, value.decode("utf-8")))


def read_form(body, content_type, sink, files=("file",)):
    """The whole form; the files' bytes go to sink(piece) as they come."""
    parts = _Parts(body, boundary_of(content_type))
    form = Form()
    if b"".join(parts.data()) != b"":
        raise Refused(400, "the form has a preamble")
    while (mark := parts.take(2)) == b"\r\n":
        name, filename, part_type = _part_head(parts.head())
        form.order.append(name)
        if name in files:
            _read_file(parts, form, (name, filename, part_type), sink)
        else:
            _read_field(parts, form, name, filename)
    if mark != b"--":
        raise Refused(400, "garbage behind a delimiter")
    form.epilogue = _epilogue(parts)
    return form


def _epilogue(parts):
    rest = parts.held
    while piece := parts.body.read():
        rest += piece
    return len(rest[2:]) if rest.startswith(b"\r\n") else len(rest)
