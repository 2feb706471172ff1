"""Metrics and the access log tell what happened, and no secrets."""

import re

from fakes.openai import answer, on_head
from gw import MASTER, config, until


def delta(gw, name, **labels):
    """A function that tells by how much the series has grown."""
    before = gw.metric(name, **labels)
    return lambda: gw.metric(name, **labels) - before


def test_metrics_are_in_the_prometheus_text_format(gw, up, key):
    gw.upload(key)
    reply = gw.http.get("/metrics")
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    sample = re.compile(
        r'[a-z_]+(\{[a-z_]+="(\\.|[^"\\])*"(,[a-z_]+="(\\.|[^"\\])*")*\})? '
        r"-?[0-9.eE+-]+(Inf)?"
    )
    families = set()
    for line in reply.text.splitlines():
        if m := re.match(r"# (HELP|TYPE) ([a-z_]+) .+", line):
            families.add(m.group(2))
        else:
            assert sample.fullmatch(line.replace('le="+Inf"', 'le="Inf"')), line
            name = re.sub(r"_(bucket|sum|count)$", "", re.match("[a-z_]+", line)[0])
            assert name in families or re.match("[a-z_]+", line)[0] in families, line


def test_requests_are_counted_by_route_provider_and_status(gw, up, key):
    good = delta(gw, "filemux_requests_total", provider="up", status="200")
    bad = delta(gw, "filemux_requests_total", status="401")
    gw.upload(key)
    gw.call("sk-wrong", "GET", "/v1/files")
    until(lambda: good() == 1 and bad() == 1, "both are counted")


def test_bytes_are_counted_both_ways(gw, up, key):
    to = delta(gw, "filemux_upstream_bytes_out_total", provider="up")
    back = delta(gw, "filemux_upstream_bytes_in_total", provider="up")
    client_in = delta(gw, "filemux_client_bytes_in_total")
    client_out = delta(gw, "filemux_client_bytes_out_total")
    made = gw.upload(key, b"x" * 100_000).json()["id"]
    gw.call(key, "GET", f"/v1/files/{made}/content")
    until(lambda: client_out() >= 100_000, "all is counted")
    for count in (to, back, client_in):
        assert 100_000 <= count() < 110_000


def test_histograms_of_redis_and_upstream_grow(gw, up, key):
    redis = delta(gw, "filemux_redis_seconds_count")
    upstream = delta(gw, "filemux_upstream_seconds_count", provider="up")
    gw.upload(key)
    until(lambda: redis() >= 1 and upstream() == 1, "both have grown")


def test_failures_upstream_are_counted(gw, up, key):
    failed = delta(gw, "filemux_upstream_errors_total", provider="up")
    up.fault(on_head(answer(500, "no", then_close=True)), times=9)
    gw.upload(key)
    until(lambda: failed() >= 1, "it is counted")


def test_strange_names_in_paths_make_no_series(gw, key):
    gw.call(key, "GET", "/nowhere/at-all-12345")
    gw.call(key, "GET", "/v1/files?provider=made-up-12345")
    assert "12345" not in gw.http.get("/metrics").text


def test_each_request_has_one_access_line(gw, up):
    key = gw.new_key(key_alias="alias-of-the-log", team_id="team-of-the-log")
    reply = gw.upload(key, b"x" * 1000)
    line = gw.access(reply.headers["x-request-id"])
    assert line["msg"] == "access"
    assert (line["method"], line["status"], line["provider"]) == ("POST", 200, "up")
    assert (line["key"], line["team"]) == ("alias-of-the-log", "team-of-the-log")
    assert line["file"] == reply.json()["id"]
    assert line["bytes_in"] > 1000 and line["bytes_out"] == len(reply.content)
    assert line["us"] > 0 and line["route"] and line["time"]
    same = [e for e in gw.log() if e.get("request_id") == line["request_id"]]
    assert len([e for e in same if e["msg"] == "access"]) == 1


def test_a_refusal_is_logged_with_its_reason(gw, key):
    reply = gw.call(key, "GET", "/v1/files?limit=0")
    line = gw.access(reply.headers["x-request-id"])
    assert line["status"] == 400 and line["error"] == "invalid_value"
    assert "limit" in line["cause"]


def test_a_client_that_went_is_logged_as_gone(gw, up, key):
    from test_client_faults import begin_upload

    w = begin_upload(gw, key)
    w.send(bytes(100_000))
    until(lambda: up.seen, "the upload has begun")
    w.reset()
    until(
        lambda: [e for e in gw.log() if e.get("end") == "client_gone"
                 and e.get("bytes_in", 0) >= 100_000],
        "the line is there",
    )  # fmt: skip


def test_logfmt_is_spoken_too(start, fake):
    gw = start(config({"log": {"format": "logfmt"}}, up=fake))
    gw.call("sk-wrong", "GET", "/v1/files")
    until(lambda: re.search(r"msg=access .*status=401", gw.stderr()), "it is there")


def test_no_secret_is_ever_logged(start, fake):
    gw = start(config({"log": {"level": "debug"}}, up=fake))
    key = gw.new_key()
    made = gw.upload(key).json()["id"]
    gw.call(key, "GET", f"/v1/files/{made}/content")
    gw.call(key + "x", "GET", f"/v1/files?token={key}")
    fake.fault(on_head(answer(401, {"error": {"message": "Incorrect sk-upstream"}})))
    gw.upload(key)
    gw.admin("GET", "/key/info", params={"key": key})
    gw.stop()
    text = gw.stderr()
    assert len(text) > 500
    for secret in (key, MASTER, "sk-upstream"):
        assert secret not in text


def test_requests_that_fail_early_have_a_line_too(gw):
    with gw.wire() as w:
        w.send("GET / HTTP/9.9\r\nHost: f\r\n\r\n")
        request_id = w.reply().get("x-request-id")
    if request_id:
        assert gw.access(request_id)["status"] == 505
    else:
        until(lambda: [e for e in gw.log() if e.get("status") == 505], "it is there")
