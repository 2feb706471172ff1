"""Background jobs: files adopted, deleted, held against their records."""

import hashlib

import httpx
import pytest
from fakes.openai import answer, call, on_head, stall
from gw import config, refused, until

QUICK = {"journal": {"lease": "2s", "sweep_interval": "200ms"}}
OVER = ("done", "failed", "cancelled")


@pytest.fixture
def one(start, fake, redis):
    """A gateway, its provider's lists in short pages, on a Redis to look into."""
    fake.quirks.add("short_pages")
    return start(config({**QUICK, "redis": {"url": redis.url}}, up=fake))


def begin(gw, path, **body):
    reply = gw.admin("POST", path, json=body)
    assert reply.status_code == 202, reply.text
    job = reply.json()
    assert job["object"] == "job" and job["state"] == "queued"
    return job["id"]


def job_of(gw, job_id):
    reply = gw.admin("GET", f"/admin/jobs/{job_id}")
    assert reply.status_code == 200, reply.text
    return reply.json()


def ended(gw, job_id, timeout=60):
    def is_over():
        job = job_of(gw, job_id)
        return job["state"] in OVER and job

    return until(is_over, "the job is over", timeout)


def delete_team(gw):
    reply = gw.admin("POST", "/team/delete",
                     json={"team_ids": ["red"], "delete_files": True})  # fmt: skip
    assert reply.status_code == 200, reply.text
    (job_id,) = reply.json()["jobs"]
    return job_id


def scope_of(key):
    return "k:" + hashlib.sha256(key.encode()).hexdigest()


def used(redis, scope):
    """Files and bytes that count."""
    out = []
    for field in ("files", "bytes"):
        reply = redis.command("HGET", f"fm:{{gw}}:use:{scope}", field)
        out.append(int(reply.split(b"\r\n")[1]) if reply[:1] == b"$" else 0)
    return tuple(out)


def number(reply):
    assert reply[:1] == b":", reply
    return int(reply[1:])


def files_of(gw, owner):
    return gw.admin("GET", "/admin/files", params={"owner": owner}).json()["data"]


def listed(gw, key):
    return gw.call(key, "GET", "/v1/files").json()["data"]


# --- import ------------------------------------------------------------------


def test_250_files_are_adopted_once(one, fake, redis):
    for i in range(250):
        fake.put(f"old-{i}.txt", b"x" * (i + 1))
    key = one.new_key(max_files=10)
    mine = one.upload(key).json()["id"]
    job = ended(one, begin(one, "/admin/files/import", provider="up",
                           owner={"key": key}))  # fmt: skip
    assert (job["state"], job["done"]) == ("done", 251)
    assert job["counts"]["adopted"] == 250 and job["counts"]["known"] == 1
    files = listed(one, key)
    assert len({f["id"] for f in files}) == 251
    total = 250 * 251 // 2 + 5
    assert sum(f["bytes"] for f in files) == total
    assert used(redis, scope_of(key)) == (251, total)
    assert len(fake.files) == 251
    # What was there keeps its time: the newest is the one uploaded.
    assert files[0]["id"] == mine
    old = next(f for f in files if f["filename"] == "old-9.txt")
    reply = one.call(key, "GET", f"/v1/files/{old['id']}/content")
    assert reply.content == b"x" * 10

    again = ended(one, begin(one, "/admin/files/import", provider="up",
                             owner={"key": key}))  # fmt: skip
    assert again["counts"]["adopted"] == 0 and again["counts"]["known"] == 251
    assert used(redis, scope_of(key)) == (251, total)
    # Beyond the limit by import; not one more by upload.
    refused(one.upload(key), 429)


