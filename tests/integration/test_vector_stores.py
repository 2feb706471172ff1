"""What providers keep for callers beside files: vector stores, containers,
conversations, assistants, threads. Each is its maker's."""

import json

import openai
import pytest
from conftest import sdk_for
from fakes.openai import OpenAI, answer, on_head, reset
from gw import config, refused, until

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def put(sdk, name="a.txt", purpose="user_data", **more):
    made = sdk.files.create(file=(name, b"some text"), purpose=purpose, **more)
    return made.id


def theirs(fake, kind):
    return next(iter(fake.kept[kind]))


@pytest.fixture
def stranger(gw):
    with sdk_for(gw, gw.new_key()) as client:
        yield client


# --- vector stores -----------------------------------------------------------


def test_a_vector_store_lives(up, sdk):
    file_id = put(sdk)
    store = sdk.vector_stores.create(name="s", file_ids=[file_id], metadata={"f": file_id})
    assert store.id == theirs(up, "vs")  # the provider's own
    assert store.file_counts.completed == 1 and store.metadata == {"f": file_id}
    assert sdk.vector_stores.retrieve(store.id).name == "s"
    assert sdk.vector_stores.update(store.id, name="t").name == "t"
    assert [s.name for s in sdk.vector_stores.list()] == ["t"]
    [found] = sdk.vector_stores.search(store.id, query="q")
    assert found.file_id == file_id
    assert sdk.vector_stores.delete(store.id).deleted
    assert up.kept["vs"] == {} and sdk.vector_stores.list().data == []
    with pytest.raises(openai.NotFoundError):
        sdk.vector_stores.retrieve(store.id)


def test_files_of_a_vector_store_have_our_ids(up, sdk):
    store = sdk.vector_stores.create(name="s")
    files = sdk.vector_stores.files
    ids = [put(sdk, f"{i}.txt") for i in range(3)]
    for file_id in ids:
        assert files.create(store.id, file_id=file_id, attributes={"a": "b"}).id == file_id
    assert [f.id for f in files.list(store.id)] == ids[::-1]
    assert [f.id for f in files.list(store.id, limit=1)] == ids[::-1]
    page = files.list(store.id, limit=1, after=ids[1])
    assert [f.id for f in page.data] == ids[:1] and not page.has_more
    raw = json.loads(files.with_raw_response.list(store.id).text)
    assert (raw["first_id"], raw["last_id"]) == (ids[2], ids[0])
    asked = dict(up.seen[-2].query)
    assert asked["after"] in up.files
    before = files.list(store.id, before=ids[0])
    assert [f.id for f in before.data] == ids[:0:-1]
    one = files.retrieve(ids[0], vector_store_id=store.id)
    assert one.id == ids[0] and one.vector_store_id == store.id
    changed = files.update(ids[0], vector_store_id=store.id, attributes={"c": "d"})
    assert changed.id == ids[0] and changed.attributes == {"c": "d"}
    [text] = files.content(ids[0], vector_store_id=store.id)
    assert text.text == "some text"
    gone = files.delete(ids[0], vector_store_id=store.id)
    assert gone.id == ids[0] and gone.deleted
    assert [f.id for f in files.list(store.id)] == ids[:0:-1]
    assert sdk.files.retrieve(ids[0]).id == ids[0]  # the file survives


@pytest.mark.parametrize("query", ["after=&after={}", "before=&before={}"])
def test_a_page_is_not_asked_for_by_the_providers_id(gw, up, sdk, key, query):
    store = sdk.vector_stores.create(name="s", file_ids=[put(sdk)])
    (raw,) = up.files
    gw.call(key, "GET", f"/v1/vector_stores/{store.id}/files?{query.format(raw)}")
    assert raw not in str(up.seen[-1].query)


def test_what_is_in_a_file_of_a_store_names_ours(gw, up, sdk, key):
    file_id = put(sdk)
    store = sdk.vector_stores.create(name="s", file_ids=[file_id])
    (raw,) = up.files
    text = {"file_id": raw, "filename": "a.txt", "attributes": {}, "content": []}
    up.fault(on_head(answer(200, text)), path="content")
    got = gw.call(key, "GET", f"/v1/vector_stores/{store.id}/files/{file_id}/content")
    assert got.status_code == 200 and got.json() == {**text, "file_id": file_id}


