"""The command line, and faults of a configuration at their place."""

import os
import re
import subprocess
from pathlib import Path

import httpx
import pytest
from gw import BINARY, MASTER, config, free_port, until

ROOT = Path(__file__).resolve().parents[2]


def filemux(*args, env=None, cwd=None):
    return subprocess.run(
        [BINARY, *args], capture_output=True, text=True, timeout=30, cwd=cwd,
        env={**os.environ, "FILEMUX_MASTER_KEY": "sk-0123456789abcdef", **(env or {})},
    )  # fmt: skip


@pytest.fixture
def check(tmp_path):
    def check(text, env=None):
        file = tmp_path / "f.yaml"
        file.write_text(text)
        done = filemux("--check", "--config", str(file), env=env)
        assert "Sanitizer" not in done.stderr, done.stderr
        return done

    return check


def test_an_empty_file_is_valid(check):
    done = check("")
    assert done.returncode == 0, done.stderr


def test_the_example_is_valid_and_is_what_is_printed(check):
    done = filemux("--print-config")
    assert done.returncode == 0
    assert check(done.stdout).returncode == 0
    assert (ROOT / "config.example.yaml").read_text() == done.stdout


CONTRACT = """\
listen: 127.0.0.1:8080
admin_listen: ""
data_dir: ./data
workers: 0
master_key: ${FILEMUX_MASTER_KEY}
redis: {url: ""}
log: {level: info, format: json}
limits: {max_file_bytes: 512MB, header_timeout: 10s, idle_timeout: 60s,
         min_rate: 1KB, max_connections: 20000, drain_timeout: 30s}
providers:
  openai:   {type: openai, api_key: "${OPENAI_API_KEY}"}
  nebius:   {type: openai, vendor: nebius, api_key: os.environ/NEBIUS_API_KEY}
  cluster:  {type: openai, base_url: "http://127.0.0.1:8000/v1", namespace: vllm}
  local:    {type: disk, path: ./data/files}
pools:
  both:     {policy: priority, members: [{provider: openai, weight: 3},
                                         {provider: nebius, weight: 1}]}
models:
  gpt-batch: {provider: openai, model: gpt-4o-prod}
routing:
  default: openai
  rules:
    - {match: {purpose: batch, filename: "*.jsonl"}, use: nebius}
    - {match: {team: research}, use: both}
batch_check: {enabled: true, max_lines: 50000, max_line_bytes: 1MB}
keys:
  - {key: "${CI_KEY:-sk-ci-0123456789}", key_alias: ci, providers: [local]}
"""


def test_the_shape_that_was_promised_is_valid(check):
    done = check(CONTRACT, {"OPENAI_API_KEY": "sk-a", "NEBIUS_API_KEY": "sk-b"})
    assert done.returncode == 0, done.stderr


FAULTS = {
    "an unknown key": ("listen: 127.0.0.1:1\nlisten_to: x\n", 2, 1, "listen_to"),
    "a nearby key": ("limits:\n  max_file_byte: 1MB\n", 2, 3, "max_file_bytes"),
    "a size that is none": ("limits:\n  max_file_bytes: 1XB\n", 2, 19, "a size"),
    "a duration that is none": ("limits: {idle_timeout: soon}\n", 1, 24, "a duration"),
    "a number that is none": ("workers: many\n", 1, 10, "a whole number"),
    "a negative number": ("workers: -1\n", 1, 10, "at least 0"),
    "a choice that is none": ("log:\n  level: loud\n", 2, 10, "debug"),
    "a list for a scalar": ("data_dir: [a, b]\n", 1, 11, "data_dir"),
    "a scalar for a map": ("limits: 5\n", 1, 9, "mapping"),
    "a key twice": ("workers: 1\nworkers: 2\n", 2, 1, "workers"),
    "an unknown provider type": ("providers:\n  a: {type: opanai}\n", 2, None, "openai"),
    "a provider without a type": ("providers:\n  a: {base_url: 'http://x'}\n", 2, None, "type"),
    "a namespace that is none": (
        "providers:\n  a: {type: disk, path: ./x, namespace: A_B}\n", 2, None, "namespace"),
    "two of one namespace": (
        "providers:\n  a: {type: disk, namespace: n, path: ./x}\n"
        "  b: {type: disk, namespace: n, path: ./y}\n", None, None, "n"),
    "a default that is nowhere": ("routing:\n  default: nope\n", None, None, "nope"),
    "a rule that leads nowhere": (
        "routing:\n  rules:\n    - {match: {purpose: a}, use: nope}\n",
        None, None, "nope"),
    "a pool of nobody": (
        "pools:\n  p: {members: [{provider: nope}]}\n", None, None, "nope"),
    "a model with a name beyond measure": (
        "models:\n  m: {provider: local, model: " + "x" * 5000 + "}\n",
        2, None, "too long"),
    "a batch without lines": ("batch_check: {max_lines: 0}\n", 1, 26, "at least 1"),
    "a variable that is not set": ("data_dir: ${NOT_SET_AT_ALL}\n", 1, 11, "NOT_SET_AT_ALL"),
    "a file that is not there": ("master_key: file:/nowhere/at/all\n", 1, 13, "/nowhere"),
    "broken YAML": ("limits: {a: b\n", None, None, ""),
    "a tab": ("limits:\n\tidle_timeout: 1s\n", 2, None, ""),
    "a redis url that is none": ("redis: {url: 'http://x'}\n", 1, None, "redis"),
}  # fmt: skip


