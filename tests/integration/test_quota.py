"""Quotas of files and bytes, held exactly by several processes on one Redis."""

import json
import re
import threading
import time

import httpx
import pytest
from fakes.metered import Metered
from fakes.openai import after_bytes, after_sent, call, on_head, on_stored, reset, stall
from gw import MB, config, refused, until
from quota import new_team, of_today, scope, stored, table, until_used, use
from wire import chunked, file_part, form, form_around, form_type, part, upload

PURPOSE = part("purpose", "vision")
QUICK = {"journal": {"lease": "2s", "sweep_interval": "500ms"}}
DAY_S = 86400


@pytest.fixture
def fake():
    fake = Metered()
    yield fake
    fake.stop()
    assert fake.violations == [] and fake.excess == []


@pytest.fixture
def conf(fake, redis):
    return config({"redis": {"url": redis.url}, **QUICK}, up=fake)


@pytest.fixture
def gw(start, conf):
    return start(conf)


@pytest.fixture
def pair(start, conf):
    return start(conf), start(conf)


def send(gw, key, data, framing="length", late=False, target="/v1/files"):
    """An upload, its length told or not, its purpose before or behind."""
    parts = [file_part(data, "x.bin"), PURPOSE]
    body = form(*(parts if late else reversed(parts)))
    fields = {"Content_Length": len(body)}
    if framing == "chunked":
        body = chunked(body, 100_003)
        fields = {"Transfer_Encoding": "chunked"}
    with gw.wire() as w:
        w.head("POST", target, key, Content_Type=form_type(), **fields)
        w.send_what_is_taken([body])
        return w.reply()


def begin(wire, key, data, target="/v1/files"):
    """The beginning of an upload of unknown length."""
    prefix, _, _ = form_around(0, PURPOSE)
    wire.head("POST", target, key, Content_Type=form_type(), Transfer_Encoding="chunked")
    wire.send(chunked(prefix + data, 50_000)[:-5])


def end(wire):
    _, suffix, _ = form_around(0, PURPOSE)
    wire.send(chunked(suffix, 1000))
    return wire.reply()


# --- files ---


def test_of_200_uploads_at_once_exactly_as_many_succeed_as_files_are_allowed(
    pair, fake, redis
):
    key = pair[0].new_key(max_files=10)
    body = form(PURPOSE, file_part(b"x" * 1000))
    wires = [pair[i % 2].wire() for i in range(200)]
    for w in wires:
        w.head("POST", "/v1/files", key, Content_Type=form_type(),
               Content_Length=len(body))  # fmt: skip
    for w in wires:
        w.send(body)
    replies = [w.reply() for w in wires]
    for w in wires:
        w.close()
    assert sorted(r.status for r in replies) == [200] * 10 + [429] * 190
    for reply in replies:
        if reply.status == 429:
            error = refused(reply, 429, "file_quota_exceeded")
            assert error["type"] == "insufficient_quota"
            assert error["param"] == "max_files"
            assert re.search(r"\b10 files \(max_files\)", error["message"])
    until_used(redis, scope(key), 10, 10_000)
    assert len(fake.files) == 10
    assert len(pair[1].call(key, "GET", "/v1/files").json()["data"]) == 10


def test_a_deleted_file_makes_room_for_one(gw, fake, redis):
    key = gw.new_key(max_files=1)
    for _ in range(3):
        made = gw.upload(key).json()["id"]
        refused(gw.upload(key), 429, "file_quota_exceeded")
        assert gw.call(key, "DELETE", f"/v1/files/{made}").status_code == 200
    until_used(redis, scope(key), 0, 0)


def test_a_file_that_the_provider_did_not_delete_still_counts(gw, fake, redis):
    key = gw.new_key(max_files=1)
    made = gw.upload(key).json()["id"]
    fake.fault(on_head(reset), method="DELETE", times=99)
    refused(gw.call(key, "DELETE", f"/v1/files/{made}"), 502)
    refused(gw.upload(key), 429, "file_quota_exceeded")
    fake.faults.clear()
    assert gw.call(key, "DELETE", f"/v1/files/{made}").status_code == 200
    assert gw.upload(key).status_code == 200


def test_a_file_deleted_twice_at_once_is_taken_off_once(pair, redis):
    key = pair[0].new_key(max_files=10)
    keep, made = (pair[0].upload(key).json()["id"] for _ in range(2))
    threads = [
        threading.Thread(target=gw.call, args=(key, "DELETE", f"/v1/files/{made}"))
        for gw in pair * 2
    ]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    until_used(redis, scope(key), 1, 5)


