"""Files that the lines of a batch file name: ours go in, the provider's come
out, and nobody names another one's."""

import hashlib
import json
import os
import signal

import httpx
import openai
import pytest
import test_mistral
import test_s3
from fakes.mistral import Mistral
from fakes.openai import OpenAI, after_answer_head, reset, stall
from fakes.s3 import S3
from gw import Gateway, config, openai_provider, refused, until
from test_batch_check import batch, used

RESPONSES, CHAT = "/v1/responses", "/v1/chat/completions"
WAYS = [dict(framing=framing) for framing in (None, 1, 7, 1000, 65536)]


@pytest.fixture(scope="module")
def fakes():
    up, other = OpenAI(), OpenAI(api_key="sk-other")
    yield up, other
    up.stop()
    other.stop()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory, fakes):
    """`exact` must be told the length; `naming` has models of other names."""
    up, other = fakes
    conf = config(up=up, other=other, exact=up, naming=up)
    del conf["batch_check"]
    conf["providers"]["exact"]["upload_length"] = "required"
    conf["models"] = {"alias": {"provider": "naming", "model": "a-longer-name"}}
    conf["checksums"] = True
    conf["journal"] = {"lease": "2s", "sweep_interval": "500ms"}
    gw = Gateway(tmp_path_factory.mktemp("ids"), conf).start()
    yield gw
    gw.stop()


@pytest.fixture
def key(gateway):
    return gateway.new_key()


def named(gateway, fakes, key, provider="up", data=b"a picture"):
    """A file of the key's: our id, and the provider's."""
    ours = gateway.upload(key, data=data, path=f"/{provider}/v1/files")
    assert ours.status_code == 200, ours.text
    fake = fakes[1] if provider == "other" else fakes[0]
    return ours.json()["id"], list(fake.files)[-1]


def responses(i, *ids, text="file-abc", model="gpt-4o"):
    content = [{"type": "input_text", "text": text}]
    content += [{"type": "input_file", "file_id": id} for id in ids]
    body = {
        "model": model,
        "input": [{"role": "user", "content": content}],
        "metadata": {"file_id": text},
    }
    return request(i, RESPONSES, body)


def chat(i, *ids, model="gpt-4o"):
    content = [{"type": "file", "file": {"file_id": id}} for id in ids]
    body = {"messages": [{"role": "user", "content": content}], "model": model}
    return request(i, CHAT, body)


def request(i, url, body):
    line = {"custom_id": f"r{i}", "method": "POST", "url": url, "body": body}
    return json.dumps(line).encode() + b"\n"


def replaced(data, ours, theirs):
    """Blanks make up for what the provider's id is shorter."""
    assert len(theirs) <= len(ours)
    blanks = b" " * (len(ours) - len(theirs))
    return data.replace(
        b'"file_id": "%s"' % ours.encode(),
        b'"file_id": "%s"' % theirs.encode() + blanks,
    )


def stored(fake):
    file = list(fake.files.values())[-1]
    return b"".join(file.pieces(0, file.size))


@pytest.fixture(params=WAYS, ids=str)
def way(request):
    return request.param


@pytest.mark.parametrize("provider", ["up", "exact", "naming"])
@pytest.mark.parametrize("end", [b"", b"\n"])
@pytest.mark.parametrize("make", [responses, chat])
def test_the_provider_sees_its_own_ids(gateway, fakes, key, way, make, end, provider):
    ours, theirs = named(gateway, fakes, key, provider)
    data = make(0) + make(1, ours) + make(2, ours, ours) + make(3)
    data = data + make(4, ours)[:-1] + end
    reply = batch(gateway, key, data, provider, **way)
    assert reply.status_code == 200, reply.text
    assert stored(fakes[0]) == replaced(data, ours, theirs)
    assert reply.json()["bytes"] == len(data)
    assert used(gateway, key)["storage_bytes"] == len(data) + len(b"a picture")


def test_the_hash_is_that_of_what_the_provider_has(gateway, fakes, key):
    ours, theirs = named(gateway, fakes, key)
    data = responses(0, ours)
    file = batch(gateway, key, data).json()
    got = gateway.call(key, "GET", f"/v1/files/{file['id']}/content")
    assert got.content == replaced(data, ours, theirs)
    assert file["filemux"]["sha256"] == hashlib.sha256(got.content).hexdigest()


