"""OpenAI's Uploads API, for the fake of its files: strict, in bounded memory.

    fake.parted                 # id -> Upload, in the order of their making
    upload.parts                # id -> (file, size)
"""

import hashlib
import json
import random
import re
import string
import tempfile
import time

from .form import File, Refused, read_form

FIELDS = {"filename", "purpose", "bytes", "mime_type", "expires_after"}
PURPOSES = {"assistants", "batch", "fine-tune", "vision", "user_data"}
MIME = {"batch": {"application/jsonl", "text/jsonl"},
        "fine-tune": {"application/jsonl", "text/jsonl"}}  # fmt: skip
PART_MAX = 64 << 20
MAX = 8 << 30


def new_id(prefix):
    return prefix + "".join(random.choices(string.hexdigits[:16], k=32))


class Upload:
    def __init__(self, request):
        self.id, self.request = new_id("upload_"), request
        self.created_at, self.status = int(time.time()), "pending"
        self.parts, self.file = {}, None

    def object(self, file):
        return {
            "id": self.id, "object": "upload", "bytes": self.request["bytes"],
            "created_at": self.created_at, "filename": self.request["filename"],
            "purpose": self.request["purpose"], "status": self.status,
            "expires_at": self.created_at + 3600, "file": file,
        }  # fmt: skip


class Uploads:
    """The routes, mixed into the fake."""

    names_blocks = False  # Azure: complete takes azure_block_id alone

    def _upload_route(self, x, path):
        """False when it is none."""
        m = re.fullmatch(r"/uploads(?:/([^/]+)/(parts|complete|cancel))?", path)
        if not m:
            return False
        if x.head.method != "POST":
            raise Refused(405, f"Not allowed to {x.head.method} on {x.head.path}.")
        if x.head.query:
            raise Refused(400, f"Unknown parameter: '{x.head.query[0][0]}'.")
        upload_id, what = m.groups()
        if what == "parts":
            self._upload_part(x, self._open_upload(upload_id))
        elif what is None:
            self._upload_create(x, self._upload_json(x))
        elif what == "complete":
            request = self._upload_json(x)
            self._upload_complete(x, self._open_upload(upload_id), request)
        else:
            if x.body.read_all():
                raise Refused(400, "a cancellation has no body")
            upload = self._open_upload(upload_id)
            upload.status = "cancelled"
            x.at("stored")
            x.answer(200, upload.object(None))
        return True

    @staticmethod
    def _upload_json(x):
        if x.head.get("content-type") != "application/json":
            raise Refused(400, "the body is not JSON")
        return json.loads(x.body.read_all())

    def _open_upload(self, upload_id):
        upload = self.parted.get(upload_id)
        if not upload:
            raise Refused(404, f"No such Upload: {upload_id}", "id")
        if upload.status != "pending":
            raise Refused(400, f"Upload {upload_id} is {upload.status}")
        return upload

    def _upload_create(self, x, r):
        if extra := set(r) - FIELDS:
            raise Refused(400, f"Unknown parameter: '{extra.pop()}'.")
        for name in ("filename", "purpose", "bytes", "mime_type"):
            if name not in r:
                raise Refused(400, f"'{name}' is a required property", name)
        if r["purpose"] not in PURPOSES:
            raise Refused(400, f"Invalid value: '{r['purpose']}'", "purpose")
        if not isinstance(r["bytes"], int) or not 0 < r["bytes"] <= MAX:
            raise Refused(400, "Invalid value", "bytes")
        if r["mime_type"] not in MIME.get(r["purpose"], {r["mime_type"]}):
            raise Refused(400, "mime_type does not suit the purpose", "mime_type")
        upload = Upload(r)
        self.parted[upload.id] = upload
        x.at("stored")
        x.answer(200, upload.object(None))

    def _upload_part(self, x, upload):
        data = tempfile.SpooledTemporaryFile(1 << 20)
        form = read_form(x.body, x.head.get("content-type"), data.write, ("data",))
        x.seen.form = form
        if form.order != ["data"]:
            raise Refused(400, "'data' is the only parameter", "data")
        if form.file.size > PART_MAX:
            raise Refused(400, "the part is larger than 64 MB", "data")
        part_id = new_id("uplprt-" if self.names_blocks else "part_")
        out = {"id": part_id, "object": "upload.part",
               "created_at": int(time.time()), "upload_id": upload.id}  # fmt: skip
        if self.names_blocks:
            part_id = out["azure_block_id"] = new_id("block-")
        with self.lock:
            upload.parts[part_id] = (data, form.file.size)
        x.at("stored")
        x.answer(200, out)

    def _upload_complete(self, x, upload, r):
        ids = r.get("part_ids")
        if set(r) - {"part_ids", "md5"} or not ids or len(set(ids)) < len(ids):
            raise Refused(400, "Invalid value", "part_ids")
        for i in ids:
            if i not in upload.parts:
                raise Refused(400, f"No such part {i}", "part_ids")
        if sum(upload.parts[i][1] for i in ids) != upload.request["bytes"]:
            raise Refused(400, "the parts have other bytes than declared", "part_ids")
        file = File(upload.request["filename"], upload.request["mime_type"])
        data, md5 = tempfile.SpooledTemporaryFile(1 << 20), hashlib.md5()
        for i in ids:
            upload.parts[i][0].seek(0)
            while piece := upload.parts[i][0].read(1 << 18):
                data.write(piece)
                md5.update(piece)
                file.digest.update(piece)
                file.size += len(piece)
        if r.get("md5", md5.hexdigest()) != md5.hexdigest():
            raise Refused(400, "the MD5 does not match", "md5")
        upload.file = self._stored(file, upload.request, data)
        upload.status = "completed"
        x.at("stored")
        x.answer(200, upload.object(self._object(upload.file)))

    def _stored(self, file, request, data):
        fields = {"purpose": request["purpose"]}
        if after := request.get("expires_after"):
            fields["expires_after[anchor]"] = after["anchor"]
            fields["expires_after[seconds]"] = str(after["seconds"])
        stored = self.new_stored(file, fields, data)
        with self.lock:
            self.files[stored.id] = stored
        return stored
