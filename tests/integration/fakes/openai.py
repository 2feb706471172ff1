"""A strict OpenAI Files API: refuses what OpenAI refuses, records all it saw.

    fake = OpenAI()                       # listens; fake.url ends in /v1
    fake.fault(after_bytes(100_000, reset), method="POST")
    ...
    fake.seen[-1].fields, .order, .file.sha256, .raw_length, .aborted

A fault is a function called at the points of an exchange (see Exchange); it
acts once unless told otherwise. Bodies are streamed, kept in a temporary file
or, with keep=False, only counted and hashed (downloads are then the pattern
of that length).
"""

import json
import random
import re
import socket
import string
import tempfile
import threading
import time

from . import pattern
from .batches import Batches
from .form import File, Refused, read_form
from .forms import Forms
from .http import Body, Gone, Pace, Server, Violation, head_bytes
from .inference import Inference
from .kept import Kept
from .talks import Talks
from .uploads import Uploads

PURPOSES = ["assistants", "batch", "fine-tune", "vision", "user_data", "evals"]
JSONL_ONLY = {"batch": "Batch API", "fine-tune": "Fine-Tune API", "evals": "Evals API"}
NOT_DOWNLOADED = {"assistants", "user_data"}
FILE_FIELDS = {"file", "purpose", "expires_after[anchor]", "expires_after[seconds]"}
MONTH = 30 * 24 * 3600


class Closed(Exception):
    """A fault ended the connection."""


class Answered(Exception):
    """A fault answered."""


# --- what a fault can do -----------------------------------------------------


def reset(x):
    x.conn.reset()
    raise Closed


def close(x):
    x.conn.close()
    raise Closed


def stall(x):
    """Do nothing until the other side gives up, or the test ends."""
    x.seen.stalled.set()
    while not x.fake.stopping.wait(0.02):
        if x.conn.is_gone():
            x.seen.gone = True
            break
    raise Gone("stalled to the end")


def answer(status, body=None, headers=(), then_close=False):
    """Answer this; body is an object for JSON, or str or bytes."""

    def act(x):
        x.answer(status, body, headers, then_close)
        raise Answered

    return act


def call(fn):
    """Call fn(exchange), and go on."""
    return fn


# --- when --------------------------------------------------------------------


class When:
    def __init__(self, point, act, bytes=0):
        self.point, self.act, self.bytes = point, act, bytes


def on_head(act):
    """Before anything of the body is read."""
    return When("head", act)


def after_bytes(n, act):
    """When n bytes of the request's body have been read."""
    return When("body", act, n)


def on_stored(act):
    """The request was carried out, and is not answered yet."""
    return When("stored", act)


def after_answer_head(act):
    """A download's head is sent, nothing of its body."""
    return When("answer_head", act)


def after_sent(n, act):
    """When n bytes of a download have been sent."""
    return When("sent", act, n)


class Fault:
    def __init__(self, when, method=None, path=None, times=1):
        self.when, self.method, self.path = when, method, path
        self.left = times

    def wants(self, head):
        return (
            self.left > 0
            and self.method in (None, head.method)
            and (self.path is None or re.search(self.path, head.path))
        )


# --- what was seen -----------------------------------------------------------


class Seen:
    """One request, filled in while it comes."""

    def __init__(self, head):
        self.head = head
        self.method, self.path, self.query = head.method, head.path, head.query
        self.declared = head.length  # Content-Length, or None
        self.framing = self._framing(head)
        self.raw_length = 0  # body bytes that came
        self.form = None
        self.status = None  # as answered
        self.aborted = False  # the connection went before the body's end
        self.gone = False  # the connection went before the answer's end
        self.sent = 0  # bytes of the answer's body
        self.drained = 0  # bytes of the request that came after the answer
        self.stalled = threading.Event()
        self.done = threading.Event()

    @staticmethod
    def _framing(head):
        if head.chunked:
            return "chunked"
        return "none" if head.length is None else "length"

    def header(self, name):
        return self.head.get(name)

    @property
    def fields(self):
        return dict(self.form.fields) if self.form else {}

    @property
    def order(self):
        return self.form.order if self.form else []

    @property
    def file(self):
        return self.form.file if self.form else None

    def __repr__(self):
        return f"<{self.method} {self.path} {self.status}>"


