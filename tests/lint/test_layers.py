"""Who may include whom: lower layers, the same folder, one owner per library."""

import fnmatch
from pathlib import Path

from source import ROOT, files, includes, layer, report

# Made by the build, and included by the layer named.
GENERATED = {"scripts.h": "gateway/store", "ui_files.h": "gateway/api"}

# A third-party header, who may include it, and in how many files at most.
OWNERS = [
    ("<evhtp.h>", ["gateway/net/http_server*.c"], 1),
    ("<evhtp/*>", ["gateway/net/http_server*.c"], 1),
    ("<curl/*>", ["gateway/net/http_client*.[ch]"], None),
    ("<hiredis/*>", ["gateway/store/redis*.[ch]"], None),
    ("<event2/*>", ["gateway/net/*.[ch]", "gateway/store/redis*.[ch]"], None),
    ("<yaml.h>", ["gateway/base/conf*.[ch]"], 1),
    ("<jansson.h>", ["gateway/codec/json.c"], 1),
    # TLS of the listener and of the connection to Redis, beside crypto.c.
    (
        "<openssl/*>",
        [
            "gateway/base/crypto.c",
            "gateway/net/http_server*.c",
            "gateway/store/redis_tls.c",
        ],
        None,
    ),
    ("<ut*.h>", ["*"], None),
]
C_LIBRARY = {
    "alloca.h", "ctype.h", "dirent.h", "errno.h", "fcntl.h", "fnmatch.h", "getopt.h",
    "grp.h", "inttypes.h", "limits.h", "malloc.h", "math.h", "netdb.h", "poll.h",
    "pthread.h", "pwd.h", "sched.h", "signal.h", "stdarg.h", "stdatomic.h",
    "stdbool.h", "stddef.h", "stdint.h", "stdio.h", "stdlib.h", "string.h",
    "strings.h", "time.h", "unistd.h", "arpa/inet.h", "netinet/*", "sys/*",
    "linux/*",
}  # fmt: skip


def is_c_library(name):
    return any(fnmatch.fnmatch(name, pattern) for pattern in C_LIBRARY)


def project_includes():
    for path in files(".c", ".h"):
        for number, what in includes(path):
            if what.startswith('"'):
                yield path, number, what.strip('"')


def test_includes_point_downward_and_are_written_from_the_root():
    faults = []
    for path, number, target in project_includes():
        if GENERATED.get(target) == str(path.parent):
            continue
        if not (ROOT / target).is_file():
            faults.append(f"{path}:{number}: no file '{target}' from the root")
            continue
        there, here = Path(target).parent, path.parent
        if there != here and layer(target) >= layer(path):
            faults.append(f"{path}:{number}: layer {layer(path)} includes '{target}'")
    assert not faults, report(faults)


def test_includes_of_a_folder_form_no_cycle():
    edges = {}
    for path, _, target in project_includes():
        if Path(target).parent == path.parent:
            edges.setdefault(str(path), set()).add(target)
    done, faults = set(), []

    def walk(node, above):
        if node in above:
            faults.append(" -> ".join([*above[above.index(node) :], node]))
        elif node not in done:
            for below in sorted(edges.get(node, ())):
                walk(below, [*above, node])
            done.add(node)

    for node in sorted(edges):
        walk(node, [])
    assert not faults, report(faults)


def test_third_party_headers_have_one_owner():
    faults, users = [], {}
    for path in files(".c", ".h"):
        for number, what in includes(path):
            if what.startswith('"') or is_c_library(what.strip("<>")):
                continue
            row = next((o for o in OWNERS if fnmatch.fnmatch(what, o[0])), None)
            if row is None:
                faults.append(f"{path}:{number}: {what} has no owner in this table")
            elif not any(fnmatch.fnmatch(str(path), p) for p in row[1]):
                faults.append(f"{path}:{number}: {what} belongs to {row[1]}")
            else:
                users.setdefault(row[0], set()).add(str(path))
    for header, _, limit in OWNERS:
        if limit and len(users.get(header, ())) > limit:
            faults.append(f"{header} is included by {sorted(users[header])}")
    assert not faults, report(faults)
