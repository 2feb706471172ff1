"""TLS toward providers, always verified, and toward clients."""

import ssl
import subprocess

import httpx
import openai
import pytest
from fakes import pattern
from fakes.openai import OpenAI, after_bytes, after_sent, reset
from gw import MB, Gateway, config, refused, until


def openssl(folder, *args):
    subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="session")
def certs(tmp_path_factory):
    """ca.pem, and leaf.pem with leaf.key for 127.0.0.1."""
    folder = tmp_path_factory.mktemp("certs")
    openssl(
        folder, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
        "-subj", "/CN=test CA", "-addext", "keyUsage=critical,keyCertSign",
        "-keyout", "ca.key", "-out", "ca.pem",
    )  # fmt: skip
    openssl(
        folder, "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=leaf",
        "-keyout", "leaf.key", "-out", "leaf.csr",
    )  # fmt: skip
    (folder / "leaf.ext").write_text(
        "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n"
        "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
    )
    openssl(
        folder, "x509", "-req", "-in", "leaf.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
        "-CAcreateserial", "-days", "2", "-extfile", "leaf.ext", "-out", "leaf.pem",
    )  # fmt: skip
    return folder


@pytest.fixture
def secure(certs):
    """The fake behind TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certs / "leaf.pem", certs / "leaf.key")
    fake = OpenAI(tls=context)
    yield fake
    fake.stop()


def trusting(certs, **more):
    return {"providers": {"up": {"ca_file": str(certs / "ca.pem"), **more}}}


def test_megabytes_go_through_tls_to_a_provider_and_back(start, secure, certs):
    gw = start(config(trusting(certs), up=secure))
    key = gw.new_key()
    data = pattern.pattern(9 * MB + 1)
    made = gw.upload(key, data).json()
    assert made["bytes"] == len(data)
    assert secure.uploads()[0].file.sha256 == pattern.sha256(len(data))
    assert gw.call(key, "GET", f"/v1/files/{made['id']}/content").content == data


def test_a_provider_that_cannot_be_trusted_gets_nothing(start, secure):
    gw = start(config(up=secure))
    refused(gw.upload(gw.new_key()), 502)
    assert secure.seen == []


def test_faults_behind_tls_are_faults(start, secure, certs):
    gw = start(config(trusting(certs), up=secure))
    key = gw.new_key()
    secure.fault(after_bytes(2 * MB, reset))
    refused(gw.upload(key, bytes(6 * MB)), 502)
    made = gw.upload(key, bytes(3 * MB)).json()["id"]
    secure.fault(after_sent(MB, reset))
    with gw.wire() as w:
        w.head("GET", f"/v1/files/{made}/content", key)
        assert not w.reply().whole


@pytest.fixture
def guarded(tmp_path, fake, certs):
    """A gateway that speaks TLS to its clients."""
    tls = {"certificate": str(certs / "leaf.pem"), "key": str(certs / "leaf.key")}
    gw = Gateway(tmp_path / "gw", config({"tls": tls}, up=fake))
    gw.url = gw.url.replace("http:", "https:")
    gw.context = ssl.create_default_context(cafile=certs / "ca.pem")
    gw.http = httpx.Client(base_url=gw.url, timeout=20, verify=gw.context)
    try:
        yield gw.start()
        gw.stop()
    finally:
        gw.end()


def test_clients_are_served_over_tls(guarded, fake):
    key = guarded.new_key()
    data = pattern.pattern(9 * MB + 1)
    made = guarded.upload(key, data).json()["id"]
    assert fake.uploads()[0].file.sha256 == pattern.sha256(len(data))
    assert guarded.call(key, "GET", f"/v1/files/{made}/content").content == data


def test_the_sdk_speaks_tls_too(guarded, fake, certs, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certs / "ca.pem"))
    key = guarded.new_key()
    with openai.OpenAI(
        base_url=guarded.url + "/v1", api_key=key, max_retries=0
    ) as client:
        made = client.files.create(file=("a", b"x" * 100_000), purpose="vision")
        assert client.files.content(made.id).read() == b"x" * 100_000


def test_plain_http_to_a_tls_port_is_closed(guarded):
    with guarded.wire() as w:
        w.send("GET / HTTP/1.1\r\nHost: f\r\n\r\n")
        w.sock.settimeout(10)
        assert b"HTTP/1.1 2" not in w.take(1000)
    assert guarded.http.get("/health/liveliness").status_code == 200


def test_a_tls_client_gone_in_mid_upload_aborts_the_upstream(guarded, fake):
    from test_client_faults import is_at_rest
    from wire import form_around, form_type, part

    key = guarded.new_key()
    prefix, _, length = form_around(64 * MB, part("purpose", "vision"))
    with guarded.wire() as w:
        w.sock = guarded.context.wrap_socket(w.sock, server_hostname="127.0.0.1")
        w.head(
            "POST", "/v1/files", key, Content_Type=form_type(), Content_Length=length
        )
        w.send(prefix + bytes(2 * MB))
        until(lambda: fake.seen and fake.seen[0].raw_length > MB, "bytes go upstream")
        w.reset()
    until(lambda: fake.seen[0].aborted, "the provider sees the abort")
    until(lambda: is_at_rest(guarded), "no transfer is under way")
