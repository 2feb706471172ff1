"""codec/id_places.def as Python reads it: a text with an id at each place.

for place in places("REQUEST", "POST", "responses"):
    place.kind, place.path         # "FILE_ID", ".input[]{type=message}…"
    place.text("file-1")           # {"input": [{"type": "message", …}]}
"""

import itertools
import re
from pathlib import Path

TABLE = Path(__file__).parents[2] / "gateway/codec/id_places.def"
ITEM = re.compile(r'(FILE_ID|JOB_ID|OBJECT|MODEL_INNER|MODEL|SOURCE|SAID)\("([^"]*)"\)'
                  r'|EACH\("([^"]*)",\s*(\w+)\)|(NOTHING)')  # fmt: skip
STEP = re.compile(r"\.[\w*]+|\[\]|\{type=[\w|]+\}")


class Place:
    def __init__(self, kind, path, steps):
        self.kind, self.path, self.steps = kind, path, steps

    def text(self, value):
        """An object in which the value stands there, and nothing else."""
        return self._build(self.steps, value)

    def _build(self, steps, value):
        if not steps:
            return value
        step, rest = steps[0], steps[1:]
        inner = self._build(rest, value)
        if step == "[]":
            return [inner]
        if step.startswith("{"):
            return {"type": step[6:-1], **inner}
        return {"any" if step == ".*" else step[1:]: inner}

    def __str__(self):
        return f"{self.kind}{''.join(self.steps)}"


def _read():
    text = re.sub(r"/\*.*?\*/", "", TABLE.read_text(), flags=re.S)
    sets, calls = {}, {}
    for name, items in re.findall(r"ID_SET\((\w+),(.*?)\)\s*(?=ID_|$)", text, re.S):
        sets[name] = ITEM.findall(items)
    found = re.findall(
        r'ID_CALL\((\w+),\s*"(\w+)",\s*"([^"]*)",(.*?)\)\s*(?=ID_|$)', text, re.S
    )
    for side, method, path, items in found:
        calls[side, method, path] = ITEM.findall(items + ")")
    assert sets and calls
    return sets, calls


SETS, CALLS = _read()


def _paths(items):
    for kind, path, before, name, nothing in items:
        if nothing:
            continue
        if kind:
            yield kind, path
        else:
            for inner, below in _paths(SETS[name]):
                yield inner, before + below


def _variants(path):
    """One for each type that a step may have."""
    steps = STEP.findall(path)
    assert "".join(steps) == path, path
    each = [[f"{{type={t}}}" for t in s[6:-1].split("|")] if s[0] == "{" else [s]
            for s in steps]  # fmt: skip
    return itertools.product(*each)


def places(side, method, path, *kinds):
    """All of a call, or those of some kinds."""
    return [
        Place(kind, where, steps)
        for kind, where in _paths(CALLS[side, method, path])
        if not kinds or kind in kinds
        for steps in _variants(where)
    ]