def test_ids_and_models_are_replaced_in_one_line(gateway, fakes, key, way):
    ours, theirs = named(gateway, fakes, key, "naming")
    data = responses(0, ours, model="alias") + responses(1, ours, model="alias")
    assert batch(gateway, key, data, "naming", **way).status_code == 200
    wanted = replaced(data, ours, theirs).replace(b'"alias"', b'"a-longer-name"')
    assert stored(fakes[0]) == wanted
    # The model before the id, and behind it.
    data = chat(0, ours, model="alias")
    assert batch(gateway, key, data, "naming", **way).status_code == 200
    wanted = replaced(data, ours, theirs).replace(b'"alias"', b'"a-longer-name"')
    assert stored(fakes[0]) == wanted


@pytest.mark.parametrize("make", [responses, chat])
def test_the_official_sdk_uploads_a_batch_that_names_files(
    gateway, fakes, key, make, tmp_path
):
    client = openai.OpenAI(api_key=key, base_url=gateway.url + "/v1", max_retries=0)
    to_up = {"x-filemux-provider": "up"}
    picture = client.files.create(
        file=("a.pdf", b"pdf"), purpose="user_data", extra_headers=to_up
    )
    theirs = list(fakes[0].files)[-1]
    data = make(0, picture.id)
    file = client.files.create(
        file=("in.jsonl", data),
        purpose="batch",
        extra_headers=to_up,
    )
    assert stored(fakes[0]) == replaced(data, picture.id, theirs)
    assert client.files.content(file.id).content == stored(fakes[0])


# --- what is refused ---


def is_refused(gateway, fakes, key, data, line, code, provider="up", **way):
    known = len(fakes[0].files), used(gateway, key)
    reply = batch(gateway, key, data, provider, **way)
    error = refused(reply, 400, "invalid_batch_line")
    assert error["message"].startswith(f"line {line} of the batch file: ")
    assert error["message"].endswith(f"({code})")
    until(lambda: gateway.transfers() == 0, "the upload is over")
    assert len(fakes[0].files) == known[0]
    now = {**used(gateway, key), "upload_bytes_today": 0}
    assert now == {**known[1], "upload_bytes_today": 0}
    return error


@pytest.mark.parametrize("provider", ["up", "exact", "naming"])
def test_another_owners_file_is_not_there(gateway, fakes, key, way, provider):
    mine, theirs = named(gateway, fakes, gateway.new_key(), provider)
    for id in (mine, theirs, "file-abc", "", "x" * 5000, "file-up-" + "0" * 26):
        error = is_refused(gateway, fakes, key, responses(0) + responses(1, id), 2,
                           "file_not_found", provider, **way)  # fmt: skip
        assert error["param"] == "body.input[0].content[1].file_id"
        assert theirs not in error["message"]


@pytest.mark.parametrize("provider", ["up", "exact"])
def test_a_file_at_another_provider_is_told_of(gateway, fakes, key, way, provider):
    mine, theirs = named(gateway, fakes, key, "other")
    error = is_refused(gateway, fakes, key, chat(0, mine), 1, "file_elsewhere",
                       provider, **way)  # fmt: skip
    assert "/copy" in error["message"] and theirs not in error["message"]


def test_a_file_that_was_deleted_is_not_there(gateway, fakes, key):
    mine, _ = named(gateway, fakes, key)
    assert gateway.call(key, "DELETE", f"/v1/files/{mine}").status_code == 200
    is_refused(gateway, fakes, key, chat(0, mine), 1, "file_not_found")


STRANGE = [
    {"file_id": "FILE"},
    {"input": [{"type": "input_file", "file_id": "FILE"}]},
    {"input": {"x": {"file_ids": ["FILE"]}}},
    {"tools": [{"type": "file_searching", "f\u0131le_id": 1, "file_ids": ["FILE"]}]},
    {"training_file": "FILE"},
]


@pytest.mark.parametrize("body", STRANGE, ids=json.dumps)
def test_ids_where_none_can_stand_are_refused(gateway, fakes, key, body):
    """Of one's own file as of others': nobody knows what a provider does."""
    mine, theirs = named(gateway, fakes, key)
    for id in (mine, theirs):
        text = json.dumps({**body, "model": "m"}).replace("FILE", id)
        data = request(0, RESPONSES, json.loads(text))
        is_refused(gateway, fakes, key, data, 1, "invalid_value")