def test_files_come_in_batches(up, sdk):
    store = sdk.vector_stores.create(name="s")
    batches = sdk.vector_stores.file_batches
    ids = [put(sdk, f"{i}.txt") for i in range(3)]
    made = batches.create(store.id, file_ids=ids[:2])
    assert made.file_counts.completed == 2
    there = {"vector_store_id": store.id}
    assert batches.retrieve(made.id, **there).id == made.id
    assert [f.id for f in batches.list_files(made.id, **there)] == ids[1::-1]
    assert [f.id for f in batches.list_files(made.id, limit=1, **there)] == ids[1::-1]
    assert batches.cancel(made.id, **there).status == "cancelled"
    one = batches.create(store.id, files=[{"file_id": ids[2], "attributes": {}}])
    assert one.file_counts.completed == 1
    assert set(up.kept["vs"][store.id]["files"]) <= set(up.files)


def test_the_files_name_the_provider(gw, up, other, key):
    with sdk_for(gw, key, "/other/v1") as there:
        file_id = put(there)
    with sdk_for(gw, key) as sdk:
        store = sdk.vector_stores.create(name="s", file_ids=[file_id])
        assert store.id == theirs(other, "vs") and not up.kept.get("vs")
        with pytest.raises(openai.BadRequestError) as e:
            sdk.vector_stores.files.create(store.id, file_id=put(sdk))
        assert "other" in str(e.value) and "up" in str(e.value)
        mixed = [file_id, put(sdk)]
        with pytest.raises(openai.BadRequestError):
            sdk.vector_stores.create(file_ids=mixed)
        assert [s.id for s in sdk.vector_stores.list()] == [store.id]


def test_a_list_is_paged_both_ways(gw, up, other, key):
    ids = []
    for i in range(5):
        with sdk_for(gw, key, "/other/v1" if i % 2 else "/v1") as sdk:
            ids.append(sdk.vector_stores.create(name=str(i)).id)
    with sdk_for(gw, key) as sdk:
        stores = sdk.vector_stores
        assert [s.id for s in stores.list(limit=2)] == ids[::-1]
        assert [s.id for s in stores.list(limit=2, order="asc")] == ids
        raw = stores.with_raw_response
        page = json.loads(raw.list(limit=2, order="asc", after=ids[0]).text)
        assert [s["id"] for s in page["data"]] == ids[1:3]
        assert (page["first_id"], page["last_id"]) == (ids[1], ids[2])
        assert page["has_more"] is True
        page = stores.list(before=ids[2])
        assert [s.id for s in page.data] == ids[:2:-1] and not page.has_more
        page = stores.list(before=ids[0], limit=2)  # those next to it
        assert [s.id for s in page.data] == [ids[2], ids[1]] and page.has_more
        page = stores.list(before=ids[4], limit=3, order="asc")
        assert [s.id for s in page.data] == ids[1:4] and page.has_more
        page = stores.list(before=ids[0], after=ids[3])
        assert [s.id for s in page.data] == [ids[2], ids[1]] and not page.has_more
        for where in ("after", "before"):
            with pytest.raises(openai.BadRequestError) as e:
                stores.list(**{where: "vs_none"})
            assert e.value.param == where
    listed = gw.call(key, "GET", "/v1/vector_stores?provider=other").json()["data"]
    assert [s["id"] for s in listed] == ids[3::-2]


CALLS = [
    ("GET", "", None), ("POST", "", {"name": "x"}), ("DELETE", "", None),
    ("POST", "/search", {"query": "q"}), ("GET", "/files", None),
    ("POST", "/files", {"file_id": "MINE"}), ("GET", "/files/MINE", None),
    ("POST", "/files/MINE", {"attributes": {}}), ("DELETE", "/files/MINE", None),
    ("GET", "/files/MINE/content", None), ("POST", "/file_batches", {"file_ids": ["MINE"]}),
    ("GET", "/file_batches/vsfb_1", None), ("POST", "/file_batches/vsfb_1/cancel", None),
    ("GET", "/file_batches/vsfb_1/files", None),
]  # fmt: skip


@pytest.mark.parametrize("method, tail, body", CALLS)
def test_another_owner_finds_nothing(gw, up, sdk, stranger, method, tail, body):
    store = sdk.vector_stores.create(name="s", file_ids=[put(sdk)])
    mine = put(stranger)
    up.seen.clear()
    text = json.dumps(body).replace("MINE", mine) if body else ""
    path = f"/v1/vector_stores/{store.id}{tail.replace('MINE', mine)}"
    head = {"Content-Type": "application/json"} if body else {}
    refused(gw.call(stranger.api_key, method, path, content=text, headers=head), 404)
    assert up.seen == [] and stranger.vector_stores.list().data == []


