"""Bedrock's model invocation jobs, for the fake of S3: strict, and moved by
hand like those of fakes/batches.py. Requests are signed for the service
bedrock, whose paths are encoded once more before they are.

    fake.jobs                    # ARN -> Job, in the order of their making
    job.run(); job.finish(failed=1); job.fail("why"); job.stopped()
"""

import json
import re
import secrets
import tempfile
import time
from datetime import datetime, timezone
from urllib.parse import unquote

from .form import File, Refused
from .http import Violation

ROLE = "arn:aws:iam::123456789012:role/filemux-batch"
MEMBERS = {"jobName", "clientRequestToken", "roleArn", "modelId", "inputDataConfig",
           "outputDataConfig", "timeoutDurationInHours"}  # fmt: skip
URI = re.compile(r"s3://[a-z0-9][-.a-z0-9]{1,61}(?:/[-!_*'().a-z0-9A-Z]+)*/?")
OPEN = {"Submitted", "Validating", "Scheduled", "InProgress"}
NAMES = {400: "ValidationException", 403: "AccessDeniedException"}
CODES = {"SignatureDoesNotMatch": "InvalidSignatureException",
         "InvalidAccessKeyId": "UnrecognizedClientException",
         "InvalidToken": "UnrecognizedClientException",
         "ExpiredToken": "ExpiredTokenException"}  # fmt: skip


class JobFail(Refused):
    def __init__(self, status, name, message="said so"):
        super().__init__(status, message, None, name)


def invalid(message):
    return JobFail(400, "ValidationException", message)


def rfc3339(seconds):
    t = datetime.fromtimestamp(seconds, timezone.utc)
    return t.strftime("%Y-%m-%dT%H:%M:%SZ")


class NoHead:
    fields = ()

    @staticmethod
    def get(name):
        return "application/octet-stream"


class Job:
    def __init__(self, fake, request):
        self.fake, self.request = fake, request
        self.id = secrets.token_hex(6)
        self.arn = f"arn:aws:bedrock:{fake.region}:123456789012:model-invocation-job/{self.id}"
        self.status, self.message = "Submitted", None
        self.submitted = self.modified = time.time()
        self.ended = None

    def _uri(self, way):
        uri = self.request[f"{way}DataConfig"][f"s3{way.title()}DataConfig"]["s3Uri"]
        return uri.removeprefix(f"s3://{self.fake.bucket}/")

    def set(self, status):
        self.status, self.modified = status, time.time()
        if status not in OPEN | {"Stopping"}:
            self.ended = self.modified

    def run(self):
        self.set("InProgress")

    def fail(self, message):
        self.message = message
        self.set("Failed")

    def stopped(self):
        self.set("Stopped")

    def finish(self, failed=0):
        self.run()
        lines = self.fake.files[self._uri("input")].read().splitlines()
        out = []
        for n, line in enumerate(lines):
            row = json.loads(line)
            if n < failed:
                row["error"] = {"errorCode": 400, "errorMessage": "no"}
            else:
                row["modelOutput"] = {"content": []}
            out.append(json.dumps(row) + "\n")
        folder = f"{self._uri('output')}{self.id}/"
        name = self._uri("input").split("/")[-1]
        self.output = self._put(f"{folder}{name}.out", "".join(out))
        counts = {"totalRecordCount": len(lines), "processedRecordCount": len(lines),
                  "successRecordCount": len(lines) - failed, "errorRecordCount": failed,
                  "inputTokenCount": 7, "outputTokenCount": 9}  # fmt: skip
        self._put(f"{folder}manifest.json.out", json.dumps(counts))
        self.set("PartiallyCompleted" if failed else "Completed")

    def _put(self, key, text):
        file, data = File("x", ""), tempfile.SpooledTemporaryFile(1 << 20)
        file.size = len(text.encode())
        file.digest.update(text.encode())
        data.write(text.encode())
        return self.fake.put_object(key, file, data, NoHead)

    def object(self):
        out = {"jobArn": self.arn, **self.request, "status": self.status,
               "submitTime": rfc3339(self.submitted),
               "lastModifiedTime": rfc3339(self.modified),
               "jobExpirationTime": rfc3339(self.submitted + 86400)}  # fmt: skip
        if self.message:
            out["message"] = self.message
        if self.ended:
            out["endTime"] = rfc3339(self.ended)
        return out


