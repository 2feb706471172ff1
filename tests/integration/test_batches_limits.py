"""Limits of batches, and their life when nobody looks: exact over processes."""

from concurrent.futures import ThreadPoolExecutor

import openai
import pytest
import test_mistral
from conftest import sdk_for
from fakes.mistral import Mistral
from fakes.openai import answer, on_head, on_stored, reset
from gw import config, free_port, openai_provider, refused, until
from quota import scope, table, use
from test_batch_check import batch
from test_batches import CHAT, create, line, only, put
from test_jobs import begin, ended

LINES = 3  # of the file that put() stores
BODY = {"endpoint": CHAT, "completion_window": "24h"}
LOOK = {"look_interval": "300ms"}


def conf_of(fake, redis, **batches):
    return config(
        {"redis": {"url": redis.url}, "batches": {**LOOK, **batches},
         "journal": {"lease": "2s", "sweep_interval": "200ms"}}, up=fake,
    )  # fmt: skip


@pytest.fixture
def one(start, fake, redis):
    gw = start(conf_of(fake, redis))
    gw.redis = redis
    return gw


@pytest.fixture
def quiet(start, fake, redis):
    """Nobody looks but who asks."""
    gw = start(conf_of(fake, redis, look_interval="1h"))
    gw.redis = redis
    return gw


@pytest.fixture
def pair(start, fake, redis):
    conf = conf_of(fake, redis, look_interval="1h")
    return start(conf), start(conf)


@pytest.fixture
def ways(start, fake, redis, tmp_path):
    """Two gateways, with and without a check; providers that need different
    things: a length, other names of models, lines of their own."""
    mistral, out = Mistral(), {}
    for checked in (False, True):
        conf = {**conf_of(fake, redis, look_interval="1h"),
                "batch_check": {"enabled": checked},
                "models": {"alias": {"provider": "renames", "model": "m"}}}  # fmt: skip
        conf["providers"] |= {
            "renames": openai_provider(fake, upload_length="required"),
            "there": test_mistral.provider(mistral),
            "disk": {"type": "disk", "path": str(tmp_path / "files")},
        }
        out[checked] = start(conf)
        out[checked].key = out[checked].new_key()
    yield out
    mistral.stop()
    assert mistral.violations == []


def counted(redis, scope):
    """Active batches and lines of today."""
    usage = table(redis, f"fm:{{gw}}:use:{scope}")
    return usage.get("batches", 0), lines_of(redis, scope)


def lines_of(redis, scope):
    days = [k for k in redis.command("KEYS", f"fm:{{gw}}:day:*:{scope}").split(b"\r\n")
            if k.startswith(b"fm:")]  # fmt: skip
    return sum(table(redis, day).get("lines", 0) for day in days)


def watched(redis):
    return int(redis.command("ZCARD", "fm:{gw}:watch")[1:])


def post(gw, key, file_id):
    return gw.call(key, "POST", "/v1/batches", json={"input_file_id": file_id, **BODY})


def test_active_batches_are_limited_until_they_are_over(quiet, fake, redis):
    key = quiet.new_key(max_active_batches=2)
    with sdk_for(quiet, key) as sdk:
        file = put(sdk)
        first, second = create(sdk, file.id), create(sdk, file.id)
        reply = post(quiet, key, file.id)
        error = refused(reply, 429, "batch_quota_exceeded")
        assert (error["type"], error["param"]) == ("insufficient_quota", "max_active_batches")
        assert "2 active batches (max_active_batches), 2 are used" in error["message"]
        assert int(reply.headers["retry-after"]) > 0
        assert len(fake.batches) == 2 and counted(redis, scope(key)) == (2, 6)
        list(fake.batches.values())[0].finish()
        refused(post(quiet, key, file.id), 429)  # nobody has seen it
        assert sdk.batches.retrieve(first.id).status == "completed"
        create(sdk, file.id)
        refused(post(quiet, key, file.id), 429)
        assert sdk.batches.cancel(second.id).status == "cancelling"
        refused(post(quiet, key, file.id), 429)
        list(fake.batches.values())[1].step()
        assert {b.status for b in sdk.batches.list()} >= {"cancelled"}
        create(sdk, file.id)