@pytest.mark.parametrize("text, line, column, word", FAULTS.values(), ids=FAULTS)
def test_a_fault_is_told_at_its_place(check, text, line, column, word):
    done = check(text)
    assert done.returncode not in (0, 99)
    out = done.stdout + done.stderr
    m = re.search(r"f\.yaml:(\d+):(\d+): (.+)", out)
    assert m, out
    assert word in out
    assert line in (None, int(m.group(1))), out
    assert column in (None, int(m.group(2))), out


def test_all_faults_are_told_at_once(check):
    done = check("workers: x\nnonsense: 1\nlimits: {min_rate: y}\n")
    out = done.stdout + done.stderr
    assert len(re.findall(r"f\.yaml:\d+:\d+: ", out)) == 3, out


def test_a_secret_is_never_shown(check):
    done = check("master_key: [sk-very-hush-indeed]\nkeys: [{key: sk-hush, x: 1}]\n")
    assert "hush" not in done.stdout + done.stderr


def test_a_secret_comes_from_a_file(check, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("sk-from-a-file-0123456789\n")
    assert check(f"master_key: file:{secret}\n").returncode == 0


def test_the_version_and_the_help_are_told():
    assert re.search(r"\d+\.\d+", filemux("--version").stdout)
    text = filemux("--help").stdout
    for option in ("--config", "--check", "--print-config", "--version", "--help"):
        assert option in text


@pytest.mark.parametrize(
    "args", [["--nonsense"], ["stray"], ["--config"], ["--config", "/nowhere.yaml"]]
)
def test_a_command_line_that_makes_no_sense_is_refused(args):
    done = filemux(*args)
    assert done.returncode not in (0, 99) and done.stderr


def test_keys_of_the_file_work_and_are_out_of_the_apis_reach(start, fake):
    fixed = {"key": "sk-fixed-0123456789", "key_alias": "ci", "providers": ["up"]}
    gw = start(config({"keys": [fixed]}, up=fake))
    assert gw.upload(fixed["key"]).status_code == 200
    for path, body in (
        ("/key/block", {"key": fixed["key"]}),
        ("/key/delete", {"keys": [fixed["key"]]}),
    ):
        assert gw.admin("POST", path, json=body).status_code >= 400
    assert gw.call(fixed["key"], "GET", "/v1/files").status_code == 200


def test_an_admin_listener_has_admin_to_itself(start, fake):
    port = free_port()
    gw = start(config({"admin_listen": f"127.0.0.1:{port}"}, up=fake), wait=False)
    admin = f"http://127.0.0.1:{port}"

    def ready():
        try:
            return httpx.get(admin + "/health/readiness").status_code == 200
        except httpx.TransportError:
            return False

    until(ready, "the admin listener answers")
    headers = {"Authorization": f"Bearer {MASTER}"}
    reply = httpx.post(admin + "/key/generate", headers=headers, json={})
    key = reply.json()["key"]
    assert gw.call(key, "GET", "/v1/files").status_code == 200
    assert httpx.get(admin + "/metrics").status_code == 200
    assert gw.http.get("/metrics").status_code == 404
    assert gw.admin("POST", "/key/generate", json={}).status_code == 404
    assert gw.http.get("/health/readiness").status_code == 404
