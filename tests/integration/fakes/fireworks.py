"""A strict Fireworks: the datasets of one account, each step in its order.

The exchanges, the faults and the recording are those of fakes/openai.py; files
that are too large for a form go to a storage of its own (fakes/storage.py),
and all come back from there. A dataset that has no file yet is in `pending`.
The count of the lines is needed, and must be the right one.
"""

import json
import re
import tempfile
import time
from datetime import datetime, timezone

from .form import File, Refused, read_form
from .openai import OpenAI, Stored
from .storage import Storage

CODES = {400: 3, 404: 5, 409: 6, 401: 16, 413: 3, 411: 3}
MEMBERS = {"displayName", "format", "userUploaded", "exampleCount"}
MB = 1 << 20


def lines_of(data):
    data.seek(0)
    count, last = 0, b"\n"
    while piece := data.read(MB):
        count, last = count + piece.count(b"\n"), piece[-1:]
    return count + (last != b"\n")


class Fireworks(OpenAI):
    def __init__(self, form_max=150 * MB, **kw):
        super().__init__(**kw)
        self.form_max = form_max
        self.storage = Storage(self.faults)
        self.pending = {}  # id -> the dataset's record

    def stop(self):
        self.storage.stop()
        super().stop()
        self.violations += self.storage.violations

    @staticmethod
    def _answer_error(x, e):
        body = {"code": CODES[e.status], "message": e.message, "details": []}
        x.answer(e.status, body, then_close=not x.body.ended)

    def _route(self, x):
        self._check_auth(x)
        m = re.fullmatch(
            r"/v1/accounts/acct/datasets(?:/([a-z0-9-]+)(?::(\w+))?)?", x.head.path
        )
        routes = {
            ("POST", False, None): self._create,
            ("GET", False, None): self._list,
            ("GET", True, None): self._get,
            ("DELETE", True, None): self._delete,
            ("POST", True, "upload"): self._upload,
            ("POST", True, "getUploadEndpoint"): self._endpoint,
            ("POST", True, "validateUpload"): self._validate,
            ("GET", True, "getDownloadEndpoint"): self._download,
        }
        route = m and routes.get((x.head.method, bool(m[1]), m[2]))
        if not route:
            raise Refused(404, f"no such path: {x.head.method} {x.head.path}")
        route(x, m[1]) if m[1] else route(x)

    def _check_auth(self, x):
        if x.head.get("authorization") != f"Bearer {self.api_key}":
            raise Refused(401, "The API key you provided is invalid.")

    # --- a dataset, and its file ---

    def _create(self, x):
        body = json.loads(x.body.read_all(MB))
        name, record = body["datasetId"], body["dataset"]
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,62}", name) or name.endswith("-"):
            raise Refused(400, f"invalid resource ID {name}")
        if not set(record) <= MEMBERS or record["userUploaded"] != {}:
            raise Refused(400, f"unusable dataset {record}")
        if not re.fullmatch(r"\d+", record.get("exampleCount", "")):
            raise Refused(400, "the example count is required")
        if not 0 < len(record["displayName"]) < 64:
            raise Refused(400, "unusable displayName")
        if name in self.pending or name in self.files:
            raise Refused(409, f"dataset {name} already exists")
        self.pending[name] = {**record, "createTime": time.time()}
        x.at("stored")
        x.answer(200, self._object(name))

    def _begun(self, name):
        if name not in self.pending:
            raise Refused(404, f"dataset accounts/acct/datasets/{name} not found")
        return self.pending[name]

    def _finish(self, name, file, data):
        record = self._begun(name)
        if lines_of(data) != int(record["exampleCount"]):
            raise Refused(400, "another count of examples was announced")
        stored = Stored(file, {"purpose": None}, data, "READY")
        stored.id, stored.record = name, record
        self.files[name] = self.storage.objects[name] = stored
        del self.pending[name]
        return stored

    def _upload(self, x, name):
        self._begun(name)
        if x.head.length is None:
            raise Refused(411, "Length Required")
        data = tempfile.SpooledTemporaryFile(MB)
        form = read_form(x.body, x.head.get("content-type"), data.write)
        x.seen.form = form
        if form.order != ["file"]:
            raise Refused(400, f"unusable form: {form.order}")
        if form.file.size > self.form_max:
            raise Refused(413, "too large for a form")
        f = self._finish(name, form.file, data)
        x.at("stored")
        x.answer(200, {"id": name, "object": "file", "bytes": f.size})

    def _endpoint(self, x, name):
        self._begun(name)
        ((file, size),) = json.loads(x.body.read_all(MB))["filenameToSize"].items()
        if not re.fullmatch(r"\d+", size) or "/" in file:
            raise Refused(400, f"unusable file {file} of {size}")
        fields = {"Content-Type": "application/octet-stream"}
        fields["x-goog-content-length-range"] = f"{size},{size}"
        url = self.storage.sign("PUT", name, int(size), fields)
        x.answer(200, {"filenameToSignedUrls": {file: url}})

    def _validate(self, x, name):
        if json.loads(x.body.read_all(MB)) != {}:
            raise Refused(400, "unexpected members")
        o = self.storage.objects.get(name)
        if not o:
            raise Refused(400, "the file was not put")
        file = File(name, "")
        file.size, file.digest = o.size, Known(o.sha256)
        self._finish(name, file, o.data)
        x.at("stored")
        x.answer(200, {})

    # --- the rest ---

    def _find(self, name):
        if name not in self.files:
            self._begun(name)

    def _get(self, x, name):
        self._find(name)
        x.answer(200, self._object(name))

    def _delete(self, x, name):
        self._find(name)
        self.files.pop(name, None)
        self.pending.pop(name, None)
        x.answer(200, {})

    def _list(self, x):
        q = dict(x.head.query)
        size, at = int(q.pop("pageSize", 50)), int(q.pop("pageToken", 0))
        if q or not 1 <= size <= 200:
            raise Refused(400, "unusable query")
        names = [*self.files, *self.pending]
        page = [self._object(n) for n in names[at : at + size]]
        token = str(at + size) if at + size < len(names) else ""
        out = {"datasets": page, "nextPageToken": token, "totalSize": len(names)}
        x.answer(200, out)

    def _download(self, x, name):
        self._find(name)
        urls = {}
        if f := self.files.get(name):
            urls[f.record["displayName"]] = self.storage.sign("GET", name)
        x.answer(200, {"filenameToSignedUrls": urls})

    def _object(self, name):
        record = self.pending.get(name) or self.files[name].record
        t = datetime.fromtimestamp(record["createTime"], timezone.utc)
        return {
            "format": "FORMAT_UNSPECIFIED",
            **record,
            "name": f"accounts/acct/datasets/{name}",
            "createTime": t.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "state": "UPLOADING" if name in self.pending else "READY",
            "status": {"code": "OK", "message": ""},
        }


class Known:
    """A digest that was taken before."""

    def __init__(self, text):
        self.text = text

    def hexdigest(self):
        return self.text
