"""OpenAI's inference API, for the fake of its files: strict about members and
about the ids of files, which it knows by its own names alone.

    fake.calls[-1]        # the JSON of the last call, as it came
    fake.responses        # id -> Response
    fake.says = "text"    # what every model answers
    fake.split = 1        # events leave in pieces of so many bytes
    fake.gate = Gate()    # holds events back until the test lets them go
    fake.sound_bytes = n  # of speech; 0: a little
    fake.cites = [file]   # ids of files that an answer names

A response whose input asks for "a file" names one that was made for it.
"""

import json
import random
import re
import string
import time

from . import pattern
from .form import Refused
from .http import Gone

CHAT = {"model", "messages", "stream", "temperature", "max_tokens", "user",
        "metadata", "tools", "stream_options", "n"}  # fmt: skip
PLAIN = {
    "/completions": {"model", "prompt", "stream", "max_tokens"},
    "/embeddings": {"model", "input", "encoding_format", "dimensions", "user"},
    "/moderations": {"model", "input"},
    "/images/generations": {"model", "prompt", "n", "size", "response_format"},
    "/audio/speech": {"model", "input", "voice", "response_format"},
}
RESPONSES = {"model", "input", "instructions", "stream", "tools", "metadata",
             "previous_response_id", "conversation", "store", "background", "prompt",
             "include"}  # fmt: skip
FILE_KEYS = {"file_id", "file_ids", "input_file_id", "training_file",
             "validation_file"}  # fmt: skip
MODELS = ["gpt-4o", "gpt-4o-mini", "text-embedding-3-small"]


def random_id(prefix):
    return prefix + "".join(random.choices(string.hexdigits[:16], k=40))


class Gate:
    """Events wait for go()."""

    def __init__(self, free=1):
        self.free = free  # events that may leave

    def go(self, n=1):
        self.free += n

    def wait(self, x, number):
        while number >= self.free:
            if x.fake.stopping.wait(0.005) or x.conn.is_gone():
                raise Gone("held back to the end")


def named_files(v, key=None):
    """The values of all members that stand for a file, but in the user's own."""
    if isinstance(v, dict):
        for name, member in v.items():
            if name not in ("metadata", "attributes", "arguments", "parameters"):
                yield from named_files(member, name)
    elif isinstance(v, list):
        for member in v:
            yield from named_files(member, key)
    elif isinstance(v, str) and key in FILE_KEYS:
        yield v


class Response:
    def __init__(self, fake, request):
        self.fake, self.request = fake, request
        self.id = random_id("resp_")
        self.status = "queued" if request.get("background") else "completed"
        given = request["input"]
        if isinstance(given, str):
            given = [{"type": "message", "role": "user",
                      "content": [{"type": "input_text", "text": given}]}]  # fmt: skip
        self.items = [{"id": random_id("msg_"), "type": "message", **i} for i in given]
        cites = list(fake.cites)
        if "a file" in json.dumps(request["input"]):
            cites.append(fake.put("made.csv", b"1,2", "assistants_output", 0).id)
        self.notes = [{"type": "file_citation", "file_id": c, "filename": "f.txt",
                       "index": i} for i, c in enumerate(cites)]  # fmt: skip
        self.text = fake.says

    def message(self):
        return {"id": "msg_1", "type": "message", "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": self.text, "logprobs": [],
                             "annotations": self.notes}]}  # fmt: skip

    def object(self, is_over=True):
        r = self.request
        done = is_over and self.status == "completed"
        return {
            "id": self.id, "object": "response", "created_at": int(time.time()),
            "status": self.status if is_over else "in_progress", "error": None,
            "incomplete_details": None, "instructions": r.get("instructions"),
            "metadata": r.get("metadata", {}), "model": r["model"],
            "output": [self.message()] if done else [],
            "parallel_tool_calls": True,
            "previous_response_id": r.get("previous_response_id"),
            "temperature": 1.0, "tool_choice": "auto", "tools": r.get("tools", []),
            "top_p": 1.0, "store": r.get("store", True),
        }  # fmt: skip

    def events(self):
        at = {"output_index": 0, "content_index": 0, "item_id": "msg_1"}
        yield {"type": "response.created", "response": self.object(False)}
        yield {"type": "response.in_progress", "response": self.object(False)}
        empty = {**self.message(), "content": [], "status": "in_progress"}
        yield {"type": "response.output_item.added", "output_index": 0, "item": empty}
        for word in self.text.split(" "):
            yield {"type": "response.output_text.delta", "delta": word, "logprobs": [],
                   **at}  # fmt: skip
        for i, note in enumerate(self.notes):
            yield {"type": "response.output_text.annotation.added",
                   "annotation_index": i, "annotation": note, **at}  # fmt: skip
        yield {"type": "response.content_part.done",
               "part": self.message()["content"][0], **at}  # fmt: skip
        yield {"type": "response.output_item.done", "output_index": 0,
               "item": self.message()}  # fmt: skip
        yield {"type": "response.completed", "response": self.object()}


