"""Batch files are checked while they are uploaded, and models get the names that
the provider knows them by."""

import hashlib
import json
import re
import signal

import openai
import pytest
import test_azure
import test_gcs
import test_mistral
import test_openai
import test_s3
from fakes.azure import Azure
from fakes.gcs import GCS
from fakes.mistral import Mistral
from fakes.openai import OpenAI
from fakes.s3 import S3
from gw import MB, Gateway, config, free_port, refused, until
from wire import file_part, form, form_type, part

CHAT = "/v1/chat/completions"
LONGER, SHORTER = "a-deployment-with-a-name-that-is-much-longer", "d"


def line(i, model="gpt-4o", url=CHAT, text="Grüße, 你好 \"x\"\n", **more):
    body = {"model": model, "messages": [{"role": "user", "content": text}]}
    request = {"custom_id": f"r{i}", "method": "POST", "url": url, "body": body}
    return json.dumps({**request, **more}, ensure_ascii=i % 2 == 0).encode()


def lines(n, **kw):
    return b"".join(line(i, **kw) + b"\n" for i in range(n))


@pytest.fixture(scope="module")
def fakes():
    up, other = OpenAI(), OpenAI(api_key="sk-other")
    yield up, other
    up.stop()
    other.stop()


def models():
    return {
        "longer": {"provider": "up", "model": LONGER},
        "shorter": {"provider": "up", "model": SHORTER},
        "same": {"provider": "up"},
        "elsewhere": {"provider": "other", "model": "x"},
    }


@pytest.fixture(scope="module")
def gateway(tmp_path_factory, fakes):
    """`up` has models of other names, `plain` (the same service) has none,
    `exact` must be told the length."""
    up, other = fakes
    conf = config(up=up, other=other, plain=up, exact=up)
    del conf["batch_check"]
    conf["providers"]["exact"]["upload_length"] = "required"
    conf["models"] = {
        **models(),
        "exact-longer": {"provider": "exact", "model": LONGER},
    }
    conf["checksums"] = True
    gw = Gateway(tmp_path_factory.mktemp("batches"), conf).start()
    yield gw
    gw.stop()


@pytest.fixture
def key(gateway):
    return gateway.new_key()


def pieces(body, n):
    for i in range(0, len(body), n):
        yield body[i : i + n]


def batch(gateway, key, data, provider="up", first="purpose", framing=None, **kw):
    """An upload with the purpose before or behind the file; with a length, or
    chunked in pieces of `framing` bytes."""
    boundary = "batch-boundary"
    purpose = (
        f"--{boundary}\r\nContent-Disposition: form-data; "
        'name="purpose"\r\n\r\nbatch\r\n'
    ).encode()
    file = (
        f"--{boundary}\r\nContent-Disposition: form-data; "
        'name="file"; filename="in.jsonl"\r\n\r\n'
    ).encode() + data + b"\r\n"  # fmt: skip
    parts = [purpose, file] if first == "purpose" else [file, purpose]
    body = b"".join(parts) + f"--{boundary}--\r\n".encode()
    headers = {
        "content-type": f"multipart/form-data; boundary={boundary}",
        **({"x-filemux-provider": provider} if provider else {}),
    }
    if framing:
        body = pieces(body, framing)
    return gateway.call(key, "POST", "/v1/files", content=body, headers=headers, **kw)


def has(fake, data):
    """The file that the provider was sent last."""
    file = fake.uploads()[-1].file
    assert (file.size, file.sha256) == (len(data), hashlib.sha256(data).hexdigest())


def is_recorded(gateway, key, reply, data):
    """The object tells of what comes down."""
    assert reply.status_code == 200, reply.text
    file = reply.json()
    assert file["bytes"] == len(data)
    assert file["filemux"]["sha256"] == hashlib.sha256(data).hexdigest()
    got = gateway.call(key, "GET", f"/v1/files/{file['id']}/content")
    assert got.content == data


NOTHING = {"files": 0, "storage_bytes": 0, "reserved_files": 0, "reserved_bytes": 0,
           "upload_bytes_today": 0}  # fmt: skip


def used(gateway, key):
    usage = gateway.call(key, "GET", "/v1/usage")
    assert usage.status_code == 200, usage.text
    usage = usage.json()["key"]["usage"]
    return {name: usage[name] for name in NOTHING}


