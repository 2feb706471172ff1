"""Scripts: they parse, they run under any name, they say what they can."""

import ast
import os
import subprocess

from source import ROOT, in_venv, report

SHELL = ["deploy/run", "tests/run", ".ci/run"]


def test_shell_scripts_parse_and_may_be_run():
    for name in SHELL:
        done = subprocess.run(["bash", "-n", name], cwd=ROOT, capture_output=True)
        assert done.returncode == 0, done.stderr
        assert os.access(ROOT / name, os.X_OK), f"{name} is not executable"


def test_scripts_tell_their_options():
    for name in ("deploy/run", "tests/run"):
        done = subprocess.run(["bash", name, "--help"], cwd=ROOT, capture_output=True)
        assert done.returncode == 0 and b"--" in done.stdout
        bad = subprocess.run(
            ["bash", name, "--nonsense"], cwd=ROOT, capture_output=True
        )
        assert bad.returncode != 0 and b"--nonsense" in bad.stderr


def functions(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def test_python_functions_are_short():
    faults = []
    for path in sorted((ROOT / "tests").rglob("*.py")):
        if in_venv(path) or "bench" in path.parts:
            continue
        for node in functions(path):
            n = node.end_lineno - node.lineno + 1
            if n > 40:
                faults.append(f"{path.relative_to(ROOT)}:{node.lineno}: {n} lines")
    assert not faults, report(faults)


def test_no_test_is_written_twice():
    """The second of two tests of one name hides the first."""
    faults = []
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        if in_venv(path):
            continue
        names = [n.name for n in ast.parse(path.read_text()).body
                 if isinstance(n, ast.FunctionDef)]  # fmt: skip
        faults += [f"{path.name}: {n}" for n in set(names) if names.count(n) > 1]
    assert not faults, report(faults)
