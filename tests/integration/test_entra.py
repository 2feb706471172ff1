"""Azure with an application's credentials: tokens are got, shared, renewed."""

import threading

import any_provider as any_
import httpx
import pytest
from fakes import pattern
from fakes.azure import Azure
from fakes.entra import SCOPE, Entra
from fakes.openai import answer, call, on_head, reset
from gw import config, free_port, refused, until

ERROR = {"error": {"code": "401", "message": "said so"}}


def provider(fake, **more):
    entra = fake.authority
    return {
        "type": "azure",
        "base_url": fake.url,
        "authority": entra.url,
        "tenant_id": entra.tenant,
        "client_id": entra.client_id,
        "client_secret": entra.secret,
        **more,
    }


@pytest.fixture(scope="module")
def shared_entra():
    entra = Entra()
    yield entra
    entra.stop()


@pytest.fixture(scope="module")
def pair(tmp_path_factory, shared_entra):
    fake = Azure(None)
    fake.authority = shared_entra
    yield from any_.pair(tmp_path_factory, fake, up=provider)


@pytest.fixture
def fake(pair):
    yield from any_.fresh(pair)


@pytest.fixture
def gw(pair):
    return any_.with_key(pair)


class TestEvery(any_.Every):
    error = ERROR


@pytest.fixture
def entra(fake, shared_entra):
    """An authority of one's own."""
    fake.authority = entra = Entra()
    yield entra
    fake.authority = shared_entra
    entra.stop()
    assert entra.violations == []


@pytest.fixture
def begin(start, fake, entra):
    """begin(**keys): a gateway whose provider has those keys besides."""

    def begin(**keys):
        gw = start(config({"providers": {"up": provider(fake, **keys)}}))
        gw.key = gw.new_key()
        return gw

    return begin


def statuses(fake):
    return {s.status for s in fake.seen}


# --- a life ---


def uploads(gw, n):
    """n at a time, each on a connection of its own, so on either worker."""
    replies = []
    threads = [
        threading.Thread(target=lambda: replies.append(any_.send(gw, 5, chunks=True)))
        for _ in range(n)
    ]
    for t in threads:
        t.start()
    for t in threads:
        t.join(30)
    return [r.status for r in replies]


def test_all_workers_share_one_token(begin, fake, entra):
    gw = begin(headers={"x-gateway-key": "k"})
    gate = threading.Event()
    entra.fault(on_head(call(lambda x: gate.wait(20))))
    opener = threading.Thread(
        target=lambda: until(lambda: gw.transfers() == 16, "all wait") and gate.set()
    )
    opener.start()
    assert uploads(gw, 16) == [200] * 16
    opener.join()
    assert uploads(gw, 16) == [200] * 16
    assert len(entra.seen) == 1
    assert entra.seen[0].header("x-gateway-key") is None
    assert fake.seen[0].header("x-gateway-key") == "k"


def test_a_token_is_renewed_before_it_ends(begin, fake, entra):
    entra.life = 4
    gw = begin()

    def is_third():
        assert any_.send(gw, 5).status_code == 200
        return len(entra.seen) >= 3

    until(is_third, "the token was renewed twice", 30)
    assert statuses(fake) == {200}


def test_a_clock_that_is_wrong_there_does_no_harm(begin, fake, entra):
    for skew in (-86400, 86400):
        entra.skew, entra.seen = skew, []
        gw = begin()
        for _ in range(3):
            any_.made(any_.send(gw, 5))
        assert len(entra.seen) == 1
    assert statuses(fake) == {200}


# --- refused ---


@pytest.mark.parametrize("method, tail", [("GET", "/content"), ("DELETE", "")])
def test_a_token_that_was_revoked_is_replaced(begin, fake, entra, method, tail):
    gw = begin()
    obj = any_.made(any_.send(gw, 1000))
    entra.revoke()
    reply = gw.call(gw.key, method, f"/v1/files/{obj['id']}{tail}")
    assert reply.status_code == 200
    assert tail == "" or reply.content == pattern.pattern(1000)
    assert [s.status for s in fake.seen] == [200, 401, 200]
    assert len(entra.seen) == 2


