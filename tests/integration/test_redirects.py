"""Redirects: followed by downloads alone, and without credentials elsewhere."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from fakes.openai import answer, on_head
from gw import refused

DATA = bytes(range(256)) * 400
CONTENT = r"/content\Z"


class Elsewhere:
    """Another host: serves DATA, with ranges, to whoever asks; "/again…" sends
    on, for ever."""

    def __init__(self):
        outer = self
        self.seen = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                outer.seen.append(dict(self.headers))
                if self.path.startswith("/again"):
                    self.send_response(302)
                    self.send_header("Location", self.path + "x")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                first, last = 0, len(DATA) - 1
                if text := self.headers.get("Range"):
                    first, last = map(int, text.removeprefix("bytes=").split("-"))
                    self.send_response(206)
                    whole = f"bytes {first}-{last}/{len(DATA)}"
                    self.send_header("Content-Range", whole)
                else:
                    self.send_response(200)
                self.send_header("Content-Length", str(last - first + 1))
                self.end_headers()
                self.wfile.write(DATA[first : last + 1])

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def host():
    host = Elsewhere()
    yield host
    host.stop()


@pytest.fixture
def elsewhere(host):
    host.seen.clear()
    return host


@pytest.fixture
def file(gw, up, key):
    return gw.upload(key, DATA, "a.bin", "/up/v1/files").json()["id"]


def redirect(to, status=302):
    return on_head(answer(status, b"moved", [("Location", to)]))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_download_follows_to_another_host(gw, up, key, file, elsewhere, status):
    up.fault(redirect(elsewhere.url + "/signed?sig=1", status), path=CONTENT)
    reply = gw.call(key, "GET", f"/v1/files/{file}/content")
    assert reply.status_code == 200 and reply.content == DATA
    names = {name.lower() for name in elsewhere.seen[0]}
    assert names <= {"host", "accept", "accept-encoding"}


def test_a_range_is_asked_of_the_other_host(gw, up, key, file, elsewhere):
    up.fault(redirect(elsewhere.url + "/x"), path=CONTENT)
    reply = gw.call(
        key, "GET", f"/v1/files/{file}/content", headers={"Range": "bytes=5-1004"}
    )
    assert reply.status_code == 206 and reply.content == DATA[5:1005]
    assert elsewhere.seen[0]["Range"] == "bytes=5-1004"


def test_the_same_host_gets_the_credentials(gw, up, key, file):
    where = {}

    def aside(x):
        where["path"] = x.head.path
        answer(302, b"", [("Location", x.head.path + "?again=1")])(x)

    up.fault(on_head(aside), path=CONTENT)
    reply = gw.call(key, "GET", f"/v1/files/{file}/content")
    assert reply.status_code == 200 and reply.content == DATA
    assert [s.status for s in up.seen[-2:]] == [302, 200]
    assert up.seen[-1].query == [("again", "1")]


def test_endless_redirects_end(gw, up, key, file, elsewhere):
    up.fault(redirect(elsewhere.url + "/again"), path=CONTENT)
    reply = gw.call(key, "GET", f"/v1/files/{file}/content")
    refused(reply, 502, "upstream_bad_response")
    assert len(elsewhere.seen) == 5
    assert elsewhere.url not in reply.text


@pytest.mark.parametrize("to", ["", "ftp://x/y", "http://a b/", "http://u@127.0.0.1/"])
def test_nowhere_is_not_gone_to(gw, up, key, file, to):
    up.fault(redirect(to), path=CONTENT)
    reply = gw.call(key, "GET", f"/v1/files/{file}/content")
    refused(reply, 502, "upstream_bad_response")


def test_nothing_but_a_download_follows(gw, up, key, file, elsewhere):
    up.fault(redirect(elsewhere.url + "/x"), method="POST")
    refused(gw.upload(key, DATA, "b.bin", "/up/v1/files"), 502, "upstream_bad_response")
    up.fault(redirect(elsewhere.url + "/x"), method="DELETE")
    reply = gw.call(key, "DELETE", f"/v1/files/{file}")
    refused(reply, 502, "upstream_bad_response")
    assert elsewhere.seen == []
