"""Every place of the table where an id may stand in a call about what providers
keep: what is the caller's is replaced, what is another's is refused."""

import json

import pytest
from fakes.openai import Answered, call, on_head
from gw import refused
from id_places import CALLS, places

# What is sent to make one, beside what a case puts in.
KINDS = {
    "fine_tuning/jobs": {"model": "gpt-4o"},
    "vector_stores": {},
    "containers": {"name": "c"},
    "conversations": {},
    "assistants": {"model": "gpt-4o"},
    "threads": {},
    "evals": {"data_source_config": {}, "testing_criteria": []},
    "videos": {"prompt": "p"},
}
ELSEWHERE = ["images/edits"]
UNROUTED = ["threads/runs"]
LISTS = [("GET", kind) for kind in KINDS]  # made here, of single ones


def kind_of(path):
    return next((k for k in KINDS if path == k or path.startswith(k + "/")), None)


def cases(side, *kinds):
    return [
        pytest.param(method, path, place, id=f"{method} {path}:{place}")
        for at, method, path in CALLS
        if at == side and (kind_of(path) or path in ELSEWHERE)
        if path not in UNROUTED and (method, path) not in LISTS
        for place in places(side, method, path, *kinds)
    ]


def with_source(path, body):
    """Runs of evaluations are refused without one that is the caller's."""
    if path == "evals/{id}/runs":
        source = {"type": "file_content", "content": []}
        body["data_source"] = {"source": source, **body.get("data_source", {})}
    return body


def asked(path, place, value):
    """A request with the value at that place."""
    return with_source(path, place.text(value))


class World:
    """A caller who has one of the kind, and a file."""

    def __init__(self, gw, up, key):
        self.gw, self.up, self.key = gw, up, key
        self.head = {"OpenAI-Beta": "assistants=v2", "Content-Type": "application/json"}
        fields = {"purpose": "fine-tune"}
        made = gw.upload(key, filename="a.jsonl", fields=fields)
        self.file, self.raw_file = made.json()["id"], next(reversed(up.files))
        self.object = self.raw_object = None

    def ask(self, method, path, **more):
        return self.gw.call(
            self.key, method, f"/v1/{path}", headers=self.head, **more
        )

    def make(self, kind):
        body = dict(KINDS[kind])
        if kind == "fine_tuning/jobs":
            body["training_file"] = self.file
        made = self.ask("POST", kind, json=body)
        assert made.status_code == 200, made.text
        self.object = made.json()["id"]
        self.raw_object = self.object
        if kind == "fine_tuning/jobs":
            self.raw_object = next(reversed(self.up.kept["ftjob"]))

    def path(self, path):
        """With the caller's own for each {id}."""
        if "{id}" in path:
            self.make(kind_of(path))
        path = path.replace("{id}", self.object or "", 1)
        second = self.file if "/files/{id}" in path else "x_1"
        return path.replace("{id}", second)

    def answers(self, text):
        """The next call gets this; the bodies of all are in self.got."""
        self.got = []

        def act(x):
            body = x.body.read_all()
            self.got.append(json.loads(body) if body else None)
            x.answer(200, text)
            raise Answered

        self.up.fault(on_head(call(act)))


@pytest.fixture
def world(gw, up, key):
    return World(gw, up, key)


@pytest.mark.parametrize("method, path, place", cases("REQUEST", "FILE_ID"))
def test_ones_own_file_goes_by_the_providers_name(world, method, path, place):
    where = world.path(path)
    world.answers({"id": "made_1"})
    reply = world.ask(method, where, json=asked(path, place, world.file))
    assert reply.status_code == 200, reply.text
    assert world.got == [asked(path, place, world.raw_file)]


@pytest.mark.parametrize("method, path, place", cases("REQUEST", "FILE_ID"))
def test_anothers_file_is_not_found(world, gw, up, method, path, place):
    where = world.path(path)
    his = gw.upload(gw.new_key()).json()["id"]
    up.seen.clear()
    for name in (his, world.raw_file, world.file[:-4] + "zzzz"):
        reply = world.ask(method, where, json=asked(path, place, name))
        refused(reply, 404, "file_not_found")
    assert up.seen == []