def test_only_what_is_asked_for_is_adopted(one, fake):
    a, b = fake.put("a-1.txt"), fake.put("b-1.txt")
    fake.put("a-2.txt", purpose="assistants")
    key = one.new_key(user_id="ann")
    ended(one, begin(one, "/admin/files/import", provider="up", prefix="a-",
                     purpose="vision", owner={"user_id": "ann"}))  # fmt: skip
    assert [f["filename"] for f in listed(one, key)] == ["a-1.txt"]
    job = ended(one, begin(one, "/admin/files/import", provider="up",
                           upstream_ids=[a.id, b.id, "file-none"],
                           owner={"user_id": "ann"}))  # fmt: skip
    assert (job["done"], job["total"], job["failed"]) == (3, 3, 1)
    assert job["counts"]["adopted"] == 1 and job["counts"]["known"] == 1
    failure = [e for e in job["report"] if e["what"] == "failures"]
    assert [e["upstream_id"] for e in failure] == ["file-none"]
    assert len(listed(one, key)) == 2


def test_an_import_goes_on_after_kill_9(one, fake, redis):
    for i in range(250):
        fake.put(f"old-{i}.txt")
    key = one.new_key(team_id="red")
    lists = iter(range(100))

    def die(x):
        if next(lists) == 3:
            one.kill()

    fake.fault(on_head(call(die)), method="GET", path="/v1/files$", times=100)
    job_id = begin(one, "/admin/files/import", provider="up", owner={"key": key})
    until(lambda: not one.runs, "the kill is over")
    one.start()
    job = ended(one, job_id)
    assert (job["state"], job["done"]) == ("done", 250)
    assert job["counts"]["adopted"] == 250 and job["counts"]["known"] == 0
    assert len(listed(one, key)) == 250
    assert used(redis, scope_of(key)) == (250, 1250)
    assert used(redis, "t:red") == (250, 1250)


# --- delete_files ------------------------------------------------------------


def team_with(gw, n):
    assert gw.admin("POST", "/team/new", json={"team_id": "red"}).status_code == 200
    key = gw.new_key(team_id="red")
    for _ in range(n):
        assert gw.upload(key).status_code == 200
    return key


def test_a_provider_that_fails_for_a_while_is_asked_again(one, fake, redis):
    team_with(one, 12)
    other = one.new_key(team_id="blue")
    one.upload(other)
    fake.fault(on_head(answer(503, {})), method="DELETE", times=15)
    job = ended(one, delete_team(one))
    assert (job["state"], job["failed"]) == ("done", 0)
    assert (job["done"], job["total"]) == (12, 12)
    assert files_of(one, "t:red") == [] and len(fake.files) == 1
    assert used(redis, "t:red") == (0, 0)
    assert used(redis, "t:blue") == (1, 5)


def test_progress_is_seen_and_a_job_can_be_cancelled(one, fake, redis):
    team_with(one, 5)
    fake.fault(on_head(answer(503, {})), method="DELETE", times=3)
    fake.fault(on_head(answer(503, {})), method="DELETE", times=1000)
    job_id = delete_team(one)

    def some():
        job = job_of(one, job_id)
        return job["state"] == "running" and job["total"] == 5 and job

    until(some, "the job runs")
    reply = one.admin("POST", f"/admin/jobs/{job_id}/cancel")
    assert reply.status_code == 200 and reply.json()["state"] == "cancelled"
    assert number(redis.command("ZCARD", "fm:{gw}:jobs:open")) == 0
    assert job_of(one, job_id)["state"] == "cancelled"
    assert len(files_of(one, "t:red")) == 5
    again = one.admin("POST", f"/admin/jobs/{job_id}/cancel")
    assert again.json()["state"] == "cancelled"


def test_a_deletion_goes_on_after_kill_9(one, fake, redis):
    team_with(one, 60)
    deletes = iter(range(1000))

    def die(x):
        if next(deletes) == 50:
            one.kill()

    fake.fault(on_head(call(die)), method="DELETE", times=1000)
    job_id = delete_team(one)
    until(lambda: not one.runs, "the kill is over")
    assert 0 < len(fake.files) < 60
    one.start()
    job = ended(one, job_id)
    assert (job["state"], job["done"], job["total"]) == ("done", 60, 60)
    until(lambda: used(redis, "t:red") == (0, 0), "nothing counts any more")
    assert files_of(one, "t:red") == [] and not fake.files
    until(lambda: number(redis.command("HLEN", "fm:{gw}:entries")) == 0,
          "the journal is empty")  # fmt: skip