class Jobs:
    """The routes, mixed into the fake."""

    job_models = {"anthropic.claude-sonnet-4-5-20250929-v1:0", "amazon.nova-lite-v1:0"}

    @staticmethod
    def is_job(x):
        return x.head.path.startswith("/model-invocation-job")

    @staticmethod
    def answer_job_error(x, e):
        name = e.code if isinstance(e, JobFail) else CODES.get(e.code, NAMES.get(e.status))
        headers = [("x-amzn-ErrorType", f"{name}:http://internal.amazon.com/coral/"),
                   ("Content-Type", "application/json")]  # fmt: skip
        x.answer(e.status, json.dumps({"message": e.message}), headers,
                 then_close=not x.body.ended)  # fmt: skip

    def route_job(self, x):
        x.payload = self._check_signature(x, "bedrock")
        raw = x.head.target
        m = re.fullmatch(r"/model-invocation-job(?:/([^/?]+)(/stop)?)?", raw)
        if not m or ":" in raw:
            raise Violation(f"path {raw}")
        arn, stops = m.groups()
        routes = {("POST", False, False): self._create_job,
                  ("GET", True, False): self._get_job,
                  ("POST", True, True): self._stop_job}  # fmt: skip
        route = routes.get((x.head.method, bool(arn), bool(stops)))
        if not route:
            raise JobFail(404, "UnknownOperationException")
        _, data = self._read(x)
        data.seek(0)
        route(x, unquote(arn or ""), data.read())

    def _create_job(self, x, _, body):
        if x.head.get("content-type") != "application/json":
            raise invalid("unusable Content-Type")
        if x.payload == "UNSIGNED-PAYLOAD":
            raise Violation("the body was not signed")
        r = json.loads(body)
        self._check_job(r)
        token = r["clientRequestToken"]
        with self.lock:
            job = next((j for j in self.jobs.values()
                        if j.request["clientRequestToken"] == token), None)  # fmt: skip
            job = job or Job(self, r)
            self.jobs[job.arn] = job
        x.at("stored")
        x.answer(200, {"jobArn": job.arn})

    def _check_job(self, r):
        if set(r) != MEMBERS:
            raise invalid(f"unknown or missing members: {sorted(r)}")
        if not re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9+.-]){0,62}", r["jobName"]):
            raise invalid("jobName")
        if not re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,255}", r["clientRequestToken"]):
            raise invalid("clientRequestToken")
        if r["roleArn"] != ROLE:
            raise JobFail(403, "AccessDeniedException", f"{r['roleArn']} may not be passed")
        if r["modelId"] not in self.job_models:
            raise JobFail(404, "ResourceNotFoundException", "Could not find the model.")
        if not 24 <= r["timeoutDurationInHours"] <= 168:
            raise invalid("timeoutDurationInHours")
        self._check_places(r)

    def _check_places(self, r):
        given, out = r["inputDataConfig"], r["outputDataConfig"]
        if set(given) != {"s3InputDataConfig"} or set(out) != {"s3OutputDataConfig"}:
            raise invalid("data config")
        given, out = given["s3InputDataConfig"], out["s3OutputDataConfig"]
        if set(given) != {"s3Uri", "s3InputFormat"} or given["s3InputFormat"] != "JSONL":
            raise invalid("s3InputDataConfig")
        if set(out) != {"s3Uri"} or not out["s3Uri"].startswith(f"s3://{self.bucket}/"):
            raise invalid("s3OutputDataConfig")
        if not URI.fullmatch(given["s3Uri"]) or not URI.fullmatch(out["s3Uri"]):
            raise invalid("s3Uri")
        if given["s3Uri"].removeprefix(f"s3://{self.bucket}/") not in self.files:
            raise invalid(f"{given['s3Uri']} does not exist")

    def _find_job(self, arn):
        if arn not in self.jobs:
            raise JobFail(404, "ResourceNotFoundException", f"no job {arn}")
        return self.jobs[arn]

    def _get_job(self, x, arn, _):
        x.answer(200, self._find_job(arn).object())

    def _stop_job(self, x, arn, body):
        job = self._find_job(arn)
        if body:
            raise invalid("unexpected body")
        if job.status not in OPEN:
            raise JobFail(400, "ConflictException", f"{job.arn} is {job.status}")
        job.set("Stopping")
        x.at("stored")
        x.answer(200, {})
