"""OpenAI's Batch API, for the fake of its files: strict, and moved by hand.

    fake.batches                 # id -> Batch, in the order of their making
    batch.run()                  # validating -> in_progress
    batch.finish(failed=1)       # -> completed, with output and error files
    fake.auto_run = True         # every look moves a batch on by one state
"""

import json
import random
import re
import string
import time

from .form import Refused

ENDPOINTS = ["/v1/responses", "/v1/chat/completions", "/v1/embeddings",
             "/v1/completions", "/v1/moderations"]  # fmt: skip
FIELDS = {"input_file_id", "endpoint", "completion_window", "metadata",
          "output_expires_after"}  # fmt: skip
TIMES = ["in_progress_at", "expires_at", "finalizing_at", "completed_at", "failed_at",
         "expired_at", "cancelling_at", "cancelled_at"]  # fmt: skip
OPEN = {"validating", "in_progress", "finalizing"}


class Batch:
    def __init__(self, fake, request):
        self.fake, self.request = fake, request
        self.id = "batch_" + "".join(random.choices(string.hexdigits[:16], k=32))
        self.status, self.created_at = "validating", int(time.time())
        self.times = {"expires_at": self.created_at + 86400}
        self.output = self.error = self.errors = None
        lines = fake.files[request["input_file_id"]].read().splitlines()
        self.lines = [json.loads(line) for line in lines]
        self.counts = {"total": 0, "completed": 0, "failed": 0}

    def set(self, status):
        self.status = status
        self.times[status + "_at"] = int(time.time())

    def run(self):
        self.set("in_progress")
        self.counts["total"] = len(self.lines)

    def fail(self, message):
        self.set("failed")
        data = [{"code": "invalid", "message": message, "param": None, "line": 1}]
        self.errors = {"object": "list", "data": data}

    def finish(self, failed=0):
        self.run()
        ids = [line["custom_id"] for line in self.lines]
        good, bad = ids[failed:], ids[:failed]
        self.output = self._file("output", good) if good else None
        self.error = self._file("error", bad) if bad else None
        self.counts.update(completed=len(good), failed=len(bad))
        self.set("completed")

    def _file(self, kind, ids):
        answers = [{"id": "batch_req_1", "custom_id": c, "error": None,
                    "response": {"status_code": 200, "body": {}}} for c in ids]  # fmt: skip
        data = "".join(json.dumps(a) + "\n" for a in answers).encode()
        return self.fake.put(f"{self.id}_{kind}.jsonl", data, "batch_output", 0)

    def step(self):
        if self.status == "validating":
            self.run()
        elif self.status == "in_progress":
            self.set("finalizing")
        elif self.status == "finalizing":
            self.finish()
        elif self.status == "cancelling":
            self.set("cancelled")

    def object(self):
        return {
            "id": self.id, "object": "batch", "endpoint": self.request["endpoint"],
            "errors": self.errors, "input_file_id": self.request["input_file_id"],
            "completion_window": self.request["completion_window"],
            "status": self.status, "output_file_id": self.output and self.output.id,
            "error_file_id": self.error and self.error.id,
            "created_at": self.created_at,
            **{name: self.times.get(name) for name in TIMES},
            "request_counts": self.counts, "metadata": self.request.get("metadata"),
        }  # fmt: skip


class Batches:
    """The routes, mixed into the fake."""

    auto_run = False
    batch_fields, windows = FIELDS, {"24h"}

    def show_batch(self, batch):
        return batch.object()

    def _batch_route(self, x, path):
        """False when it is none."""
        m = re.fullmatch(r"/batches(?:/([^/]+)(/cancel)?)?", path)
        if not m:
            return False
        batch_id, cancels = m.groups()
        routes = {
            ("POST", False, False): self._batch_create,
            ("GET", True, False): self._batch_get,
            ("POST", True, True): self._batch_cancel,
        }
        route = routes.get((x.head.method, bool(batch_id), bool(cancels)))
        if not route:
            raise Refused(405, f"Not allowed to {x.head.method} on {x.head.path}.")
        body = x.body.read_all() if x.head.method == "POST" else b""
        route(x, batch_id, body)
        return True

    def _batch_create(self, x, _, body):
        if x.head.get("content-type") != "application/json":
            raise Refused(415, "Unsupported content type")
        r = json.loads(body)
        for name in r.keys() - self.batch_fields:
            raise Refused(400, f"Unknown parameter: '{name}'.", name)
        for name in ("input_file_id", "endpoint", "completion_window"):
            if not isinstance(r.get(name), str):
                raise Refused(400, f"Missing required parameter: '{name}'.", name)
        if r["endpoint"] not in ENDPOINTS:
            raise Refused(400, f"Invalid value: '{r['endpoint']}'.", "endpoint")
        if r["completion_window"] not in self.windows:
            raise Refused(400, "Invalid value.", "completion_window")
        if self._find(r["input_file_id"]).purpose != "batch":
            raise Refused(400, f"{r['input_file_id']} is not a batch file.", "input_file_id")
        batch = Batch(self, r)
        self.batches[batch.id] = batch
        x.at("stored")
        x.answer(200, self.show_batch(batch))

    def _find_batch(self, batch_id):
        batch = self.batches.get(batch_id)
        if not batch:
            raise Refused(404, f"No batch found with id '{batch_id}'.")
        return batch

    def _batch_get(self, x, batch_id, _):
        batch = self._find_batch(batch_id)
        with self.lock:
            moves = self.auto_run
        if moves:
            batch.step()
        x.answer(200, self.show_batch(batch))

    def _batch_cancel(self, x, batch_id, body):
        batch = self._find_batch(batch_id)
        if body:
            raise Refused(400, "no body is taken")
        if batch.status not in OPEN:
            raise Refused(400, f"Cannot cancel a batch with status '{batch.status}'.")
        batch.set("cancelling")
        x.at("stored")
        x.answer(200, self.show_batch(batch))
