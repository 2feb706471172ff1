"""A strict Cloud Storage JSON API, with the endpoints that hand out tokens.

Jobs of Vertex AI, which read and write the same objects, are in fakes/vertex.py.
The exchanges, the faults and the recording are those of fakes/openai.py.

A signed JWT is checked as Google does: signature, audience, times by the
fake's own clock (clock_offset). The metadata server wants to be asked by name.
Tokens end, and can be revoked. A session is a secret of its own: nothing else
may come with it; chunks leave no gaps, and but for the last one are multiples
of 256 KiB. What a session has got of a chunk that broke off stays there, down
to such a multiple; what comes again is ignored, as it is by the real one, and
counted in `repeated`. `store_at_most`: how much of each of the next chunks is
stored.
"""

import base64
import json
import random
import re
import socket
import string
import tempfile
import threading
import time
from datetime import datetime, timezone
from urllib.parse import parse_qs, unquote

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from .form import File, Refused
from .http import Violation
from .openai import OpenAI, Stored
from .vertex import Jobs

CHUNK = 256 * 1024
REASONS = {400: "invalid", 401: "authError", 403: "forbidden", 404: "notFound",
           411: "lengthRequired", 412: "conditionNotMet"}  # fmt: skip
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
OFF_TIME = (
    "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable "
    "timeframe. Check your iat and exp values in the JWT claim."
)
METADATA_PATH = "/computeMetadata/v1/instance/service-accounts/default/token"


def rfc3339(seconds):
    t = datetime.fromtimestamp(seconds, timezone.utc)
    return t.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def unbase64(text):
    if not re.fullmatch(r"[A-Za-z0-9_-]+", text):
        raise OAuthError("invalid_grant", "Invalid JWT")
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class OAuthError(Exception):
    pass


class Session:
    def __init__(self, name, media_type, metadata):
        self.name, self.media_type, self.metadata = name, media_type, metadata
        self.data = tempfile.SpooledTemporaryFile(1 << 20)
        self.size = 0
        self.stored = None  # once it is complete
        self.lock = threading.Lock()

    def keep(self, size):
        self.data.truncate(size)
        self.data.seek(size)
        self.size = size


