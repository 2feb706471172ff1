"""A storage behind signed URLs, for the fakes that hand such out.

    url = storage.sign("PUT", "the-object", length=19)

It is another origin than the API: whoever sends it a credential, or a field
that nobody signed, has violated the protocol. A URL is good for its method
and its object alone, for one PUT, and for a length that was signed. The
exchanges and the faults are those of fakes/openai.py; to act at both, the
list of faults is shared.
"""

import secrets
import tempfile

from .form import File, Refused
from .http import Violation
from .openai import OpenAI, Stored

# What a client may send without being told to.
PLAIN = {"host", "accept", "accept-encoding", "range", "content-length", "content-type",
         "user-agent", "expect"}  # fmt: skip


class Storage(OpenAI):
    def __init__(self, faults):
        super().__init__()
        self.faults = faults
        self.url = f"http://127.0.0.1:{self.port}"
        self.signed = {}  # signature -> method, key, length, fields
        self.objects = {}  # key -> Stored

    def sign(self, method, key, length=None, fields=()):
        signature = "sig" + secrets.token_hex(16)
        self.signed[signature] = (method, key, length, dict(fields))
        return f"{self.url}/bucket/{key}?X-Signature={signature}"

    @staticmethod
    def _answer_error(x, e):
        body = f"<Error><Code>{e.code}</Code><Message>{e.message}</Message></Error>"
        fields = {"Content-Type": "application/xml"}
        x.answer(e.status, body, fields, then_close=not x.body.ended)

    def _route(self, x):
        signature = dict(x.head.query).get("X-Signature")
        method, key, length, fields = self.signed.get(signature, [None] * 4)
        if method != x.head.method or x.head.path != f"/bucket/{key}":
            raise Refused(403, f"{x.head.target} is not signed", None, "AccessDenied")
        extra = {n.lower() for n, _ in x.head.fields} - PLAIN - set(fields)
        if extra:
            raise Violation(f"{sorted(extra)} sent to the storage")
        for name, value in fields.items():
            if x.head.get(name) != value:
                raise Refused(403, f"{name} differs", None, "SignatureDoesNotMatch")
        if method == "GET":
            self._send(x, key)
            return
        self._take(x, key, length)
        del self.signed[signature]

    def _take(self, x, key, length):
        if x.head.length is None:
            raise Violation("a PUT without a Content-Length")
        if length is not None and x.head.length != length:
            raise Refused(400, "another length was signed", None, "BadRequest")
        file, data = File(key, ""), tempfile.SpooledTemporaryFile(1 << 20)
        while piece := x.body.read():
            file.size += len(piece)
            file.digest.update(piece)
            data.write(piece)
        self.objects[key] = Stored(file, {"purpose": None}, data, "")
        x.at("stored")
        x.answer(200, "", {"ETag": f'"{file.sha256[:32]}"'})

    def _send(self, x, key):
        f = self.objects[key]
        status, start, end, fields = self._range(x, f)
        fields += [("Content-Type", "application/octet-stream")]
        fields += [("Content-Length", str(end - start)), ("Accept-Ranges", "bytes")]
        x.stream(status, fields, f.pieces(start, end))
