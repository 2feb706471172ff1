"""A strict Anthropic Files API (beta).

Takes a form with the file and nothing else, with a length, and names as its
documentation has them. Asks for its two headers. Gives back only what a model
made: files whose `downloadable` is set.
"""

import json
import time

from .form import Refused
from .openai import OpenAI

BETA = "files-api-2025-04-14"
BANNED = set('<>:"|?*\\/')
TYPES = {
    400: "invalid_request_error", 401: "authentication_error",
    403: "permission_error", 404: "not_found_error", 413: "request_too_large",
    429: "rate_limit_error", 500: "api_error",
}  # fmt: skip


class Anthropic(OpenAI):
    def __init__(self, api_key="sk-ant-key", token=None):
        self.token, self.version, self.beta = token, "2023-06-01", BETA
        super().__init__(api_key)

    def _check_auth(self, x):
        key, bearer = x.head.get("x-api-key"), x.head.get("authorization")
        betas = x.head.get("anthropic-beta", "").split(",")
        if self.token:
            ok = (key, bearer) == (None, f"Bearer {self.token}")
            ok = ok and "oauth-2025-04-20" in betas
        else:
            ok = (key, bearer) == (self.api_key, None)
        if not ok:
            raise Refused(401, "invalid x-api-key")
        if x.head.get("anthropic-version") != self.version:
            raise Refused(400, "anthropic-version: header is required")
        if self.beta not in betas:
            raise Refused(404, "Not Found")

    def _create(self, x):
        if x.body.chunked:
            raise Refused(411, "a length is required")
        super()._create(x)

    def _check_form(self, form):
        if form.order != ["file"]:
            raise Refused(400, f"not the file alone: {form.order}")
        name = form.file.filename
        if not 1 <= len(name) <= 255 or BANNED & set(name) or min(name) < " ":
            raise Refused(400, "invalid filename")
        return {"purpose": None}

    def _list_query(self, pairs):
        q = dict(pairs)
        if set(q) - {"limit", "after_id", "before_id", "scope_id"}:
            raise Refused(400, f"unexpected parameters: {sorted(q)}")
        if not 1 <= int(q.get("limit", "20")) <= 1000:
            raise Refused(400, "limit: must be 1 to 1000")
        return q

    def _list(self, x):
        q = self._list_query(x.head.query)
        with self.lock:
            files = list(reversed(self.files.values()))
        ids = [f.id for f in files]
        if "after_id" in q:
            files = files[ids.index(q["after_id"]) + 1 :]
        page = [self._object(f) for f in files[: int(q.get("limit", "20"))]]
        x.answer(200, {
            "data": page,
            "has_more": len(page) < len(files),
            "first_id": page[0]["id"] if page else None,
            "last_id": page[-1]["id"] if page else None,
        })  # fmt: skip

    def _delete(self, x, file_id):
        self._find(file_id)
        with self.lock:
            del self.files[file_id]
        x.at("stored")
        x.answer(200, {"id": file_id, "type": "file_deleted"})

    def _content(self, x, file_id):
        if not getattr(self._find(file_id), "downloadable", False):
            raise Refused(400, f"File '{file_id}' is not downloadable")
        super()._content(x, file_id)

    def _object(self, f):
        made = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(f.created_at))
        return {
            "id": f.id,
            "type": "file",
            "filename": f.filename,
            "mime_type": f.content_type,
            "size_bytes": f.size,
            "created_at": made,
            "downloadable": getattr(f, "downloadable", False),
        }

    @staticmethod
    def _answer_error(x, e):
        kind = TYPES.get(e.status, "invalid_request_error")
        error = {"type": kind, "message": e.message}
        body = {"type": "error", "error": error, "request_id": "req_011"}
        headers = {"request-id": "req_011", "Content-Type": "application/json"}
        x.answer(e.status, json.dumps(body), headers, then_close=not x.body.ended)
