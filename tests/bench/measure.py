"""What a run cost, and whether the machine was ours while it ran.

CPU is read from /proc/PID/task/*/schedstat: nanoseconds on a processor, the
kernel's work for the process's own system calls and the network work done in
their context included.

"Others" is all CPU time of processes that are not the runner's: the living ones
by schedstat, those that ended by the children's times of whoever waited for
them, so that a compiler that came and went is seen too. Kernel threads are not
counted, they work for us as for anybody; time stolen by a hypervisor is.
"""
import os
import statistics
import time

TICK = os.sysconf("SC_CLK_TCK")
QUIET = 0.06  # of one CPU, in a window of GATE seconds: a run may begin
DISTURBED = 0.12  # of one CPU, during a run: it is done again
GATE = 0.25
WINDOWS = 16  # before a run begins in any case, and may be done again


def read(path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except OSError:
        return b""  # the process is gone


def pids():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def stat(pid):
    """The fields of /proc/PID/stat behind the name, state first."""
    return read(f"/proc/{pid}/stat").rpartition(b")")[2].split()


def schedstat_ns(pid):
    total = 0
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return 0
    for task in tasks:
        fields = read(f"/proc/{pid}/task/{task}/schedstat").split()
        total += int(fields[0]) if fields else 0
    return total


def cpu_seconds(group):
    return sum(schedstat_ns(pid) for pid in group) / 1e9


def tree(root):
    """The process and all that descend from it."""
    parents = {}
    for pid in pids():
        fields = stat(pid)
        if fields:
            parents[pid] = int(fields[1])
    found = {root}
    while True:
        more = {p for p, up in parents.items() if up in found} - found
        if not more:
            return sorted(found)
        found |= more


def stolen_seconds():
    return int(read("/proc/stat").split()[8]) / TICK


def others_seconds():
    ours = set(tree(os.getpid()))
    total = stolen_seconds()
    for pid in pids():
        fields = stat(pid)
        if pid in ours or not fields or pid == 2 or fields[1] == b"2":
            continue
        total += schedstat_ns(pid) / 1e9
        total += (int(fields[13]) + int(fields[14])) / TICK
    return total


def memory_kb(group, field):
    """The sum of VmRSS or VmHWM over processes."""
    total = 0
    for pid in group:
        for line in read(f"/proc/{pid}/status").splitlines():
            if line.startswith(field.encode() + b":"):
                total += int(line.split()[1])
    return total


class Watch:
    """How much of one CPU others use, from its making on."""

    def __init__(self):
        self.start = time.monotonic()
        self.before = others_seconds()

    def seconds(self):
        return max(time.monotonic() - self.start, 1e-3)

    def share(self):
        return (others_seconds() - self.before) / self.seconds()


class Patience:
    """The seconds that may be spent waiting for a quiet machine, in all."""

    def __init__(self, seconds):
        self.left = seconds

    def wait_for_quiet(self):
        for _ in range(WINDOWS):
            if self.left <= 0:
                return
            watch = Watch()
            time.sleep(GATE)
            if watch.share() < QUIET:
                return
            self.left -= GATE

    def spend(self, seconds):
        self.left -= seconds


class Series:
    """The values of one case and one proxy, one per round."""

    def __init__(self):
        self.clean, self.loaded = [], []

    def add(self, value, is_loaded):
        (self.loaded if is_loaded else self.clean).append(value)

    @property
    def is_loaded(self):
        """Too few clean ones: then all count, and the row says so."""
        return len(self.clean) <= len(self.loaded)

    @property
    def values(self):
        return self.clean + self.loaded if self.is_loaded else self.clean

    @property
    def median(self):
        return statistics.median(self.values)

    @property
    def least(self):
        return min(self.values)