WAYS = [
    dict(first=first, framing=framing)
    for first in ("purpose", "file")
    for framing in (None, 1000, 65536)
]


@pytest.fixture(params=WAYS, ids=str)
def way(request):
    return request.param


# --- good files ---


@pytest.mark.parametrize("provider", ["up", "plain", "exact", "other"])
def test_a_good_file_arrives_byte_for_byte(gateway, fakes, key, way, provider):
    data = b"\r\n" + lines(300) + b"  \n" + line(999)
    reply = batch(gateway, key, data, provider, **way)
    is_recorded(gateway, key, reply, data)
    has(fakes[provider == "other"], data)


def test_the_official_sdk_uploads_a_batch(gateway, fakes, key):
    client = openai.OpenAI(api_key=key, base_url=gateway.url + "/v1", max_retries=0)
    data = lines(5)
    file = client.files.create(file=("in.jsonl", data), purpose="batch")
    assert file.bytes == len(data)
    has(fakes[0], data)
    with pytest.raises(openai.BadRequestError) as raised:
        client.files.create(file=("in.jsonl", data + line(3)), purpose="batch")
    assert raised.value.code == "invalid_batch_line"
    assert raised.value.param == "custom_id"
    assert "line 6 " in raised.value.message


def test_the_length_is_told_where_nothing_can_be_renamed(gateway, fakes, key):
    assert batch(gateway, key, lines(9), "plain").status_code == 200
    assert fakes[0].uploads()[-1].framing == "length"
    assert batch(gateway, key, lines(9), "up").status_code == 200
    assert fakes[0].uploads()[-1].framing == "chunked"
    assert batch(gateway, key, lines(9), "exact").status_code == 200
    assert fakes[0].uploads()[-1].framing == "length"


def test_other_purposes_are_not_looked_at(gateway, fakes, key):
    data = b"no batch" * 1000
    for kw in (dict(), dict(headers={"x-filemux-provider": "plain"})):
        reply = gateway.upload(key, data, **kw)
        assert reply.status_code == 200, reply.text
        has(fakes[0], data)


@pytest.mark.parametrize("provider", ["up", "plain"])
def test_a_purpose_behind_the_file_that_is_none_lets_all_pass(
    gateway, fakes, key, provider
):
    data = lines(3) + b"{" + b"x" * 2 * MB
    boundary = "b"
    body = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.png"'
        b"\r\n\r\n" + data + b"\r\n--b\r\nContent-Disposition: form-data; "
        b'name="purpose"\r\n\r\nvision\r\n--b--\r\n'
    )
    reply = gateway.call(
        key, "POST", "/v1/files", content=body,
        headers={"content-type": f"multipart/form-data; boundary={boundary}",
                 "x-filemux-provider": provider},
    )  # fmt: skip
    assert reply.status_code == 200, reply.text
    has(fakes[0], data)


# --- models ---


@pytest.mark.parametrize("model, name", [("longer", LONGER), ("shorter", SHORTER)])
def test_models_get_the_name_they_have_there(gateway, fakes, key, way, model, name):
    sent = b"".join(
        line(i, model=model if i % 3 else "gpt-4o", text=f'"model": "{model}"')
        + b"\r\n"
        for i in range(3000)
    )
    there = sent.replace(f'"model": "{model}", "m'.encode(),
                         f'"model": "{name}", "m'.encode())  # fmt: skip
    assert there != sent
    is_recorded(gateway, key, batch(gateway, key, sent, "up", **way), there)
    has(fakes[0], there)


def test_models_are_renamed_for_who_must_know_the_length(gateway, fakes, key, way):
    sent = lines(500, model="exact-longer")
    there = lines(500, model=LONGER)
    is_recorded(gateway, key, batch(gateway, key, sent, "exact", **way), there)
    assert fakes[0].uploads()[-1].framing == "length"


def test_a_model_that_is_called_the_same_stays(gateway, fakes, key):
    data = lines(3, model="same")
    assert batch(gateway, key, data, "up").status_code == 200
    has(fakes[0], data)