def test_an_upload_that_was_refused_works_the_next_time(begin, fake, entra):
    gw = begin()
    any_.made(any_.send(gw, 5))
    entra.revoke()
    reply = any_.send(gw, 5)
    if reply.status_code != 200:  # its bytes were under way
        refused(reply, 502, "upstream_auth")
    any_.made(any_.send(gw, 5))
    assert len(entra.seen) == 2


def test_who_refuses_every_token_is_not_asked_for_ever(begin, fake, entra):
    gw = begin()
    obj = any_.made(any_.send(gw, 5))
    fake.fault(on_head(answer(401, ERROR)), times=99)
    path = f"/v1/files/{obj['id']}/content"
    refused(gw.call(gw.key, "GET", path), 502, "upstream_auth")
    assert [s.status for s in fake.seen] == [200, 401, 401]


WRONG = {
    "client_secret": ("wrong~secret", "invalid_client"),
    "tenant_id": ("0f0f0f0f-aaaa-bbbb-cccc-dddddddddddd", "invalid_request"),
    "client_id": ("0f0f0f0f-aaaa-bbbb-cccc-dddddddddddd", "unauthorized_client"),
    "scope": ("https://other.example/.default", "invalid_scope"),
}


@pytest.mark.parametrize("key", WRONG)
def test_wrong_credentials_are_the_gateways_fault(begin, fake, entra, key):
    value, word = WRONG[key]
    gw = begin(**{key: value})
    error = refused(any_.send(gw, 5), 502, "upstream_auth")
    assert "'up'" in error["message"] and word in error["message"]
    assert fake.seen == []
    known = [value, entra.tenant, entra.client_id, entra.secret, entra.url]
    for text in (error["message"], gw.stderr()):
        assert [k for k in known if k in text] == []


# --- away ---


def works_again(gw):
    until(lambda: any_.send(gw, 5).status_code == 200, "it works again")


@pytest.mark.parametrize(
    "act, status", [(reset, 502), (answer(503, {}, {"Retry-After": "2"}), 503)]
)
def test_an_authority_that_fails_is_asked_again_later(begin, fake, entra, act, status):
    entra.fault(on_head(act), times=2)
    gw = begin()
    reply = any_.send(gw, 5)
    refused(reply, status)
    assert fake.seen == [] and entra.url not in reply.text
    works_again(gw)


def test_an_authority_that_is_away_is_told_and_found_again(begin, fake, entra):
    port = free_port()
    gw = begin(authority=f"http://127.0.0.1:{port}")
    error = refused(any_.send(gw, 5), 502, "upstream_unreachable")
    assert str(port) not in error["message"]
    fake.authority = back = Entra(port)
    works_again(gw)
    back.stop()
    any_.made(any_.send(gw, 5))


# --- the fake ---


@pytest.mark.parametrize(
    "change, status, word",
    [({}, 200, None), ({"client_secret": "x"}, 401, "invalid_client"),
     ({"scope": "x"}, 400, "invalid_scope"), ({"more": "x"}, 400, "invalid_scope"),
     ({"grant_type": "password"}, 400, "invalid_grant")],
)  # fmt: skip
def test_the_fake_refuses_what_entra_refuses(entra, change, status, word):
    form = {"grant_type": "client_credentials", "client_id": entra.client_id,
            "client_secret": entra.secret, "scope": SCOPE}  # fmt: skip
    url = f"{entra.url}/{entra.tenant}/oauth2/v2.0/token"
    reply = httpx.post(url, data={**form, **change})
    assert (reply.status_code, reply.json().get("error")) == (status, word)
    told = httpx.post(url, json=form).json()
    assert told["error"] == "invalid_request"