def test_lines_of_a_day_are_limited(quiet, fake, redis):
    key = quiet.new_key(max_batch_lines_per_day=7)
    with sdk_for(quiet, key) as sdk:
        file = put(sdk)
        for _ in range(2):
            made = create(sdk, file.id)
            list(fake.batches.values())[-1].finish()
            sdk.batches.retrieve(made.id)
        reply = post(quiet, key, file.id)
        error = refused(reply, 429, "batch_lines_quota_exceeded")
        assert error["param"] == "max_batch_lines_per_day"
        assert "7 lines of batches (max_batch_lines_per_day), 6 are used" in error["message"]
        assert "this resets in" in error["message"]
        assert 0 < int(reply.headers["retry-after"]) <= 86400
        small = sdk.files.create(file=("s.jsonl", line(1).encode()), purpose="batch")
        create(sdk, small.id)
    assert counted(redis, scope(key)) == (1, 7)


def test_a_file_whose_lines_are_not_known_is_told_so(quiet, fake, redis):
    stored = fake.put("old.jsonl", line(1).encode(), "batch")
    key = quiet.new_key(user_id="ann")
    ended(quiet, begin(quiet, "/admin/files/import", provider="up",
                       upstream_ids=[stored.id], owner={"user_id": "ann"}))  # fmt: skip
    with sdk_for(quiet, key) as sdk:
        (file,) = sdk.files.list().data
        create(sdk, file.id)
        limited = quiet.new_key(user_id="ann", max_batch_lines_per_day=100)
        error = refused(post(quiet, limited, file.id), 400, "invalid_value")
    assert error["param"] == "input_file_id" and "upload it again" in error["message"]
    assert counted(redis, scope(limited)) == (0, 0)
    assert counted(redis, scope(key)) == (1, 0)


@pytest.mark.parametrize("checked", [True, False])
@pytest.mark.parametrize("text, lines", [
    (line(1) + line(2), 2), (line(1) + line(2).rstrip(), 2), (line(1), 1),
])  # fmt: skip
def test_lines_are_counted_whether_they_are_checked_or_not(
    start, fake, redis, checked, text, lines
):
    gw = start({**conf_of(fake, redis), "batch_check": {"enabled": checked}})
    key = gw.new_key()
    with sdk_for(gw, key) as sdk:
        file = sdk.files.create(file=("in.jsonl", text.encode()), purpose="batch")
        create(sdk, file.id)
    assert lines_of(redis, scope(key)) == lines


@pytest.mark.parametrize("checked", [True, False])
@pytest.mark.parametrize("first", ["purpose", "file"])
@pytest.mark.parametrize("framing", [None, 7])
@pytest.mark.parametrize("provider", ["up", "renames", "there", "disk"])
def test_lines_are_counted_however_the_file_comes(
    ways, fake, redis, checked, first, framing, provider
):
    gw = ways[checked]
    text = (line(1) + line(2) + line(3)).encode()
    if provider == "renames":
        text = text.replace(b'"m"', b'"alias"')
    stored = batch(gw, gw.key, text, provider, first=first, framing=framing)
    assert stored.status_code == 200, stored.text
    file_id = stored.json()["id"]
    if provider == "disk":
        copied = gw.call(gw.key, "POST", f"/v1/files/{file_id}/copy", json={"provider": "up"})
        file_id = copied.json()["id"]
    before = lines_of(redis, scope(gw.key))
    body = {"input_file_id": file_id, "model": "m", **BODY}
    reply = gw.call(gw.key, "POST", "/v1/batches", json=body)
    assert reply.status_code == 200, reply.text
    assert lines_of(redis, scope(gw.key)) == before + 3