@pytest.mark.parametrize("provider", ["up", "plain", "exact"])
def test_a_model_of_another_provider_is_refused(gateway, key, way, provider):
    data = lines(3) + line(9, model="elsewhere") + b"\n" + b"and no JSON"
    error = refused(
        batch(gateway, key, data, provider, **way), 400, "invalid_batch_line"
    )
    assert error["param"] == "body.model"
    assert "line 4 " in error["message"]
    assert "'other'" in error["message"] and f"'{provider}'" in error["message"]
    assert error["message"].endswith("(model_not_found)")


def test_the_key_and_its_team_say_which_models(gateway, key, way):
    team = gateway.admin("POST", "/team/new", json={"models": ["gpt-4o", "longer"]})
    assert team.status_code == 200, team.text
    for secret in (
        gateway.new_key(models=["gpt-4o", "longer"]),
        gateway.new_key(team_id=team.json()["team_id"]),
    ):
        good = lines(2) + line(7, model="longer")
        assert batch(gateway, secret, good, **way).status_code == 200
        bad = lines(2) + line(7, model="gpt-5")
        reply = batch(gateway, secret, bad, **way)
        error = refused(reply, 400, "invalid_batch_line")
        assert error["param"] == "body.model"
        assert re.search(r"^line 3 .*\(model_not_allowed\)$", error["message"])


# --- every way in which providers take a stream ---

KINDS = ["azure", "disk", "exact", "gcs", "s3"]


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    """One that is strict about forms, a directory, one that must know the length,
    and two that take parts."""
    azure, exact, gcs, s3 = Azure(None), OpenAI(), GCS(token=test_gcs.TOKEN), S3()
    conf = config()
    del conf["batch_check"]
    conf["providers"] = {
        "azure": test_azure.provider(azure),
        "disk": {"type": "disk", "path": "./data/files"},
        "exact": {**test_openai.provider(exact), "upload_length": "required"},
        "gcs": test_gcs.provider(gcs),
        "s3": test_s3.provider(s3),
    }
    conf["models"] = {f"at-{k}": {"provider": k, "model": LONGER} for k in KINDS}
    gw = Gateway(tmp_path_factory.mktemp("kinds"), conf).start()
    yield gw
    gw.stop()
    for fake in (azure, exact, gcs, s3):
        fake.stop()
        assert fake.violations == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_provider_gets_the_renamed_file(kinds, way, kind):
    key, text = kinds.new_key(), "x" * 2000
    sent = lines(4000, model=f"at-{kind}", text=text)
    there = lines(4000, model=LONGER, text=text)
    made = batch(kinds, key, sent, kind, **way, timeout=60)
    assert made.status_code == 200, made.text
    assert made.json()["bytes"] == len(there)
    got = kinds.call(key, "GET", f"/v1/files/{made.json()['id']}/content")
    assert got.content == there
    reply = batch(kinds, key, sent + b"{", kind, **way, timeout=60)
    refused(reply, 400, "invalid_batch_line")
    until(lambda: used(kinds, key)["reserved_files"] == 0, "it is given back")
    assert used(kinds, key)["files"] == 1


# --- where it goes is decided late, or anew ---


@pytest.fixture(scope="module")
def routed(tmp_path_factory, fakes):
    """Batches go to a pool of `dead` and `up`; what else there is to `other`."""
    up, other = fakes
    conf = config(other=other, up=up, dead=up)
    del conf["batch_check"]
    conf["providers"]["dead"]["base_url"] = f"http://127.0.0.1:{free_port()}/v1"
    conf["models"] = models()
    conf["pools"] = {"two": {"members": [{"provider": "dead"}, {"provider": "up"}]}}
    conf["routing"]["rules"] = [{"match": {"purpose": "batch"}, "use": "two"}]
    gw = Gateway(tmp_path_factory.mktemp("routed"), conf).start()
    yield gw
    gw.stop()


@pytest.mark.parametrize("first", ["purpose", "file"])
def test_the_next_of_a_pool_gets_the_whole_file(routed, fakes, first):
    key, data = routed.new_key(), lines(200)
    reply = batch(routed, key, data, provider=None, first=first)
    assert reply.status_code == 200, reply.text
    has(fakes[0], data)


