"""Files that the lines of a batch file name: ours go in, the provider's come
out, and nobody names another one's."""

import hashlib
import json
import os
import signal

import openai
import pytest
from fakes.openai import OpenAI
from gw import Gateway, config, refused, until
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
