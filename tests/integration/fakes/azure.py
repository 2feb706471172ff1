"""A strict Azure OpenAI: OpenAI's API in its two styles, with Azure's words.

A dated api_version wants that version in every URL, answers an upload with
201, a Location and a file that is pending, lists all files at once, and takes
an expiry of 14 to 30 days. The v1 style (api_version=None) is close to OpenAI.
Both take one of api-key and Authorization, never two.
"""

import json
import re
from urllib.parse import unquote

from .form import Refused
from .openai import MONTH, OpenAI

DAYS_14 = 14 * 24 * 3600


class Azure(OpenAI):
    def __init__(self, api_version="2024-10-21", api_key="azure-key", token=None):
        self.api_version, self.token = api_version, token
        self.base = "/openai" if api_version else "/openai/v1"
        super().__init__(api_key)
        self.url = f"http://127.0.0.1:{self.port}"
        self.first_status = "pending" if api_version else "processed"
        self.names_blocks = True
        self.deployments = []  # that were called
        self.authority = None  # an Entra, whose tokens are the only ones

    def _route(self, x):
        self._check_auth(x)
        self._check_version(x)
        path = x.head.path.removeprefix(self.base)
        if path != x.head.path and self._batch_route(x, path):
            return
        if self.api_version and path != x.head.path and self._upload_route(x, path):
            return
        if path != x.head.path and self._call_route(x, path):
            return
        m = re.fullmatch(r"/files(?:/([^/]+)(/content)?)?", path)
        if path == x.head.path or not m:
            raise Refused(404, "Resource not found", code="404")
        self._operate(x, *m.groups())

    def _call_route(self, x, path):
        """With a date, what a deployment does is below its name."""
        m = re.fullmatch(r"/deployments/([^/]+)(/.*)", path)
        if m and self.api_version:
            self.deployments.append(unquote(m[1]))
            return self._inference_route(x, m[2])
        if m or (self.api_version and not path.startswith("/responses")):
            return False
        return self._inference_route(x, path)

    def _check_auth(self, x):
        key, bearer = x.head.get("api-key"), x.head.get("authorization")
        if self.authority:
            ok = key is None and self.authority.knows(bearer or "")
        elif self.token:
            ok = (key, bearer) == (None, f"Bearer {self.token}")
        else:
            ok = (key, bearer) == (self.api_key, None)
        if not ok:
            told = "Access denied due to invalid subscription key"
            raise Refused(401, told, code="401")

    def _check_version(self, x):
        """Takes the version out of the query: the rest is OpenAI's."""
        given = [v for n, v in x.head.query if n == "api-version"]
        if given != ([self.api_version] if self.api_version else []):
            raise Refused(404, "Resource not found", code="404")
        x.head.query = [q for q in x.head.query if q[0] != "api-version"]

    def _create(self, x):
        if x.body.chunked:
            raise Refused(411, "Length required", code="411")
        super()._create(x)

    def _created(self, x, stored):
        if not self.api_version:
            return super()._created(x, stored)
        query = f"?api-version={self.api_version}"
        where = f"{self.url}/openai/files/{stored.id}{query}"
        x.answer(201, self._object(stored), {"Location": where})

    def _check_expiry(self, form):
        seconds = form.get("expires_after[seconds]")
        super()._check_expiry(form)
        if seconds is None or not self.api_version:
            return
        if self.api_version < "2025-03-01":
            raise Refused(400, "unknown expires_after", code="invalidPayload")
        if not DAYS_14 <= int(seconds) <= MONTH:
            raise Refused(400, "invalid expires_after", code="invalidPayload")

    def _list(self, x):
        if self.api_version and x.head.query:
            raise Refused(400, "lists have no pages", code="invalidPayload")
        super()._list(x)

    def _object(self, f):
        out = super()._object(f)
        if self.api_version:
            out = {k: v for k, v in out.items() if v is not None}
        if f.status == "pending":
            out["bytes"] = None
        return out

    @staticmethod
    def _answer_error(x, e):
        code = e.code or {404: "resourceNotFound"}.get(e.status, "invalidPayload")
        error = {"error": {"code": code, "message": e.message}}
        headers = {"apim-request-id": "a1", "Content-Type": "application/json"}
        body = json.dumps(error)
        x.answer(e.status, body, headers, then_close=not x.body.ended)