@pytest.mark.parametrize("limit, code, most", [
    ({"max_active_batches": 20}, "batch_quota_exceeded", 20),
    ({"max_batch_lines_per_day": 20 * LINES + 2}, "batch_lines_quota_exceeded", 20),
])  # fmt: skip
def test_fifty_at_once_over_two_processes_give_exactly_the_limit(
    pair, fake, redis, limit, code, most
):
    team = pair[0].admin("POST", "/team/new", json=limit).json()["team_id"]
    keys = [pair[0].new_key(team_id=team) for _ in range(2)]
    with sdk_for(pair[0], keys[0]) as sdk:
        file = put(sdk)

    def one(i):
        reply = post(pair[i % 2], keys[i // 2 % 2], file.id)
        return reply.status_code, reply.json().get("error", {}).get("code")

    with ThreadPoolExecutor(25) as pool:
        replies = list(pool.map(one, range(50)))
    assert sorted(replies, key=str) == [(200, None)] * most + [(429, code)] * (50 - most)
    assert len(fake.batches) == most
    assert counted(redis, f"t:{team}") == (most, most * LINES)
    both = [counted(redis, scope(key)) for key in keys]
    assert (both[0][0] + both[1][0], both[0][1] + both[1][1]) == (most, most * LINES)


def test_what_a_provider_refuses_is_given_back(quiet, fake, redis):
    key = quiet.new_key(max_active_batches=1, max_batch_lines_per_day=LINES)
    with sdk_for(quiet, key) as sdk:
        file = put(sdk)
        for _ in range(3):
            fake.fault(on_head(answer(400, {"error": {"message": "no"}})), path="/batches")
            refused(post(quiet, key, file.id), 400)
            until(lambda: counted(redis, scope(key)) == (0, 0), "it is given back")
        assert watched(redis) == 0
        create(sdk, file.id)
    assert counted(redis, scope(key)) == (1, LINES)


def test_a_provider_that_is_down_takes_nothing(quiet, fake, redis):
    key = quiet.new_key(max_active_batches=1)
    with sdk_for(quiet, key) as sdk:
        file = put(sdk)
        conf = conf_of(fake, redis)
        conf["providers"]["up"]["base_url"] = f"http://127.0.0.1:{free_port()}/v1"
        quiet.write(conf)
        quiet.kill()
        quiet.start()
        error = refused(post(quiet, key, file.id), 502, "upstream_unreachable")
        assert error["type"] == "upstream_error"
    until(lambda: counted(redis, scope(key)) == (0, 0), "it is given back")


def test_what_may_run_unknown_is_not_active_but_its_lines_count(quiet, fake, redis):
    key = quiet.new_key(max_active_batches=1)
    with sdk_for(quiet, key) as sdk:
        file = put(sdk)
        fake.fault(on_stored(reset), path="/batches")
        refused(post(quiet, key, file.id), 502)
        until(lambda: counted(redis, scope(key)) == (0, LINES), "it is given up")
        create(sdk, file.id)


def test_an_unobserved_batch_ends_and_its_files_are_there(one, fake, redis):
    key = one.new_key(max_active_batches=1)
    with sdk_for(one, key) as sdk:
        made = create(sdk, put(sdk).id)
        only(fake).finish(failed=1)
        until(lambda: counted(redis, scope(key)) == (0, LINES), "it is seen")
        until(lambda: len(sdk.files.list().data) == 3, "its files are registered")
        fake.seen.clear()
        done = sdk.batches.retrieve(made.id)
        assert fake.seen == [] and done.status == "completed"
        assert sdk.files.content(done.output_file_id).read() == only(fake).output.read()
    assert use(redis, scope(key))["files"] == 3
    assert watched(redis) == 1  # its record has an end, too


def test_a_provider_that_is_away_is_asked_again_later(one, fake, redis):
    key = one.new_key()
    with sdk_for(one, key) as sdk:
        create(sdk, put(sdk).id)
        fake.fault(on_head(reset), method="GET", times=3)
        only(fake).finish()
        until(lambda: "cannot look at the batch" in one.stderr(), "it was asked")
        assert counted(redis, scope(key))[0] == 1
        until(lambda: counted(redis, scope(key))[0] == 0, "it is seen to be over")


def test_a_batch_that_its_provider_has_lost_has_failed(one, fake, redis):
    key = one.new_key(max_active_batches=1)
    with sdk_for(one, key) as sdk:
        made = create(sdk, put(sdk).id, metadata={"a": "b"})
        fake.batches.clear()
        until(lambda: counted(redis, scope(key))[0] == 0, "it is over")
        done = sdk.batches.retrieve(made.id)
        assert (done.status, done.metadata) == ("failed", {"a": "b"})
        assert done.failed_at and done.errors.data[0].code == "batch_not_found"


def test_one_look_that_does_not_find_it_ends_nothing(quiet, fake, redis):
    key = quiet.new_key()
    with sdk_for(quiet, key) as sdk:
        made = create(sdk, put(sdk).id)
        fake.fault(on_head(answer(404, {"error": {"message": "no"}})), method="GET", times=2)
        for _ in range(2):
            assert sdk.batches.retrieve(made.id).status == "validating"
        only(fake).finish()
        assert sdk.batches.retrieve(made.id).status == "completed"


def test_a_crash_leaves_nothing_active(one, fake, redis):
    key = one.new_key(max_active_batches=1)
    with sdk_for(one, key) as sdk:
        file = put(sdk)
        fake.fault(on_stored(lambda x: one.kill()), path="/batches")
        with pytest.raises(openai.APIConnectionError):
            create(sdk, file.id)
    assert len(fake.batches) == 1 and counted(redis, scope(key)) == (1, LINES)
    one.start()
    until(lambda: counted(redis, scope(key)) == (0, LINES), "it is given up")
    assert "nobody knows" in one.stderr() and watched(redis) == 0
    with sdk_for(one, key) as sdk:
        create(sdk, file.id)


def test_another_process_looks_when_one_died(start, fake, redis):
    conf = conf_of(fake, redis)
    first, second = start(conf), start(conf)
    key = first.new_key()
    with sdk_for(first, key) as sdk:
        create(sdk, put(sdk).id)
    first.kill()
    only(fake).finish()
    until(lambda: counted(redis, scope(key))[0] == 0, "it is seen to be over")
    with sdk_for(second, key) as sdk:
        (done,) = sdk.batches.list().data
        assert sdk.files.content(done.output_file_id).read()


def test_records_go_when_they_were_kept_long_enough(start, fake, redis):
    gw = start(conf_of(fake, redis, keep="1s"))
    key = gw.new_key()
    with sdk_for(gw, key) as sdk:
        file = put(sdk)
        made, runs = create(sdk, file.id), create(sdk, file.id)
        list(fake.batches.values())[0].finish()
        until(lambda: [b.id for b in sdk.batches.list()] == [runs.id], "it is gone")
        with pytest.raises(openai.NotFoundError):
            sdk.batches.retrieve(made.id)
        assert len(sdk.files.list().data) == 2  # its output stays
    assert watched(redis) == 1


@pytest.mark.parametrize("what", ["key", "team"])
def test_batches_go_with_their_owner_and_its_files(quiet, fake, redis, what):
    team = quiet.admin("POST", "/team/new", json={}).json()["team_id"]
    key = quiet.new_key(**({"team_id": team} if what == "team" else {}))
    with sdk_for(quiet, key) as sdk:
        file = put(sdk)
        for _ in range(25):
            create(sdk, file.id)
        over, *run = fake.batches.values()
        over.finish()
        sdk.batches.list(limit=100, after=sdk.batches.list(limit=20).data[-1].id)
    body = {"keys": [key]} if what == "key" else {"team_ids": [team]}
    reply = quiet.admin("POST", f"/{what}/delete", json={**body, "delete_files": True})
    (job,) = reply.json()["jobs"]
    assert ended(quiet, job)["state"] == "done"
    assert {b.status for b in run} == {"cancelling"} and over.status == "completed"
    assert fake.files == {} and watched(redis) == 0
    assert counted(redis, scope(key))[0] == 0
    left = redis.command("KEYS", "fm:{o:*}:*")
    assert left == b"*0\r\n", left


def test_a_key_and_its_team_see_what_they_may_and_have(quiet, fake):
    limits = {"max_active_batches": 5, "max_batch_lines_per_day": 100}
    team = quiet.admin("POST", "/team/new", json={"max_active_batches": 7}).json()
    key = quiet.new_key(team_id=team["team_id"], **limits)
    info = quiet.admin("GET", "/key/info", params={"key": key}).json()["info"]
    assert {n: info[n] for n in limits} == limits
    with sdk_for(quiet, key) as sdk:
        create(sdk, put(sdk).id)
    seen = quiet.call(key, "GET", "/v1/usage").json()
    quotas = seen["key"]["quotas"]
    assert quotas["max_active_batches"] == {"limit": 5, "used": 1, "remaining": 4}
    lines = quotas["max_batch_lines_per_day"]
    assert (lines["limit"], lines["used"], lines["remaining"]) == (100, 3, 97)
    assert lines["resets_at"] % 86400 == 0
    assert seen["team"]["quotas"]["max_active_batches"]["remaining"] == 6
    assert seen["key"]["usage"]["batch_lines_today"] == 3
    quiet.admin("POST", "/key/update", json={"key": key, "max_active_batches": 1})
    with sdk_for(quiet, key) as sdk, pytest.raises(openai.RateLimitError):
        create(sdk, sdk.files.list().data[0].id)


def test_keys_of_the_configuration_have_these_limits(start, fake, redis):
    conf = conf_of(fake, redis)
    conf["keys"] = [{"key": "sk-fixed-key-of-the-file", "max_active_batches": 1,
                     "max_batch_lines_per_day": 10}]  # fmt: skip
    gw = start(conf)
    with sdk_for(gw, "sk-fixed-key-of-the-file") as sdk:
        file = put(sdk)
        create(sdk, file.id)
        with pytest.raises(openai.RateLimitError) as e:
            create(sdk, file.id)
    assert e.value.code == "batch_quota_exceeded"


def test_without_redis_nothing_is_made(quiet, fake, redis):
    key = quiet.new_key(max_active_batches=1)
    with sdk_for(quiet, key) as sdk:
        file = put(sdk)
    redis.pause()
    reply = post(quiet, key, file.id)
    redis.go_on()
    refused(reply, 503, "store_unavailable")
    assert fake.batches == {}
    until(lambda: counted(redis, scope(key))[0] == 0, "nothing is active")


def test_a_list_holds_still_while_others_come(quiet, fake):
    key = quiet.new_key()
    with sdk_for(quiet, key) as sdk:
        file = put(sdk)
        made = [create(sdk, file.id).id for _ in range(9)]
        seen, after = [], openai.NOT_GIVEN
        for n in range(9):
            page = sdk.batches.list(limit=2, after=after)
            seen += [b.id for b in page.data]
            create(sdk, file.id)
            if not page.has_more:
                break
            after = page.data[-1].id
        assert seen == made[::-1] and n == 4
        reply = quiet.call(key, "GET", f"/v1/batches?limit=1&after={made[0]}").json()
        assert (reply["data"], reply["has_more"]) == ([], False)
        assert (reply["first_id"], reply["last_id"]) == (None, None)
        whole = sdk.batches.list(limit=100)
        assert len(whole.data) == 14 and not whole.has_more


@pytest.mark.parametrize("limit", ["0", "101", "-1", "x", "1.5", ""])
def test_a_list_has_one_to_a_hundred(quiet, limit):
    key = quiet.new_key()
    error = refused(quiet.call(key, "GET", f"/v1/batches?limit={limit}"), 400)
    assert (error["param"], error["code"]) == ("limit", "invalid_value")


def test_two_owners_do_not_share_a_limit(quiet, fake, redis):
    one, two = (quiet.new_key(max_active_batches=1) for _ in range(2))
    with sdk_for(quiet, one) as a, sdk_for(quiet, two) as b:
        file = put(a)
        create(a, file.id)
        with pytest.raises(openai.NotFoundError):
            create(b, file.id)
        create(b, put(b).id)
    assert counted(redis, scope(one)) == counted(redis, scope(two)) == (1, LINES)
