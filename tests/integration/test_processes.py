"""Several filemux processes on one Redis: one service."""

import threading

import pytest
from gw import config, refused


@pytest.fixture
def pair(start, fake, redis):
    conf = config({"redis": {"url": redis.url}}, up=fake)
    return start(conf), start(conf)


def test_keys_and_files_are_shared(pair):
    one, two = pair
    key = one.new_key()
    made = one.upload(key).json()["id"]
    assert two.call(key, "GET", f"/v1/files/{made}/content").content == b"hello"
    assert two.call(key, "DELETE", f"/v1/files/{made}").status_code == 200
    refused(one.call(key, "GET", f"/v1/files/{made}"), 404)


def test_blocking_at_one_works_on_the_next_request_at_the_other(pair):
    one, two = pair
    key = one.new_key()
    for _ in range(5):
        assert two.call(key, "GET", "/v1/files").status_code == 200
        one.admin("POST", "/key/block", json={"key": key})
        refused(two.call(key, "GET", "/v1/files"), 403, "key_blocked")
        one.admin("POST", "/key/unblock", json={"key": key})


def test_deleting_at_one_works_on_the_next_request_at_the_other(pair):
    one, two = pair
    key = one.new_key()
    assert two.call(key, "GET", "/v1/files").status_code == 200
    one.admin("POST", "/key/delete", json={"keys": [key]})
    refused(two.call(key, "GET", "/v1/files"), 401)


def test_one_file_is_deleted_once(pair, fake):
    one, two = pair
    key = one.new_key()
    made = one.upload(key).json()["id"]
    statuses = []

    def delete(gw):
        statuses.append(gw.call(key, "DELETE", f"/v1/files/{made}").status_code)

    threads = [threading.Thread(target=delete, args=(gw,)) for gw in pair]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(statuses) in ([200, 404], [200, 200])
    assert fake.files == {}
    assert one.call(key, "GET", "/v1/files").json()["data"] == []


def test_ids_made_at_once_are_all_different(pair):
    one, two = pair
    key = one.new_key()
    ids = []

    def upload(gw):
        ids.extend(gw.upload(key).json()["id"] for _ in range(15))

    threads = [threading.Thread(target=upload, args=(gw,)) for gw in pair]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(set(ids)) == 30
    assert {f["id"] for f in two.call(key, "GET", "/v1/files").json()["data"]} == set(
        ids
    )


def test_everything_in_redis_is_of_one_prefix_and_one_tag_per_key(pair, redis):
    one, _ = pair
    one.upload(one.new_key())
    keys = redis.command("KEYS", "*").split(b"\r\n")
    names = [k.decode() for k in keys if k and k[:1] not in (b"*", b"$")]
    assert len(names) >= 4
    for name in names:
        assert name.startswith("fm:{") and name.count("{") == 1, name