def test_a_file_of_another_is_in_no_store_of_mine(up, sdk, stranger):
    store = sdk.vector_stores.create(name="s")
    his = put(stranger)
    raw = list(up.files)[-1]  # the fake's own
    up.seen.clear()
    stores, at = sdk.vector_stores, {"vector_store_id": store.id}
    calls = [
        lambda f: stores.create(file_ids=[f]),
        lambda f: stores.files.create(store.id, file_id=f),
        lambda f: stores.files.retrieve(f, **at),
        lambda f: stores.files.update(f, attributes={}, **at),
        lambda f: stores.files.delete(f, **at),
        lambda f: list(stores.files.content(f, **at)),
        lambda f: stores.file_batches.create(store.id, file_ids=[f]),
        lambda f: stores.file_batches.create(store.id, files=[{"file_id": f}]),
        lambda f: stores.files.list(store.id, after=f),
        lambda f: stores.files.list(store.id, before=f),
    ]
    for ask in calls:
        for name in (his, raw, his[:-4] + "zzzz"):
            with pytest.raises(openai.NotFoundError):
                ask(name)
    assert up.seen == []


def test_what_is_gone_is_forgotten(up, sdk):
    kept = sdk.vector_stores.create(name="kept")
    gone = sdk.vector_stores.create(name="gone")
    del up.kept["vs"][gone.id]
    with pytest.raises(openai.NotFoundError):
        sdk.vector_stores.delete(gone.id)
    assert [s.id for s in sdk.vector_stores.list()] == [kept.id]


def test_pages_are_full_whatever_is_gone(up, sdk):
    ids = [sdk.vector_stores.create(name="s").id for _ in range(60)]
    for one in ids[::2]:
        del up.kept["vs"][one]
    left = ids[1::2][::-1]
    page = sdk.vector_stores.list(limit=28)
    assert [s.id for s in page.data] == left[:28] and page.has_more
    page = sdk.vector_stores.list(limit=28, after=page.data[-1].id)
    assert [s.id for s in page.data] == left[28:] and not page.has_more
    page = sdk.vector_stores.list(limit=30)
    assert [s.id for s in page.data] == left and not page.has_more


def test_one_that_cannot_be_had_now_is_had_later(up, sdk):
    made = sdk.vector_stores.create(name="s")
    up.kept["vs"][made.id]["name"] = "t"
    up.fault(on_head(reset), method="GET", times=9)
    assert [s.name for s in sdk.vector_stores.list()] == ["s"]
    up.faults.clear()
    assert [s.name for s in sdk.vector_stores.list()] == ["t"]
    up.fault(on_head(reset), method="GET", times=9)
    assert [s.name for s in sdk.vector_stores.list()] == ["t"]


def test_a_list_is_shown_while_the_provider_is_away(up, sdk):
    made = sdk.vector_stores.create(name="s")
    up.fault(on_head(answer(500, "no")), method="GET", times=9)
    assert sdk.vector_stores.list().data == [made]


def test_a_strange_place_of_an_id_is_refused(gw, up, key, sdk, stranger):
    his = put(stranger)
    up.seen.clear()
    body = {"name": "s", "more": {"file_id": his}}
    refused(gw.call(key, "POST", "/v1/vector_stores", json=body), 404)
    assert up.seen == []


# --- containers --------------------------------------------------------------


def test_a_container_lives(up, sdk):
    file_id = put(sdk)
    made = sdk.containers.create(name="c", file_ids=[file_id])
    assert made.id == theirs(up, "cntr")
    files = sdk.containers.files
    one = files.create(made.id, file_id=file_id)
    assert one.id.startswith("cfile_")  # a namespace of its own
    two = files.create(made.id, file=("b.txt", b"bytes", "text/plain"))
    assert two.bytes == 5
    assert {f.id for f in files.list(made.id)} == {one.id, two.id}
    assert files.retrieve(one.id, container_id=made.id).id == one.id
    content = files.content.retrieve(one.id, container_id=made.id)
    assert content.read() == b"of the container"
    files.delete(one.id, container_id=made.id)
    assert [f.id for f in files.list(made.id)] == [two.id]
    assert [c.id for c in sdk.containers.list()] == [made.id]
    sdk.containers.delete(made.id)
    assert sdk.containers.list().data == []