def test_a_purpose_behind_the_file_decides_on_the_names(routed, fakes):
    key, sent = routed.new_key(), line(100, model="same") + b"\n" + lines(50)
    reply = batch(routed, key, sent, provider=None, first="file")
    # `same` is at `up` alone, and the pool begins with another.
    error = refused(reply, 400, "invalid_batch_line")
    assert error["message"].startswith("line 1 of the batch file: ")
    assert error["message"].endswith("(model_not_found)")
    routed.conf["pools"]["two"]["members"].reverse()
    routed.write(routed.conf)
    routed.signal(signal.SIGHUP)
    until(lambda: "reloaded" in routed.stderr(), "it has read its file again")
    for model, name in (("longer", LONGER), ("shorter", SHORTER)):
        sent, there = lines(50, model=model), lines(50, model=name)
        reply = batch(routed, key, sent, provider=None, first="file")
        assert reply.status_code == 200, reply.text
        has(fakes[0], there)
        assert fakes[0].uploads()[-1].framing == "length"


# --- faults ---

BAD = [
    (b"not json", "", "invalid_json_line"),
    (line(1)[:-1], "", "invalid_json_line"),
    (b"\xef\xbb\xbf" + line(1), "", "invalid_json_line"),
    (line(0), "custom_id", "duplicate_custom_id"),
    (line(1, url="/v1/embeddings"), "url", "url_mismatch"),
    (line(1, url="/v1/nothing"), "url", "invalid_url"),
    (line(1, method="GET"), "method", "invalid_method"),
    (line(1, custom_id=7), "custom_id", "invalid_value"),
    (line(1, body={}), "body.model", "missing_required_parameter"),
    (line(1).replace(b'"url"', b'"uri"'), "url", "missing_required_parameter"),
    (line(1, text="x" * MB), "", "line_too_long"),
]


@pytest.mark.parametrize("bad, param, code", BAD, ids=[f"{b[2]}-{b[1]}" for b in BAD])
@pytest.mark.parametrize("provider", ["up", "plain"])
@pytest.mark.parametrize("first", ["purpose", "file"])
@pytest.mark.parametrize("end", [b"", b"\n", b"\n" + line(5)])
def test_a_bad_line_is_named(gateway, key, bad, param, code, provider, first, end):
    data = line(0) + b"\n\n" + bad + end
    reply = batch(gateway, key, data, provider, first=first)
    error = refused(reply, 400, "invalid_batch_line")
    assert error["param"] == (param or None)
    assert error["message"].startswith("line 3 of the batch file: ")
    assert error["message"].endswith(f"({code})")


def test_a_file_without_requests_is_refused(gateway, key, way):
    error = refused(batch(gateway, key, b"\n\n", **way), 400, "invalid_batch_line")
    assert error["message"].endswith("(empty_file)")


@pytest.mark.parametrize("provider", ["up", "plain", "exact"])
def test_a_fault_in_the_last_line_of_a_large_file(gateway, fakes, key, way, provider):
    """The provider never has it, and nothing is charged."""
    good = lines(40000, text="x" * 400)
    assert len(good) > 20 * MB - MB
    known = len(fakes[0].files)
    reply = batch(gateway, key, good + line(40000)[:-1], provider, **way, timeout=60)
    error = refused(reply, 400, "invalid_batch_line")
    assert "line 40001 " in error["message"]
    until(lambda: gateway.transfers() == 0, "the upload is over")
    assert len(fakes[0].files) == known
    if provider == "plain":
        seen = fakes[0].uploads()[-1]
        until(lambda: seen.aborted, "the provider's upload is broken off")
    until(lambda: used(gateway, key) == NOTHING, "what was held is given back")


@pytest.mark.parametrize("provider", ["up", "plain", "exact"])
def test_a_fault_is_told_before_the_rest_has_come(gateway, fakes, key, provider):
    known = len(fakes[0].files)
    with gateway.wire() as w:
        w.head(
            "POST", f"/{provider}/v1/files", key, Content_Length=50 * MB,
            Content_Type=form_type(),
        )  # fmt: skip
        head = form(part("purpose", "batch"), file_part(b"\0")).split(b"\0")[0]
        w.send(head + lines(20) + b"{]\n" + lines(20))
        error = refused(w.reply(), 400, "invalid_batch_line")
        assert error["message"].startswith("line 21 of the batch file: ")
    until(lambda: used(gateway, key) == NOTHING, "what was held is given back")
    assert len(fakes[0].files) == known


