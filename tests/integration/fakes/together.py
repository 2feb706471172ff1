"""A strict Together: three ways to upload, each with its steps in their order.

The exchanges, the faults and the recording are those of fakes/openai.py. Bytes
that are not part of a form go to a storage of its own (fakes/storage.py). What
was begun and is not a file yet is in `pending`. Fields that it does not know
are passed over behind the file, where a gateway can only relay them; before it
there must be none.
"""

import json
import re
import tempfile
import time
import uuid
from urllib.parse import parse_qs

from .batches import ENDPOINTS, Batch
from .form import File, Refused, read_form
from .openai import OpenAI, Stored
from .storage import Storage

PURPOSES = {"fine-tune", "eval", "eval-sample", "batch-api"}
TYPES = {"csv", "jsonl", "parquet"}
FIELDS = {"purpose", "file_name", "file_type"}
MB = 1 << 20
ID = r"file-[0-9a-f-]{36}"


JOB_FIELDS = {"endpoint", "input_file_id", "completion_window", "priority", "model_id"}


def written(at):
    return at and time.strftime("%Y-%m-%dT%H:%M:%S.123Z", time.gmtime(at))


class Job(Batch):
    """A batch as Together tells of it."""

    def __init__(self, fake, request):
        super().__init__(fake, request)
        self.id = str(uuid.uuid4())

    def object(self):
        over = self.status in {"completed", "failed", "expired", "cancelled"}
        return {
            "id": self.id, "user_id": "user_1", "file_size_bytes": 10, "progress": 50,
            "input_file_id": self.request["input_file_id"],
            "status": self.status.upper(), "model_id": self.request.get("model_id", ""),
            "job_deadline": written(self.created_at + 86400),
            "created_at": written(self.created_at),
            "completed_at": written(self.times[f"{self.status}_at"]) if over else None,
            "endpoint": self.request["endpoint"],
            "output_file_id": self.output and self.output.id,
            "error_file_id": self.error and self.error.id,
            "error": self.errors["data"][0]["message"] if self.errors else None,
        }  # fmt: skip


class Joined:
    """Several objects as one file."""

    def __init__(self, name, objects):
        file, self.data = File(name, ""), tempfile.SpooledTemporaryFile(MB)
        for o in objects:
            for piece in o.pieces(0, o.size):
                file.size += len(piece)
                file.digest.update(piece)
                self.data.write(piece)
        self.file = file


