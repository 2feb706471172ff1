"""What Redis says that keys and teams use, for the tests of quotas."""

import hashlib
import json
import time

from gw import until


def scope(key):
    """Under which a key's use is counted."""
    return "k:" + hashlib.sha256(key.encode()).hexdigest()


def _read(reply):
    """A flat array of bulk strings, as a list."""
    words = reply.split(b"\r\n")
    return [w.decode() for w in words[2::2] if w]


def table(redis, name):
    words = _read(redis.command("HGETALL", name))
    return {k: int(v) for k, v in zip(words[::2], words[1::2])}


def use(redis, scope):
    """Stored and held now; a counter that is not there is 0."""
    names = ["files", "bytes", "held_files", "held_bytes", "slots"]
    found = table(redis, f"fm:{{gw}}:use:{scope}")
    return {n: found.get(n, 0) for n in names}


def of_today(redis, scope):
    names = ["up", "down", "held_up", "held_down"]
    found = table(redis, f"fm:{{gw}}:day:{int(time.time() // 86400)}:{scope}")
    return {n: found.get(n, 0) for n in names}


def stored(files, size):
    """Use of whom nothing but these files count."""
    return {"files": files, "bytes": size, "held_files": 0, "held_bytes": 0, "slots": 0}


def until_used(redis, scope, files, size, timeout=15):
    """It comes to this, once what is under way has ended."""

    def is_so():
        return use(redis, scope) == stored(files, size)

    try:
        until(is_so, "the counters are right", timeout)
    except AssertionError:
        assert use(redis, scope) == stored(files, size)


def new_team(redis, team_id, **limits):
    record = json.dumps({"team_id": team_id, **limits})
    redis.command("SET", f"fm:{{gw}}:team:{team_id}", record)
    return team_id
