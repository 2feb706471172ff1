"""curl, as people type it."""

import json
import subprocess

import pytest
from fakes import pattern
from gw import MB


@pytest.fixture
def curl(gw, key, up):
    def run(path, *args, data=None):
        done = subprocess.run(
            ["curl", "-sS", "--max-time", "60", "-H", f"Authorization: Bearer {key}",
             *args, gw.url + path],
            input=data, capture_output=True, check=True,
        )  # fmt: skip
        return done.stdout

    return run


@pytest.fixture
def big(tmp_path):
    """Larger than what curl sends without asking for 100 Continue."""
    path = tmp_path / "big.bin"
    path.write_bytes(pattern.pattern(4 * MB))
    return path


def test_a_form_goes_up_and_the_bytes_come_down(curl, tmp_path):
    path = tmp_path / "in.txt"
    path.write_text("hello")
    made = json.loads(curl("/v1/files", "-F", "purpose=vision", "-F", f"file=@{path}"))
    assert (made["filename"], made["bytes"]) == ("in.txt", 5)
    assert curl(f"/v1/files/{made['id']}/content") == b"hello"


def test_the_file_may_come_first(curl, up, big):
    made = json.loads(curl("/v1/files", "-F", f"file=@{big}", "-F", "purpose=vision"))
    assert made["purpose"] == "vision" and made["bytes"] == 4 * MB
    assert up.uploads()[0].file.sha256 == pattern.sha256(4 * MB)


def test_a_large_form_waits_for_continue_and_gets_it(curl, up, big):
    shown = curl(
        "/v1/files", "-F", "purpose=vision", "-F", f"file=@{big}",
        "-H", "Expect: 100-continue", "--expect100-timeout", "50", "-D", "-",
    )  # fmt: skip
    assert shown.startswith(b"HTTP/1.1 100 ")
    assert up.uploads()[0].file.size == 4 * MB


def test_standard_input_goes_up_chunked(curl, up):
    data = pattern.pattern(2 * MB)
    made = curl(
        "/v1/files", "-F", "purpose=vision", "-F", "file=@-;filename=pipe.bin",
        "-H", "Transfer-Encoding: chunked", data=data,
    )  # fmt: skip
    assert json.loads(made)["bytes"] == 2 * MB
    assert up.uploads()[0].file.sha256 == pattern.sha256(2 * MB)


def test_http_1_0_is_answered(curl):
    assert json.loads(curl("/v1/files", "--http1.0"))["object"] == "list"


def test_a_quote_in_the_name_survives_curls_quoting(curl, up):
    made = curl(
        "/v1/files", "-F", "purpose=vision", "-F", 'file=x;filename="a\\"b.txt"'
    )
    assert json.loads(made)["filename"] == 'a"b.txt'
    assert up.uploads()[0].file.filename == 'a"b.txt'


def test_a_range_resumes_a_download(curl, big, tmp_path):
    made = json.loads(curl("/v1/files", "-F", "purpose=vision", "-F", f"file=@{big}"))
    part = tmp_path / "part.bin"
    part.write_bytes(big.read_bytes()[: 1 * MB])
    curl(f"/v1/files/{made['id']}/content", "-C", "-", "-o", str(part))
    assert part.read_bytes() == big.read_bytes()


def test_the_name_is_offered_for_saving(curl, tmp_path):
    made = json.loads(
        curl("/v1/files", "-F", "purpose=vision", "-F", "file=x;filename=report.txt")
    )
    curl(f"/v1/files/{made['id']}/content", "-OJ", "--output-dir", str(tmp_path))
    assert (tmp_path / "report.txt").read_text() == "x"


def test_a_wrong_key_is_told_to_a_large_upload(gw, up, big):
    done = subprocess.run(
        ["curl", "-sS", "--max-time", "60", "-F", "purpose=vision",
         "-F", f"file=@{big}", "-H", "Authorization: Bearer sk-wrong",
         "-w", "%{http_code}", "-o", "/dev/null", gw.url + "/v1/files"],
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.stdout == b"401"
    assert up.seen == []