def test_another_process_goes_on(start, fake, redis):
    conf = config({**QUICK, "redis": {"url": redis.url}}, up=fake)
    both = start(conf), start(conf)
    team_with(both[0], 60)
    asked = iter(range(1000))

    def die(x):
        """The process that runs the job is named by its pid, too."""
        if next(asked) == 45:
            runner = redis.command("GET", "fm:{gw}:jobs:runner").decode()
            killed.append(next(g for g in both if f"-{g.process.pid}-" in runner))
            killed[0].kill()

    killed = []
    fake.fault(on_head(call(die)), method="DELETE", times=1000)
    job_id = delete_team(both[0])
    until(lambda: killed and not killed[0].runs, "the kill is over")
    other = next(g for g in both if g is not killed[0])
    job = ended(other, job_id, 90)
    assert (job["done"], job["total"], job["failed"]) == (60, 60, 0)


def test_the_end_of_a_process_does_not_wait_for_a_step(one, fake, redis):
    team_with(one, 20)
    fake.fault(on_head(stall), method="DELETE", times=20)
    job_id = delete_team(one)
    until(lambda: any(s.stalled.is_set() for s in fake.seen), "a step is stuck")
    one.stop()
    assert len(fake.files) == 20
    fake.faults.clear()
    one.http = httpx.Client(base_url=one.url, timeout=20)
    job = ended(one.start(), job_id)
    assert (job["state"], job["done"], job["failed"]) == ("done", 20, 0)
    assert not fake.files


def test_a_key_goes_with_its_own_files(one, fake, redis):
    mine, yours, ours = one.new_key(), one.new_key(), one.new_key(team_id="red")
    for key in (mine, mine, yours, ours):
        one.upload(key)
    body = {"keys": [mine, ours], "delete_files": True}
    reply = one.admin("POST", "/key/delete", json=body).json()
    assert len(reply["jobs"]) == 1  # a team's files are not its keys'
    job = ended(one, reply["jobs"][0])
    assert (job["kind"], job["done"], job["total"]) == ("delete_files", 2, 2)
    assert files_of(one, scope_of(mine)) == []
    assert len(files_of(one, "t:red")) == len(listed(one, yours)) == 1
    assert len(fake.files) == 2


@pytest.mark.parametrize("name", ["\\" + "ä" * 600, "x" * 20_000, "\x01" * 9000])
def test_long_names_and_purposes_of_a_provider_are_cut(one, fake, name):
    fake.put(name, purpose="p" * 9000)
    key = one.new_key(user_id="ann")
    job = ended(one, begin(one, "/admin/files/import", provider="up",
                           owner={"user_id": "ann"}))  # fmt: skip
    assert (job["state"], job["counts"]["adopted"]) == ("done", 1), job
    (file,) = listed(one, key)
    assert name.startswith(file["filename"]) and file["purpose"] == "p" * 64
    assert 1020 <= len(file["filename"].encode()) <= 1024
    again = one.call(key, "GET", f"/v1/files/{file['id']}")
    assert again.json() == file


def test_a_long_name_is_reported_as_far_as_it_goes(one, fake):
    for name in ("x" * 20_000, "\x01" * 9000):
        fake.put(name, purpose="p" * 9000)
    job = ended(one, begin(one, "/admin/reconcile", mend=True, orphans="delete"))
    assert (job["state"], job["counts"]["files_without_record"]) == ("done", 2), job
    assert {e["filename"] for e in job["report"]} == {"x" * 1024, "\x01" * 1024}
    assert not fake.files


# --- reconcile ---------------------------------------------------------------


