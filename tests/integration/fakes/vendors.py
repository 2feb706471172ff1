"""Strict fakes of those who speak OpenAI's Files API with an accent.

    fake = Vendor("xai")

RULES has a row for each: what it refuses, and what its answers look like. The
exchanges, the faults and the recording are those of fakes/openai.py.
"""

import json
import re
import tempfile
import uuid
from base64 import b64encode
from urllib.parse import unquote

from .batches import FIELDS
from .form import File, Refused, read_form
from .openai import OpenAI, Stored

EXPIRY = ["expires_after[anchor]", "expires_after[seconds]"]
EVERYTHING = {"create", "get", "list", "delete", "content"}
LONG = (  # what LiteLLM makes of a file that is at several models
    "litellm_proxy:application/octet-stream;unified_id,{};target_model_names,"
    + ",".join(f"gpt-4o-batch-of-region-{i}" for i in range(20))
    + ";llm_output_file_id,file-ECBPW7ML9g7XHdwGgUPZaM;llm_output_file_model_id,"
    + "e26453f9e76e7993680d0068d98c1f4cc205bbad0967a33c664893568ca743c2" * 2
)


class Rules:
    prefix = "/v1"  # of all paths
    operations = EVERYTHING
    purposes = None  # those it takes; None: any
    fields = ["purpose", *EXPIRY]  # those it knows
    fields_first = False  # what follows the file is an error
    extensions = None
    needs_length = True
    slash = False  # the collection is at /files/ alone
    page = 10000  # the largest limit
    list_query = {"limit", "after", "order", "purpose"}
    list_purpose = False  # a list must name one
    leaves_out = ()  # members of the file object
    status = 200  # of an upload
    windows = {"24h"}  # of a batch

    @staticmethod
    def new_id():
        return "file-" + uuid.uuid4().hex[:24]

    @staticmethod
    def answer(obj):
        return obj

    batch = None  # how it shows a batch; None: it has none

    @staticmethod
    def error(e):
        kind = "invalid_request_error"
        return {"error": {"message": e.message, "type": kind, "param": e.param,
                          "code": e.code}}  # fmt: skip


class Xai(Rules):
    fields_first = True
    page, list_query = 100, {"limit", "pagination_token"}
    leaves_out = ("status", "status_details")

    @staticmethod
    def new_id():
        return f"file_{uuid.uuid4()}"


class Moonshot(Rules):
    purposes = {"file-extract", "image", "video", "batch"}
    fields = ["purpose"]
    list_query = set()

    @staticmethod
    def new_id():
        return uuid.uuid4().hex[:20]


class Zhipu(Rules):
    prefix = "/api/paas/v4"
    purposes = {"batch", "code-interpreter", "agent", "voice-clone-input"}
    fields = ["purpose"]
    page, list_purpose = 100, True
    leaves_out = ("status", "status_details", "expires_at")


class Siliconflow(Rules):
    purposes = {"batch"}
    fields = ["purpose"]
    list_query, list_purpose = {"limit", "purpose"}, True
    leaves_out = ("status", "status_details", "expires_at")

    @staticmethod
    def answer(obj):
        """createdAt, and numbers as strings where it likes."""
        for f in obj.get("data", [obj]):
            f["createdAt"] = str(f.pop("created_at"))
        return {"code": 20000, "message": "Ok", "status": True, "data": obj}

    @staticmethod
    def error(e):
        if e.status == 401:
            return "Invalid token"
        if e.status == 404:
            return b"404 page not found"
        return {"code": 20012, "message": e.message, "data": None}


class Dashscope(Rules):
    prefix = "/compatible-mode/v1"
    purposes = {"file-extract", "batch"}
    fields = ["purpose"]

    @staticmethod
    def new_id():
        return f"file-fe-{uuid.uuid4().hex[:24]}"


class Perplexity(Rules):
    purposes = {"batch"}
    fields = ["purpose"]
    page = 100
    leaves_out = ("expires_at",)


class Cerebras(Rules):
    purposes = {"batch"}
    page, list_query = 100, {"limit", "after"}
    leaves_out = ("status", "status_details")

    @staticmethod
    def new_id():
        return "file" + uuid.uuid4().hex[:22]


class Digitalocean(Rules):
    operations = set()  # but its own two
    extensions = (".jsonl",)


class Vllm(Rules):
    operations = {"create", "get", "content"}
    fields = ["purpose"]
    needs_length = False
    leaves_out = ("object", "status", "status_details", "expires_at")

    @staticmethod
    def new_id():
        return "file-" + uuid.uuid4().hex[:6]

    @staticmethod
    def error(e):
        return {"error": e.message}


class Aibrix(Rules):
    purposes = {"batch"}
    fields = ["purpose"]
    extensions = (".jsonl", ".json")
    needs_length = False
    list_query = {"limit", "after", "purpose"}
    leaves_out = ("status_details", "expires_at")

    @staticmethod
    def new_id():
        return str(uuid.uuid4())

    @staticmethod
    def error(e):
        return {"detail": Rules.error(e)}