def test_a_container_is_nobody_elses(gw, up, sdk, stranger):
    made = sdk.containers.create(name="c")
    mine = put(stranger)
    up.seen.clear()
    files = stranger.containers.files
    calls = [
        lambda: stranger.containers.retrieve(made.id),
        lambda: stranger.containers.delete(made.id),
        lambda: files.list(made.id),
        lambda: files.create(made.id, file_id=mine),
        lambda: files.create(made.id, file=("b.txt", b"bytes", "text/plain")),
        lambda: files.retrieve("cfile_1", container_id=made.id),
        lambda: files.content.retrieve("cfile_1", container_id=made.id),
    ]
    for ask in calls:
        with pytest.raises(openai.NotFoundError):
            ask()
    assert up.seen == []


# --- conversations, assistants, threads --------------------------------------


def message(file_id):
    part = {"type": "input_file", "file_id": file_id}
    return {"type": "message", "role": "user", "content": [part]}


def test_a_conversation_lives(up, sdk, stranger):
    file_id = put(sdk)
    made = sdk.conversations.create(items=[message(file_id)])
    [item] = sdk.conversations.items.list(made.id)
    assert item.content[0].file_id == file_id
    [new] = sdk.conversations.items.create(made.id, items=[message(file_id)]).data
    assert new.content[0].file_id == file_id
    got = sdk.conversations.items.retrieve(new.id, conversation_id=made.id)
    assert got.content[0].file_id == file_id
    assert sdk.conversations.update(made.id, metadata={"a": "b"}).metadata == {"a": "b"}
    up.seen.clear()
    for ask in (lambda: stranger.conversations.retrieve(made.id),
                lambda: stranger.conversations.items.list(made.id),
                lambda: stranger.conversations.items.create(made.id, items=[]),
                lambda: stranger.conversations.delete(made.id)):  # fmt: skip
        with pytest.raises(openai.NotFoundError):
            ask()
    assert up.seen == []
    assert sdk.conversations.delete(made.id).deleted


def test_assistants_and_threads_live(up, sdk, stranger):
    file_id = put(sdk)
    tools = {"code_interpreter": {"file_ids": [file_id]}}
    helper = sdk.beta.assistants.create(model="gpt-4o", tool_resources=tools)
    assert helper.tool_resources.code_interpreter.file_ids == [file_id]
    assert [a.id for a in sdk.beta.assistants.list()] == [helper.id]
    thread = sdk.beta.threads.create(tool_resources=tools)
    assert thread.tool_resources.code_interpreter.file_ids == [file_id]
    attached = [{"file_id": file_id, "tools": [{"type": "code_interpreter"}]}]
    said = sdk.beta.threads.messages.create(
        thread.id, role="user", content="hi", attachments=attached
    )
    assert said.attachments[0].file_id == file_id
    [listed] = sdk.beta.threads.messages.list(thread.id)
    assert listed.attachments[0].file_id == file_id
    run = sdk.beta.threads.runs.create(thread.id, assistant_id=helper.id)
    assert sdk.beta.threads.runs.retrieve(run.id, thread_id=thread.id).id == run.id
    his = stranger.beta.threads.create()
    up.seen.clear()
    for ask in (lambda: stranger.beta.assistants.retrieve(helper.id),
                lambda: stranger.beta.threads.retrieve(thread.id),
                lambda: stranger.beta.threads.messages.list(thread.id),
                lambda: stranger.beta.threads.runs.create(
                    his.id, assistant_id=helper.id)):  # fmt: skip
        with pytest.raises(openai.NotFoundError):
            ask()
    assert up.seen == []
    assert sdk.beta.threads.delete(thread.id).deleted
    assert sdk.beta.assistants.delete(helper.id).deleted
    assert sdk.beta.assistants.list().data == []