class Inference:
    """The routes, mixed into the fake."""

    def reset_inference(self):
        self.calls = []
        self.responses = {}
        self.says = "Hello there, file-abc123def456."
        self.split = 0
        self.gate = None
        self.cites = []
        self.sound_bytes = 0
        self.models = list(MODELS)

    def _inference_route(self, x, path):
        """False when it is none."""
        if m := re.fullmatch(r"/responses/(resp_[0-9a-f]+)(/cancel|/input_items)?", path):
            self._one_response(x, *m.groups())
            return True
        routes = {
            ("POST", "/chat/completions"): self._chat,
            ("POST", "/responses"): self._respond,
            ("POST", "/responses/input_tokens"): self._count,
            ("POST", "/responses/compact"): self._compact,
            ("GET", "/models"): self._models,
            **{("POST", p): self._plain for p in PLAIN},
        }
        route = routes.get((x.head.method, path))
        if route:
            route(x)
        return route is not None

    # --- requests ---

    def _read_call(self, x, members):
        if x.head.query:
            raise Refused(400, f"Unknown parameter: '{x.head.query[0][0]}'.")
        if x.head.get("content-type") != "application/json":
            raise Refused(415, "Unsupported content type")
        if x.head.get("accept-encoding") != "identity":
            raise Refused(400, "a coding nobody can look into")
        x.seen.text = x.body.read_all()
        r = json.loads(x.seen.text)
        self.calls.append(r)
        for name in r.keys() - members:
            raise Refused(400, f"Unknown parameter: '{name}'.", name,
                          "unknown_parameter")  # fmt: skip
        self._check_model(r.get("model"))
        self._check_files(r)
        x.at("stored")
        return r

    def _check_model(self, model):
        if model not in self.models:
            raise Refused(404, f"The model `{model}` does not exist or you do not "
                          "have access to it.", None, "model_not_found")  # fmt: skip

    def _check_files(self, r):
        for file_id in named_files(r):
            with self.lock:
                is_known = file_id in self.files
            if not is_known:
                raise Refused(404, f"Files ['{file_id}'] were not found.", "file_id")

    # --- answers ---

    def _stream(self, x, texts):
        fields = [("Content-Type", "text/event-stream; charset=utf-8"),
                  ("Transfer-Encoding", "chunked")]  # fmt: skip
        x.stream(200, fields, self._chunked(x, texts))

    def _chunked(self, x, texts):
        for number, text in enumerate(texts):
            if self.gate:
                self.gate.wait(x, number)
            data = text.encode()
            step = self.split or len(data)
            for i in range(0, len(data), step):
                piece = data[i : i + step]
                yield b"%x\r\n" % len(piece) + piece + b"\r\n"
        yield b"0\r\n\r\n"

    def _chat(self, x):
        r = self._read_call(x, CHAT)
        base = {"id": "chatcmpl-1", "created": 1, "model": r["model"]}
        if not r.get("stream"):
            message = {"role": "assistant", "content": self.says, "refusal": None}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
            x.answer(200, {**base, "object": "chat.completion", "choices": [choice],
                           "usage": usage})  # fmt: skip
            return
        base["object"] = "chat.completion.chunk"
        deltas = [{"role": "assistant"}]
        deltas += [{"content": w} for w in re.findall(r"\S+\s*", self.says)]
        texts = [
            f"data: {json.dumps({**base, 'choices': [{'index': 0, 'delta': d}]})}\n\n"
            for d in deltas
        ]
        self._stream(x, [*texts, "data: [DONE]\n\n"])

    def _plain(self, x):
        path = x.head.path.removeprefix("/v1")
        r = self._read_call(x, PLAIN[path])
        answers = {
            "/completions": {"id": "cmpl-1", "object": "text_completion", "created": 1,
                             "choices": [{"index": 0, "text": self.says,
                                          "finish_reason": "stop"}]},
            "/embeddings": {"object": "list", "data": [
                {"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}]},
            "/moderations": {"id": "modr-1", "results": []},
            "/images/generations": {"created": 1, "data": [{"b64_json": "aGk="}]},
        }  # fmt: skip
        if path == "/audio/speech" and self.sound_bytes:
            fields = [("Content-Type", "audio/mpeg"),
                      ("Content-Length", str(self.sound_bytes))]  # fmt: skip
            x.stream(200, fields, pattern.pieces(self.sound_bytes))
        elif path == "/audio/speech":
            x.answer(200, b"ID3\x00sound" * 1000, [("Content-Type", "audio/mpeg")])
        else:
            x.answer(200, {**answers[path], "model": r["model"]})

    def _respond(self, x):
        r = self._read_call(x, RESPONSES)
        before = r.get("previous_response_id")
        if before and before not in self.responses:
            raise Refused(404, f"Previous response with id '{before}' not found.",
                          "previous_response_id", "previous_response_not_found")  # fmt: skip
        made = Response(self, r)
        self.responses[made.id] = made
        if r.get("stream"):
            self._stream(x, self._event_texts(made))
        else:
            x.answer(200, made.object())

    @staticmethod
    def _event_texts(response):
        for number, event in enumerate(response.events()):
            text = json.dumps({**event, "sequence_number": number})
            yield f"event: {event['type']}\ndata: {text}\n\n"

    def _count(self, x):
        self._read_call(x, RESPONSES - {"stream", "store", "background", "metadata"})
        x.answer(200, {"object": "response.input_tokens", "input_tokens": 11})

    def _compact(self, x):
        r = self._read_call(x, {"model", "input", "instructions",
                                "previous_response_id"})  # fmt: skip
        items = r["input"] if isinstance(r["input"], list) else []
        x.answer(200, {"id": random_id("resp_"), "object": "response.compaction",
                       "created_at": 1, "output": items})  # fmt: skip

    def _one_response(self, x, response_id, below):
        query = dict(x.head.query)
        response = self.responses.get(response_id)
        if not response:
            raise Refused(404, f"Response with id '{response_id}' not found.")
        if below == "/input_items" and x.head.method == "GET":
            limit = int(query.get("limit", 20))
            data = response.items[:limit]
            x.answer(200, {"object": "list", "data": data, "has_more": False,
                           "first_id": data[0]["id"], "last_id": data[-1]["id"]})  # fmt: skip
        elif below == "/cancel" and x.head.method == "POST":
            response.status = "cancelled"
            x.answer(200, response.object())
        elif not below and x.head.method == "GET":
            if query.get("stream") == "true":
                self._stream(x, self._event_texts(response))
            else:
                x.answer(200, response.object())
        elif not below and x.head.method == "DELETE":
            del self.responses[response_id]
            x.answer(200, {"id": response_id, "object": "response", "deleted": True})
        else:
            raise Refused(405, f"Not allowed to {x.head.method} on {x.head.path}.")

    def _models(self, x):
        data = [{"id": m, "object": "model", "created": 1, "owned_by": "fake"}
                for m in self.models]  # fmt: skip
        x.answer(200, {"object": "list", "data": data})