class GCS(Jobs, OpenAI):
    def __init__(self, bucket="team-files", token=None, **kw):
        super().__init__(api_key=None, **kw)
        self.url = f"http://127.0.0.1:{self.port}"
        self.bucket = bucket
        self.sessions, self.cancelled, self.jobs = {}, [], {}
        self.tokens = {token: float("inf")} if token else {}  # -> their end
        self.token_requests = 0
        self.token_life = 3600
        self.token_delay = 0
        self.token_status = None  # what the endpoints answer instead
        self.clock_offset = 0
        self.page = 1000
        self.store_at_most = []
        self.repeated = 0
        self.token_urls = {self.url + "/token"}
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def forget(self):
        """As new, but for the tokens that are out."""
        for kept in (self.seen, self.faults, self.files, self.sessions):
            kept.clear()
        self.cancelled.clear()
        self.store_at_most.clear()
        self.page, self.clock_offset, self.token_status = 1000, 0, None
        self.repeated = 0

    # --- tokens ---

    def service_account(self, **more):
        pem = self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return {
            "type": "service_account",
            "project_id": "p-1",
            "private_key_id": "key-1",
            "private_key": pem.decode(),
            "client_email": "filemux@p-1.iam.gserviceaccount.com",
            "client_id": "1",
            "token_uri": self.url + "/token",
            **more,
        }

    def hand_out_tokens_at(self, port):
        """There, too, from now on."""
        self.token_urls.add(f"http://127.0.0.1:{port}/token")
        sock = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._accept_at, args=(sock,), daemon=True).start()

    def _accept_at(self, sock):
        sock.settimeout(0.05)
        while not self.stopping.is_set():
            try:
                conn = sock.accept()[0]
            except TimeoutError:
                continue
            conn.settimeout(None)
            threading.Thread(target=self._serve, args=(conn,), daemon=True).start()
        sock.close()

    def now(self):
        return time.time() + self.clock_offset

    def revoke(self):
        self.tokens.clear()

    def _grant(self, x):
        with self.lock:
            self.token_requests += 1
        time.sleep(self.token_delay)
        if self.token_status:
            x.answer(self.token_status, {"error": "internal_failure"})
            return
        token = "ya29." + "".join(random.choices(string.ascii_letters, k=60))
        self.tokens[token] = time.time() + self.token_life
        x.answer(
            200,
            {
                "access_token": token,
                "expires_in": self.token_life,
                "token_type": "Bearer",
            },
        )

    def _metadata(self, x):
        if x.head.get("metadata-flavor") != "Google":
            raise Refused(403, "Your client is not to be answered.")
        self._grant(x)

    def _token(self, x):
        try:
            if x.head.get("content-type") != "application/x-www-form-urlencoded":
                raise OAuthError("invalid_request", "Content-Type")
            form = parse_qs(x.body.read_all().decode(), strict_parsing=True)
            if form.get("grant_type") != [GRANT] or set(form) != {
                "grant_type",
                "assertion",
            }:
                raise OAuthError("unsupported_grant_type", "Invalid grant_type")
            self._check_jwt(form["assertion"][0])
        except OAuthError as e:
            code, why = e.args
            x.answer(400, {"error": code, "error_description": why})
            return
        self._grant(x)

    def _check_jwt(self, jwt):
        parts = jwt.split(".")
        if len(parts) != 3:
            raise OAuthError("invalid_grant", "Invalid JWT")
        header, claims = (json.loads(unbase64(p)) for p in parts[:2])
        if header != {"alg": "RS256", "typ": "JWT", "kid": "key-1"}:
            raise OAuthError("invalid_grant", "Invalid JWT Header")
        try:
            self.key.public_key().verify(
                unbase64(parts[2]),
                f"{parts[0]}.{parts[1]}".encode(),
                padding.PKCS1v15(),
                hashes.SHA256(),
            )
        except InvalidSignature:
            raise OAuthError("invalid_grant", "Invalid JWT Signature.") from None
        self._check_claims(claims)

    def _check_claims(self, c):
        now = self.now()
        if set(c) != {"iss", "scope", "aud", "iat", "exp"}:
            raise OAuthError("invalid_request", f"claims {sorted(c)}")
        if c["iss"] != self.service_account()["client_email"]:
            raise OAuthError("invalid_grant", "Invalid grant: account not found")
        if c["aud"] not in self.token_urls:
            raise OAuthError("invalid_grant", "Invalid JWT: Failed audience check.")
        if "auth/" not in c["scope"]:
            raise OAuthError("invalid_scope", "Empty or missing scope not allowed.")
        if not c["iat"] <= now < c["exp"] or c["exp"] - c["iat"] > 3600:
            raise OAuthError("invalid_grant", OFF_TIME)

    # --- the API ---

    @staticmethod
    def _answer_error(x, e):
        close = not x.body.ended
        if Jobs.is_job(x):
            Jobs.answer_job_error(x, e)
            return
        if ("alt", "media") in x.head.query or "upload_id" in dict(x.head.query):
            text = {"Content-Type": "text/html; charset=UTF-8"}
            x.answer(e.status, e.message, text, then_close=close)
            return
        why = {"message": e.message, "domain": "global"}
        why["reason"] = REASONS.get(e.status, "backendError")
        error = {"code": e.status, "message": e.message, "errors": [why]}
        x.answer(e.status, {"error": error}, then_close=close)

    def _route(self, x):
        method, path = x.head.method, x.head.path
        if method in ("POST", "PUT") and x.head.length is None:
            raise Refused(411, "A Content-Length is required.")
        if method == "POST" and path == "/token":
            self._token(x)
        elif method == "GET" and path == METADATA_PATH:
            self._metadata(x)
        elif self.is_job(x):
            self.route_job(x)
        elif path.startswith("/upload/"):
            self._route_upload(x)
        else:
            self._route_object(x)

    def _route_upload(self, x):
        if x.head.path != f"/upload/storage/v1/b/{self.bucket}/o":
            raise Refused(404, "The specified bucket does not exist.")
        query = dict(x.head.query)
        if "upload_id" in query:
            self._session(x, query["upload_id"])
            return
        self._check_auth(x)
        starts = {"multipart": self._multipart, "resumable": self._start}
        if x.head.method != "POST" or query.get("uploadType") not in starts:
            raise Refused(400, "Unknown upload.")
        starts[query["uploadType"]](x)

    def _route_object(self, x):
        self._check_auth(x)
        # The name is one step: its slashes come encoded.
        raw = x.head.target.partition("?")[0]
        m = re.fullmatch(rf"/storage/v1/b/{self.bucket}/o(?:/([^/]+))?", raw)
        name = m and m[1] and unquote(m[1])
        route = {
            ("GET", False): self._list,
            ("GET", True): self._get,
            ("DELETE", True): self._delete,
        }.get((x.head.method, bool(name)))
        if not m or not route:
            raise Refused(404, "Not Found")
        route(x, name) if name else route(x)

    def _check_auth(self, x):
        given = x.head.get("authorization", "")
        if not given.startswith("Bearer "):
            raise Refused(401, "Anonymous caller does not have access.")
        if self.tokens.get(given[7:], 0) <= time.time():
            raise Refused(401, "Invalid Credentials")

    # --- uploads ---

    @staticmethod
    def _metadata_of(text, media_type):
        meta = json.loads(text)
        if set(meta) != {"name", "contentType", "metadata"}:
            raise Refused(400, f"unusable metadata {sorted(meta)}")
        if meta["contentType"] != media_type:
            raise Refused(400, "two content types")
        if not set(meta["metadata"]) <= {"filename", "purpose"}:
            raise Refused(400, "unknown metadata")
        return meta["name"], meta["metadata"]

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
            rb"--%s\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n(.*?)\r\n"
            rb"--%s\r\nContent-Type: ([^\r\n]+)\r\n\r\n(.*)\r\n--%s--\r\n"
            % (mark, mark, mark),
            body.read(),
            re.DOTALL,
        )
        if not found:
            raise Refused(400, "unusable multipart body")
        media_type = found[2].decode()
        name, metadata = self._metadata_of(found[1], media_type)
        data = tempfile.SpooledTemporaryFile(1 << 20)
        data.write(found[3])
        stored = self._store(name, media_type, metadata, data)
        x.at("stored")
        x.answer(200, self._object(stored))

    def _store(self, name, media_type, metadata, data):
        file = File(metadata.get("filename"), media_type)
        data.seek(0)
        while piece := data.read(1 << 18):
            file.size += len(piece)
            file.digest.update(piece)
        stored = Stored(file, {"purpose": metadata.get("purpose")}, data, None)
        stored.id, stored.metadata = name, metadata
        with self.lock:
            self.files[name] = stored
        return stored

    def _start(self, x):
        media_type = x.head.get("x-upload-content-type")
        if x.head.get("content-type") != "application/json; charset=UTF-8":
            raise Refused(400, "unusable Content-Type")
        name, metadata = self._metadata_of(x.body.read_all(), media_type)
        upload_id = "".join(random.choices(string.ascii_letters, k=40))
        self.sessions[upload_id] = Session(name, media_type, metadata)
        x.at("stored")
        url = f"{self.url}/upload/storage/v1/b/{self.bucket}/o"
        url += f"?uploadType=resumable&upload_id={upload_id}"
        x.answer(200, "", {"Location": url})

    def _session(self, x, upload_id):
        if x.head.get("authorization"):
            raise Violation("credentials came along with a session's URL")
        session = self.sessions.get(upload_id)
        if not session:
            raise Refused(404, "Not Found")
        if x.head.method == "DELETE":
            if not session.stored:
                del self.sessions[upload_id]
                self.cancelled.append(upload_id)
            x.answer(400 if session.stored else 499, "")
        elif x.head.method == "PUT":
            with session.lock:
                self._put(x, session)
        else:
            raise Refused(405, "Not allowed.")

    def _put(self, x, session):
        m = re.fullmatch(
            r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)", x.head.get("content-range", "")
        )
        if not m:
            raise Violation(f"Content-Range {x.head.get('content-range')!r}")
        total = None if m[3] == "*" else int(m[3])
        if m[1] is None and x.head.length:
            raise Violation("bytes without a place")
        if session.stored:
            x.body.read_all()
        elif m[1] is not None:
            self._take_chunk(x, session, int(m[1]), int(m[2]), total)
        if total is not None and session.size == total:
            self._complete(session)
        x.at("stored")
        if session.stored:
            x.answer(200, self._object(session.stored))
            return
        last = session.size - 1
        x.answer(308, "", {"Range": f"bytes=0-{last}"} if session.size else {})

    def _complete(self, s):
        if not s.stored:
            s.stored = self._store(s.name, s.media_type, s.metadata, s.data)

    def open_sessions(self):
        return [s for s in self.sessions.values() if not s.stored]

    def _take_chunk(self, x, session, first, last, total):
        n = last - first + 1
        if x.head.length != n or n <= 0:
            raise Violation("the length is not that of the range")
        if first > session.size:
            raise Violation(f"a chunk at {first}, not at {session.size}")
        if total is None and n % CHUNK:
            raise Refused(400, "The chunk's size must be a multiple of 262144.")
        if total is not None and last + 1 != total:
            raise Violation("the last chunk does not reach the end")
        most = first + (self.store_at_most.pop(0) if self.store_at_most else n)
        at = first
        try:
            while piece := x.body.read():
                new = piece[max(0, session.size - at) :]
                session.data.write(new)
                session.size += len(new)
                self.repeated += len(piece) - len(new)
                at += len(piece)
        finally:
            kept = min(session.size, max(most, first))
            session.keep(kept if kept == last + 1 else kept // CHUNK * CHUNK)

    # --- the rest ---

    def _find(self, name):
        f = self.files.get(name)
        if not f:
            raise Refused(404, f"No such object: {self.bucket}/{name}")
        return f

    def _get(self, x, name):
        if ("alt", "media") in x.head.query:
            self._content(x, name)
        else:
            x.answer(200, self._object(self._find(name)))

    def _delete(self, x, name):
        self._find(name)
        del self.files[name]
        x.answer(204)

    def _list(self, x):
        q = dict(x.head.query)
        prefix, token = q.pop("prefix", ""), q.pop("pageToken", "")
        size = min(int(q.pop("maxResults", 1000)), self.page)
        if q:
            raise Refused(400, "unusable query")
        with self.lock:
            names = sorted(n for n in self.files if n.startswith(prefix) and n > token)
        out = {"kind": "storage#objects"}
        if names:
            out["items"] = [self._object(self.files[n]) for n in names[:size]]
        if len(names) > size:
            out["nextPageToken"] = names[size - 1]
        x.answer(200, out)

    def _content(self, x, name):
        f = self._find(name)
        if x.head.get("accept-encoding") != "gzip":
            raise Violation("it would be unpacked on the way")
        status, start, end, fields = self._range(x, f)
        fields += [("Content-Type", f.content_type), ("x-goog-generation", "1")]
        fields.append(("Content-Length", str(end - start)))
        x.stream(status, fields, f.pieces(start, end))

    def _object(self, f):
        return {
            "kind": "storage#object",
            "id": f"{self.bucket}/{f.id}/1",
            "name": f.id,
            "bucket": self.bucket,
            "generation": "1",
            "contentType": f.content_type,
            "size": str(f.size),
            "timeCreated": rfc3339(f.created_at),
            "updated": rfc3339(f.created_at),
            "metadata": f.metadata,
        }
