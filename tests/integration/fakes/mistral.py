"""A strict Mistral: refuses what its Files API refuses, records all it saw.

The exchanges, the faults and the recording are those of fakes/openai.py; the
fields of the form, pages, errors and file objects are Mistral's. Fields that
it does not know are passed over behind the file, where a gateway can only
relay them; before it there must be none. A signed URL is one of the store of
blobs behind it, which listens elsewhere, wants no credentials, and serves
ranges.
"""

import json
import re
import tempfile
import time
import uuid

from .batches import Batch
from .form import Refused, read_form
from .openai import OpenAI, Stored

PURPOSES = ["fine-tune", "batch", "ocr", "audio"]
FILE_FIELDS = {"file", "purpose", "expiry", "visibility"}
LIST_QUERY = {"page", "page_size", "include_total"}


JOB_FIELDS = {"input_files", "endpoint", "model", "timeout_hours", "metadata"}
STATES = {"validating": "QUEUED", "in_progress": "RUNNING", "finalizing": "RUNNING",
          "completed": "SUCCESS", "failed": "FAILED", "expired": "TIMEOUT_EXCEEDED",
          "cancelling": "CANCELLATION_REQUESTED", "cancelled": "CANCELLED"}  # fmt: skip


class Job(Batch):
    """A batch as Mistral tells of it."""

    def __init__(self, fake, request):
        super().__init__(fake, {**request, "input_file_id": request["input_files"][0]})
        self.id = str(uuid.uuid4())

    def object(self):
        errors = self.errors["data"] if self.errors else []
        ended = self.times.get(f"{self.status}_at") if self.status != "cancelling" else None
        done = self.counts["completed"] + self.counts["failed"]
        return {
            "id": self.id, "object": "batch", "status": STATES[self.status],
            "input_files": self.request["input_files"], "model": self.request["model"],
            "endpoint": self.request["endpoint"], "metadata": self.request.get("metadata"),
            "output_file": self.output and self.output.id,
            "error_file": self.error and self.error.id,
            "errors": [{"message": e["message"], "count": 1} for e in errors],
            "created_at": self.created_at, "started_at": self.times.get("in_progress_at"),
            "completed_at": ended if self.status in OVER else None,
            "total_requests": len(self.lines), "completed_requests": done,
            "succeeded_requests": self.counts["completed"],
            "failed_requests": self.counts["failed"], "outputs": None,
        }  # fmt: skip


OVER = {"completed", "failed", "expired", "cancelled"}


class Blobs(OpenAI):
    """The store, with the same files and the same faults."""

    def __init__(self, owner):
        super().__init__()
        self.url = f"http://127.0.0.1:{self.port}/blobs"
        self.files, self.faults = owner.files, owner.faults
        self.signed = {}  # signature -> the file's id, when it ends

    def sign(self, file_id, hours):
        sig = uuid.uuid4().hex
        self.signed[sig] = file_id, time.time() + hours * 3600
        return f"{self.url}/{file_id}?sr=b&sig={sig}%3D"

    def _route(self, x):
        if {n.lower() for n, _ in x.head.fields} & {"authorization", "x-team"}:
            raise Refused(400, "InvalidAuthenticationInfo")
        sig = dict(x.head.query).get("sig", "").removesuffix("=")
        file_id, end = self.signed.get(sig, (None, 0))
        if x.head.path != f"/blobs/{file_id}" or end < time.time():
            raise Refused(403, "AuthenticationFailed")
        self._content(x, file_id)

    @staticmethod
    def _answer_error(x, e):
        code = f"<Error><Code>{e.message}</Code><Message>{e.message}</Message></Error>"
        x.answer(e.status, code, {"Content-Type": "application/xml"})


