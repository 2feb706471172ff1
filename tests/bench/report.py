"""The table, on the terminal and in RESULTS.md."""
import datetime
import operator
import os
import platform
import re
import subprocess

HEAD = ["case", "unit", "filemux", "nginx-256K", "haproxy-256K", "copy-256K"]
TAIL = ["to nginx", "by minima", "goal", "met"]
SIGNS = {"<=": operator.le, "<": operator.lt, "=": operator.eq}


class Row:
    """One case. Its goal is a sign and a number, against the ratio to nginx (or
    to filemux in another case) or against filemux's own value; or there is
    none."""

    def __init__(self, case, unit, digits, goal=None, is_ratio=True, to=None):
        self.case, self.unit, self.digits = case, unit, digits
        self.goal, self.is_ratio, self.to = goal, is_ratio, to
        self.series = {}

    def cell(self, proxy):
        series = self.series.get(proxy)
        if not series or not series.values:
            return "-"
        d = self.digits
        text = f"{series.median:.{d}f}"
        if len(series.values) > 1:
            text += f" ({series.least:.{d}f})"
        return text + ("*" if series.is_loaded else "")

    def ratio(self, pick):
        ours = self.series.get("filemux")
        peer = self.to.series.get("filemux") if self.to else self.series.get("nginx")
        if not ours or not peer or not ours.values or not peer.values:
            return None
        return pick(ours) / pick(peer)

    def is_met(self):
        """None where there is nothing to judge."""
        if self.goal is None or "filemux" not in self.series:
            return None
        if self.is_ratio:
            value = self.ratio(lambda s: s.median)
        else:
            value = self.series["filemux"].median
        sign, bound = self.goal
        return None if value is None else SIGNS[sign](value, bound)

    def cells(self):
        ratios = [
            self.ratio(lambda s: s.median),
            self.ratio(lambda s: s.least),
        ]
        goal = "-" if self.goal is None else "{} {:g}".format(*self.goal)
        met = {None: "-", True: "yes", False: "NO"}[self.is_met()]
        case = f"{self.case} (to {self.to.case})" if self.to else self.case
        return (
            [case, self.unit]
            + [self.cell(p) for p in ("filemux", "nginx", "haproxy", "copy")]
            + ["-" if r is None else f"{r:.2f}" for r in ratios]
            + [goal, met]
        )


def table(rows):
    lines = [HEAD + TAIL] + [row.cells() for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    text = []
    for i, line in enumerate(lines):
        cells = [cell.ljust(width) for cell, width in zip(line, widths)]
        text.append("| " + " | ".join(cells) + " |")
        if i == 0:
            text.append("|" + "|".join("-" * (w + 2) for w in widths) + "|")
    return "\n".join(text)


def first_line(*argv, cwd=None):
    try:
        out = subprocess.run(
            argv, capture_output=True, text=True, cwd=cwd
        )
    except OSError:
        return "unknown"
    lines = (out.stdout + out.stderr).strip().splitlines()
    return lines[0] if lines else ""


def processor():
    with open("/proc/cpuinfo") as f:
        found = re.search(r"model name\s*: (.*)", f.read())
    name = found.group(1) if found else platform.machine()
    return f"{name}, {os.cpu_count()} CPUs"


def commit(root):
    revision = first_line("git", "rev-parse", "--short=12", "HEAD", cwd=root)
    changed = first_line("git", "status", "--porcelain", cwd=root)
    return revision + (" with changes" if changed else "")


def machine(root, congestion, is_private):
    nginx = first_line("nginx", "-v").replace("nginx version: ", "")
    haproxy = " ".join(first_line("haproxy", "-v").split()[:3])
    net = "own network namespace" if is_private else "the host's network"
    return [
        ("machine", processor()),
        ("kernel", f"{platform.system()} {platform.release()}"),
        ("network", f"loopback, {net}, {congestion}"),
        ("peers", f"{nginx}, {haproxy}"),
        ("commit", commit(root)),
        ("date", datetime.date.today().isoformat()),
    ]


NOTES = """Median over the rounds, the least in brackets; one value where a case
is measured once. `to nginx` is filemux's median over nginx's, `by minima` the
same of the least values. A star marks a value from runs during which other
processes used more than 12 % of a CPU, after several tries."""


def document(facts, rows, remarks):
    lines = ["# Results", "", "Written by `tests/bench/run --write`."]
    lines += ["What is measured and how: README.md.", ""]
    lines += [f"- {name}: {value}" for name, value in facts]
    lines += ["", table(rows), "", NOTES, ""]
    lines += [f"- {remark}" for remark in remarks]
    return "\n".join(lines).rstrip() + "\n"