# --- bytes stored ---


@pytest.mark.parametrize("late", [False, True], ids=["", "fields-behind"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_the_quota_can_be_filled_to_the_last_byte(gw, fake, redis, framing, late):
    key = gw.new_key(max_storage_bytes=100_000)
    assert send(gw, key, b"x" * 99_000, framing, late).status == 200
    reply = send(gw, key, b"y" * 1001, framing, late)
    error = refused(reply, 429 if framing == "length" else 413)
    assert error["type"] == "insufficient_quota"
    assert error["param"] == "max_storage_bytes"
    assert "100000 bytes (max_storage_bytes)" in error["message"]
    until_used(redis, scope(key), 1, 99_000)
    assert send(gw, key, b"y" * 1000, framing, late).status == 200
    until_used(redis, scope(key), 2, 100_000)
    refused(send(gw, key, b"z", framing, late), 429, "storage_quota_exceeded")
    assert fake.stored_bytes == fake.most_bytes == 100_000


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_the_length_of_a_large_file_may_be_told_or_not(gw, fake, redis, framing):
    """Larger than what is taken of the quota at a time."""
    key = gw.new_key(max_storage_bytes=20 * MB)
    fake.max_bytes = 20 * MB
    status = 429 if framing == "length" else 413
    refused(send(gw, key, b"x" * (20 * MB + 1), framing), status)
    until_used(redis, scope(key), 0, 0)
    assert send(gw, key, b"x" * (20 * MB), framing).status == 200
    until_used(redis, scope(key), 1, 20 * MB)


def test_a_body_of_unknown_length_is_cut_off_as_soon_as_it_passes(gw, fake, redis):
    """It has not ended, and never will."""
    key = gw.new_key(max_storage_bytes=3_000_000)
    with gw.wire() as w:
        begin(w, key, b"x" * 3_000_000)
        until(lambda: fake.under_way, "the upload is under way")
        w.send(chunked(b"y" * 200, 200)[:-5])
        error = refused(w.reply(), 413, "quota_exceeded")
    assert error["type"] == "insufficient_quota"
    assert "3000000 bytes (max_storage_bytes)" in error["message"]
    (seen,) = fake.uploads()
    until(seen.done.is_set, "the provider noticed")
    assert seen.aborted and seen.status is None and fake.files == {}
    until_used(redis, scope(key), 0, 0)


def test_what_the_provider_sees_of_a_body_cut_off_is_within_the_quota(gw, fake):
    fake.max_bytes = 9 * MB
    key = gw.new_key(max_storage_bytes=9 * MB)
    refused(send(gw, key, b"x" * (12 * MB), "chunked"), 413, "quota_exceeded")
    assert fake.files == {}


def test_two_bodies_of_unknown_length_share_what_is_left(pair, fake, redis):
    fake.max_bytes = 10 * MB
    key = pair[0].new_key(max_storage_bytes=10 * MB)
    replies = []

    def run(gw):
        replies.append(send(gw, key, b"x" * (6 * MB), "chunked"))

    threads = [threading.Thread(target=run, args=(gw,)) for gw in pair]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sum(r.status == 200 for r in replies) <= 1
    for reply in replies:
        if reply.status != 200:
            assert refused(reply, reply.status)["type"] == "insufficient_quota"
    until_used(redis, scope(key), len(fake.files), fake.stored_bytes)


def test_an_upload_given_up_by_its_client_frees_what_it_held(gw, fake, redis):
    key = gw.new_key(max_storage_bytes=100_000, max_files=1)
    for _ in range(3):
        with gw.wire() as w:
            begin(w, key, b"x" * 90_000)
            until(lambda: fake.under_way, "the upload is under way")
            held = use(redis, scope(key))
            assert held["held_files"] == 1 and held["held_bytes"] == 100_000
            w.reset()
        until_used(redis, scope(key), 0, 0)
        until(lambda: not fake.under_way, "the provider noticed")
    assert send(gw, key, b"x" * 100_000).status == 200


def test_an_upload_that_the_provider_refuses_frees_what_it_held(gw, fake, redis):
    key = gw.new_key(max_storage_bytes=100_000)
    fake.fault(after_bytes(1000, reset), method="POST", times=9)
    refused(send(gw, key, b"x" * 100_000), 502)
    until_used(redis, scope(key), 0, 0)


def test_a_killed_processs_uploads_stop_to_count_with_their_lease(pair, fake, redis):
    one, two = pair
    key = one.new_key(max_storage_bytes=100_000)
    with one.wire() as w:
        begin(w, key, b"x" * 90_000)
        until(lambda: fake.under_way, "the upload is under way")
        one.kill()
    refused(send(two, key, b"x"), 429, "storage_quota_exceeded")
    until_used(redis, scope(key), 0, 0, timeout=30)
    assert send(two, key, b"x" * 100_000).status == 200


def test_a_long_upload_keeps_what_it_holds(pair, fake, redis):
    """Beyond its lease of two seconds."""
    one, two = pair
    key = one.new_key(max_storage_bytes=100_000)
    leases = []

    def lease_was_renewed():
        due = redis.command("ZRANGE", "fm:{gw}:due", "0", "-1", "WITHSCORES")
        if not leases or leases[-1] != due:
            leases.append(due)
        return len(leases) > 5

    with one.wire() as w:
        begin(w, key, b"x" * 60_000)
        until(lease_was_renewed, "the lease was renewed often")
        refused(send(two, key, b"x"), 429, "storage_quota_exceeded")
        assert end(w).status == 200
    until_used(redis, scope(key), 1, 60_000)


def test_the_error_of_a_full_quota_asks_clients_not_to_try_again(gw):
    key = gw.new_key(max_storage_bytes=5)
    gw.upload(key)
    reply = gw.upload(key)
    refused(reply, 429, "storage_quota_exceeded")
    assert reply.headers["x-should-retry"] == "false"
    assert int(reply.headers["retry-after"]) > 0


def test_refusals_are_counted_and_nothing_else_is(gw):
    key = gw.new_key(max_storage_bytes=1000)
    assert send(gw, key, b"x" * 1000, "chunked").status == 200
    assert gw.metric("filemux_quota_refusals_total") == 0
    refused(send(gw, key, b"x"), 429)
    one = gw.metric("filemux_quota_refusals_total", limit="max_storage_bytes")
    assert one == 1
    key = gw.new_key(max_storage_bytes=1000)
    refused(send(gw, key, b"x" * 1001, "chunked"), 413)
    one = gw.metric("filemux_quota_refusals_total", limit="max_storage_bytes")
    assert one == 2


# --- where the file is spooled before ---


@pytest.fixture
def spooling(start, fake, redis):
    """Providers: `up` streams; `strict` must know the length; the purpose
    decides which of them."""
    strict = {"type": "openai", "base_url": fake.url, "api_key": fake.api_key,
              "upload_length": "required", "namespace": "strict"}  # fmt: skip
    rules = [{"match": {"purpose": "evals"}, "use": "strict"}]
    more = {
        "redis": {"url": redis.url},
        "providers": {"strict": strict},
        "routing": {"rules": rules},
        **QUICK,
    }
    return start(config(more, up=fake))


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("how", ["late-field", "needs-length"])
def test_a_spooled_file_fills_the_quota_to_the_last_byte(
    spooling, fake, redis, how, framing
):
    gw, key = spooling, spooling.new_key(max_storage_bytes=100_000, max_files=2)
    status = 429 if framing == "length" else 413
    if how == "late-field":
        kw = {"late": True}
    else:
        kw = {"target": "/strict/v1/files"}
    refused(send(gw, key, b"x" * 100_001, framing, **kw), status)
    assert fake.seen == []
    until_used(redis, scope(key), 0, 0)
    assert send(gw, key, b"x" * 100_000, framing, **kw).status == 200
    until_used(redis, scope(key), 1, 100_000)
    refused(send(gw, key, b"x", framing, **kw), 429, "storage_quota_exceeded")
    until_used(redis, scope(key), 1, 100_000)


def test_a_spooled_file_given_up_frees_what_it_held(spooling, redis):
    key = spooling.new_key(max_storage_bytes=100_000)
    with spooling.wire() as w:
        begin(w, key, b"x" * 90_000, target="/strict/v1/files")
        until(lambda: use(redis, scope(key))["held_bytes"], "it is held")
        w.reset()
    until_used(redis, scope(key), 0, 0)


def test_a_second_provider_gets_no_more_than_the_first(start, fake, redis):
    """What was held for the first one is all there is."""
    pool = {"pools": {"p": {"members": [{"provider": "down"}, {"provider": "up"}]}}}
    down = {"type": "openai", "base_url": "http://127.0.0.1:9/v1", "api_key": "sk-x",
            "namespace": "down"}  # fmt: skip
    more = {"redis": {"url": redis.url}, "providers": {"down": down}, **pool,
            "routing": {"default": "p"}}  # fmt: skip
    gw = start(config(more, up=fake))
    key = gw.new_key(max_storage_bytes=100_000)
    fake.max_bytes = 100_000
    refused(send(gw, key, b"x" * 100_001, "chunked"), 413, "quota_exceeded")
    until_used(redis, scope(key), 0, 0)
    assert send(gw, key, b"x" * 100_000, "chunked").status == 200
    until_used(redis, scope(key), 1, 100_000)


# --- key and team ---


def test_a_teams_quota_is_shared_by_its_keys(pair, fake, redis):
    team = new_team(redis, "crew", max_files=3, max_storage_bytes=100_000)
    keys = [pair[0].new_key(team_id=team, max_files=2) for _ in range(2)]
    for gw in pair:
        assert send(gw, keys[0], b"x" * 10).status == 200
    error = refused(send(pair[0], keys[0], b"x"), 429, "file_quota_exceeded")
    assert "API key" in error["message"] and "2 files" in error["message"]
    assert send(pair[0], keys[1], b"x" * 10).status == 200
    error = refused(send(pair[1], keys[1], b"x"), 429, "file_quota_exceeded")
    assert "team" in error["message"] and "3 files" in error["message"]
    until_used(redis, "t:crew", 3, 30)
    until_used(redis, scope(keys[1]), 1, 10)


def test_the_team_cuts_off_what_the_key_alone_would_allow(gw, fake, redis):
    team = new_team(redis, "crew", max_storage_bytes=100_000)
    key = gw.new_key(team_id=team, max_storage_bytes=10 * MB)
    error = refused(send(gw, key, b"x" * 100_001, "chunked"), 413, "quota_exceeded")
    assert "team" in error["message"]
    until_used(redis, "t:crew", 0, 0)
    until_used(redis, scope(key), 0, 0)
    assert send(gw, key, b"x" * 100_000, "chunked").status == 200
    assert fake.stored_bytes == 100_000


def test_a_file_deleted_with_another_key_of_the_team_is_its_makers(gw, redis):
    team = new_team(redis, "crew", max_files=5)
    maker, other = (gw.new_key(team_id=team, max_files=5) for _ in range(2))
    made = gw.upload(maker).json()["id"]
    assert gw.call(other, "DELETE", f"/v1/files/{made}").status_code == 200
    for one in (scope(maker), scope(other), "t:crew"):
        until_used(redis, one, 0, 0)


# --- bytes of a day ---


def test_uploads_of_a_day_are_limited_whatever_is_deleted(gw, redis):
    key = gw.new_key(max_upload_bytes_per_day=1000)
    made = json.loads(send(gw, key, b"x" * 600).body)["id"]
    assert gw.call(key, "DELETE", f"/v1/files/{made}").status_code == 200
    reply = send(gw, key, b"x" * 401)
    error = refused(reply, 429, "upload_quota_exceeded")
    assert error["type"] == "insufficient_quota"
    assert "1000 bytes (max_upload_bytes_per_day)" in error["message"]
    assert 0 < int(reply.get("retry-after")) <= DAY_S
    assert re.search(r"\d+ s", error["message"])
    refused(send(gw, key, b"x" * 401, "chunked"), 413, "quota_exceeded")
    assert send(gw, key, b"x" * 400).status == 200
    until_used(redis, scope(key), 1, 400)
    assert of_today(redis, scope(key)) == {
        "up": 1000, "down": 0, "held_up": 0, "held_down": 0}  # fmt: skip


def test_what_an_upload_given_up_did_send_is_not_charged(gw, fake, redis):
    key = gw.new_key(max_upload_bytes_per_day=100_000)
    with gw.wire() as w:
        begin(w, key, b"x" * 90_000)
        until(lambda: fake.under_way, "the upload is under way")
    until_used(redis, scope(key), 0, 0)
    until(lambda: of_today(redis, scope(key))["held_up"] == 0, "it is released")
    assert of_today(redis, scope(key))["up"] == 0


def test_downloads_of_a_day_are_limited(pair, redis):
    key = pair[0].new_key(max_download_bytes_per_day=2500)
    made = json.loads(send(pair[0], key, b"x" * 1000).body)["id"]
    content = f"/v1/files/{made}/content"
    for gw in pair:
        assert len(gw.call(key, "GET", content).content) == 1000
    until(lambda: of_today(redis, scope(key))["down"] == 2000, "both are charged")
    reply = pair[0].call(key, "GET", content)
    error = refused(reply, 429, "download_quota_exceeded")
    assert error["type"] == "insufficient_quota"
    assert "2500 bytes (max_download_bytes_per_day)" in error["message"]
    assert 0 < int(reply.headers["retry-after"]) <= DAY_S
    some = pair[1].call(key, "GET", content, headers={"Range": "bytes=0-499"})
    assert some.status_code == 206 and len(some.content) == 500
    until(lambda: of_today(redis, scope(key))["held_down"] == 0, "it is settled")
    assert of_today(redis, scope(key))["down"] == 2500


def test_downloads_at_once_share_what_is_left_of_the_day(pair, redis):
    key = pair[0].new_key(max_download_bytes_per_day=5000)
    made = json.loads(send(pair[0], key, b"x" * 1000).body)["id"]
    wires = [pair[i % 2].wire() for i in range(20)]
    for w in wires:
        w.head("GET", f"/v1/files/{made}/content", key)
    statuses = sorted(w.reply().status for w in wires)
    assert statuses == [200] * 5 + [429] * 15
    for w in wires:
        w.close()
    until(lambda: of_today(redis, scope(key))["held_down"] == 0, "all are settled")
    assert of_today(redis, scope(key))["down"] == 5000


def test_of_a_download_given_up_what_was_sent_is_charged(gw, fake, redis):
    key = gw.new_key(max_download_bytes_per_day=100 * MB)
    made = json.loads(send(gw, key, b"x" * MB).body)["id"]
    fake.fault(after_sent(300_000, stall), path="content")
    with gw.wire() as w:
        w.head("GET", f"/v1/files/{made}/content", key)
        assert w.reply_head().status == 200
        assert len(w.take(300_000)) == 300_000
        w.reset()
    until(lambda: of_today(redis, scope(key))["held_down"] == 0, "it is settled")
    assert 300_000 <= of_today(redis, scope(key))["down"] < 400_000


def test_a_range_that_is_not_kept_to_gets_no_more_than_is_left(gw, fake, redis):
    """Some providers do not know ranges and send all."""
    key = gw.new_key(max_download_bytes_per_day=2500)
    made = json.loads(send(gw, key, b"x" * 1000).body)["id"]
    fake.quirks.add("no_ranges")

    def get():
        headers = {"Range": "bytes=0-9"}
        return gw.call(key, "GET", f"/v1/files/{made}/content", headers=headers)

    for _ in range(2):
        reply = get()
        assert reply.status_code == 200 and len(reply.content) == 1000
    until(lambda: of_today(redis, scope(key))["held_down"] == 0, "both are settled")
    refused(get(), 429, "download_quota_exceeded")
    until(lambda: of_today(redis, scope(key))["held_down"] == 0, "it is settled")
    assert of_today(redis, scope(key))["down"] == 2000


def test_of_a_file_that_grew_no_more_is_sent_than_was_held(gw, fake, redis):
    key = gw.new_key(max_download_bytes_per_day=2500)
    made = json.loads(send(gw, key, b"x" * 1000).body)["id"]
    fake.quirks.add("chunked_content")
    content = f"/v1/files/{made}/content"
    assert len(gw.call(key, "GET", content).content) == 1000
    (there,) = fake.files.values()
    there.data, there.size = None, 200_000
    with pytest.raises(httpx.TransportError):
        gw.call(key, "GET", content)
    until(lambda: of_today(redis, scope(key))["held_down"] == 0, "both are settled")
    assert of_today(redis, scope(key))["down"] <= 2000
    (line,) = [e for e in gw.log() if e.get("end") == "too_long"]
    assert line["error"] == "upstream_bad_response"


def test_an_error_is_no_download(gw, fake, redis):
    key = gw.new_key(max_download_bytes_per_day=1000)
    made = json.loads(send(gw, key, b"x" * 10).body)["id"]
    fake.fault(on_head(reset), path="content", times=9)
    refused(gw.call(key, "GET", f"/v1/files/{made}/content"), 502)
    until(lambda: of_today(redis, scope(key))["held_down"] == 0, "it is settled")
    assert of_today(redis, scope(key))["down"] == 0


# --- the whole ---


def test_what_is_limited_costs_no_more_than_it_stores(gw, redis):
    """An empty file, and a form without a file."""
    key = gw.new_key(max_files=2, max_storage_bytes=10)
    assert send(gw, key, b"").status == 200
    with gw.wire() as w:
        refused(upload(w, key, form(PURPOSE)), 400)
    until_used(redis, scope(key), 1, 0)
    assert use(redis, scope(key)) == stored(1, 0)


def test_a_fault_in_a_late_field_frees_what_was_held(gw, fake, redis):
    key = gw.new_key(max_storage_bytes=100_000)
    body = form(file_part(b"x" * 1000), part("purpose", "no such purpose!"))
    with gw.wire() as w:
        refused(upload(w, key, body), 400)
    until_used(redis, scope(key), 0, 0)
    assert fake.files == {}


def test_a_file_recorded_late_is_counted_once(gw, fake, redis):
    """Redis goes away while the provider stores the file."""
    key = gw.new_key(max_files=3)

    def pause(x):
        redis.pause()
        threading.Timer(1.5, redis.go_on).start()

    fake.fault(after_bytes(100, call(pause)), method="POST")
    assert send(gw, key, b"x" * 1000).status == 200
    until_used(redis, scope(key), 1, 1000)


def test_a_deletion_whose_answer_was_lost_is_finished(gw, fake, redis):
    key = gw.new_key(max_files=1)
    made = gw.upload(key).json()["id"]
    fake.fault(on_stored(reset), method="DELETE")
    fake.fault(on_head(reset), method="DELETE")  # when it is sent again
    refused(gw.call(key, "DELETE", f"/v1/files/{made}"), 502)
    assert fake.files == {}
    until_used(redis, scope(key), 0, 0)
    refused(gw.call(key, "GET", f"/v1/files/{made}"), 404)


# --- edges ---


def scripts_run(redis):
    stats = redis.command("INFO", "commandstats")
    return int(re.search(rb"cmdstat_evalsha:calls=(\d+)", stats).group(1))


def test_a_pause_in_the_delimiter_asks_redis_for_nothing(start, fake, redis):
    limits = {"min_rate": 0}
    gw = start(config({"redis": {"url": redis.url}, "limits": limits}, up=fake))
    key = gw.new_key(max_storage_bytes=10 * MB)
    gw.upload(key)
    body = form(part("purpose", "vision"), file_part(b"x" * 5000, "x.bin"))
    cut = body.rindex(b"\r\n--") + 6
    with gw.wire() as w:
        w.head("POST", "/v1/files", key, Content_Type=form_type(), Content_Length=len(body))
        w.send(body[:cut])
        until(lambda: use(redis, scope(key))["held_files"] == 1, "it is held")
        time.sleep(0.3)
        w.send(body[cut : cut + 1])
        time.sleep(0.3)
        before = scripts_run(redis)
        time.sleep(1)
        assert scripts_run(redis) - before < 50  # it was thousands
        w.send(body[cut + 1 :])
        assert w.reply().status == 200


def test_requests_are_counted_up_to_the_end(start, fake, redis):
    gw = start(config({"redis": {"url": redis.url}}, up=fake))
    key = gw.new_key()
    for _ in range(5):
        gw.upload(key)
    gw.stop()
    day = int(time.time() // 86400)
    told = table(redis, f"fm:{{gw}}:day:{day}:{scope(key)}")
    assert told["requests"] == 5


@pytest.fixture
def other_fake():
    fake = Metered()
    yield fake
    fake.stop()


def test_a_provider_that_may_have_the_file_is_not_forgotten(
    start, fake, redis, other_fake
):
    """It took all of it, and said nothing: another one has the file now. What it
    has is deleted, as nobody knows of it."""
    conf = config(
        {
            "redis": {"url": redis.url},
            "journal": {"lease": "2s", "sweep_interval": "500ms"},
            "pools": {"all": {"members": [{"provider": "bad"}, {"provider": "up"}]}},
            "routing": {
                "default": "all",
                "rules": [{"match": {"purpose": "batch", "filename": "*.x"}, "use": "all"}],
            },
        },
        up=fake,
        bad=other_fake,
    )
    conf["providers"]["bad"]["timeout"] = "1s"
    gw = start(conf)
    other_fake.fault(on_stored(stall), method="POST")
    key = gw.new_key(max_storage_bytes=MB)
    body = form(file_part(b"z" * 3000, "x.x"), part("purpose", "vision"))
    with gw.wire() as w:
        assert upload(w, key, body).status == 200
    assert len(fake.files) == 1
    until(lambda: not other_fake.files, "the other one's copy is deleted", 20)
    entries = ["HLEN", "fm:{gw}:entries"]
    until(lambda: redis.command(*entries) == b":0\r\n", "all is mended", 20)
    until_used(redis, scope(key), 1, 3000)
    assert len(fake.files) == 1