class Stored:
    """A file at the fake."""

    def __init__(self, file, fields, data, status):
        self.id = "file-" + "".join(random.choices(string.ascii_letters, k=24))
        self.filename, self.size, self.sha256 = file.filename, file.size, file.sha256
        self.content_type = file.content_type
        self.purpose = fields["purpose"]
        self.created_at = int(time.time())
        self.expires_at = self._expiry(fields)
        self.status = status
        self.data = data  # a temporary file, or None for the pattern
        self.lock = threading.Lock()

    def _expiry(self, fields):
        seconds = fields.get("expires_after[seconds]")
        if seconds is None and self.purpose == "batch":
            seconds = MONTH
        return self.created_at + int(seconds) if seconds else None

    def pieces(self, start, end):
        if self.data is None:
            yield from pattern.pieces(end, start)
            return
        while start < end:
            with self.lock:
                self.data.seek(start)
                piece = self.data.read(min(1 << 18, end - start))
            start += len(piece)
            yield piece

    def read(self):
        return b"".join(self.pieces(0, self.size))


class Exchange:
    """One request and its answer, with the faults that are meant for it."""

    def __init__(self, fake, conn, head):
        self.fake, self.conn, self.head = fake, conn, head
        self.seen = Seen(head)
        self.fault = fake._take_fault(head)
        self.close_after = False
        self.body = Body(conn, head, fake.read_rate, self._body_read)

    def _body_read(self, total):
        self.seen.raw_length = total
        self.at("body", total)

    def at(self, point, n=0):
        """Does the fault act here?"""
        f = self.fault
        if f and f.point == point and n >= f.bytes:
            self.fault = None
            f.act(self)

    def answer(self, status, body=None, headers=(), then_close=False):
        data = body if isinstance(body, bytes) else b""
        fields = list(headers.items() if isinstance(headers, dict) else headers)
        if isinstance(body, str):
            data = body.encode()
        elif body is not None and not isinstance(body, bytes):
            data = json.dumps(body).encode()
            fields.append(("Content-Type", "application/json"))
        fields.append(("Content-Length", str(len(data))))
        fields += [("x-request-id", "req_fake"), ("openai-organization", "org-up")]
        if then_close:
            fields.append(("Connection", "close"))
        self.close_after = then_close
        self.seen.status = status
        self.conn.send(head_bytes(status, fields) + data)

    def stream(self, status, fields, pieces):
        self.seen.status = status
        self.conn.send(head_bytes(status, fields))
        self.at("answer_head")
        pace = Pace(self.fake.write_rate)
        for piece in pieces:
            self._send_piece(piece)
            pace.step(len(piece))

    def _send_piece(self, piece):
        f = self.fault
        if f and f.point == "sent" and self.seen.sent + len(piece) >= f.bytes:
            piece = piece[: f.bytes - self.seen.sent]
        self.conn.send(piece)
        self.seen.sent += len(piece)
        self.at("sent", self.seen.sent)