def drifted(one, fake, redis):
    """One of each kind of drift; the key, and what is wrong."""
    key = one.new_key(team_id="red")
    kept = [one.upload(key).json()["id"] for _ in range(4)]
    del fake.files[next(iter(fake.files))]  # 1: a record without its file
    lost = kept.pop(0)
    orphan = fake.put("orphan.txt")  # 2: a file without a record
    young = fake.put("young.txt", age=60)
    # 3: counted without a record, and counters that were changed by hand
    stale = kept.pop()
    upstream = list(fake.files)[2]
    redis.command("DEL", "fm:{o:t:red}:f:" + stale, f"fm:{{u:up}}:{upstream}")
    redis.command("ZREM", "fm:{o:t:red}:idx", f"{stale[-26:]} {stale}")
    del fake.files[upstream]
    redis.command("HINCRBY", "fm:{gw}:use:t:red", "bytes", "1000")
    redis.command("HSET", "fm:{gw}:use:t:gone", "files", "7")
    return key, kept, lost, orphan, young, stale


def test_each_kind_of_drift_is_reported_and_nothing_is_changed(one, fake, redis):
    key, kept, lost, orphan, young, stale = drifted(one, fake, redis)
    job = ended(one, begin(one, "/admin/reconcile"))
    counts = job["counts"]
    assert job["state"] == "done" and job["failed"] == 0
    found = {}
    for entry in job["report"]:
        found.setdefault(entry["what"], []).append(entry)
    assert [e["id"] for e in found["records_without_file"]] == [lost]
    assert [e["upstream_id"] for e in found["files_without_record"]] == [orphan.id]
    assert [e["id"] for e in found["counts_without_record"]] == [stale]
    drift = {e["scope"]: e for e in found["quota_drift"]}
    assert set(drift) == {"t:red", "t:gone"}
    assert drift["t:red"]["bytes"] == 1020 and drift["t:red"]["true_bytes"] == 20
    assert counts["quota_drift"] == 2 and counts["mended"] == 0
    assert used(redis, "t:red") == (4, 1020)
    assert len(fake.files) == 4


def test_each_kind_of_drift_is_mended(one, fake, redis):
    key, kept, lost, orphan, young, stale = drifted(one, fake, redis)
    job = ended(one, begin(one, "/admin/reconcile", mend=True, orphans="delete"))
    assert job["state"] == "done" and job["failed"] == 0, job
    assert job["counts"]["mended"] == 5
    assert {f["id"] for f in listed(one, key)} == set(kept)
    assert orphan.id not in fake.files and young.id in fake.files
    assert used(redis, "t:red") == (2, 10)
    assert used(redis, scope_of(key)) == (2, 10)
    assert used(redis, "t:gone") == (0, 0)
    left = redis.command("KEYS", "fm:{gw}:audit:*") + redis.command(
        "KEYS", "fm:{gw}:todo:*"
    )
    assert left == b"*0\r\n*0\r\n"
    again = ended(one, begin(one, "/admin/reconcile", mend=True))
    assert not any(v for k, v in again["counts"].items())


def test_files_without_a_record_are_adopted(one, fake, redis):
    for i in range(120):
        fake.put(f"{i}.txt")
    key = one.new_key(team_id="red")
    job = ended(one, begin(one, "/admin/reconcile", provider="up", mend=True,
                           orphans="adopt", owner={"team_id": "red"}))  # fmt: skip
    assert job["counts"]["adopted"] == 120 and job["counts"]["mended"] == 120
    assert len(listed(one, key)) == 120
    assert used(redis, "t:red") == (120, 600)


