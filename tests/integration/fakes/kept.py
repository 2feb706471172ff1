"""What OpenAI keeps for its callers beside files, for the fake of its files:
fine-tuning jobs and vector stores here. Strict: a member, a query or an id that
OpenAI would not take is refused.

    fake.kept["ftjob"]            # id -> dict, in the order of their making
    fake.job(id).finish()         # -> succeeded, with a result file
    fake.auto_run = True          # every look moves a job on by one state
"""

import json
import random
import re
import string
import time

from .form import Refused

ROUTES = []
SIGNS = string.ascii_letters + string.digits
JOB_FIELDS = {"model", "training_file", "validation_file", "suffix", "method",
              "hyperparameters", "integrations", "seed", "metadata"}  # fmt: skip
TUNED = {"gpt-4o-mini-2024-07-18", "gpt-4.1-nano-2025-04-14", "gpt-4o"}
OPEN = {"validating_files", "queued", "running", "paused"}


def route(method, pattern):
    """{x} in a pattern is an argument."""
    text = re.sub(r"\{\w+\}", "([^/]+)", pattern)

    def take(fn):
        ROUTES.append((method, re.compile("/" + text), fn))
        return fn

    return take


def new_id(prefix):
    return prefix + "".join(random.choices(SIGNS, k=24))


def unknown(name):
    return Refused(400, f"Unknown parameter: '{name}'.", name, "unknown_parameter")


def only(r, names, required=()):
    for name in r.keys() - set(names):
        raise unknown(name)
    for name in required:
        if name not in r:
            raise Refused(400, f"Missing required parameter: '{name}'.", name)
    return r


class Job:
    """A fine-tuning job, moved by hand or by looks."""

    def __init__(self, fake, r):
        self.fake, self.request, self.id = fake, r, new_id("ftjob-")
        self.status, self.created_at = "validating_files", int(time.time())
        self.finished_at = self.error = None
        self.results, self.events, self.checkpoints = [], [], []
        self.tell(f"Created fine-tuning job: {self.id}")

    def tell(self, message):
        event = {"object": "fine_tuning.job.event", "id": new_id("ftevent-"),
                 "created_at": int(time.time()), "level": "info",
                 "message": message, "type": "message", "data": {}}  # fmt: skip
        self.events.insert(0, event)

    def checkpoint(self, step):
        self.checkpoints.insert(0, {
            "object": "fine_tuning.job.checkpoint", "id": new_id("ftckpt_"),
            "created_at": int(time.time()), "step_number": step,
            "fine_tuned_model_checkpoint": f"ft:{self.request['model']}:org::c{step}",
            "fine_tuning_job_id": self.id, "metrics": {"train_loss": 0.5},
        })  # fmt: skip

    def set(self, status):
        self.status = status
        if status in ("succeeded", "failed", "cancelled"):
            self.finished_at = int(time.time())

    def finish(self):
        self.checkpoint(10)
        self.checkpoint(20)
        data = b"step,train_loss\n10,0.5\n20,0.4\n"
        made = self.fake.put("step_metrics.csv", data, "fine-tune-results", 0)
        self.results.append(made.id)
        self.set("succeeded")

    def step(self):
        if self.status == "validating_files":
            self.set("queued")
        elif self.status == "queued":
            self.set("running")
        elif self.status == "running":
            self.finish()

    def object(self):
        r = self.request
        done = self.status == "succeeded"
        return {
            "object": "fine_tuning.job", "id": self.id, "model": r["model"],
            "created_at": self.created_at, "finished_at": self.finished_at,
            "fine_tuned_model": f"ft:{r['model']}:org::x" if done else None,
            "organization_id": "org-up", "result_files": self.results,
            "status": self.status, "validation_file": r.get("validation_file"),
            "training_file": r["training_file"], "seed": r.get("seed", 7),
            "hyperparameters": {"n_epochs": "auto", "batch_size": "auto",
                                "learning_rate_multiplier": "auto"},
            "trained_tokens": 100 if done else None, "error": self.error,
            "integrations": [], "metadata": r.get("metadata"),
            "estimated_finish": None,
        }  # fmt: skip


