"""A strict Gemini Files API: refuses what it refuses, records all it saw.

The exchanges, the faults and the recording are those of fakes/openai.py. The
key is looked for in x-goog-api-key alone, and must not come with the bytes of
a resumable upload, whose URL is a secret of its own. Offsets and the declared
length must be exact; a multipart body may come without a length.
"""

import json
import random
import re
import string
import tempfile
import time
from datetime import datetime, timezone

from .form import File, Refused
from .http import Violation
from .openai import OpenAI, Stored

LIFETIME = 48 * 3600
TYPE = "type.googleapis.com/google.rpc."
STATUSES = {400: "INVALID_ARGUMENT", 403: "PERMISSION_DENIED", 404: "NOT_FOUND"}


def rfc3339(seconds):
    t = datetime.fromtimestamp(seconds, timezone.utc)
    return t.strftime("%Y-%m-%dT%H:%M:%S.123456789Z")


class Gemini(OpenAI):
    def __init__(self, api_key="k-upstream", **kw):
        super().__init__(api_key, **kw)
        self.url = f"http://127.0.0.1:{self.port}/v1beta"
        self.first_status = "ACTIVE"
        self.uploads_open = {}  # upload_id -> name, type, declared length

    @staticmethod
    def _answer_error(x, e):
        error = {"code": e.status, "message": e.message, "status": STATUSES[e.status]}
        if e.code:
            error["details"] = [{"@type": TYPE + "ErrorInfo", "reason": e.code}]
        x.answer(e.status, {"error": error}, then_close=not x.body.ended)

    def _route(self, x):
        if x.head.path == "/upload/v1beta/files" and x.head.method == "POST":
            self._upload(x)
            return
        self._check_auth(x)
        m = re.fullmatch(r"/v1beta/files(?:/([a-z0-9-]+)(:download)?)?", x.head.path)
        routes = {
            ("GET", False, False): self._list,
            ("GET", True, False): self._get,
            ("DELETE", True, False): self._delete,
            ("GET", True, True): self._content,
        }
        route = m and routes.get((x.head.method, bool(m[1]), bool(m[2])))
        if not route:
            raise Refused(404, "Not found.")
        route(x, m[1]) if m[1] else route(x)

    def _check_auth(self, x):
        if x.head.get("authorization") or dict(x.head.query).get("key"):
            raise Violation("a key where none belongs")
        if x.head.get("x-goog-api-key") != self.api_key:
            raise Refused(
                400, "API key not valid. Please pass a valid API key.", None,
                "API_KEY_INVALID",
            )  # fmt: skip

    # --- uploads ---

    def _upload(self, x):
        if dict(x.head.query).get("upload_id"):
            self._finish(x)
            return
        self._check_auth(x)
        protocol = x.head.get("x-goog-upload-protocol")
        if protocol == "multipart":
            self._multipart(x)
        elif protocol == "resumable":
            self._start(x)
        else:
            raise Refused(400, f"unknown upload protocol {protocol}")

    def _start(self, x):
        if x.head.get("x-goog-upload-command") != "start":
            raise Refused(400, "the command must be start")
        length = x.head.get("x-goog-upload-header-content-length", "")
        media_type = x.head.get("x-goog-upload-header-content-type")
        if not length.isdigit() or not media_type:
            raise Refused(400, "the upload's length and type must be declared")
        name = self._display_name(x.body.read_all(), media_type)
        upload_id = "".join(random.choices(string.ascii_letters, k=40))
        self.uploads_open[upload_id] = (name, media_type, int(length))
        url = self.url.replace("/v1beta", "/upload/v1beta/files")
        url += f"?upload_id={upload_id}&upload_protocol=resumable"
        fields = [("X-Goog-Upload-URL", url), ("X-Goog-Upload-Status", "active")]
        x.answer(200, "", fields)

    @staticmethod
    def _display_name(text, media_type):
        file = json.loads(text)["file"]
        if set(file) != {"displayName", "mimeType"}:
            raise Refused(400, f"unusable file {sorted(file)}")
        if file["mimeType"] != media_type or len(file["displayName"]) > 512:
            raise Refused(400, "unusable mimeType or displayName")
        return file["displayName"]

    def _finish(self, x):
        upload_id = dict(x.head.query)["upload_id"]
        if x.head.get("x-goog-api-key"):
            raise Violation("the key came along with the upload's URL")
        if upload_id not in self.uploads_open:
            raise Refused(404, "no such upload")
        if x.head.get("x-goog-upload-command") == "cancel":
            if x.head.length != 0:
                raise Refused(400, "a length is required")
            del self.uploads_open[upload_id]
            x.answer(200, "", [("X-Goog-Upload-Status", "cancelled")])
            return
        name, media_type, length = self.uploads_open[upload_id]
        if x.head.get("x-goog-upload-command") != "upload, finalize":
            raise Refused(400, "the command must be 'upload, finalize'")
        if x.head.get("x-goog-upload-offset") != "0" or x.head.length != length:
            raise Refused(400, "the offset or the length is not what was declared")
        file, data = File(name, media_type), tempfile.SpooledTemporaryFile(1 << 20)
        while piece := x.body.read():
            self._take(file, data, piece)
        del self.uploads_open[upload_id]
        self._store(x, file, data)

    @staticmethod
    def _take(file, data, piece):
        file.size += len(piece)
        file.digest.update(piece)
        data.write(piece)

    def _multipart(self, x):
        m = re.fullmatch(
            r"multipart/related; boundary=(\w{1,70})", x.head.get("content-type", "")
        )
        if not m:
            raise Refused(400, "unusable Content-Type")
        body = tempfile.SpooledTemporaryFile(1 << 20)
        while piece := x.body.read():
            body.write(piece)
        body.seek(0)
        mark = re.escape(m[1].encode())
        found = re.fullmatch(
            rb"--%s\r\nContent-Type: application/json; charset=utf-8\r\n\r\n(.*?)\r\n"
            rb"--%s\r\nContent-Type: ([^\r\n]+)\r\n\r\n(.*)\r\n--%s--\r\n"
            % (mark, mark, mark),
            body.read(),
            re.DOTALL,
        )
        if not found:
            raise Refused(400, "unusable multipart body")
        media_type = found[2].decode()
        file = File(self._display_name(found[1], media_type), media_type)
        data = tempfile.SpooledTemporaryFile(1 << 20)
        self._take(file, data, found[3])
        self._store(x, file, data)

    def _store(self, x, file, data):
        stored = Stored(file, {"purpose": None}, data, self.first_status)
        stored.id = "".join(random.choices(string.ascii_lowercase, k=12))
        stored.source = "UPLOADED"
        with self.lock:
            self.files[stored.id] = stored
        x.at("stored")
        fields = [("X-Goog-Upload-Status", "final")]
        x.answer(200, {"file": self._object(stored)}, fields)

    # --- the rest ---

    def _find(self, file_id):
        f = self.files.get(file_id)
        if not f:
            raise Refused(
                403,
                f"You do not have permission to access the File {file_id} or it "
                "may not exist.",
            )
        return f

    def _get(self, x, file_id):
        x.answer(200, self._object(self._find(file_id)))

    def _delete(self, x, file_id):
        self._find(file_id)
        del self.files[file_id]
        x.answer(200, {})

    def _list(self, x):
        q = dict(x.head.query)
        size, at = int(q.pop("pageSize", 10)), int(q.pop("pageToken", 0))
        if q or not 1 <= size <= 100:
            raise Refused(400, "unusable query")
        with self.lock:
            files = list(self.files.values())[::-1]
        page = files[at : at + size]
        out = {"files": [self._object(f) for f in page]} if page else {}
        if at + size < len(files):
            out["nextPageToken"] = str(at + size)
        x.answer(200, out)

    def _content(self, x, file_id):
        f = self._find(file_id)
        if x.head.query != [("alt", "media")] or f.source != "GENERATED":
            raise Refused(400, "Only generated files can be downloaded.")
        fields = [("Content-Type", f.content_type), ("Content-Length", str(f.size))]
        x.stream(200, fields, f.pieces(0, f.size))

    def _object(self, f):
        out = {
            "name": f"files/{f.id}",
            "displayName": f.filename,
            "mimeType": f.content_type,
            "sizeBytes": str(f.size),
            "createTime": rfc3339(f.created_at),
            "updateTime": rfc3339(time.time()),
            "expirationTime": rfc3339(f.created_at + LIFETIME),
            "uri": f"{self.url}/files/{f.id}",
            "state": f.status,
            "source": f.source,
        }
        if f.source == "GENERATED":
            out["downloadUri"] = out["uri"] + ":download?alt=media"
        return out