def test_hidden_spellings_are_found(gateway, fakes, key):
    """Escapes in names and types, the type behind, members twice."""
    _, theirs = named(gateway, fakes, gateway.new_key())
    parts = [
        '{"type":"input_file","file\\u005fid":"%s"}',
        '{"file_id":"%s","t\\u0079pe":"input\\u005ffile"}',
        '{"type":"input_file","file_id":null,"file_id":"%s"}',
        '{"type":"input_text","file_id":"%s","type":"input_file"}',
        '{"type":"input_file","file_id":"\\u0066%s"}',
    ]
    for part in parts:
        id = theirs[1:] if "\\u0066" in part else theirs
        data = (
            b'{"custom_id":"a","method":"POST","url":"/v1/responses","body":{"model":'
            b'"m","input":[{"content":[%s],"role":"user"}]}}'
            % (part % id).encode()
        )
        is_refused(gateway, fakes, key, data, 1, "file_not_found")


def test_a_purpose_behind_the_file_comes_too_late_for_ids(gateway, fakes, key):
    """It streams, for what it is is not known; with a spool it is no matter."""
    mine, theirs = named(gateway, fakes, key)
    data = chat(0) + chat(1, mine)
    error = is_refused(gateway, fakes, key, data, 2, "invalid_value", first="file")
    assert "'purpose'" in error["message"]
    for provider, framing in (("exact", 1000), ("naming", None)):
        way = dict(first="file", framing=framing)
        mine, theirs = named(gateway, fakes, key, provider)
        data = chat(0) + chat(1, mine)[:-1]
        reply = batch(gateway, key, data, provider, **way)
        assert reply.status_code == 200, reply.text
        assert stored(fakes[0]) == replaced(data, mine, theirs)
        theirs = named(gateway, fakes, gateway.new_key(), provider)[0]
        is_refused(gateway, fakes, key, chat(0, theirs), 1, "file_not_found",
                   provider, **way)  # fmt: skip


def test_a_line_names_only_so_many_files(gateway, fakes, key):
    mine, theirs = named(gateway, fakes, key)
    data = responses(0, *[mine] * 128)
    assert batch(gateway, key, data).status_code == 200
    assert stored(fakes[0]) == replaced(data, mine, theirs)
    is_refused(gateway, fakes, key, responses(0, *[mine] * 129), 1, "invalid_value")


# --- many ---


def test_fifty_thousand_lines_that_name_files(gateway, fakes, key):
    mine = [named(gateway, fakes, key, data=b"%d" % i) for i in range(3)]
    data = b"".join(chat(i, mine[i % 3][0]) for i in range(50000))
    reply = batch(gateway, key, data, timeout=60)
    assert reply.status_code == 200, reply.text
    for ours, theirs in mine:
        data = replaced(data, ours, theirs)
    assert stored(fakes[0]) == data


def test_more_files_than_are_kept_are_looked_up_again(gateway, fakes, key):
    mine = [named(gateway, fakes, key, data=b"%d" % i) for i in range(300)]
    ids = [ours for ours, _ in mine]
    data = b"".join(responses(i, *ids[i : i + 100]) for i in range(0, 300, 50))
    data += responses(1000, *ids[:100])[:-1]
    assert batch(gateway, key, data, timeout=60).status_code == 200
    for ours, theirs in mine:
        data = replaced(data, ours, theirs)
    assert stored(fakes[0]) == data


def test_a_fault_in_the_last_of_many_lines(gateway, fakes, key):
    mine, _ = named(gateway, fakes, key)
    other, _ = named(gateway, fakes, gateway.new_key())
    data = b"".join(chat(i, mine) for i in range(20000)) + chat(20000, other)[:-1]
    is_refused(gateway, fakes, key, data, 20001, "file_not_found", timeout=60)


# --- faults ---


def test_without_redis_it_is_503_and_leaves_nothing(gateway, fakes, key):
    mine, theirs = named(gateway, fakes, key)
    known = set(fakes[0].files)
    data = chat(0, mine)
    head, rest = data[:20], data[20:]
    with gateway.wire() as w:
        boundary = "b"
        w.head("POST", "/up/v1/files", key, Content_Length=100000,
               Content_Type=f"multipart/form-data; boundary={boundary}")  # fmt: skip
        w.send(
            b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="in.jsonl"'
            b"\r\n\r\n" + head
        )
        until(lambda: used(gateway, key)["reserved_files"] == 1, "it has begun")
        redis = gateway.child()
        os.kill(redis, signal.SIGSTOP)
        try:
            w.send(rest)
            refused(w.reply(), 503, "store_unavailable")
        finally:
            os.kill(redis, signal.SIGCONT)
    until(lambda: gateway.call(key, "GET", "/v1/usage").status_code == 200, "Redis")
    until(lambda: gateway.transfers() == 0, "the upload is over")
    until(
        lambda: used(gateway, key)["reserved_files"] == 0, "what was held is given back"
    )
    # Files of the other providers may go: it is one account, and to the sweeper
    # what they stored there looks like what this upload may have left.
    assert theirs in fakes[0].files and set(fakes[0].files) <= known