class Mistral(OpenAI):
    def __init__(self, **kw):
        super().__init__(**kw)
        self.quirks = {"no_ranges"}  # also: null_bytes, no_total
        self.blobs = Blobs(self)

    def stop(self):
        super().stop()
        self.blobs.stop()
        self.violations += self.blobs.violations

    def _route(self, x):
        if x.head.path.startswith("/v1/batch/jobs"):
            return self._route_job(x)
        m = re.fullmatch(r"/v1/files/([^/]+)/url", x.head.path)
        if not m or x.head.method != "GET":
            return super()._route(x)
        self._check_auth(x)
        query = dict(x.head.query)
        if set(query) != {"expiry"} or not query["expiry"].isdigit():
            raise Refused(422, "value is not a valid integer", "expiry")
        file_id = self._find(m[1]).id
        x.answer(200, {"url": self.blobs.sign(file_id, int(query["expiry"]))})

    def _route_job(self, x):
        self._check_auth(x)
        if not self._batch_route(x, x.head.path.replace("/v1/batch/jobs", "/batches")):
            raise Refused(404, "Not Found")

    def _batch_create(self, x, _, body):
        r = json.loads(body)
        for name in r.keys() - JOB_FIELDS:
            raise Refused(422, "extra fields not permitted", name)
        for name in ("input_files", "endpoint", "model"):
            if not r.get(name):
                raise Refused(422, "field required", name)
        if not isinstance(r.get("timeout_hours", 24), int) or r["timeout_hours"] > 168:
            raise Refused(422, "value is not a valid integer", "timeout_hours")
        for file_id in r["input_files"]:
            if self._find(file_id).purpose != "batch":
                raise Refused(422, "not a batch file", "input_files")
        job = Job(self, r)
        self.batches[job.id] = job
        x.at("stored")
        x.answer(200, job.object())

    def _check_auth(self, x):
        if x.head.get("authorization", "") != f"Bearer {self.api_key}":
            raise Refused(401, "Unauthorized")

    @staticmethod
    def _answer_error(x, e):
        """One fault of a field as the framework tells it, else a sentence."""
        detail = e.message
        if e.status == 422:
            detail = [{"loc": ["body", e.param], "msg": e.message, "type": "value"}]
        x.answer(e.status, {"detail": detail}, then_close=not x.body.ended)

    def _create(self, x):
        if x.head.length is None:
            raise Refused(411, "Length Required")
        if x.head.query:
            raise Refused(422, "unexpected query", "query")
        data = tempfile.SpooledTemporaryFile(1 << 20)
        form = read_form(x.body, x.head.get("content-type"), data.write)
        x.seen.form = form
        stored = Stored(form.file, self._check_form(form), data, None)
        stored.id = str(uuid.uuid4())
        hours = form.get("expiry")
        stored.expires_at = stored.created_at + int(hours) * 3600 if hours else None
        with self.lock:
            self.files[stored.id] = stored
        x.at("stored")
        x.answer(200, self._object(stored))

    @staticmethod
    def _check_form(form):
        if form.file is None:
            raise Refused(422, "field required", "file")
        for name in form.order[: form.order.index("file")]:
            if name not in FILE_FIELDS:
                raise Refused(422, "extra fields not permitted", name)
        if form.get("purpose") not in PURPOSES:
            raise Refused(422, f"Input should be one of {PURPOSES}", "purpose")
        if not (form.get("expiry") or "1").isdigit():
            raise Refused(422, "value is not a valid integer", "expiry")
        if form.get("visibility") not in (None, "workspace", "user"):
            raise Refused(422, "Input should be 'workspace' or 'user'", "visibility")
        return {"purpose": form.get("purpose")}

    def _list(self, x):
        q = dict(x.head.query)
        for name, value in q.items():
            if name not in LIST_QUERY or not (value.isdigit() or value == "true"):
                raise Refused(422, "unusable parameter", name)
        page, size = int(q.get("page", 0)), int(q.get("page_size", 100))
        with self.lock:
            files = list(self.files.values())[::-1]
        data = [self._object(f) for f in files[page * size : (page + 1) * size]]
        total = None if "no_total" in self.quirks else len(files)
        x.answer(200, {"data": data, "object": "list", "total": total})

    def _object(self, f):
        return {
            "id": f.id,
            "object": "file",
            "bytes": None if "null_bytes" in self.quirks else f.size,
            "created_at": f.created_at,
            "filename": f.filename,
            "purpose": f.purpose,
            "sample_type": "batch_request",
            "num_lines": None,
            "mimetype": f.content_type,
            "source": "upload",
            "signature": None,
            "expires_at": f.expires_at,
            "visibility": "workspace",
        }