class OpenAI(Batches, Uploads, Inference, Kept, Talks, Forms, Server):
    def __init__(self, api_key="sk-upstream", keep=True, tls=None):
        self.api_key, self.keep = api_key, keep
        self.files = {}  # id -> Stored, in the order of their making
        self.batches = {}  # id -> Batch, the same
        self.parted = {}  # id -> Upload, the same
        self._kept_begin()
        self.seen = []
        self.faults = []
        self.read_rate = self.write_rate = 0  # bytes per second; 0: no bound
        self.first_status = "processed"
        self.details = None  # of the status of all files; {id} is the file's
        # string_times, no_status, no_cursors, no_ranges, chunked_content,
        # short_pages
        self.quirks = set()
        self.lock = threading.Lock()
        self.reset_inference()
        super().__init__(tls)
        scheme = "https" if tls else "http"
        self.url = f"{scheme}://127.0.0.1:{self.port}/v1"

    # --- for tests ---

    def fault(self, when, method=None, path=None, times=1):
        self.faults.append(Fault(when, method, path, times))

    def put(self, filename, data=b"hello", purpose="vision", age=2 * 3600):
        """A file that did not come through anybody's request."""
        file = File(filename, "text/plain")
        file.size = len(data)
        file.digest.update(data)
        kept = tempfile.SpooledTemporaryFile(1 << 20)
        kept.write(data)
        stored = Stored(file, {"purpose": purpose}, kept, "processed")
        stored.created_at -= age
        with self.lock:
            self.files[stored.id] = stored
        return stored

    def uploads(self):
        return [s for s in self.seen if s.method == "POST"]

    def _take_fault(self, head):
        with self.lock:
            for f in self.faults:
                if f.wants(head):
                    f.left -= 1
                    return f.when
        return None

    # --- an exchange, from its head to its answer ---

    def handle(self, conn, head):
        x = Exchange(self, conn, head)
        self.seen.append(x.seen)
        try:
            return self._handle(x)
        except Gone:
            x.seen.aborted = not x.body.ended
            x.seen.gone = True
            raise
        except Closed:
            return False
        finally:
            x.seen.done.set()

    def _handle(self, x):
        try:
            x.at("head")
            if x.head.get("expect"):
                x.conn.send(head_bytes(100, []))
            self._route(x)
        except Refused as e:
            self._answer_error(x, e)
        except Answered:
            pass
        return self._may_go_on(x)

    @staticmethod
    def _may_go_on(x):
        """An answer before the body's end closes the connection, the answer
        first; what still comes is counted and dropped."""
        if x.body.ended and not x.close_after:
            return True
        x.conn.sock.shutdown(socket.SHUT_WR)
        x.conn.sock.settimeout(10)
        try:
            while True:
                x.seen.drained += len(x.conn.recv(65536))
        except Gone:
            return False

    @staticmethod
    def _answer_error(x, e):
        kind = "server_error" if e.status >= 500 else "invalid_request_error"
        error = {"message": e.message, "type": kind, "param": e.param, "code": e.code}
        x.answer(e.status, {"error": error}, then_close=not x.body.ended)

    def _route(self, x):
        self._check_auth(x)
        if self._batch_route(x, x.head.path.removeprefix("/v1")):
            return
        if self._upload_route(x, x.head.path.removeprefix("/v1")):
            return
        if self._inference_route(x, x.head.path.removeprefix("/v1")):
            return
        if self._kept_route(x, x.head.path.removeprefix("/v1")):
            return
        m = re.fullmatch(r"/v1/files(?:/([^/]+)(/content)?)?", x.head.path)
        if not m:
            raise Refused(404, f"Invalid URL ({x.head.method} {x.head.path})")
        self._operate(x, *m.groups())

    def _operate(self, x, file_id, content):
        routes = {
            ("POST", False, False): self._create,
            ("GET", False, False): self._list,
            ("GET", True, False): self._get,
            ("DELETE", True, False): self._delete,
            ("GET", True, True): self._content,
        }
        route = routes.get((x.head.method, bool(file_id), bool(content)))
        if not route:
            raise Refused(405, f"Not allowed to {x.head.method} on {x.head.path}.")
        route(x, file_id) if file_id else route(x)

    def _check_auth(self, x):
        given = x.head.get("authorization", "")
        if given != f"Bearer {self.api_key}":
            raise Refused(
                401, f"Incorrect API key provided: {given[7:15]}***.", None,
                "invalid_api_key",
            )  # fmt: skip

    # --- the operations ---

    def _create(self, x):
        if x.head.query:
            raise Refused(400, f"Unknown parameter: '{x.head.query[0][0]}'.")
        data = tempfile.SpooledTemporaryFile(1 << 20) if self.keep else None
        form = read_form(x.body, x.head.get("content-type"), self._sink(x, data))
        x.seen.form = form
        fields = self._check_form(form)
        stored = Stored(form.file, fields, data, self.first_status)
        self._store(x, stored)
        x.at("stored")
        self._created(x, stored)

    def _sink(self, x, data):
        return data.write if data else lambda piece: None

    def _store(self, x, stored):
        with self.lock:
            self.files[stored.id] = stored

    def new_stored(self, file, fields, data):
        return Stored(file, fields, data, self.first_status)

    def _created(self, x, stored):
        x.answer(200, self._object(stored))

    def _check_form(self, form):
        for name in form.order:
            if name not in FILE_FIELDS:
                raise Refused(
                    400, f"Unknown parameter: '{name}'.", name, "unknown_parameter"
                )
        if form.file is None:
            raise Refused(400, "'file' is a required property", "file")
        purpose = form.get("purpose")
        if purpose is None:
            raise Refused(400, "'purpose' is a required property", "purpose")
        if purpose not in PURPOSES:
            raise Refused(
                400, f"'{purpose}' is not one of {PURPOSES} - 'purpose'", "purpose"
            )
        if purpose in JSONL_ONLY and not form.file.filename.endswith(".jsonl"):
            api = JSONL_ONLY[purpose]
            raise Refused(400, f"Invalid file format for {api}. Must be .jsonl", "file")
        self._check_expiry(form)
        return dict(form.fields)

    def _check_expiry(self, form):
        anchor = form.get("expires_after[anchor]")
        seconds = form.get("expires_after[seconds]")
        if anchor is None and seconds is None:
            return
        if anchor != "created_at":
            raise Refused(400, f"Invalid value: '{anchor}'.", "expires_after[anchor]")
        if not (seconds or "").isdigit() or not 3600 <= int(seconds) <= MONTH:
            raise Refused(400, f"Invalid value: '{seconds}'.", "expires_after[seconds]")

    def _list(self, x):
        q = self._list_query(x.head.query)
        with self.lock:
            files = list(self.files.values())
        if q.get("order", "desc") == "desc":
            files.reverse()
        if "purpose" in q:
            files = [f for f in files if f.purpose == q["purpose"]]
        if "after" in q:
            ids = [f.id for f in files]
            if q["after"] not in ids:
                raise Refused(400, f"No such File object: {q['after']}", "after")
            files = files[ids.index(q["after"]) + 1 :]
        limit = int(q.get("limit", 10000))
        if "short_pages" in self.quirks:
            limit = min(limit, 50)
        page = [self._object(f) for f in files[:limit]]
        out = {"object": "list", "data": page}
        if "no_cursors" not in self.quirks:
            out["has_more"] = len(page) < len(files)
            out["first_id"] = page[0]["id"] if page else None
            out["last_id"] = page[-1]["id"] if page else None
        x.answer(200, out)

    @staticmethod
    def _list_query(pairs):
        q = dict(pairs)
        for name in q:
            if name not in ("purpose", "limit", "order", "after"):
                raise Refused(400, f"Unknown parameter: '{name}'.", name)
        limit = q.get("limit", "1")
        if not limit.isdigit() or not 1 <= int(limit) <= 10000:
            raise Refused(400, f"Invalid 'limit': {limit}.", "limit")
        if q.get("order", "asc") not in ("asc", "desc"):
            raise Refused(400, f"Invalid 'order': {q['order']}.", "order")
        return q

    def _find(self, file_id):
        with self.lock:
            stored = self.files.get(file_id)
        if not stored:
            raise Refused(404, f"No such File object: {file_id}", "id")
        return stored

    def _get(self, x, file_id):
        x.answer(200, self._object(self._find(file_id)))

    def _delete(self, x, file_id):
        self._find(file_id)
        with self.lock:
            del self.files[file_id]
        x.at("stored")
        x.answer(200, {"id": file_id, "object": "file", "deleted": True})

    def _content(self, x, file_id):
        f = self._find(file_id)
        if f.purpose in NOT_DOWNLOADED:
            raise Refused(400, f"Not allowed to download files of purpose: {f.purpose}")
        status, start, end, fields = self._range(x, f)
        fields += [("Content-Type", "application/octet-stream")]
        fields += [("set-cookie", "__cf_bm=secret"), ("x-request-id", "req_fake")]
        if "chunked_content" in self.quirks:
            fields.append(("Transfer-Encoding", "chunked"))
            x.stream(status, fields, self._chunks(f.pieces(start, end)))
        else:
            fields.append(("Content-Length", str(end - start)))
            x.stream(status, fields, f.pieces(start, end))

    @staticmethod
    def _chunks(pieces):
        for piece in pieces:
            yield b"%x\r\n" % len(piece) + bytes(piece) + b"\r\n"
        yield b"0\r\n\r\n"

    def _range(self, x, f):
        """status, start, end, header fields of a download."""
        text = x.head.get("range")
        if text is None or "no_ranges" in self.quirks:
            return 200, 0, f.size, []
        m = re.fullmatch(r"bytes=(\d*)-(\d*)", text)
        if not m or m.groups() == ("", ""):
            raise Violation(f"range {text!r}")
        first, last = m.groups()
        start = int(first) if first else max(0, f.size - int(last))
        end = min(f.size, int(last) + 1) if first and last else f.size
        if start >= f.size:
            raise Refused(416, "range not satisfiable")
        field = ("Content-Range", f"bytes {start}-{end - 1}/{f.size}")
        return 206, start, end, [field]

    def _object(self, f):
        text = str if "string_times" in self.quirks else lambda n: n
        out = {
            "id": f.id,
            "object": "file",
            "bytes": f.size,
            "created_at": text(f.created_at),
            "filename": f.filename,
            "purpose": f.purpose,
            "status": f.status,
            "expires_at": f.expires_at and text(f.expires_at),
            "status_details": self.details and self.details.replace("{id}", f.id),
        }
        if "no_status" in self.quirks:
            del out["status"], out["status_details"]
        return out
