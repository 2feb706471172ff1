"""A strict S3: one bucket, signatures recomputed, uploads in parts.

The exchanges, the faults and the recording are those of fakes/openai.py. Each
request must be signed with a key that the fake knows, over all that it says:
the canonical request is put together here from the bytes of the head, by the
documentation of AWS and not by the code under test. Bodies have a length, and
are what their hash says; parts but the last have 5 MiB.
"""

import hashlib
import hmac
import re
import secrets
import tempfile
import time
import xml.etree.ElementTree as ET
from datetime import datetime, timezone
from email.utils import formatdate
from urllib.parse import quote, unquote
from xml.sax.saxutils import escape

from .bedrock import Jobs
from .form import File, Refused
from .http import Violation, head_bytes
from .openai import OpenAI, Stored

XMLNS = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
PART_MIN = 5 << 20
SKEW = 15 * 60
KEY_ID, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


class Fail(Refused):
    """An error of S3's: the code is what matters."""

    def __init__(self, status, code, message="said so", extra="", headers=()):
        super().__init__(status, message, None, code)
        self.extra, self.headers = extra, headers


def error_xml(code, message, extra=""):
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code>'
        f"<Message>{escape(message)}</Message>{extra}<RequestId>4442587FB7D0A2F9"
        "</RequestId><HostId>h0st</HostId></Error>"
    )


# --- signatures --------------------------------------------------------------


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def mac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def signature_of(head, signed, payload, stamp, region, secret, service="s3"):
    """What the signature of the request must be."""
    path, _, query = head.target.partition("?")
    if service != "s3":
        path = quote(path, safe="/-_.~")
    pairs = sorted(tuple((p + "=").split("=")[:2]) for p in query.split("&") if p)
    canonical = [head.method, path, "&".join("=".join(p) for p in pairs)]
    for name in signed:
        values = [" ".join(v.split()) for v in head.get_all(name)]
        canonical.append(f"{name}:{','.join(values)}")
    canonical += ["", ";".join(signed), payload]
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    text = "\n".join(
        ["AWS4-HMAC-SHA256", stamp, scope, sha256("\n".join(canonical).encode())]
    )
    key = ("AWS4" + secret).encode()
    for step in scope.split("/"):
        key = mac(key, step)
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


class Key:
    """A key of an account; temporary ones have a token and an end."""

    def __init__(self, secret, token=None, expires=None):
        self.secret, self.token, self.expires = secret, token, expires


class Object(Stored):
    def __init__(self, file, data, head):
        super().__init__(file, {"purpose": None}, data, "processed")
        self.etag = f'"{file.sha256[:32]}"'
        self.content_type = head.get("content-type")
        self.fields = {
            n.lower(): v
            for n, v in head.fields
            if n.lower().startswith(("x-amz-meta-", "x-amz-server-side"))
        }
        self.filename = unquote(self.fields.get("x-amz-meta-filename", ""))


class Part:
    def __init__(self, file, data):
        self.size, self.data = file.size, data
        self.etag = f'"{file.sha256[:32]}"'


class Multipart:
    def __init__(self, key, head):
        self.key, self.head, self.parts = key, head, {}