class LlamaStack(Rules):
    prefix = "/v1/openai/v1"
    purposes = {"assistants", "batch"}
    needs_length = False
    leaves_out = ("status", "status_details")

    @staticmethod
    def error(e):
        if e.status == 400:
            return {"detail": [{"loc": ["body", e.param], "msg": e.message}]}
        return {"detail": e.message}


class Doubleword(Rules):
    prefix = "/ai/v1"
    purposes = {"batch"}
    fields_first = True
    needs_length = False
    status = 201

    @staticmethod
    def new_id():
        return str(uuid.uuid4())


class Litellm(Rules):
    fields = ["purpose", *EXPIRY, "custom_llm_provider", "target_model_names"]
    needs_length = False

    @staticmethod
    def new_id():
        """A thousand characters, with what must not stand in a path bare."""
        text = LONG.format(uuid.uuid4()) + "/~?>"
        return b64encode(text.encode()).decode() + "/+=="

    @staticmethod
    def error(e):
        return {"error": {"message": f"{{'error': \"{e.message}\"}}",
                          "type": "None", "param": "None",
                          "code": str(e.status)}}  # fmt: skip


class Nebius(Rules):
    fields = ["purpose"]
    list_query = set()
    leaves_out = ("status", "status_details", "expires_at")

    @staticmethod
    def batch(obj):
        if obj["status"] == "validating":
            obj["request_counts"] = {"total": None, "completed": None, "failed": None}
        return obj


class Kluster(Rules):
    operations = {"create", "content"}
    purposes = {"batch"}
    fields = ["purpose"]
    leaves_out = ("status", "status_details", "expires_at")

    @staticmethod
    def new_id():
        return uuid.uuid4().hex[:24]

    @staticmethod
    def answer(obj):
        return {**obj, "created_at": str(obj["created_at"])}

    @staticmethod
    def batch(obj):
        return {**obj, "status": obj["status"].capitalize(),
                "created_at": str(obj["created_at"])}  # fmt: skip


class Groq(Rules):
    prefix = "/openai/v1"
    purposes = {"batch"}
    fields = ["purpose"]
    list_query = set()
    leaves_out = ("status", "status_details", "expires_at")

    @staticmethod
    def new_id():
        return f"file_{uuid.uuid4().hex[:26]}"

    windows = {"24h", "7d"}

    @staticmethod
    def batch(obj):
        return {k: v for k, v in obj.items() if v is not None}


class Aqueduct(Rules):
    fields = ["purpose"]
    list_query = set()
    needs_length = False

    @staticmethod
    def error(e):
        full = Rules.error(e)["error"]
        return {"error": {k: v for k, v in full.items() if v is not None}}


RULES = {
    "nebius": Nebius,
    "kluster": Kluster,
    "aqueduct": Aqueduct,
    "litellm": Litellm,
    "groq": Groq,
    "xai": Xai,
    "moonshot": Moonshot,
    "zhipu": Zhipu,
    "siliconflow": Siliconflow,
    "dashscope": Dashscope,
    "perplexity": Perplexity,
    "cerebras": Cerebras,
    "digitalocean": Digitalocean,
    "vllm-production-stack": Vllm,
    "aibrix": Aibrix,
    "llama-stack": LlamaStack,
    "doubleword": Doubleword,
}