GRADED = {"type": "score_model", "model": "gpt-4o-mini", "name": "g", "input": []}
INNER = [
    ("evals", {"data_source_config": {}, "testing_criteria": [GRADED]},
     "testing_criteria[0].model"),
    ("fine_tuning/jobs",
     {"model": "gpt-4o", "method": {"type": "reinforcement", "reinforcement": {
         "grader": {"type": "multi", "graders": {"one": GRADED}}}}},
     "method.reinforcement.grader.graders.one.model"),
]  # fmt: skip


@pytest.mark.parametrize("path,body,place", INNER)
def test_a_graders_model_is_one_of_the_keys(world, gw, up, path, body, place):
    if path == "fine_tuning/jobs":
        body = {**body, "training_file": world.file}
    gw.admin("POST", "/key/update", json={"key": world.key, "models": ["gpt-4o"]})
    up.seen.clear()
    told = refused(world.ask("POST", path, json=body), 403, "model_not_allowed")
    assert told["param"] == place and up.seen == []
    models = ["gpt-4o", "gpt-4o-mini"]
    gw.admin("POST", "/key/update", json={"key": world.key, "models": models})
    assert world.ask("POST", path, json=body).status_code == 200


OWN, OTHERS = '{"type": "file_content", "content": []}', '{"type": "responses"}'
SOURCES = [OTHERS, OTHERS.replace("ty", "t\\u0079"), "{}", "[]", '"x"', '{"type": 5}',
           OWN + ', "source": ' + OTHERS, OTHERS + ', "source": ' + OWN]  # fmt: skip


@pytest.mark.parametrize("source", SOURCES)
def test_a_source_that_all_share_is_refused(world, up, source):
    where = world.path("evals/{id}/runs")
    up.seen.clear()
    text = '{"data_source": {"type": "x", "source": ' + source + "}}"
    told = refused(world.ask("POST", where, content=text), 400)
    assert told["param"] == "data_source.source.type" and up.seen == []


@pytest.mark.parametrize("kind", [{}, {"type": "x"}, {"type": None}])
def test_a_source_of_whatever_type_is_the_callers(world, up, kind):
    where = world.path("evals/{id}/runs")
    up.seen.clear()
    source = {"type": "file_id", "id": world.raw_file}
    body = {"data_source": {"source": source, **kind}}
    refused(world.ask("POST", where, json=body), 404, "file_not_found")
    assert up.seen == []


@pytest.mark.parametrize("method, path, place", cases("REQUEST", "OBJECT"))
def test_anothers_object_is_not_found(world, gw, up, method, path, place):
    where = world.path(path)
    other = World(gw, up, gw.new_key())
    other.make("vector_stores")
    up.seen.clear()
    for name in (other.object, "asst_1", "vs_1"):
        reply = world.ask(method, where, json=asked(path, place, name))
        refused(reply, 404, "object_not_found")
    assert up.seen == []


@pytest.mark.parametrize("method, path, place", cases("ANSWER", "FILE_ID", "JOB_ID"))
def test_an_answer_has_our_names(world, up, method, path, place):
    where = world.path(path)
    more = {"json": with_source(path, dict(KINDS.get(path, {})))}
    raw, ours = world.raw_file, world.file
    if place.kind == "JOB_ID" and path == "fine_tuning/jobs":
        raw, ours = "ftjob-made", None  # an id that is new
    elif place.kind == "JOB_ID":
        raw, ours = world.raw_object, world.object
    itself = "made_1", "made_1"
    if world.object and not path.endswith("/checkpoints"):  # it is told of
        itself = world.raw_object, world.object
    world.answers({"id": itself[0], "x": raw, **place.text(raw)})
    reply = world.ask(method, where, **more if method == "POST" else {})
    assert reply.status_code == 200, reply.text
    got = reply.json()
    if ours is None:
        assert got["id"].startswith("ftjob-up-")
    else:
        assert got.pop("x") == raw  # the same text elsewhere stays
        want = {"id": itself[1], **place.text(ours)}
        if path == "fine_tuning/jobs":  # its own is new, too
            got.pop("id"), want.pop("id")
        assert got == want