# --- other ways by which a file comes to a provider ---


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Two of OpenAI's, one with models of other names, a disk and a bucket, and
    one of other lines."""
    up, naming, s3, mistral = OpenAI(), OpenAI(api_key="sk-n"), S3(), Mistral()
    folder = tmp_path_factory.mktemp("places")
    conf = config({
        "providers": {
            "up": openai_provider(up),
            "naming": openai_provider(naming),
            "disk": {"type": "disk", "path": str(folder / "disk")},
            "s3": test_s3.provider(s3),
            "mistral": test_mistral.provider(mistral),
        },
        "models": {"alias": {"provider": "naming", "model": "a-longer-name"}},
        "checksums": True, "routing": {"default": "up"},
        "journal": {"lease": "2s", "sweep_interval": "500ms"},
    })  # fmt: skip
    del conf["batch_check"]
    gw = Gateway(folder, conf)
    gw.fakes = {"up": up, "naming": naming}
    yield gw.start()
    gw.stop()
    for fake in (up, naming, s3, mistral):
        fake.stop()
        assert fake.violations == []


def spread(gw, key, to, data=b"a picture", purpose="user_data", **more):
    headers = {"x-filemux-provider": to}
    fields = {"purpose": purpose}
    return gw.upload(key, data, "in.jsonl", headers=headers, fields=fields, **more)


def test_each_of_a_fan_out_gets_its_own_ids(places):
    """It streams: nothing is spooled."""
    key = places.new_key()
    ours = spread(places, key, "up, naming").json()["id"]
    theirs = {name: list(fake.files)[-1] for name, fake in places.fakes.items()}
    data = b"".join(responses(i, ours) + responses(-1 - i) for i in range(2000))
    reply = spread(places, key, "up, naming, mistral", data, "batch")
    assert reply.status_code == 200, reply.text
    for name, fake in places.fakes.items():
        assert stored(fake) == replaced(data, ours, theirs[name])
        path = f"/{name}/v1/files/{reply.json()['id']}/content"
        assert places.call(key, "GET", path).content == stored(fake)
    made = reply.json()
    assert made["bytes"] == len(data)
    assert made["filemux"]["sha256"] == hashlib.sha256(stored(places.fakes["up"])).hexdigest()


def test_a_fan_out_names_the_line_whose_file_is_not_everywhere(places):
    key = places.new_key()
    ours = spread(places, key, "up").json()["id"]
    known = [len(fake.files) for fake in places.fakes.values()]
    reply = spread(places, key, "up, naming", chat(0) + chat(1, ours), "batch")
    message = refused(reply, 400, "invalid_batch_line")["message"]
    assert "line 2 of the batch file: " in message and "(file_elsewhere)" in message
    until(lambda: [len(f.files) for f in places.fakes.values()] == known, "all is taken back")
    theirs = spread(places, places.new_key(), "up, naming").json()["id"]
    reply = spread(places, key, "up, naming", chat(0, theirs), "batch")
    assert "(file_not_found)" in refused(reply, 400, "invalid_batch_line")["message"]


def to_copy(gw, key, file_id, provider):
    path = f"/v1/files/{file_id}/copy"
    return gw.call(key, "POST", path, json={"provider": provider})


def test_a_copy_is_checked_and_gets_the_names_of_where_it_goes(places):
    key, naming = places.new_key(max_storage_bytes=10**6), places.fakes["naming"]
    ours = spread(places, key, "naming").json()["id"]
    theirs = list(naming.files)[-1]
    data = b"".join(chat(i, ours, model="alias") for i in range(50)) + b"\n"
    there = replaced(data, ours, theirs).replace(b'"alias"', b'"a-longer-name"')
    file = spread(places, key, "mistral", data, "batch").json()
    before = used(places, key)
    reply = to_copy(places, key, file["id"], "naming")
    assert reply.status_code == 200, reply.text
    assert stored(naming) == there and reply.json()["bytes"] == len(there)
    assert reply.json()["filemux"]["sha256"] == hashlib.sha256(there).hexdigest()
    after = used(places, key)
    assert after["storage_bytes"] - before["storage_bytes"] == len(there)
    assert after["reserved_bytes"] == 0
    error = refused(to_copy(places, key, file["id"], "up"), 400, "invalid_batch_line")
    assert error["message"].startswith("line 1 of the batch file: ")


def test_a_copy_is_no_way_round_the_models_of_a_key(places):
    key = places.new_key(models=["cheap"])
    known = len(places.fakes["up"].files)
    for data in (chat(0), b'{"custom_id":"a","body":{}}\n', b"no batch"):
        file = spread(places, key, "mistral", data, "batch").json()
        refused(to_copy(places, key, file["id"], "up"), 400, "invalid_batch_line")
    until(lambda: used(places, key)["reserved_files"] == 0, "it is given back")
    assert len(places.fakes["up"].files) == known
    assert used(places, key)["files"] == 3
    good = spread(places, key, "mistral", chat(0, model="cheap"), "batch").json()
    assert to_copy(places, key, good["id"], "up").status_code == 200


@pytest.mark.parametrize("name", ["disk", "s3"])
def test_an_upload_in_parts_may_name_files(places, name):
    """Parts are cut anywhere; what is stored has the ids of where it is."""
    key, other = places.new_key(), places.new_key()
    ours = spread(places, key, name).json()["id"]
    foreign = spread(places, other, name).json()["id"]

    def complete(data):
        meta = {"filename": "in.jsonl", "purpose": "batch", "bytes": len(data),
                "mime_type": "application/jsonl"}  # fmt: skip
        upload = places.call(key, "POST", f"/{name}/v1/uploads", json=meta).json()["id"]
        ids = []
        for piece in (data[:150], data[150:]):
            part = places.call(key, "POST", f"/v1/uploads/{upload}/parts", files={"data": piece})
            ids.append(part.json()["id"])
        body = {"part_ids": ids}
        return places.call(key, "POST", f"/v1/uploads/{upload}/complete", json=body)

    data = chat(0) + chat(1, ours) + chat(2, ours)[:-1]
    reply = complete(data)
    error = refused(complete(chat(0) + chat(1, foreign)), 400, "invalid_batch_line")
    assert error["message"].startswith("line 2 of the batch file: ")
    assert error["message"].endswith("(file_not_found)")
    if name == "s3":  # whose ids are paths, longer than ours
        error = refused(reply, 400, "invalid_batch_line")
        assert error["message"].startswith("line 2 of the batch file: ")
        assert error["message"].endswith("(unsupported_operation)")
        return
    assert reply.status_code == 200, reply.text
    file = reply.json()["file"]
    got = places.call(key, "GET", f"/v1/files/{file['id']}/content").content
    assert len(got) == len(data) == file["bytes"]
    assert ours.encode() not in got
    named_there = [json.loads(line)["body"]["messages"][0]["content"] for line in got.splitlines()]
    assert len({content[0]["file"]["file_id"] for content in named_there[1:]}) == 1
    assert file["filemux"]["sha256"] == hashlib.sha256(got).hexdigest()


def test_who_goes_while_a_copy_is_checked_leaves_nothing(places):
    key, up, naming = places.new_key(), *places.fakes.values()
    file = spread(places, key, "up", b"".join(chat(i) for i in range(2000)), "batch").json()
    known = len(naming.files)
    up.fault(after_answer_head(stall), method="GET", path="/content")
    with pytest.raises(httpx.TimeoutException):
        places.call(key, "POST", f"/v1/files/{file['id']}/copy",
                    json={"provider": "naming"}, timeout=1)  # fmt: skip
    until(lambda: places.transfers() == 0, "the copy is over")
    until(lambda: used(places, key)["reserved_files"] == 0, "it is given back")
    assert len(naming.files) == known and used(places, key)["files"] == 1


def test_a_source_that_breaks_while_it_is_checked_is_told(places):
    key, up, naming = places.new_key(), *places.fakes.values()
    file = spread(places, key, "up", b"".join(chat(i) for i in range(2000)), "batch").json()
    known = len(naming.files)
    up.fault(after_answer_head(reset), method="GET", path="/content")
    reply = to_copy(places, key, file["id"], "naming")
    assert reply.status_code == 502 and "read the file at 'up'" in reply.text
    assert to_copy(places, key, file["id"], "naming").status_code == 200
    assert len(naming.files) == known + 1