def test_evaluations_live(up, sdk, stranger):
    file_id = put(sdk, "e.jsonl", "evals")
    one = sdk.evals.create(
        name="e", data_source_config={"type": "logs"}, testing_criteria=[]
    )
    source = {"type": "jsonl", "source": {"type": "file_id", "id": file_id}}
    run = sdk.evals.runs.create(one.id, data_source=source)
    assert run.data_source.source.id == file_id
    assert up.seen[-1].json["data_source"]["source"]["id"] in up.files
    [listed] = sdk.evals.runs.list(one.id)
    assert listed.data_source.source.id == file_id
    got = sdk.evals.runs.retrieve(run.id, eval_id=one.id)
    assert got.data_source.source.id == file_id
    for kind in ("responses", "stored_completions", "logs"):
        others = {"type": "responses", "source": {"type": kind}}
        with pytest.raises(openai.BadRequestError) as e:
            sdk.evals.runs.create(one.id, data_source=others)
        assert e.value.param == "data_source.source.type"
    rows = [{"item": {"text": "x" * 1000}} for _ in range(2000)]
    large = {"type": "jsonl", "source": {"type": "file_content", "content": rows}}
    assert sdk.evals.runs.create(one.id, data_source=large).object == "eval.run"
    assert up.seen[-1].json["data_source"] == large
    his = put(stranger, "e.jsonl", "evals")
    up.seen.clear()
    bad = {"type": "jsonl", "source": {"type": "file_id", "id": his}}
    for ask in (lambda: sdk.evals.runs.create(one.id, data_source=bad),
                lambda: stranger.evals.retrieve(one.id),
                lambda: stranger.evals.runs.list(one.id),
                lambda: stranger.evals.runs.retrieve(run.id, eval_id=one.id)):  # fmt: skip
        with pytest.raises(openai.NotFoundError):
            ask()
    assert up.seen == []
    assert [e.id for e in sdk.evals.list()] == [one.id]
    assert sdk.evals.delete(one.id).deleted
    assert sdk.evals.list().data == []


def test_videos_live(up, sdk, stranger):
    file_id = put(sdk, "a.png", "vision")
    made = sdk.videos.create(prompt="p", input_reference=("a.png", b"x", "image/png"))
    named = {"input_reference": {"file_id": file_id}}
    two = sdk.videos.create(prompt="p", extra_body=named)
    assert {made.id, two.id} == set(up.kept["video"])
    again = sdk.videos.remix(made.id, prompt="q")
    assert again.remixed_from_video_id == made.id
    assert [v.id for v in sdk.videos.list()] == [again.id, two.id, made.id]
    assert sdk.videos.download_content(made.id).read() == b"moving"
    up.seen.clear()
    for ask in (lambda: stranger.videos.retrieve(made.id),
                lambda: stranger.videos.download_content(made.id),
                lambda: stranger.videos.remix(made.id, prompt="q"),
                lambda: stranger.videos.create(prompt="p", extra_body=named),
                lambda: stranger.videos.delete(made.id)):  # fmt: skip
        with pytest.raises(openai.NotFoundError):
            ask()
    assert up.seen == [] and stranger.videos.list().data == []
    assert sdk.videos.delete(made.id).deleted


# --- everywhere --------------------------------------------------------------


def test_an_owner_who_goes_leaves_none(gw, up, key):
    with sdk_for(gw, gw.new_key(team_id="go")) as sdk:
        ids = [sdk.vector_stores.create(name="s").id for _ in range(3)]
        sdk.beta.threads.create()
    gw.admin("POST", "/team/new", json={"team_id": "go"})
    body = {"team_ids": ["go"], "delete_files": True}
    assert gw.admin("POST", "/team/delete", json=body).status_code == 200
    with sdk_for(gw, gw.new_key(team_id="go")) as sdk:
        until(lambda: not sdk.vector_stores.list().data, "they are forgotten")
        for one in ids:
            with pytest.raises(openai.NotFoundError):
                sdk.vector_stores.retrieve(one)
    assert len(up.kept["vs"]) == 3  # they stay where they are


def test_a_list_without_redis_is_refused(start, redis):
    up = OpenAI()
    gw = start(config({"redis": {"url": redis.url}}, up=up))
    key = gw.new_key()
    with sdk_for(gw, key) as sdk:
        sdk.vector_stores.create(name="s")
    redis.kill()
    until(lambda: gw.call(key, "GET", "/v1/vector_stores").status_code == 503,
          "the list is refused")  # fmt: skip
    up.stop()


def test_nothing_is_passed_on_where_that_is_off(start, fake):
    gw = start(config({"forward": {"enabled": False}}, up=fake))
    key = gw.new_key()
    for method in ("GET", "POST"):
        refused(gw.call(key, method, "/v1/vector_stores", json={}), 404)
    assert fake.seen == []


def test_ids_that_cannot_be_are_asked_of_nobody(gw, up, key):
    for name in ("%2e%2e", "a%2fb", "x" * 300, "%ff", "a%20b", "{x}"):
        for kind in ("vector_stores", "containers", "assistants", "conversations"):
            refused(gw.call(key, "GET", f"/v1/{kind}/{name}"), 404)
    assert up.seen == []
