"""What the documentation shows is tried out."""

import os
import re
import subprocess

from source import ROOT, text
from test_tables import BINARY, printed

FLAGS = ["-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror",
         "-Wno-missing-field-initializers"]  # fmt: skip


def test_the_provider_that_the_readme_shows_compiles(tmp_path):
    (code,) = re.findall(r"```c\n(#include.*?)```", text("providers/README.md"), re.S)
    source = tmp_path / "share.c"
    source.write_text(code)
    banned = ROOT / "gateway/base/banned.h"
    done = subprocess.run(
        ["cc", *FLAGS, "-fsyntax-only", "-I", ROOT, "-include", banned, source],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_the_providers_of_the_example_configuration_are_accepted(tmp_path):
    shown = printed("--print-config")
    shown = shown[shown.index("\n# providers:") + 1 : shown.index("#   # an entry")]
    lines = [line.removeprefix("# ") for line in shown.splitlines()]
    conf = tmp_path / "filemux.yaml"
    conf.write_text("\n".join(lines) + "\n")
    keys = {name: "sk-shown" for name in re.findall(r"\$\{(\w+)\}", shown)}
    done = subprocess.run(
        [BINARY, "--config", conf, "--check"],
        env={**os.environ, **keys},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