@pytest.mark.parametrize("provider", ["up", "plain", "exact"])
@pytest.mark.parametrize("purpose_first", [True, False])
def test_a_client_who_goes_away_leaves_nothing(
    gateway, fakes, key, provider, purpose_first
):
    known = len(fakes[0].files)
    with gateway.wire() as w:
        w.head(
            "POST", f"/{provider}/v1/files", key, Content_Length=50 * MB,
            Content_Type=form_type(),
        )  # fmt: skip
        fields = [part("purpose", "batch")] if purpose_first else []
        head = form(*fields, file_part(b"\0")).split(b"\0")[0]
        w.send(head + lines(5000, model="gpt-4o") + line(9)[:-9])
        until(lambda: used(gateway, key)["reserved_files"] == 1, "it has begun")
    until(lambda: used(gateway, key) == NOTHING, "what was held is given back")
    until(lambda: gateway.transfers() == 0, "the upload is over")
    assert len(fakes[0].files) == known


def test_there_may_not_be_more_lines_than_allowed(gateway, key):
    data = b"".join(line(i, text="") + b"\n" for i in range(50001))
    error = refused(batch(gateway, key, data, timeout=60), 400, "invalid_batch_line")
    assert "line 50001 " in error["message"]
    assert error["message"].endswith("(too_many_tasks)")
    assert batch(gateway, key, data[: data.rindex(b"{\"custom_id\"")],
                 timeout=60).status_code == 200  # fmt: skip


# --- quotas ---


def test_what_a_file_grows_by_is_within_the_quota(gateway, fakes, way):
    """While it streams as much is held as it could grow by: a line has 64 bytes
    or more."""
    sent, there = lines(100, model="longer"), lines(100, model=LONGER)
    most = len(sent) // 64 * (len(LONGER) - len("longer"))
    key = gateway.new_key(max_storage_bytes=len(sent) + most + 1000)
    assert batch(gateway, key, sent, "up", **way).status_code == 200
    has(fakes[0], there)
    assert used(gateway, key) == {
        **NOTHING,
        "files": 1,
        "storage_bytes": len(there),
        "upload_bytes_today": len(sent),
    }
    tight = gateway.new_key(max_storage_bytes=len(there) - 1)
    reply = batch(gateway, tight, sent, "up", **way)
    assert reply.status_code in (413, 429), reply.text
    until(lambda: gateway.transfers() == 0, "the upload is over")
    assert gateway.call(tight, "GET", "/v1/files").json()["data"] == []


# --- configuration ---


def test_it_can_be_turned_off(tmp_path, fakes):
    off = {"batch_check": {"enabled": False}, "models": models()}
    conf = config(off, up=fakes[0], other=fakes[1])
    gw = Gateway(tmp_path, conf).start()
    key = gw.new_key()
    data = b"{no batch\n" + line(1, model="longer")
    for first in ("purpose", "file"):
        assert batch(gw, key, data, first=first).status_code == 200
        has(fakes[0], data)
        assert fakes[0].uploads()[-1].framing == "length"
    gw.stop()


def test_its_bounds_are_configured(tmp_path, fakes):
    bounds = {"enabled": True, "max_lines": 2, "max_line_bytes": "1KB"}
    gw = Gateway(tmp_path, config({"batch_check": bounds}, up=fakes[0])).start()
    key = gw.new_key()
    assert batch(gw, key, lines(2)).status_code == 200
    error = refused(batch(gw, key, lines(3)), 400, "invalid_batch_line")
    assert error["message"].endswith("(too_many_tasks)")
    reply = batch(gw, key, line(1, text="x" * 1024))
    assert refused(reply, 400)["message"].endswith("(line_too_long)")
    gw.stop()


def test_lines_of_another_format_pass_where_they_belong(start):
    fake = Mistral()
    conf = config({"providers": {"up": test_mistral.provider(fake)}})
    del conf["batch_check"]
    gw = start(conf)
    native = b'{"custom_id": "a", "body": {"messages": []}}\n'
    reply = gw.upload(gw.new_key(), native, "a.jsonl", fields={"purpose": "batch"})
    assert reply.status_code == 200, reply.text
    (stored,) = fake.files.values()
    assert stored.read() == native
    fake.stop()


