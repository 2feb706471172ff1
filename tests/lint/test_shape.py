"""The shape of a file: its length, its functions, its format, its headers."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from source import ROOT, files, report, test_sources, text

FILE_LINES = 700
FUNCTION_LINES = 100
LIBRARIES = "jansson yaml-0.1 libcrypto libssl libcurl libevent hiredis".split()


def test_no_file_is_too_long():
    faults = [
        f"{path}: {n} lines, at most {FILE_LINES}"
        for path in files(".c", ".h", ".def")
        if (n := len(text(path).splitlines())) > FILE_LINES
    ]
    assert not faults, report(faults)


def functions(path):
    """(line, length): what stands between { and } in the first column."""
    start = None
    for number, line in enumerate(text(path).splitlines(), 1):
        if line == "{":
            start = number
        elif line == "}" and start:
            yield start, number - start + 1
            start = None


def test_no_function_is_too_long():
    faults = [
        f"{path}:{line}: a function of {n} lines, at most {FUNCTION_LINES}"
        for path in files(".c", ".h") + test_sources(".c", ".h")
        for line, n in functions(path)
        if n > FUNCTION_LINES
    ]
    assert not faults, report(faults)


def clang_format():
    """Version 14, pinned in requirements.txt: others format otherwise."""
    beside = Path(sys.executable).parent / "clang-format"
    for name in (str(beside), "clang-format-14", "clang-format"):
        if path := shutil.which(name):
            version = subprocess.run(
                [path, "--version"], capture_output=True, text=True
            )
            if "version 14." in version.stdout:
                return path
    return None


def test_c_is_formatted():
    program = clang_format()
    if not program:
        pytest.skip("no clang-format 14")
    paths = files(".c", ".h") + test_sources(".c", ".h")
    done = subprocess.run(
        [program, "--dry-run", "-Werror", *map(str, paths)],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    told = [line for line in done.stderr.splitlines() if "error:" in line]
    assert done.returncode == 0, report(sorted({t.split(":")[0] for t in told}))


def test_headers_are_self_sufficient():
    flags = subprocess.run(
        ["pkg-config", "--cflags", *LIBRARIES], capture_output=True, text=True
    ).stdout
    command = [os.environ.get("CC", "gcc"), "-fsyntax-only", "-x", "c", "-std=gnu11"]
    command += ["-Wall", "-Werror", "-D_GNU_SOURCE", '-DFILEMUX_VERSION="0"', "-I."]
    faults = []
    for path in files(".h"):
        if path.name == "banned.h":
            continue  # is no header to be included by hand
        done = subprocess.run(
            [*command, *shlex.split(flags), "-"], cwd=ROOT, capture_output=True,
            text=True, input=f'#include "{path}"\nextern int filemux_lint;\n',
        )  # fmt: skip
        if done.returncode:
            faults.append(f"{path}: {done.stderr.splitlines()[0:3]}")
    assert not faults, report(faults)


def test_headers_begin_with_what_they_are_for():
    faults = [
        f"{path}: the first line is not '/* {path.name} -- …'"
        for path in files(".h", ".def")
        if not text(path).startswith(f"/* {path.name} -- ")
    ]
    assert not faults, report(faults)


def test_headers_are_guarded_by_their_path():
    faults = []
    for path in files(".h"):
        words = [p.upper().replace(".", "_") for p in path.parts if p != "gateway"]
        guard = "FILEMUX_" + "_".join(words)
        if f"#ifndef {guard}\n#define {guard}\n" not in text(path):
            faults.append(f"{path}: the guard is not {guard}")
    assert not faults, report(faults)


def test_text_files_end_with_one_newline_and_have_no_stray_blanks():
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    if listed.returncode:
        pytest.skip("not a git checkout")
    faults = []
    for name in listed.stdout.splitlines():
        path = ROOT / name
        is_data = "corpus" in name or "regression" in name or "golden" in name
        if is_data or not path.is_file() or path.suffix in (".png", ".ico"):
            continue
        content = path.read_bytes()
        if content and (not content.endswith(b"\n") or content.endswith(b"\n\n")):
            faults.append(f"{name}: does not end with one newline")
        if path.suffix != ".md" and any(
            line.endswith((b" ", b"\t")) for line in content.split(b"\n")
        ):
            faults.append(f"{name}: blanks at the end of a line")
    assert not faults, report(faults)
