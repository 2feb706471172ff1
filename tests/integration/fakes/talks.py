"""Containers, conversations, assistants, threads, evaluations and videos, for the
fake of OpenAI's files: what kept.py does not have.
"""

import time

from .form import Refused, read_form
from .kept import new_id, only, route


class Talks:
    """The routes, mixed into the fake."""

    # --- containers: their files have a namespace of their own ---

    @route("POST", "containers")
    def _container_create(self, x):
        names = {"name", "file_ids", "expires_after", "memory_limit"}
        r = self._read_json(x, names, ("name",))
        for file_id in r.get("file_ids", []):
            self._file_for(file_id, "file_ids")
        one = self._keep("cntr", "cntr_", {
            "object": "container", "name": r["name"], "status": "running",
            "last_active_at": int(time.time()),
            "expires_after": {"anchor": "last_active_at", "minutes": 20},
        })  # fmt: skip
        self._all(one["id"])  # its files
        self._made(x, one)

    @route("GET", "containers")
    def _container_list(self, x):
        self._page(x, self._newest("cntr"), 20, names=("order", "name"))

    @route("GET", "containers/{id}")
    def _container_get(self, x, one_id):
        x.answer(200, self._get_kept("cntr", one_id))

    @route("DELETE", "containers/{id}")
    def _container_delete(self, x, one_id):
        self._delete_kept(x, "cntr", one_id, "container.deleted")

    def _container_file(self, x, container, path, size):
        one = {"id": new_id("cfile_"), "object": "container.file", "bytes": size,
               "created_at": int(time.time()), "container_id": container,
               "path": f"/mnt/data/{path}", "source": "user"}  # fmt: skip
        self._all(container)[one["id"]] = one
        self._made(x, one)

    @route("POST", "containers/{id}/files")
    def _container_put(self, x, container):
        self._get_kept("cntr", container)
        if x.head.get("content-type") == "application/json":
            file_id = self._read_json(x, {"file_id"}, ("file_id",))["file_id"]
        else:
            x.seen.form = read_form(x.body, x.head.get("content-type"), lambda p: None)
            only(x.seen.fields, {"file_id"})
            file_id = x.seen.fields.get("file_id")
            if x.seen.file:
                file = x.seen.file
                return self._container_file(x, container, file.filename, file.size)
        stored = self.files[self._file_for(file_id, "file_id")]
        return self._container_file(x, container, stored.filename, stored.size)

    @route("GET", "containers/{id}/files")
    def _container_files(self, x, container):
        self._get_kept("cntr", container)
        self._page(x, self._newest(container), 20, names=("order",))

    @route("GET", "containers/{id}/files/{file}")
    def _container_file_get(self, x, container, file_id):
        self._get_kept("cntr", container)
        x.answer(200, self._get_kept(container, file_id))

    @route("DELETE", "containers/{id}/files/{file}")
    def _container_file_delete(self, x, container, file_id):
        self._get_kept("cntr", container)
        self._delete_kept(x, container, file_id, "container.file.deleted")

    @route("GET", "containers/{id}/files/{file}/content")
    def _container_content(self, x, container, file_id):
        self._get_kept(container, file_id)
        x.answer(200, b"of the container", {"Content-Type": "text/plain"})

    # --- conversations ---

    def _items(self, items):
        for item in items:
            for part in item.get("content", []) if item.get("role") else []:
                if "file_id" in part:
                    self._file_for(part["file_id"], "file_id")
        return [{"type": "message", "id": new_id("msg_"), **i} for i in items]

    @route("POST", "conversations")
    def _conversation_create(self, x):
        r = self._read_json(x, {"items", "metadata"}, empty=True)
        items = self._items(r.get("items") or [])
        one = self._keep("conv", "conv_", {"object": "conversation",
                         "metadata": r.get("metadata", {})})  # fmt: skip
        self._all(one["id"]).update({i["id"]: i for i in items})
        self._made(x, one)

    @route("GET", "conversations/{id}")
    def _conversation_get(self, x, one_id):
        x.answer(200, self._get_kept("conv", one_id))

    @route("POST", "conversations/{id}")
    def _conversation_modify(self, x, one_id):
        one = self._get_kept("conv", one_id)
        one.update(self._read_json(x, {"metadata"}, ("metadata",)))
        x.answer(200, one)

    @route("DELETE", "conversations/{id}")
    def _conversation_delete(self, x, one_id):
        self._delete_kept(x, "conv", one_id, "conversation.deleted")

    @route("POST", "conversations/{id}/items")
    def _items_create(self, x, one_id):
        self._get_kept("conv", one_id)
        r = self._read_json(x, {"items"}, ("items",))
        made = self._items(r["items"])
        self._all(one_id).update({i["id"]: i for i in made})
        x.answer(200, {"object": "list", "data": made, "has_more": False,
                       "first_id": made[0]["id"], "last_id": made[-1]["id"]})  # fmt: skip

    @route("GET", "conversations/{id}/items")
    def _items_list(self, x, one_id):
        self._get_kept("conv", one_id)
        self._page(x, self._newest(one_id), 20, names=("order", "include"))

    @route("GET", "conversations/{id}/items/{item}")
    def _item_get(self, x, one_id, item):
        self._get_kept("conv", one_id)
        x.answer(200, self._get_kept(one_id, item))

    @route("DELETE", "conversations/{id}/items/{item}")
    def _item_delete(self, x, one_id, item):
        self._get_kept(one_id, item)
        del self._all(one_id)[item]
        x.answer(200, self._get_kept("conv", one_id))

    # --- assistants, threads, messages, runs ---

    def _tools(self, r):
        tools = (r.get("tool_resources") or {}).get("code_interpreter") or {}
        for file_id in tools.get("file_ids", []):
            self._file_for(file_id, "tool_resources")

    @route("POST", "assistants")
    def _assistant_create(self, x):
        names = {"model", "name", "description", "instructions", "tools",
                 "tool_resources", "metadata", "temperature", "top_p",
                 "response_format", "reasoning_effort"}  # fmt: skip
        r = self._read_json(x, names, ("model",))
        self._beta(x)
        self._tools(r)
        base = {"object": "assistant", "name": None, "description": None,
                "instructions": None, "tools": [], "metadata": {}}  # fmt: skip
        self._made(x, self._keep("asst", "asst_", {**base, **r}))

    @staticmethod
    def _beta(x):
        if x.head.get("openai-beta") != "assistants=v2":
            raise Refused(400, "You must provide the 'OpenAI-Beta' header.")

    @route("GET", "assistants")
    def _assistant_list(self, x):
        self._beta(x)
        self._page(x, self._newest("asst"), 20)

    @route("GET", "assistants/{id}")
    def _assistant_get(self, x, one_id):
        self._beta(x)
        x.answer(200, self._get_kept("asst", one_id))

    @route("POST", "assistants/{id}")
    def _assistant_modify(self, x, one_id):
        self._beta(x)
        one = self._get_kept("asst", one_id)
        r = self._read_json(x, {"name", "tool_resources", "metadata", "model"})
        self._tools(r)
        one.update(r)
        x.answer(200, one)

    @route("DELETE", "assistants/{id}")
    def _assistant_delete(self, x, one_id):
        self._beta(x)
        self._delete_kept(x, "asst", one_id, "assistant.deleted")

    @route("POST", "threads")
    def _thread_create(self, x):
        self._beta(x)
        names = {"messages", "tool_resources", "metadata"}
        r = self._read_json(x, names, empty=True)
        self._tools(r)
        for message in r.get("messages", []):
            self._attachments(message)
        one = self._keep("thread", "thread_", {"object": "thread",
                         "metadata": r.get("metadata", {}),
                         "tool_resources": r.get("tool_resources", {})})  # fmt: skip
        self._made(x, one)

    @route("GET", "threads/{id}")
    def _thread_get(self, x, one_id):
        x.answer(200, self._get_kept("thread", one_id))

    @route("POST", "threads/{id}")
    def _thread_modify(self, x, one_id):
        one = self._get_kept("thread", one_id)
        one.update(self._read_json(x, {"metadata", "tool_resources"}))
        x.answer(200, one)

    @route("DELETE", "threads/{id}")
    def _thread_delete(self, x, one_id):
        self._delete_kept(x, "thread", one_id, "thread.deleted")

    def _attachments(self, message):
        for one in message.get("attachments") or []:
            self._file_for(one["file_id"], "attachments")

    @route("POST", "threads/{id}/messages")
    def _message_create(self, x, thread):
        self._get_kept("thread", thread)
        names = {"role", "content", "attachments", "metadata"}
        r = self._read_json(x, names, ("role", "content"))
        self._attachments(r)
        text = {"type": "text", "text": {"value": r["content"], "annotations": []}}
        one = {"object": "thread.message", "thread_id": thread, "role": r["role"],
               "content": [text], "metadata": r.get("metadata", {}),
               "attachments": r.get("attachments", []), "status": "completed",
               "assistant_id": None, "run_id": None}  # fmt: skip
        self._made(x, self._keep(thread, "msg_", one))

    @route("GET", "threads/{id}/messages")
    def _message_list(self, x, thread):
        self._get_kept("thread", thread)
        names = ("order", "before", "run_id")
        self._page(x, self._newest(thread), 20, names=names)

    @route("GET", "threads/{id}/messages/{m}")
    def _message_get(self, x, thread, message):
        self._get_kept("thread", thread)
        x.answer(200, self._get_kept(thread, message))

    @route("POST", "threads/{id}/runs")
    def _run_create(self, x, thread):
        self._get_kept("thread", thread)
        names = {"assistant_id", "model", "instructions", "metadata", "stream",
                 "additional_messages"}  # fmt: skip
        r = self._read_json(x, names, ("assistant_id",))
        one = self._get_kept("asst", r["assistant_id"])
        run = {"object": "thread.run", "thread_id": thread, "status": "completed",
               "assistant_id": one["id"], "model": one["model"],
               "metadata": r.get("metadata", {})}  # fmt: skip
        self._made(x, self._keep("runs of " + thread, "run_", run))

    @route("GET", "threads/{id}/runs")
    def _run_list(self, x, thread):
        self._get_kept("thread", thread)
        self._page(x, self._newest("runs of " + thread), 20)

    @route("GET", "threads/{id}/runs/{r}")
    def _run_get(self, x, thread, run):
        self._get_kept("thread", thread)
        x.answer(200, self._get_kept("runs of " + thread, run))

    # --- evaluations ---

    @route("POST", "evals")
    def _eval_create(self, x):
        names = {"name", "data_source_config", "testing_criteria", "metadata"}
        required = ("data_source_config", "testing_criteria")
        r = self._read_json(x, names, required)
        self._made(x, self._keep("eval", "eval_", {"object": "eval", **r}))

    @route("GET", "evals")
    def _eval_list(self, x):
        self._page(x, self._newest("eval"), 20, names=("order", "order_by"))

    @route("GET", "evals/{id}")
    def _eval_get(self, x, one_id):
        x.answer(200, self._get_kept("eval", one_id))

    @route("DELETE", "evals/{id}")
    def _eval_delete(self, x, one_id):
        self._get_kept("eval", one_id)
        del self._all("eval")[one_id]
        x.answer(200, {"object": "eval.deleted", "deleted": True, "eval_id": one_id})

    @route("POST", "evals/{id}/runs")
    def _eval_run(self, x, one_id):
        self._get_kept("eval", one_id)
        r = self._read_json(x, {"name", "data_source", "metadata"}, ("data_source",))
        source = r["data_source"]["source"]
        if source["type"] == "file_id":
            self._file_for(source["id"], "data_source")
        run = {"object": "eval.run", "eval_id": one_id, "status": "queued", **r}
        self._made(x, self._keep(one_id, "evalrun_", run))

    @route("GET", "evals/{id}/runs")
    def _eval_runs(self, x, one_id):
        self._get_kept("eval", one_id)
        self._page(x, self._newest(one_id), 20, names=("order", "status"))

    @route("GET", "evals/{id}/runs/{run}")
    def _eval_run_get(self, x, one_id, run):
        self._get_kept("eval", one_id)
        x.answer(200, self._get_kept(one_id, run))

    # --- videos ---

    @route("POST", "videos")
    def _video_create(self, x):
        names = {"model", "prompt", "seconds", "size", "input_reference"}
        if x.head.get("content-type") == "application/json":
            r = self._read_json(x, names, ("prompt",))
            if "file_id" in (r.get("input_reference") or {}):
                self._file_for(r["input_reference"]["file_id"], "input_reference")
        else:
            sink, files = lambda p: None, ("input_reference",)
            x.seen.form = read_form(x.body, x.head.get("content-type"), sink, files)
            r = only(x.seen.fields, {*names, "input_reference[file_id]"}, ("prompt",))
            if file_id := r.get("input_reference[file_id]"):
                self._file_for(file_id, "input_reference")
        self._video(x, r.get("model", "sora-2"))

    def _video(self, x, model, of=None):
        self._made(x, self._keep("video", "video_", {
            "object": "video", "model": model, "status": "queued", "progress": 0,
            "seconds": "4", "size": "720x1280", "remixed_from_video_id": of,
            "completed_at": None, "expires_at": None, "error": None,
        }))  # fmt: skip

    @route("GET", "videos")
    def _video_list(self, x):
        self._page(x, self._newest("video"), 20, names=("order",))

    @route("GET", "videos/{id}")
    def _video_get(self, x, one_id):
        x.answer(200, self._get_kept("video", one_id))

    @route("DELETE", "videos/{id}")
    def _video_delete(self, x, one_id):
        self._delete_kept(x, "video", one_id, "video.deleted")

    @route("GET", "videos/{id}/content")
    def _video_content(self, x, one_id):
        self._get_kept("video", one_id)
        x.answer(200, b"moving", {"Content-Type": "video/mp4"})

    @route("POST", "videos/{id}/remix")
    def _video_remix(self, x, one_id):
        self._read_json(x, {"prompt"}, ("prompt",))
        self._video(x, self._get_kept("video", one_id)["model"], one_id)
