"""A client's trace goes on to the provider, and into the log."""

import pytest
from gw import refused

ID = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{ID}-00f067aa0ba902b7-01"
STATE = "congo=t61rcWkgMzE"


def calls(gw, key, headers):
    """One of each kind; the answers."""
    made = gw.upload(key, headers=headers)
    path = f"/v1/files/{made.json()['id']}"
    body = {"model": "gpt-4o", "messages": []}
    yield made
    yield gw.call(key, "GET", path + "/content", headers=headers)
    yield gw.call(key, "DELETE", path, headers=headers)
    yield gw.call(key, "POST", "/v1/chat/completions", json=body, headers=headers)


def test_a_trace_goes_along_with_every_call(gw, up, key):
    headers = {"traceparent": PARENT, "tracestate": STATE}
    for reply in calls(gw, key, headers):
        assert reply.status_code == 200, reply.text
        assert gw.access(reply.headers["x-request-id"])["trace_id"] == ID
    assert len(up.seen) >= 4
    for seen in up.seen:
        assert seen.header("traceparent") == PARENT
        assert seen.header("tracestate") == STATE


@pytest.mark.parametrize("parent", ["", "00-x", PARENT.upper(), PARENT + "-more"])
def test_one_that_is_broken_stays_here(gw, up, key, parent):
    headers = {"traceparent": parent, "tracestate": STATE}
    for reply in calls(gw, key, headers):
        assert reply.status_code == 200, reply.text
        assert "trace_id" not in gw.access(reply.headers["x-request-id"])
    for seen in up.seen:
        assert seen.header("traceparent") is None
        assert seen.header("tracestate") is None


def test_a_refusal_has_its_trace_in_the_log(gw):
    reply = gw.call("sk-wrong", "GET", "/v1/files", headers={"traceparent": PARENT})
    refused(reply, 401)
    assert gw.access(reply.headers["x-request-id"])["trace_id"] == ID