# --- what takes OpenAI's lines, and what does not, is told late ---

NATIVE = b'{"custom_id": "a", "body": {"messages": []}}\n'


@pytest.fixture
def mixed(start, redis):
    """Mistral, which must know the purpose, is the default; batches without one
    go by a rule to `plain`, where models have other names. A pool begins with a
    Mistral that is away."""
    up, mistral = OpenAI(), Mistral()
    away = f"http://127.0.0.1:{free_port()}"
    conf = config({
        "providers": {
            "mapped": test_mistral.mapped(mistral),
            "plain": test_mistral.provider(mistral),
            "away": {**test_mistral.mapped(mistral), "base_url": away},
            "up": test_openai.provider(up),
            "other": test_openai.provider(up),
        },
        "models": {
            "longer": {"provider": "up", "model": LONGER},
            "there": {"provider": "plain", "model": LONGER},
        },
        "pools": {"two": {"members": [{"provider": "away"}, {"provider": "up"}]}},
        "routing": {"default": "mapped", "rules": [
            {"match": {"filename": "pool*"}, "use": "two"},
            {"match": {"purpose": "batch"}, "use": "plain"},
        ]},
        "redis": {"url": redis.url},
    })  # fmt: skip
    del conf["batch_check"]
    gw = start(conf)
    gw.up, gw.mistral = up, mistral
    yield gw
    for fake in (up, mistral):
        fake.stop()
        assert fake.violations == []


def send(gw, key, data, *fields, filename="in.jsonl"):
    """The fields behind the file, in this order."""
    body = form(file_part(data, filename), *(part(*f) for f in fields))
    headers = {"content-type": form_type()}
    return gw.call(key, "POST", "/v1/files", content=body, headers=headers)


PURPOSE, TO_UP = ("purpose", "batch"), ("provider", "up")


def test_a_provider_named_behind_the_file_gets_it_checked(mixed):
    bound = mixed.new_key(models=["longer"])
    for fields in ((PURPOSE, TO_UP), (TO_UP, PURPOSE)):
        error = refused(send(mixed, bound, lines(3), *fields), 400, "invalid_batch_line")
        assert error["message"].endswith("(model_not_allowed)")
        error = refused(send(mixed, bound, NATIVE, *fields), 400, "invalid_batch_line")
        assert error["message"].startswith("line 1 of the batch file: it has no 'method'")
    assert mixed.up.files == {} and mixed.mistral.files == {}


def test_a_provider_named_behind_the_file_gets_its_names(mixed):
    for fields in ((PURPOSE, TO_UP), (TO_UP, PURPOSE)):
        reply = send(mixed, mixed.new_key(), lines(30, model="longer"), *fields)
        assert reply.status_code == 200, reply.text
        has(mixed.up, lines(30, model=LONGER))


def test_the_next_of_a_pool_that_takes_other_lines_gets_good_ones(mixed):
    key, bound = mixed.new_key(), mixed.new_key(models=["longer"])
    way = dict(filename="pool.jsonl")
    reply = send(mixed, key, lines(30, model="longer"), PURPOSE, **way)
    assert reply.status_code == 200, reply.text
    has(mixed.up, lines(30, model=LONGER))
    # It is the first one's failure that is told, and the second is not asked.
    for secret, data in ((bound, lines(3)), (key, NATIVE)):
        refused(send(mixed, secret, data, PURPOSE, **way), 502, "upstream_unreachable")
    assert len(mixed.up.files) == 1


@pytest.mark.parametrize("provider", ["plain", "mapped"])
@pytest.mark.parametrize("first", ["purpose", "file"])
def test_other_lines_pass_whatever_comes_first(mixed, first, provider):
    """By a rule, the purpose decides; models are not renamed there."""
    to = provider if provider == "mapped" else None
    for data in (NATIVE, lines(30, model="there"), b"of its own\n"):
        reply = batch(mixed, mixed.new_key(), data, to, first=first)
        assert reply.status_code == 200, reply.text
        assert reply.json()["filemux"]["provider"] == provider
        assert list(mixed.mistral.files.values())[-1].read() == data
