"""The official openai package for Node, where Node and it are installed."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from fakes import pattern
from gw import MB, by_time

MODULES = Path(__file__).resolve().parents[1] / ".venv/node/node_modules"

pytestmark = pytest.mark.skipif(
    not shutil.which("node") or not (MODULES / "openai").is_dir(),
    reason="needs node, and npm to have installed the openai package",
)

PRELUDE = """
import { createRequire } from "node:module";
import fs from "node:fs";
const require = createRequire(process.env.MODULES + "/");
const { default: OpenAI } = require("openai");
const client = new OpenAI({ baseURL: process.env.URL, apiKey: process.env.KEY,
                            maxRetries: 0 });
const say = (value) => console.log(JSON.stringify(value));
"""


@pytest.fixture
def node(gw, up, key, tmp_path):
    def run(script):
        path = tmp_path / "script.mjs"
        path.write_text(PRELUDE + script)
        env = {**os.environ, "MODULES": str(MODULES), "URL": gw.url + "/v1", "KEY": key}
        done = subprocess.run(
            ["node", str(path)], env=env, cwd=tmp_path, timeout=60,
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run


def test_a_file_object_goes_up_and_comes_down(node, up):
    made, text, gone = node("""
        const file = new File(['{"a":1}\\n'], "in.jsonl");
        const made = await client.files.create({ file, purpose: "batch" });
        say(made);
        say(await (await client.files.content(made.id)).text());
        say(await client.files.delete(made.id));
    """)
    assert made["filename"] == "in.jsonl" and made["bytes"] == 8
    assert text == '{"a":1}\n'
    assert gone["deleted"] is True
    assert up.uploads()[0].framing == "length"


def test_a_stream_goes_up_chunked_with_the_file_first(node, up, tmp_path):
    (tmp_path / "big.bin").write_bytes(pattern.pattern(6 * MB + 5))
    (made,) = node("""
        const file = fs.createReadStream("big.bin");
        say(await client.files.create({ file, purpose: "vision" }));
    """)
    assert made["bytes"] == 6 * MB + 5
    assert up.uploads()[0].file.sha256 == pattern.sha256(6 * MB + 5)
    assert up.uploads()[0].framing == "chunked"


def test_pages_are_walked_to_the_end(node):
    made, listed = node("""
        const made = [];
        for (const name of ["a", "b", "c", "d", "e"]) {
            const file = new File(["x"], name);
            made.push((await client.files.create({ file, purpose: "vision" })).id);
        }
        say(made);
        const listed = [];
        for await (const f of client.files.list({ limit: 2, order: "asc" }))
            listed.push(f.id);
        say(listed);
    """)
    assert listed == sorted(made, key=by_time)


def test_errors_are_the_sdks_own(node):
    (told,) = node("""
        try {
            await client.files.retrieve("file-abc123");
        } catch (e) {
            say([e.constructor.name, e.status, e.code, e.requestID.slice(0, 4)]);
        }
    """)
    assert told == ["NotFoundError", 404, "file_not_found", "req_"]
