"""The source tree, as the lints see it."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

LAYERS = {
    "gateway/base": 0,
    "gateway/codec": 1,
    "providers": 2,
    "routing": 2,
    "gateway/net": 3,
    "gateway/store": 4,
    "gateway/flow": 5,
    "gateway/api": 6,
    "gateway": 7,
}


def in_venv(path):
    """tests/.venv, tests/.venv-litellm: packages, none of ours."""
    return any(part.startswith(".venv") for part in path.parts)


def files(*suffixes, folders=tuple(LAYERS)):
    """Paths of the program's source, relative to the root."""
    out = []
    for folder in folders:
        for path in sorted((ROOT / folder).glob("*")):
            if path.suffix in suffixes:
                out.append(path.relative_to(ROOT))
    return out


def test_sources(*suffixes):
    """C of the tests."""
    found = (p for s in suffixes for p in (ROOT / "tests").rglob("*" + s))
    return sorted(p.relative_to(ROOT) for p in found if not in_venv(p))


test_sources.__test__ = False


def text(path):
    return (ROOT / path).read_text(encoding="utf-8")


def layer(path):
    return LAYERS[str(Path(path).parent)]


def includes(path):
    """[(line number, "…" or <…> with its brackets)]"""
    out = []
    for number, line in enumerate(text(path).splitlines(), 1):
        if m := re.match(r'\s*#\s*include\s+(["<][^">]+[">])', line):
            out.append((number, m.group(1)))
    return out


def report(faults):
    """For an assertion: empty, or a fault per line."""
    return "\n" + "\n".join(map(str, faults)) if faults else ""
