"""The type `fireworks`: datasets, filled by a form or by a signed URL."""

import any_provider as any_
import pytest
from fakes import pattern
from fakes.fireworks import Fireworks
from fakes.openai import answer, call, on_head, on_stored
from gw import MB, config, refused, until
from test_journal import QUICK, upload_to_its_end
from wire import form, form_type, part

ERROR = {"code": 2, "message": "said so", "details": []}
WAYS = {"form": {}, "signed": {"signed_above": "0"}}


def provider(fake, **more):
    auth = {"type": "fireworks", "base_url": fake.url, "api_key": fake.api_key}
    return {**auth, "account_id": "acct", **more}


@pytest.fixture
def fake():
    fake = Fireworks()
    yield fake
    fake.stop()
    assert fake.violations == []


@pytest.fixture
def gw(start, fake, request):
    more = WAYS[getattr(request, "param", "form")]
    gw = start(config({"providers": {"up": provider(fake, **more)}}))
    gw.key = gw.new_key()
    yield gw
    told = gw.stderr()
    assert fake.api_key not in told and "X-Signature" not in told
    assert not any(s in told for s in fake.storage.signed)


def ways(*names):
    return pytest.mark.parametrize("gw", names, indirect=True)


def nothing_is_left(gw, fake):
    any_.nothing_is_left(gw)
    until(lambda: fake.pending == {}, "what was begun is taken back")
    assert fake.files == {}


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    fake = Fireworks()
    conf = {name: provider(fake, **more) for name, more in WAYS.items()}
    yield from any_.pair(tmp_path_factory, fake, **conf)


class TestEvery(any_.Every):
    error = ERROR

    @pytest.fixture
    def fake(self, pair):
        fake = pair[1]
        fake.pending.clear()
        yield from any_.fresh(pair)
        until(lambda: fake.pending == {}, "what was begun is taken back")

    @pytest.fixture
    def gw(self, pair):
        return any_.with_key(pair)


class TestEverySigned(TestEvery):
    path = "/signed/v1/files"


def test_what_is_larger_than_a_form_may_be_is_put(start):
    fake = Fireworks(form_max=MB)
    gw = start(config({"providers": {"up": provider(fake, signed_above="1MB")}}))
    gw.key = gw.new_key()
    for size in (MB, MB + 1):
        any_.made(any_.send(gw, size))
    assert [s.declared for s in fake.storage.seen] == [MB + 1]
    fake.stop()


@pytest.mark.parametrize(
    "text, lines", [("", 0), ("\n", 1), ("a", 1), ("a\n", 1), ("a\nb", 2), ("\n\n", 2)]
)
def test_the_lines_are_counted(gw, fake, text, lines):
    body = form(part("file", text, "a.txt", "text/plain"), part("purpose", "batch"))
    headers = {"Content-Type": form_type()}
    any_.made(gw.call(gw.key, "POST", "/v1/files", content=body, headers=headers))
    (stored,) = fake.files.values()
    assert stored.record["exampleCount"] == str(lines)


def test_a_dataset_has_a_name_of_ours(gw, fake):
    obj = any_.made(any_.send(gw, 5))
    (name,) = fake.files
    assert name == "filemux-" + obj["id"][-26:]
    assert fake.files[name].record["displayName"] == "x.bin"


def test_a_file_is_processed_once_the_dataset_is_ready(gw, fake):
    path = f"/v1/files/{any_.made(any_.send(gw, 5))['id']}"
    obj = gw.call(gw.key, "GET", path).json()
    assert (obj["status"], obj["bytes"]) == ("processed", 5)


@ways("signed")
@pytest.mark.parametrize(
    "theirs, ours", [(400, 502), (403, 502), (404, 502), (413, 413), (429, 429), (503, 503)]
)
def test_what_the_storage_refuses_is_taken_back(gw, fake, theirs, ours):
    refuse = answer(theirs, "<Error><Code>X</Code></Error>", then_close=True)
    fake.fault(on_head(refuse), method="PUT", times=9)
    error = refused(any_.send(gw, 7 * MB), ours)
    assert "bucket" not in error["message"] and "X-Sig" not in error["message"]
    nothing_is_left(gw, fake)


@ways("signed")
@pytest.mark.parametrize("step", ["getUploadEndpoint", "validateUpload"])
def test_a_step_that_fails_is_taken_back(gw, fake, step):
    fail = on_head(lambda x: (x.body.read_all(), answer(500, ERROR)(x)))
    fake.fault(fail, path=step)
    refused(any_.send(gw, 5), 502)
    nothing_is_left(gw, fake)


@ways("form")
def test_a_form_that_was_stored_and_not_answered_well_is_taken_back(gw, fake):
    fake.fault(on_stored(answer(500, ERROR)), path=":upload")
    refused(any_.send(gw, 5), 502)
    until(lambda: fake.files == {}, "the dataset is gone")
    nothing_is_left(gw, fake)


def test_what_a_killed_process_left_is_deleted_by_its_name(start, fake):
    gw = start(config({**QUICK, "providers": {"up": provider(fake)}}))
    key = gw.new_key()
    fake.fault(on_stored(call(lambda x: gw.kill())), path="datasets$")
    upload_to_its_end(gw, key)
    assert len(fake.pending) == 1
    gw.start()
    until(lambda: fake.pending == {}, "the dataset is deleted", 60)
    until(lambda: gw.metric("filemux_journal_swept_total") == 1, "it is noted", 60)
    assert gw.call(key, "GET", "/v1/files").json()["data"] == []


def test_a_part_of_a_file_comes_back(gw, fake):
    path = f"/v1/files/{any_.made(any_.send(gw, 1000))['id']}/content"
    reply = gw.call(gw.key, "GET", path, headers={"Range": "bytes=10-19"})
    assert reply.status_code == 206 and reply.content == pattern.pattern(20)[10:]
    refused(gw.call(gw.key, "GET", path, headers={"Range": "bytes=1000-"}), 416)


@pytest.mark.parametrize("theirs, ours", [(403, 502), (404, 404), (500, 502), (503, 503)])
def test_a_download_that_the_storage_refuses_is_told(gw, fake, theirs, ours):
    path = f"/v1/files/{any_.made(any_.send(gw, 5))['id']}/content"
    fake.fault(on_head(answer(theirs, "<Error/>")), path="bucket")
    error = refused(gw.call(gw.key, "GET", path), ours)
    assert "bucket" not in error["message"]


def test_a_dataset_without_a_file_has_no_content(gw, fake):
    path = f"/v1/files/{any_.made(any_.send(gw, 5))['id']}"
    (name,) = fake.files
    fake.pending[name] = fake.files.pop(name).record
    assert gw.call(gw.key, "GET", path).json()["status"] == "uploaded"
    refused(gw.call(gw.key, "GET", path + "/content"), 404)


def test_a_wrong_key_is_the_gateways_fault(start, fake):
    gw = start(config({"providers": {"up": provider(fake, api_key="other")}}))
    gw.key = gw.new_key()
    error = refused(any_.send(gw, 5), 502, "upstream_auth")
    assert "other" not in error["message"]
