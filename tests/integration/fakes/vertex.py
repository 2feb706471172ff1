"""Vertex AI's batchPredictionJobs, for the fake of Cloud Storage: strict, and
moved by hand like those of fakes/batches.py.

    fake.jobs                    # name -> Job, in the order of their making
    job.run(); job.finish(failed=1); job.fail("why"); job.cancelled()
"""

import json
import random
import re
import string
import tempfile
import time
from datetime import datetime, timezone

from .form import Refused

PROJECT, NUMBER, LOCATION = "p-1", "123456789", "us-central1"
STATUS = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED",
          404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED"}  # fmt: skip
OPEN = {"QUEUED", "PENDING", "RUNNING"}
LABEL = re.compile(r"[a-z0-9_-]{0,63}")
PARENT = re.compile(
    r"/v1/projects/([^/]+)/locations/([^/]+)/batchPredictionJobs(?:/(\d+)(:cancel)?)?"
)


def rfc3339(seconds):
    t = datetime.fromtimestamp(seconds, timezone.utc)
    return t.strftime("%Y-%m-%dT%H:%M:%S.%f") + "Z"


def only_members(v, names):
    if not isinstance(v, dict) or set(v) != set(names):
        raise Refused(400, f"Invalid JSON payload: unknown or missing name in {v}")


class Job:
    def __init__(self, fake, request):
        self.fake, self.request = fake, request
        number = "".join(random.choices(string.digits[1:], k=19))
        self.id = number
        self.name = f"projects/{NUMBER}/locations/{LOCATION}/batchPredictionJobs/{number}"
        self.state, self.created_at = "PENDING", time.time()
        self.times, self.error, self.stats, self.folder = {}, None, None, None
        self.output_name = "predictions.jsonl"

    @property
    def input(self):
        uri = self.request["inputConfig"]["gcsSource"]["uris"][0]
        return uri.removeprefix(f"gs://{self.fake.bucket}/")

    def run(self):
        self.state = "RUNNING"
        self.times["startTime"] = time.time()

    def _end(self, state):
        self.state = state
        self.times["endTime"] = time.time()

    def fail(self, message, code=3):
        self.error = {"code": code, "message": message}
        self._end("FAILED")

    def cancelled(self):
        self._end("CANCELLED")

    def finish(self, failed=0, state=None):
        self.run()
        lines = self.fake.files[self.input].read().splitlines()
        out = []
        for n, line in enumerate(lines):
            request = json.loads(line)["request"]
            row = {"request": request, "status": "", "response": {"candidates": []}}
            if n < failed:
                row.update(status="Bad Request: no", response={})
            out.append(json.dumps(row) + "\n")
        prefix = self.request["outputConfig"]["gcsDestination"]["outputUriPrefix"]
        self.folder = f"{prefix}prediction-model-2025-12-01T15:00:00.000000Z"
        name = f"{self.folder}/{self.output_name}"
        name = name.removeprefix(f"gs://{self.fake.bucket}/")
        data = tempfile.SpooledTemporaryFile(1 << 20)
        data.write("".join(out).encode())
        self.output = self.fake._store(name, "application/octet-stream", {}, data)
        good = len(lines) - failed
        self.stats = {"successfulCount": str(good), "failedCount": str(failed)}
        self._end(state or ("PARTIALLY_SUCCEEDED" if failed else "SUCCEEDED"))

    def object(self):
        out = {"name": self.name, **self.request, "state": f"JOB_STATE_{self.state}",
               "createTime": rfc3339(self.created_at),
               "updateTime": rfc3339(time.time()),
               "modelVersionId": "default"}  # fmt: skip
        out.update({name: rfc3339(at) for name, at in self.times.items()})
        if self.error:
            out["error"] = self.error
        if self.stats:
            out["completionStats"] = self.stats
        if self.folder:
            out["outputInfo"] = {"gcsOutputDirectory": self.folder}
        return out


class Jobs:
    """The routes, mixed into the fake."""

    job_models = {"publishers/google/models/gemini-2.5-flash",
                  "publishers/google/models/gemini-embedding-001",
                  "publishers/anthropic/models/claude-sonnet-4-5"}  # fmt: skip

    @staticmethod
    def is_job(x):
        return x.head.path.startswith("/v1/projects/")

    @staticmethod
    def answer_job_error(x, e):
        error = {"code": e.status, "message": e.message,
                 "status": STATUS.get(e.status, "INTERNAL")}  # fmt: skip
        x.answer(e.status, {"error": error}, then_close=not x.body.ended)

    def route_job(self, x):
        self._check_auth(x)
        m = PARENT.fullmatch(x.head.target)
        if not m:
            raise Refused(404, "Not Found")
        project, location, number, cancels = m.groups()
        if project not in (PROJECT, NUMBER):
            raise Refused(403, f"Permission denied on resource project {project}.")
        if location != LOCATION:
            raise Refused(404, f"unsupported location {location}")
        routes = {("POST", False, False): self._create_job,
                  ("GET", True, False): self._get_job,
                  ("POST", True, True): self._cancel_job}  # fmt: skip
        route = routes.get((x.head.method, bool(number), bool(cancels)))
        if not route:
            raise Refused(404, "Method not found.")
        body = x.body.read_all() if x.head.method == "POST" else b""
        route(x, number, body)

    def _create_job(self, x, _, body):
        if x.head.get("content-type") != "application/json; charset=UTF-8":
            raise Refused(400, "unusable Content-Type")
        r = json.loads(body)
        only_members(r, ["displayName", "model", "inputConfig", "outputConfig", "labels"])
        self._check_input(r["inputConfig"])
        self._check_output(r["outputConfig"])
        if r["model"] not in self.job_models:
            raise Refused(404, f"Publisher Model `{r['model']}` was not found.")
        for name, value in r["labels"].items():
            if not name[:1].islower() or not LABEL.fullmatch(name) or not LABEL.fullmatch(value):
                raise Refused(400, "invalid label")
        job = Job(self, r)
        with self.lock:
            self.jobs[job.id] = job
        x.at("stored")
        x.answer(200, job.object())

    def _check_input(self, v):
        only_members(v, ["instancesFormat", "gcsSource"])
        only_members(v["gcsSource"], ["uris"])
        (uri,) = v["gcsSource"]["uris"]
        name = uri.removeprefix(f"gs://{self.bucket}/")
        if v["instancesFormat"] != "jsonl":
            raise Refused(400, "instancesFormat")
        if name not in self.files:
            raise Refused(400, f"{uri} does not exist, or may not be read.")

    def _check_output(self, v):
        only_members(v, ["predictionsFormat", "gcsDestination"])
        only_members(v["gcsDestination"], ["outputUriPrefix"])
        prefix = v["gcsDestination"]["outputUriPrefix"]
        if v["predictionsFormat"] != "jsonl" or not prefix.startswith(f"gs://{self.bucket}/"):
            raise Refused(400, "outputConfig")

    def _find_job(self, number):
        if number not in self.jobs:
            raise Refused(404, f"The BatchPredictionJob {number} does not exist.")
        return self.jobs[number]

    def _get_job(self, x, number, _):
        x.answer(200, self._find_job(number).object())

    def _cancel_job(self, x, number, body):
        job = self._find_job(number)
        if body:
            raise Refused(400, "unexpected body")
        if job.state not in OPEN:
            raise Refused(400, f"{job.name} is in state {job.state}, not cancellable.")
        job.state = "CANCELLING"
        x.at("stored")
        x.answer(200, {})