class Kept:
    """The routes, mixed into the fake."""

    def _kept_begin(self):
        self.kept = {}  # kind -> id -> what is kept

    def _kept_route(self, x, path):
        """False when it is none."""
        matching = [(m, fn, found) for m, pattern, fn in ROUTES
                    if (found := pattern.fullmatch(path))]  # fmt: skip
        for method, fn, found in matching:
            if method == x.head.method:
                fn(self, x, *found.groups())
                return True
        if matching:
            raise Refused(405, f"Not allowed to {x.head.method} on {x.head.path}.")
        return False

    # --- what all do ---

    def job(self, job_id):
        return self._get_kept("ftjob", job_id)

    def _all(self, kind):
        with self.lock:
            return self.kept.setdefault(kind, {})

    def _get_kept(self, kind, one_id):
        one = self._all(kind).get(one_id)
        if one is None:
            raise Refused(404, f"No {kind} found with id '{one_id}'.", "id")
        return one

    def _read_json(self, x, names, required=(), empty=False):
        body = x.body.read_all()
        x.seen.body = body
        if not body and empty:
            return {}
        if x.head.get("content-type") != "application/json":
            raise Refused(415, f"Unsupported: {x.head.get('content-type')}")
        x.seen.json = json.loads(body)
        return only(x.seen.json, names, required)

    def _no_body(self, x):
        if x.body.read_all() not in (b"", b"{}"):
            raise Refused(400, "no body is taken")

    def _file_for(self, file_id, param, purpose=None):
        stored = self.files.get(file_id)
        if not stored:
            raise Refused(404, f"No such File object: {file_id}", param)
        if purpose and stored.purpose != purpose:
            raise Refused(400, f"File '{file_id}' is not of {purpose}", param)
        return file_id

    def _page(self, x, items, default, top=100, names=("order", "before")):
        """The list that a query asks of items, the newest first."""
        q = dict(x.head.query)
        for name in q:
            known = name in ("after", "limit", *names)
            if not known and not name.startswith("metadata["):
                raise unknown(name)
        limit = q.get("limit", str(default))
        if not limit.isdigit() or not 1 <= int(limit) <= top:
            raise Refused(400, f"Invalid 'limit': {limit}.", "limit")
        if q.get("order", "desc") == "asc":
            items = items[::-1]
        ids = [item["id"] for item in items]
        for name in ("after", "before"):
            if name in q and q[name] not in ids:
                raise Refused(400, f"No such object: {q[name]}", name)
        if "after" in q:
            items = items[ids.index(q["after"]) + 1 :]
        if "before" in q:
            items = items[: ids.index(q["before"])]
        limit = int(limit)
        page = items[-limit:] if "before" in q else items[:limit]
        out = {"object": "list", "data": page, "has_more": len(page) < len(items)}
        if "order" in names:
            out["first_id"] = page[0]["id"] if page else None
            out["last_id"] = page[-1]["id"] if page else None
        x.answer(200, out)

    def _keep(self, kind, prefix, one):
        one = {"id": new_id(prefix), "created_at": int(time.time()), **one}
        self._all(kind)[one["id"]] = one
        return one

    def _made(self, x, one):
        x.at("stored")
        x.answer(200, one)

    def _delete_kept(self, x, kind, one_id, name):
        self._get_kept(kind, one_id)
        del self._all(kind)[one_id]
        x.answer(200, {"id": one_id, "object": name, "deleted": True})

    def _newest(self, kind):
        return [dict(o) for o in reversed(self._all(kind).values())]

    # --- fine-tuning jobs ---

    @route("POST", "fine_tuning/jobs")
    def _job_create(self, x):
        r = self._read_json(x, JOB_FIELDS, ("model", "training_file"))
        if r["model"] not in TUNED:
            raise Refused(400, f"Model {r['model']} is not available", "model")
        self._file_for(r["training_file"], "training_file", "fine-tune")
        if r.get("validation_file") is not None:
            self._file_for(r["validation_file"], "validation_file", "fine-tune")
        job = Job(self, r)
        self._all("ftjob")[job.id] = job
        self._made(x, job.object())

    @route("GET", "fine_tuning/jobs")
    def _job_list(self, x):
        jobs = [j.object() for j in reversed(self._all("ftjob").values())]
        self._page(x, jobs, 20, names=())

    @route("GET", "fine_tuning/jobs/{id}")
    def _job_get(self, x, job_id):
        job = self.job(job_id)
        with self.lock:
            moves = self.auto_run
        if moves:
            job.step()
        x.answer(200, job.object())

    def _job_move(self, x, job_id, takes, to):
        self._no_body(x)
        job = self.job(job_id)
        if job.status not in takes:
            raise Refused(400, f"Job {job_id} is {job.status}.")
        job.set(to)
        self._made(x, job.object())

    @route("POST", "fine_tuning/jobs/{id}/cancel")
    def _job_cancel(self, x, job_id):
        self._job_move(x, job_id, OPEN, "cancelled")

    @route("POST", "fine_tuning/jobs/{id}/pause")
    def _job_pause(self, x, job_id):
        self._job_move(x, job_id, {"running"}, "paused")

    @route("POST", "fine_tuning/jobs/{id}/resume")
    def _job_resume(self, x, job_id):
        self._job_move(x, job_id, {"paused"}, "running")

    @route("GET", "fine_tuning/jobs/{id}/events")
    def _job_events(self, x, job_id):
        self._page(x, self.job(job_id).events, 20, names=())

    @route("GET", "fine_tuning/jobs/{id}/checkpoints")
    def _job_checkpoints(self, x, job_id):
        self._page(x, self.job(job_id).checkpoints, 10, names=())

    # --- vector stores ---

    def _store_object(self, store):
        out = {k: v for k, v in store.items() if k not in ("files", "batches")}
        n = len(store["files"])
        counts = {"in_progress": 0, "completed": n, "failed": 0, "cancelled": 0}
        return {**out, "file_counts": {**counts, "total": n}}

    def _store_file(self, store, r):
        file_id = self._file_for(r["file_id"], "file_id")
        store["files"][file_id] = {
            "id": file_id, "object": "vector_store.file", "usage_bytes": 12,
            "created_at": int(time.time()), "vector_store_id": store["id"],
            "status": "completed", "last_error": None,
            "chunking_strategy": r.get("chunking_strategy", {"type": "other"}),
            "attributes": r.get("attributes", {}),
        }  # fmt: skip
        return store["files"][file_id]

    @route("POST", "vector_stores")
    def _store_create(self, x):
        names = {"name", "file_ids", "expires_after", "chunking_strategy",
                 "metadata", "description"}  # fmt: skip
        r = self._read_json(x, names)
        for file_id in r.get("file_ids", []):
            self._file_for(file_id, "file_ids")
        store = self._keep("vs", "vs_", {
            "object": "vector_store", "name": r.get("name"), "usage_bytes": 0,
            "status": "completed", "expires_after": r.get("expires_after"),
            "expires_at": None, "last_active_at": int(time.time()),
            "metadata": r.get("metadata", {}), "files": {}, "batches": {},
        })  # fmt: skip
        for file_id in r.get("file_ids", []):
            self._store_file(store, {"file_id": file_id})
        self._made(x, self._store_object(store))

    @route("GET", "vector_stores")
    def _store_list(self, x):
        self._page(x, [self._store_object(s) for s in self._newest("vs")], 20)

    @route("GET", "vector_stores/{id}")
    def _store_get(self, x, vs):
        x.answer(200, self._store_object(self._get_kept("vs", vs)))

    @route("POST", "vector_stores/{id}")
    def _store_modify(self, x, vs):
        store = self._get_kept("vs", vs)
        store.update(self._read_json(x, {"name", "expires_after", "metadata"}))
        x.answer(200, self._store_object(store))

    @route("DELETE", "vector_stores/{id}")
    def _store_delete(self, x, vs):
        self._delete_kept(x, "vs", vs, "vector_store.deleted")

    @route("POST", "vector_stores/{id}/search")
    def _store_search(self, x, vs):
        store = self._get_kept("vs", vs)
        names = {"query", "filters", "max_num_results", "ranking_options",
                 "rewrite_query"}  # fmt: skip
        r = self._read_json(x, names, ("query",))
        data = [{"file_id": f, "filename": self.files[f].filename, "score": 0.9,
                 "attributes": v["attributes"],
                 "content": [{"type": "text", "text": f"about {f}"}]}
                for f, v in store["files"].items()]  # fmt: skip
        x.answer(200, {"object": "vector_store.search_results.page",
                       "search_query": [r["query"]], "data": data,
                       "has_more": False, "next_page": None})  # fmt: skip

    @route("POST", "vector_stores/{id}/files")
    def _attach(self, x, vs):
        store = self._get_kept("vs", vs)
        names = {"file_id", "attributes", "chunking_strategy"}
        r = self._read_json(x, names, ("file_id",))
        self._made(x, self._store_file(store, r))

    @route("GET", "vector_stores/{id}/files")
    def _attached(self, x, vs):
        files = self._get_kept("vs", vs)["files"].values()
        self._page(x, list(files)[::-1], 20, names=("order", "before", "filter"))

    def _one_attached(self, vs, file_id):
        one = self._get_kept("vs", vs)["files"].get(file_id)
        if not one:
            raise Refused(404, f"No file found with id '{file_id}' in '{vs}'.")
        return one

    @route("GET", "vector_stores/{id}/files/{file}")
    def _attached_get(self, x, vs, file_id):
        x.answer(200, self._one_attached(vs, file_id))

    @route("POST", "vector_stores/{id}/files/{file}")
    def _attached_modify(self, x, vs, file_id):
        one = self._one_attached(vs, file_id)
        one.update(self._read_json(x, {"attributes"}, ("attributes",)))
        x.answer(200, one)

    @route("DELETE", "vector_stores/{id}/files/{file}")
    def _detach(self, x, vs, file_id):
        self._one_attached(vs, file_id)
        del self._get_kept("vs", vs)["files"][file_id]
        name = "vector_store.file.deleted"
        x.answer(200, {"id": file_id, "object": name, "deleted": True})

    @route("GET", "vector_stores/{id}/files/{file}/content")
    def _attached_content(self, x, vs, file_id):
        self._one_attached(vs, file_id)
        text = self.files[file_id].read().decode("utf-8", "replace")
        x.answer(200, {"object": "vector_store.file_content.page",
                       "data": [{"type": "text", "text": text}],
                       "has_more": False, "next_page": None})  # fmt: skip

    @route("POST", "vector_stores/{id}/file_batches")
    def _file_batch(self, x, vs):
        store = self._get_kept("vs", vs)
        names = {"file_ids", "files", "attributes", "chunking_strategy"}
        r = self._read_json(x, names)
        wanted = r.get("files") or [{"file_id": f} for f in r.get("file_ids", [])]
        for one in wanted:
            self._file_for(one["file_id"], "file_ids")
        ids = [self._store_file(store, one)["id"] for one in wanted]
        n = len(ids)
        counts = {"in_progress": 0, "completed": n, "failed": 0, "cancelled": 0}
        batch = {"id": new_id("vsfb_"), "object": "vector_store.files_batch",
                 "created_at": int(time.time()), "vector_store_id": vs,
                 "status": "completed",
                 "file_counts": {**counts, "total": n}}  # fmt: skip
        store["batches"][batch["id"]] = batch, ids
        self._made(x, batch)

    def _one_batch(self, vs, batch):
        one = self._get_kept("vs", vs)["batches"].get(batch)
        if not one:
            raise Refused(404, f"No batch found with id '{batch}'.")
        return one

    @route("GET", "vector_stores/{id}/file_batches/{b}")
    def _file_batch_get(self, x, vs, batch):
        x.answer(200, self._one_batch(vs, batch)[0])

    @route("POST", "vector_stores/{id}/file_batches/{b}/cancel")
    def _file_batch_cancel(self, x, vs, batch):
        self._no_body(x)
        self._one_batch(vs, batch)[0]["status"] = "cancelled"
        x.answer(200, self._one_batch(vs, batch)[0])

    @route("GET", "vector_stores/{id}/file_batches/{b}/files")
    def _file_batch_files(self, x, vs, batch):
        ids = self._one_batch(vs, batch)[1]
        files = [self._one_attached(vs, f) for f in reversed(ids)]
        self._page(x, files, 20, names=("order", "before", "filter"))