class S3(Jobs, OpenAI):
    def __init__(self, bucket="files-bucket", region="us-east-1", **kw):
        super().__init__(KEY_ID, **kw)
        self.url = f"http://127.0.0.1:{self.port}"
        self.bucket, self.region = bucket, region
        self.keys = {KEY_ID: Key(SECRET)}
        self.jobs = {}
        self.unfinished = {}  # upload id -> Multipart
        self.clock_off = 0  # seconds by which the clock here is ahead
        self.completions = []  # what to send instead of the next ones: text

    def uploads(self):
        return [s for s in self.seen if s.method == "PUT"]

    # --- an exchange ---

    @staticmethod
    def _answer_error(x, e):
        if Jobs.is_job(x):
            Jobs.answer_job_error(x, e)
            return
        headers = list(getattr(e, "headers", ()))
        if x.head.method == "HEAD":
            S3._answer_head(x, e.status, headers)
            return
        text = error_xml(e.code, e.message, getattr(e, "extra", ""))
        headers.append(("Content-Type", "application/xml"))
        x.answer(e.status, text, headers, then_close=not x.body.ended)

    @staticmethod
    def _answer_head(x, status, fields):
        x.seen.status = status
        x.conn.send(head_bytes(status, fields))

    @staticmethod
    def _xml(x, name, inner):
        text = f'<?xml version="1.0" encoding="UTF-8"?>\n<{name} {XMLNS}>{inner}</{name}>'
        x.answer(200, text, [("Content-Type", "application/xml")])

    def _route(self, x):
        self._check_framing(x)
        if self.is_job(x):
            self.route_job(x)
            return
        key = self._place(x.head)
        x.payload = self._check_signature(x)
        if key.split("/")[0] != self.bucket:
            raise Fail(404, "NoSuchBucket")
        key = key[len(self.bucket) + 1 :]
        query = dict(x.head.query)
        x.query = query
        kind = "object" if key else "bucket"
        words = [w for w in ("uploads", "uploadId", "list-type") if w in query]
        route = getattr(self, "_".join(["", x.head.method.lower(), kind, *words])
                        .replace("-", "_"), None)  # fmt: skip
        if not route:
            raise Fail(405, "MethodNotAllowed", x.head.target)
        route(x, key)

    def _place(self, head):
        """bucket/key, from the path or from the host's name."""
        path = unquote(head.target.partition("?")[0])[1:]
        host = head.get("host").split(":")[0]
        if host.endswith(".localhost"):
            return host[: -len(".localhost")] + "/" + path
        return path

    @staticmethod
    def _check_framing(x):
        if x.head.chunked:
            raise Fail(501, "NotImplemented", "Transfer-Encoding is not implemented")
        if x.head.method == "PUT" and x.head.length is None:
            raise Fail(411, "MissingContentLength")

    def _check_signature(self, x, service="s3"):
        head = x.head
        m = re.fullmatch(
            rf"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{{8}})/([^/]+)/{service}/aws4_request, "
            r"SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})",
            head.get("authorization", ""),
        )
        if not m:
            raise Fail(403, "AccessDenied", "no usable Authorization")
        key_id, day, region, signed, given = m.groups()
        signed = signed.split(";")
        self._check_fields(head, signed)
        stamp, payload = head.get("x-amz-date"), head.get("x-amz-content-sha256")
        self._check_time(stamp, day)
        if region != self.region:
            raise Fail(
                400, "AuthorizationHeaderMalformed",
                f"the region '{region}' is wrong; expecting '{self.region}'",
                f"<Region>{self.region}</Region>",
            )  # fmt: skip
        key = self._find_key(key_id, head)
        want = signature_of(head, signed, payload, stamp, region, key.secret, service)
        if want != given:
            raise Fail(403, "SignatureDoesNotMatch")
        return payload

    def _check_fields(self, head, signed):
        if signed != sorted(set(signed)) or "host" not in signed:
            raise Violation(f"signed fields {signed}")
        for name, _ in head.fields:
            if name.lower().startswith("x-amz-") and name.lower() not in signed:
                raise Fail(403, "AccessDenied", f"{name} was not signed")
        for name in ("x-amz-date", "x-amz-content-sha256"):
            if name not in signed or len(head.get_all(name)) != 1:
                raise Fail(403, "AccessDenied", f"no {name}")
        for name in ("content-type", "range"):
            if head.get(name) is not None and name not in signed:
                raise Violation(f"{name} was not signed")

    def _check_time(self, stamp, day):
        then = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)
        if stamp[:8] != day:
            raise Fail(403, "SignatureDoesNotMatch", "another day")
        if abs(then.timestamp() - time.time() - self.clock_off) > SKEW:
            raise Fail(403, "RequestTimeTooSkewed")

    def _find_key(self, key_id, head):
        key = self.keys.get(key_id)
        if not key:
            raise Fail(403, "InvalidAccessKeyId")
        if head.get("x-amz-security-token") != key.token:
            raise Fail(400, "InvalidToken")
        if key.expires and key.expires <= time.time():
            raise Fail(400, "ExpiredToken", "The provided token has expired.")
        return key

    # --- objects ---

    def _read(self, x):
        """The body, which must be what its hash says."""
        file = File("x", "")
        data = tempfile.SpooledTemporaryFile(1 << 20)
        while piece := x.body.read():
            file.size += len(piece)
            file.digest.update(piece)
            data.write(piece)
        if x.payload not in ("UNSIGNED-PAYLOAD", file.sha256):
            raise Fail(400, "XAmzContentSHA256Mismatch")
        return file, data

    def _put_object(self, x, key):
        file, data = self._read(x)
        self._store(x, key, file, data, x.head)
        x.answer(200, "", [("ETag", self.files[key].etag)])

    def _store(self, x, key, file, data, head):
        with self.lock:
            self.files[key] = Object(file, data, head)
        x.at("stored")

    def put_object(self, key, file, data, head):
        """One that came through nobody's request."""
        with self.lock:
            self.files[key] = Object(file, data, head)
        return self.files[key]

    def _find(self, key):
        if key not in self.files:
            raise Fail(404, "NoSuchKey", "The specified key does not exist.")
        return self.files[key]

    def _fields(self, f):
        fields = [("ETag", f.etag), ("Content-Type", f.content_type)]
        fields.append(("Last-Modified", formatdate(f.created_at, usegmt=True)))
        return fields + list(f.fields.items())

    def _head_object(self, x, key):
        f = self._find(key)
        fields = self._fields(f) + [("Content-Length", str(f.size))]
        self._answer_head(x, 200, fields)

    def _get_object(self, x, key):
        f = self._find(key)
        try:
            status, start, end, fields = self._range(x, f)
        except Refused as e:
            raise Fail(416, "InvalidRange") from e
        fields += self._fields(f) + [("Content-Length", str(end - start))]
        x.stream(status, fields, f.pieces(start, end))

    def _delete_object(self, x, key):
        self.files.pop(key, None)
        self._answer_head(x, 204, [])

    # --- lists ---

    def _get_bucket_list_type(self, x, _):
        q = x.query
        if q["list-type"] != "2" or q.get("encoding-type") != "url":
            raise Fail(400, "InvalidArgument")
        with self.lock:
            keys = sorted(k for k in self.files if k.startswith(q.get("prefix", "")))
        after = unquote(q.get("continuation-token", ""))
        keys = [k for k in keys if k > after]
        page = keys[: min(int(q["max-keys"]), self.page)]
        rows = [self._row(k) for k in page]
        more = len(page) < len(keys)
        if more:
            token = escape(quote(page[-1]))
            rows.append(f"<NextContinuationToken>{token}</NextContinuationToken>")
        text = str(more).lower()
        self._xml(x, "ListBucketResult", f"<EncodingType>url</EncodingType>"
                  f"<IsTruncated>{text}</IsTruncated>" + "".join(rows))  # fmt: skip

    page = 1000

    def _row(self, key):
        f = self.files[key]
        t = datetime.fromtimestamp(f.created_at, timezone.utc)
        return (
            f"<Contents><Key>{quote(key)}</Key><LastModified>"
            f"{t:%Y-%m-%dT%H:%M:%S.000Z}</LastModified><Size>{f.size}</Size></Contents>"
        )

    def _get_bucket_uploads(self, x, _):
        prefix = x.query.get("prefix", "")
        rows = [
            f"<Upload><Key>{escape(m.key)}</Key><UploadId>{escape(i)}</UploadId></Upload>"
            for i, m in self.unfinished.items()
            if m.key.startswith(prefix)
        ]
        self._xml(x, "ListMultipartUploadsResult", "".join(rows))

    # --- parts ---

    def _post_object_uploads(self, x, key):
        upload_id = secrets.token_urlsafe(20) + "+/="
        self.unfinished[upload_id] = Multipart(key, x.head)
        x.at("stored")
        self._xml(x, "InitiateMultipartUploadResult",
                  f"<Bucket>{self.bucket}</Bucket><Key>{escape(key)}</Key>"
                  f"<UploadId>{upload_id}</UploadId>")  # fmt: skip

    def _upload(self, x, key):
        m = self.unfinished.get(x.query["uploadId"])
        if not m or m.key != key:
            raise Fail(404, "NoSuchUpload")
        return m

    def _put_object_uploadId(self, x, key):
        m = self._upload(x, key)
        number = int(x.query["partNumber"])
        if not 1 <= number <= 10000:
            raise Fail(400, "InvalidArgument")
        if any(n.lower().startswith("x-amz-meta-") for n, _ in x.head.fields):
            raise Violation("metadata with a part")
        m.parts[number] = Part(*self._read(x))
        x.at("stored")
        x.answer(200, "", [("ETag", m.parts[number].etag)])

    def _delete_object_uploadId(self, x, key):
        self._upload(x, key)
        del self.unfinished[x.query["uploadId"]]
        self._answer_head(x, 204, [])

    @staticmethod
    def _named_parts(body):
        root = ET.fromstring(body)
        ns = {"s": "http://s3.amazonaws.com/doc/2006-03-01/"}
        if root.tag != "{%s}CompleteMultipartUpload" % ns["s"]:
            raise Fail(400, "MalformedXML")
        return [
            (int(p.find("s:PartNumber", ns).text), p.find("s:ETag", ns).text)
            for p in root.findall("s:Part", ns)
        ]

    def _post_object_uploadId(self, x, key):
        m = self._upload(x, key)
        body = x.body.read_all()
        if sha256(body) != x.payload:
            raise Fail(400, "XAmzContentSHA256Mismatch")
        named = self._named_parts(body)
        self._check_parts(m, named)
        if self.completions and (instead := self.completions.pop(0)):
            x.answer(200, instead, [("Content-Type", "application/xml")])
            return
        self._join(x, key, m, named)
        del self.unfinished[x.query["uploadId"]]
        self._xml(x, "CompleteMultipartUploadResult", f"<Key>{escape(key)}</Key>")

    @staticmethod
    def _check_parts(m, named):
        if not named or [n for n, _ in named] != sorted(m.parts):
            raise Fail(400, "InvalidPartOrder")
        for i, (number, etag) in enumerate(named):
            part = m.parts[number]
            if part.etag != etag:
                raise Fail(400, "InvalidPart")
            if i < len(named) - 1 and part.size < PART_MIN:
                raise Fail(400, "EntityTooSmall")

    def _join(self, x, key, m, named):
        file, data = File("x", ""), tempfile.SpooledTemporaryFile(1 << 20)
        for number, _ in named:
            part = m.parts[number].data
            part.seek(0)
            while piece := part.read(1 << 18):
                file.size += len(piece)
                file.digest.update(piece)
                data.write(piece)
        self._store(x, key, file, data, m.head)
