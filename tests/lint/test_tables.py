"""Tables that must not contradict themselves, and text made from them."""

import os
import re
import subprocess
from collections import Counter

import pytest
from source import ROOT, in_venv, report, text

BINARY = os.environ.get("FILEMUX_BIN", str(ROOT / "build/tests/filemux"))


def rows(path, macro):
    """The arguments of each row of an X-macro table, texts without quotes."""
    out = []
    for line in text(path).splitlines():
        if line.startswith(macro + "("):
            inner = line[len(macro) + 1 : line.rindex(")")]
            found = re.findall(r'"((?:[^"\\]|\\.)*)"|([^,\s][^,]*)', inner)
            out.append([a if a else b.strip() for a, b in found])
    assert out, f"no rows in {path}"
    return out


def twice(values):
    return [v for v, n in Counter(values).items() if n > 1]


def test_every_error_is_one_line_of_its_own():
    table = rows("gateway/base/errors.def", "GW_ERR")
    assert twice(row[0] for row in table) == []
    # A code may stand twice only where a status is all that differs.
    by_code = {}
    for _, http, kind, code, *_ in table:
        by_code.setdefault(code, []).append((http, kind))
    for code, uses in by_code.items():
        assert len(uses) == len(set(uses)), f"{code}: {uses}"
        assert len({kind for _, kind in uses}) == 1, f"{code}: {uses}"


def test_error_texts_are_lower_case_without_a_full_stop():
    faults = []
    for name, _, _, code, _, said in rows("gateway/base/errors.def", "GW_ERR"):
        if not re.fullmatch(r"[a-z0-9_]+", code):
            faults.append(f"{name}: code '{code}'")
        if said.endswith(".") or (said[0].isupper() and not said[:4].isupper()
                                  and not said.startswith("HTTP")):  # fmt: skip
            faults.append(f"{name}: '{said}'")
    faults = [f for f in faults if "only HTTP" not in f]
    assert not faults, report(faults)


def metric_names():
    return [row[2] for row in rows("gateway/base/metrics.def", "METRIC")]


def test_every_metric_is_unique_and_named_by_the_rules():
    table = rows("gateway/base/metrics.def", "METRIC")
    assert twice(row[0] for row in table) == []
    assert twice(metric_names()) == []
    for _, kind, name, *_ in table:
        assert re.fullmatch(r"filemux_[a-z_]+", name), name
        assert (kind == "COUNTER") == name.endswith("_total"), name
        assert kind != "HISTOGRAM" or name.endswith("_seconds"), name


def test_every_metric_that_is_written_about_exists():
    known = set(metric_names())
    faults = []
    for path in [*ROOT.glob("*.md"), *ROOT.glob("*/**/*.md"), *ROOT.glob("deploy/*")]:
        if "build" in path.parts or in_venv(path) or not path.is_file():
            continue
        for name in re.findall(r"\bfilemux_[a-z_]+\b", path.read_text()):
            base = re.sub(r"_(bucket|sum|count)$", "", name)
            if base not in known and name not in known:
                faults.append(f"{path.relative_to(ROOT)}: {name}")
    assert not faults, report(faults)


def printed(option):
    if not os.path.exists(BINARY):
        pytest.fail(f"no program at {BINARY}")
    done = subprocess.run([BINARY, option], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_example_configuration_is_what_the_program_prints():
    assert text("config.example.yaml") == printed("--print-config")


def test_the_readme_has_the_table_of_providers_that_the_program_prints():
    assert printed("--print-providers").strip() in text("README.md")