class Together(OpenAI):
    def __init__(self, **kw):
        super().__init__(**kw)
        self.quirks = set()  # redirects, chunks, keeps_deleted
        self.storage = Storage(self.faults)
        self.pending = {}  # file id -> fields
        self.deleted = []

    def stop(self):
        self.storage.stop()
        super().stop()
        self.violations += self.storage.violations

    def _route(self, x):
        self._check_auth(x)
        if self._batch_route(x, x.head.path.removeprefix("/v1")):
            return
        routes = [
            ("POST", r"/files/upload", self._direct),
            ("POST", r"/files", self._redirect),
            ("POST", rf"/files/({ID})/preprocess", self._preprocess),
            ("POST", r"/files/multipart/(initiate|complete|abort)", self._multipart),
            ("GET", r"/files", self._list),
            ("GET", rf"/files/({ID})", self._get),
            ("DELETE", rf"/files/({ID})", self._delete),
            ("GET", rf"/files/({ID})/content", self._content),
        ]
        for method, pattern, act in routes:
            m = re.fullmatch("/v1" + pattern, x.head.path)
            if m and method == x.head.method:
                if x.head.query:
                    raise Refused(400, "unexpected query")
                act(x, *m.groups())
                return
        raise Refused(404, f"no such path: {x.head.method} {x.head.path}")

    @staticmethod
    def _check(fields):
        if set(fields) != FIELDS:
            raise Refused(400, f"unusable fields: {sorted(fields)}")
        if fields["purpose"] not in PURPOSES:
            raise Refused(400, f"unknown purpose {fields['purpose']}", "purpose")
        if fields["file_type"] not in TYPES or not fields["file_name"]:
            raise Refused(400, "unusable file_type or file_name", "file_type")

    def _batch_create(self, x, _, body):
        r = json.loads(body)
        if r.keys() - JOB_FIELDS or not {"input_file_id", "endpoint"} <= r.keys():
            raise Refused(400, f"unusable fields: {sorted(r)}")
        if r["endpoint"] not in ENDPOINTS:
            raise Refused(400, "unknown endpoint", "endpoint")
        if self._find(r["input_file_id"]).purpose != "batch-api":
            raise Refused(400, "not a batch file", "input_file_id")
        job = Job(self, r)
        self.batches[job.id] = job
        x.at("stored")
        x.answer(201, {"job": job.object(), "warning": ""})

    def put(self, filename, data=b"hello", purpose="vision", age=2 * 3600):
        stored = super().put(filename, data, "batch-generated", age)
        stored.id, stored.type, stored.processed = f"file-{uuid.uuid4()}", "jsonl", True
        self.files = {f.id: f for f in self.files.values()}
        return stored

    # --- the three ways ---

    def _direct(self, x):
        if x.head.length is None and "chunks" not in self.quirks:
            raise Refused(411, "Length Required")
        data = tempfile.SpooledTemporaryFile(MB)
        form = read_form(x.body, x.head.get("content-type"), data.write)
        x.seen.form = form
        if form.file is None:
            raise Refused(400, "file is required", "file")
        first = form.order[: form.order.index("file")]
        fields = dict(form.fields)
        if set(first) == FIELDS:
            fields = {n: fields[n] for n in FIELDS}
        self._check(fields)
        if form.file.filename != fields["file_name"]:
            raise Refused(400, "two names for one file", "file_name")
        stored = self._store(fields, form.file, data)
        x.at("stored")
        x.answer(200, self._object(stored))

    def _store(self, fields, file, data, file_id=None):
        stored = Stored(file, fields, data, "")
        stored.id = file_id or f"file-{uuid.uuid4()}"
        stored.filename, stored.type = fields["file_name"], fields["file_type"]
        stored.processed = False
        self.pending.pop(stored.id, None)
        self.files[stored.id] = stored
        return stored

    def _redirect(self, x):
        if x.head.get("content-type") != "application/x-www-form-urlencoded":
            raise Refused(400, "unusable Content-Type")
        text = x.body.read_all(MB).decode("ascii")
        fields = {n: v[0] for n, v in parse_qs(text, strict_parsing=True).items()}
        self._check(fields)
        file_id = f"file-{uuid.uuid4()}"
        self.pending[file_id] = fields
        x.at("stored")
        url = self.storage.sign("PUT", file_id)
        x.answer(302, "", {"Location": url, "X-Together-File-Id": file_id})

    def _preprocess(self, x, file_id):
        if x.head.length != 0:
            raise Refused(411, "Length Required")
        if file_id not in self.pending:
            raise Refused(404, f"no such file: {file_id}")
        o = self.storage.objects.get(file_id)
        if not o:
            raise Refused(400, "the file was not put")
        joined = Joined(file_id, [o])
        stored = self._store(self.pending[file_id], joined.file, joined.data, file_id)
        x.answer(200, self._object(stored))

    # --- in parts ---

    def _multipart(self, x, step):
        body = json.loads(x.body.read_all(MB))
        getattr(self, "_" + step)(x, body)

    def _initiate(self, x, body):
        size, n = body.pop("file_size"), body.pop("num_parts")
        self._check(body)
        if not 1 <= n <= 250:
            raise Refused(400, f"{n} parts")
        file_id, upload_id = f"file-{uuid.uuid4()}", str(uuid.uuid4())
        self.pending[file_id] = {**body, "size": size, "n": n, "upload": upload_id}
        parts = []
        for i in range(1, n + 1):
            fields = {"x-part": str(i)}
            url = self.storage.sign("PUT", f"{file_id}.{i}", None, fields)
            parts.append({"PartNumber": i, "URL": url, "Headers": fields})
        out = {"upload_id": upload_id, "file_id": file_id, "parts": parts}
        x.answer(200, out)

    def _begun(self, body):
        fields = self.pending.get(body["file_id"])
        if not fields or fields.get("upload") != body["upload_id"]:
            raise Refused(404, "no such upload")
        return fields

    def _complete(self, x, body):
        fields, file_id = self._begun(body), body["file_id"]
        parts = [self.storage.objects[f"{file_id}.{i + 1}"] for i in range(fields["n"])]
        told = [(p["part_number"], p["etag"]) for p in body["parts"]]
        if told != [(i + 1, p.sha256[:32]) for i, p in enumerate(parts)]:
            raise Refused(400, "other parts were put")
        sizes = [p.size for p in parts]
        if len(set(sizes[:-1])) > 1 or min(sizes[:-1] or [5 * MB]) < 5 * MB:
            raise Refused(400, f"unusable sizes of parts: {sizes}")
        if sum(sizes) != fields["size"]:
            raise Refused(400, "another size was announced")
        joined = Joined(file_id, parts)
        stored = self._store(fields, joined.file, joined.data, file_id)
        x.answer(200, {"file": self._object(stored)})

    def _abort(self, x, body):
        self._begun(body)
        del self.pending[body["file_id"]]
        x.answer(200, {})

    # --- the rest ---

    def _list(self, x):
        files = [self._object(f) for f in self.files.values()]
        files += [{**self._object(f), "deleted": True} for f in self.deleted]
        x.answer(200, {"data": files})

    def _delete(self, x, file_id):
        if not self.pending.pop(file_id, None):
            f = self._find(file_id)
            del self.files[file_id]
            if "keeps_deleted" in self.quirks:
                self.deleted.append(f)
        x.answer(200, {"id": file_id, "deleted": True})

    def _content(self, x, file_id):
        f = self._find(file_id)
        if "redirects" in self.quirks:
            self.storage.objects[file_id] = f
            x.answer(302, "", {"Location": self.storage.sign("GET", file_id)})
            return
        super()._content(x, file_id)

    def _object(self, f):
        return {
            "id": f.id,
            "object": "file",
            "created_at": f.created_at,
            "filename": f.filename,
            "bytes": f.size if f.processed else 0,
            "purpose": f.purpose,
            "FileType": f.type,
            "Processed": f.processed,
            "LineCount": 0,
            "project_id": "proj_1",
        }