def test_a_reconciliation_goes_on_after_kill_9(one, fake, redis):
    for i in range(120):
        fake.put(f"{i}.txt")
    one.upload(one.new_key())
    deletes = iter(range(1000))

    def die(x):
        if next(deletes) == 70:
            one.kill()

    fake.fault(on_head(call(die)), method="DELETE", times=1000)
    job_id = begin(one, "/admin/reconcile", mend=True, orphans="delete")
    until(lambda: not one.runs, "the kill is over")
    one.start()
    job = ended(one, job_id)
    assert job["counts"]["files_without_record"] == 120
    assert job["counts"]["mended"] == 120
    assert len(fake.files) == 1


def test_a_provider_that_cannot_be_asked_is_no_reason_to_mend(one, fake, redis):
    key = team_with(one, 3)
    fake.fault(on_head(answer(500, {})), path="/v1/files", times=3)
    job = ended(one, begin(one, "/admin/reconcile", mend=True))
    assert job["counts"]["records_without_file"] == 0
    assert job["counts"]["mended"] == 0 and len(listed(one, key)) == 3


# --- the API -----------------------------------------------------------------


def test_what_cannot_be_done_is_refused(gw, up):
    def error(path, param, **body):
        reply = gw.admin("POST", path, json=body)
        assert refused(reply, 400)["param"] == param

    who = {"team_id": "red"}
    error("/admin/files/import", "provider", owner=who)
    error("/admin/files/import", "owner", provider="up")
    error("/admin/files/import", "provider", provider="none", owner=who)
    error("/admin/files/import", "owner", provider="up", owner={})
    error("/admin/files/import", "owner", provider="up", owner={**who, "key": "k"})
    error("/admin/files/import", "upstream_ids", provider="up", owner=who,
          upstream_ids=[])  # fmt: skip
    error("/admin/files/import", "colour", provider="up", owner=who, colour="red")
    error("/admin/reconcile", "orphans", orphans="delete")
    error("/admin/reconcile", "orphans", orphans="keep")
    error("/admin/reconcile", "owner", orphans="adopt", mend=True)
    error("/admin/reconcile", "mend", mend="yes")
    reply = gw.admin("POST", "/admin/files/import",
                     json={"provider": "up", "owner": {"key": "sk-none"}})  # fmt: skip
    refused(reply, 404, "key_not_found")
    for job_id in ("job-01arz3ndektsv4rrffq69g5fav", "job-x", "job-%2e%2e"):
        refused(gw.admin("GET", f"/admin/jobs/{job_id}"), 404, "job_not_found")
        reply = gw.admin("POST", f"/admin/jobs/{job_id}/cancel")
        refused(reply, 404, "job_not_found")


def test_jobs_are_the_operators(gw, up, key):
    for method, path in (
        ("POST", "/admin/files/import"), ("POST", "/admin/reconcile"),
        ("GET", "/admin/jobs"), ("GET", "/admin/files?owner=t:red"),
    ):  # fmt: skip
        refused(gw.call(key, method, path), 403, "admin_only")


def test_jobs_are_listed_page_by_page(one):
    made = [begin(one, "/admin/reconcile") for _ in range(5)]
    seen, after = [], {}
    while True:
        page = one.admin("GET", "/admin/jobs", params={"limit": 2, **after}).json()
        seen += [j["id"] for j in page["data"]]
        if not page["has_more"]:
            break
        after = {"after": page["last_id"]}
    assert sorted(seen) == sorted(made) and len(seen) == 5


def test_the_files_of_any_owner_are_shown(gw, up):
    key = gw.new_key(user_id="eve")
    made = [gw.upload(key).json()["id"] for _ in range(3)]
    reply = gw.admin("GET", "/admin/files", params={"owner": "u:eve", "limit": 2})
    page = reply.json()
    assert [f["id"][-26:] for f in page["data"]] == sorted(
        (i[-26:] for i in made), reverse=True
    )[:2]
    assert page["has_more"] is True
    reply = gw.admin("GET", "/admin/files", params={"owner": "u:eve",
                                                    "provider": "other"})  # fmt: skip
    assert reply.json()["data"] == []
    assert refused(gw.admin("GET", "/admin/files"), 400)["param"] == "owner"