class Vendor(OpenAI):
    def __init__(self, name, **kw):
        self.name, self.rules = name, RULES[name]
        self.slash = self.rules.slash
        self.places = {}  # where a signed URL leads: path -> id and name
        super().__init__(**kw)
        self.first_status = "uploaded" if name == "aibrix" else "processed"
        self.url = self.url.removesuffix("/v1") + self.rules.prefix

    # --- an exchange ---

    def _answer_error(self, x, e):
        body = self.rules.error(e)
        if isinstance(body, str):
            body = json.dumps(body).encode()
        x.answer(e.status, body, then_close=not x.body.ended)

    def _route(self, x):
        path = x.head.target.partition("?")[0]
        if path in self.places:
            return self._put(x, path)
        self._check_auth(x)
        below = path.removeprefix(self.rules.prefix)
        if self.name == "digitalocean" and below == "/batches/files":
            return self._intend(x)
        if self.rules.batch and self._batch_route(x, below):
            return
        collection = "/files/" if self.slash else "/files"
        # The id as it was sent: what is encoded must be, all of it.
        m = re.fullmatch(r"/files/([\w.~%-]+?)(/content)?", below)
        if path == below or not (m or below == collection):
            raise Refused(404, f"Invalid URL ({x.head.method} {x.head.path})")
        self._operate(x, unquote(m[1]) if m else None, m[2] if m else None)

    def _operate(self, x, file_id, content):
        name = {"POST": "create", "DELETE": "delete"}.get(x.head.method)
        name = name or ("content" if content else "get" if file_id else "list")
        if name not in self.rules.operations:
            raise Refused(405, "Method Not Allowed")
        super()._operate(x, file_id, content)

    # --- batches ---

    batch_fields = FIELDS - {"output_expires_after"}

    @property
    def windows(self):
        return self.rules.windows

    def show_batch(self, batch):
        return self.rules.batch(batch.object())

    # --- uploads ---

    def _store(self, x, file, fields, data, file_id):
        stored = Stored(file, fields, data, self.first_status)
        stored.id = file_id
        with self.lock:
            self.files[stored.id] = stored
        x.at("stored")
        return stored

    def _create(self, x):
        if self.rules.needs_length and x.head.length is None:
            raise Refused(411, "Length Required")
        data = tempfile.SpooledTemporaryFile(1 << 20)
        form = read_form(x.body, x.head.get("content-type"), data.write)
        x.seen.form = form
        fields = self._check_form(form)
        stored = self._store(x, form.file, fields, data, self.rules.new_id())
        x.answer(self.rules.status, self.rules.answer(self._object(stored)))

    def _check_form(self, form):
        if form.file is None:
            raise Refused(400, "file is required", "file")
        for name in form.order:
            if name not in ["file", *self.rules.fields]:
                raise Refused(400, f"unknown field: {name}", name)
        if self.rules.fields_first and form.order[-1] != "file":
            raise Refused(400, f"{form.order[-1]} must be before file")
        self._check_name(form.file.filename)
        purpose = form.get("purpose")
        if purpose is None or purpose not in (self.rules.purposes or [purpose]):
            raise Refused(400, f"no such purpose: {purpose}", "purpose")
        self._check_expiry(form)
        return dict(form.fields)

    def _check_name(self, filename):
        if not filename.endswith(self.rules.extensions or ("",)):
            raise Refused(400, f"not one of {self.rules.extensions}", "file")

    # --- uploads to a signed URL ---

    def _intend(self, x):
        if x.head.method != "POST":
            raise Refused(405, "Method Not Allowed")
        if x.head.get("content-type") != "application/json":
            raise Refused(415, "no JSON")
        asked = json.loads(x.body.read_all(1 << 16))
        if set(asked) != {"file_name"}:
            raise Refused(422, f"unusable: {sorted(asked)}")
        self._check_name(asked["file_name"])
        file_id = str(uuid.uuid4())
        path = f"/signed/{file_id}"
        self.places[path] = file_id, asked["file_name"]
        root = self.url.removesuffix(self.rules.prefix)
        x.answer(201, {"file_id": file_id, "upload_url": f"{root}{path}?sig=5f%2Fa",
                       "expires_at": "2026-05-07T12:15:00Z"})  # fmt: skip

    def _put(self, x, path):
        if x.head.method != "PUT" or x.head.query != [("sig", "5f/a")]:
            raise Refused(403, "SignatureDoesNotMatch")
        if x.head.get("authorization") or x.head.length is None:
            raise Refused(400, "one way to authenticate, and a length")
        file_id, name = self.places.pop(path)
        file, data = File(name, x.head.get("content-type")), tempfile.TemporaryFile()
        while piece := x.body.read():
            file.size += len(piece)
            file.digest.update(piece)
            data.write(piece)
        self._store(x, file, {"purpose": "batch"}, data, file_id)
        x.answer(200)

    # --- the rest ---

    def _get(self, x, file_id):
        x.answer(200, self.rules.answer(self._object(self._find(file_id))))

    def _list(self, x):
        q = dict(x.head.query)
        for name in q:
            if name not in self.rules.list_query:
                raise Refused(400, f"unknown parameter: {name}", name)
        if not 1 <= int(q.get("limit", 1)) <= self.rules.page:
            raise Refused(400, "limit is too large", "limit")
        if self.rules.list_purpose and not q.get("purpose"):
            raise Refused(400, "purpose is required", "purpose")
        with self.lock:
            files = list(self.files.values())[::-1]
        files = [f for f in files if q.get("purpose", f.purpose) == f.purpose]
        self._answer_page(x, q, files)

    def _answer_page(self, x, q, files):
        """Two files of what was asked for, so that there is a next page."""
        has_cursor = self.rules.list_query & {"after", "pagination_token"}
        n = 2 if has_cursor else len(files)
        after = q.get("after") or q.get("pagination_token", "").removeprefix("t-")
        ids = [f.id for f in files]
        files = files[ids.index(after) + 1 :] if after else files
        out = {"object": "list", "data": [self._object(f) for f in files[:n]]}
        more = len(files) > n
        if "pagination_token" in self.rules.list_query:
            out["pagination_token"] = f"t-{files[n - 1].id}" if more else None
        elif "after" in self.rules.list_query:
            out["has_more"] = more
        x.answer(200, self.rules.answer(out))

    def _object(self, f):
        out = super()._object(f)
        for name in self.rules.leaves_out:
            del out[name]
        return out
