"""The real LiteLLM proxy behind filemux, and the strict fake behind that."""

import json
import os
import subprocess
from pathlib import Path

import any_provider as any_
import httpx
import openai
import pytest
from conftest import sdk_for
from fakes import pattern
from fakes.openai import OpenAI, answer, call, on_head, on_stored
from gw import MB, ROOT, Gateway, config, free_port, refused, until

PROGRAM = Path(os.environ.get("LITELLM_BIN", ROOT / "tests/.venv-litellm/bin/litellm"))
KEY = "sk-litellm-0123456789"
QUICK = {"journal": {"lease": "2s", "sweep_interval": "1s"}}
HOUR = {"anchor": "created_at", "seconds": 3600}

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not PROGRAM.exists(), reason="there is no LiteLLM"),
]


class LiteLLM:
    """The proxy, and the OpenAI that it takes for the real one."""

    def __init__(self, folder):
        self.folder, self.fake = folder, OpenAI()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = None

    def conf(self):
        behind = {"api_base": self.fake.url, "api_key": self.fake.api_key}
        model = {"model": "openai/gpt-4o", **behind}
        return {
            "model_list": [{"model_name": "gpt-batch", "litellm_params": model}],
            "files_settings": [{"custom_llm_provider": "openai", **behind}],
            "general_settings": {"master_key": KEY},
            "litellm_settings": {"telemetry": False, "num_retries": 0},
        }

    def start(self):
        file = self.folder / "litellm.yaml"
        file.write_text(json.dumps(self.conf()))
        nowhere = "http://127.0.0.1:9"  # for whatever would leave this machine
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_TELEMETRY": "False",
            "DO_NOT_TRACK": "1",
            "HTTP_PROXY": nowhere,
            "HTTPS_PROXY": nowhere,
            "NO_PROXY": "127.0.0.1",
        }
        with open(self.folder / "log", "wb") as log:
            self.process = subprocess.Popen(
                [PROGRAM, "--config", file, "--host", "127.0.0.1",
                 "--port", str(self.port)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=env, cwd=self.folder,
            )  # fmt: skip
        until(self.is_ready, "LiteLLM is ready", 120)
        return self

    def is_ready(self):
        words = (self.folder / "log").read_text(errors="replace")[-3000:]
        assert self.process.poll() is None, f"LiteLLM ended:\n{words}"
        try:
            return httpx.get(f"{self.url}/health/liveliness").status_code == 200
        except httpx.TransportError:
            return False

    def stop(self):
        if self.process:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.fake.stop()


@pytest.fixture(scope="session")
def litellm(tmp_path_factory):
    proxy = LiteLLM(tmp_path_factory.mktemp("litellm"))
    try:
        yield proxy.start()
    finally:
        proxy.stop()


def entries(litellm):
    common = {"type": "openai", "vendor": "litellm", "base_url": litellm.url,
              "api_key": KEY}  # fmt: skip
    return {
        "lite": {**common, "custom_llm_provider": "openai"},
        "model": {**common, "query": {"model": "gpt-batch"}},
        "strange": {**common, "api_key": "sk-strange"},
    }


@pytest.fixture(scope="session")
def behind(litellm, tmp_path_factory):
    conf = config({"providers": entries(litellm), "routing": {"default": "lite"}})
    gw = Gateway(tmp_path_factory.mktemp("before-litellm"), conf)
    try:
        yield gw.start()
        gw.stop()
    finally:
        gw.end()


@pytest.fixture
def fake(litellm):
    fake = litellm.fake
    for kept in (fake.seen, fake.faults, fake.files):
        kept.clear()
    yield fake
    assert fake.violations == []


@pytest.fixture
def gw(behind, fake):
    behind.key = behind.new_key()
    return behind


@pytest.fixture
def sdk(gw):
    with sdk_for(gw, gw.key) as client:
        yield client


def test_a_file_lives_behind_it(sdk, fake):
    made = sdk.files.create(file=("a.bin", b"hello"), purpose="vision",
                            expires_after=HOUR)  # fmt: skip
    (stored,) = fake.files.values()
    assert stored.read() == b"hello" and stored.filename == "a.bin"
    assert stored.expires_at == stored.created_at + 3600
    assert made.bytes == 5 and made.expires_at == stored.expires_at
    assert made.id.startswith("file-lite-")
    assert sdk.files.retrieve(made.id) == made
    assert [f.id for f in sdk.files.list()] == [made.id]
    raw = sdk.files.with_raw_response.content(made.id)
    assert raw.content == b"hello"
    assert not [name for name in raw.headers if name.startswith("x-litellm")]
    assert sdk.files.delete(made.id).deleted and fake.files == {}
    with pytest.raises(openai.NotFoundError):
        sdk.files.delete(made.id)


def test_bytes_are_the_same_in_any_framing(gw, fake):
    for size in (0, 1, 256 * 1024 + 1, 5 * MB + 1):
        for how in ({}, {"chunks": True}, {"file_first": True}):
            fake.files.clear()
            obj = any_.made(any_.send(gw, size, **how))
            (stored,) = fake.files.values()
            assert stored.size == size and stored.sha256 == pattern.sha256(size)
            any_.comes_back(gw, obj, size)


def test_an_id_that_knows_its_model_works_whole(gw, fake):
    obj = any_.made(gw.upload(gw.key, b"hello", path="/model/v1/files"))
    fake.seen.clear()
    path = f"/v1/files/{obj['id']}"
    assert gw.call(gw.key, "GET", path + "/content").content == b"hello"
    assert gw.call(gw.key, "DELETE", path).json()["deleted"] is True
    assert fake.files == {}
    # Nobody told LiteLLM where it is, but the id.
    assert [s.method for s in fake.seen] == ["GET", "DELETE"]
    any_.nothing_is_left(gw)


def test_a_key_that_is_refused_there_is_not_the_clients(gw, fake, monkeypatch):
    monkeypatch.setattr(fake, "api_key", "sk-other")
    refused(any_.send(gw, 5), 502, "upstream_auth")
    any_.nothing_is_left(gw)


def test_a_key_that_it_refuses_itself_is_not_the_clients(gw, fake):
    reply = gw.upload(gw.key, path="/strange/v1/files")
    refused(reply, 502, "upstream_auth")
    assert fake.seen == []


def test_what_is_gone_there_is_not_found_under_our_name(gw, fake):
    path = f"/v1/files/{any_.made(any_.send(gw, 5))['id']}"
    (theirs,) = fake.files
    fake.files.clear()
    error = refused(gw.call(gw.key, "GET", path + "/content"), 404, "file_not_found")
    assert theirs not in error["message"]
    assert gw.call(gw.key, "DELETE", path).json()["deleted"] is True
    refused(gw.call(gw.key, "GET", path), 404)


def test_what_it_does_not_take_is_told(gw, fake):
    reply = gw.upload(gw.key, fields={"purpose": "answers"})
    assert "Invalid purpose" in refused(reply, 400)["message"]
    assert fake.seen == []


def test_a_failure_behind_it_is_no_fault_of_the_client(gw, fake):
    fake.fault(on_head(answer(500, {"error": {"message": "no"}})), times=9)
    refused(gw.upload(gw.key), 502, "upstream_error")
    any_.nothing_is_left(gw)


def test_what_was_left_behind_is_found_in_its_list(start, litellm, fake):
    conf = config({"providers": {"lite": entries(litellm)["lite"]}, **QUICK})
    gw = start(conf)
    gw.key = gw.new_key()
    fake.fault(on_stored(call(lambda x: gw.kill())))
    with pytest.raises(httpx.TransportError):
        gw.upload(gw.key, b"hello")
    until(lambda: not gw.runs, "the kill is over")
    assert len(fake.files) == 1
    gw.start()
    until(lambda: not fake.files, "what was lost is deleted", 60)
