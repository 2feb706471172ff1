"""Google's access tokens: signed for, from the metadata server, shared, renewed.

The fake of Cloud Storage counts who asks for tokens, and takes no others.
"""

import json
from concurrent.futures import ThreadPoolExecutor

import any_provider as any_
import pytest
from fakes.gcs import CHUNK, GCS, METADATA_PATH
from fakes.openai import answer, on_head
from gw import config, free_port, refused, until


@pytest.fixture
def fake():
    fake = GCS()
    yield fake
    fake.stop()
    assert fake.violations == []


def keyed(fake, account=None, **more):
    account = json.dumps(account or fake.service_account())
    return {"type": "gcs", "base_url": fake.url, "bucket": fake.bucket,
            "chunk_size": "256KB", "credentials": account, **more}  # fmt: skip


def machine(fake, **more):
    out = keyed(fake, metadata_url=fake.url + METADATA_PATH, **more)
    del out["credentials"]
    return out


@pytest.fixture
def run(start):
    def run(up):
        gw = start(config({"providers": {"up": up}, "routing": {"default": "up"}}))
        gw.key = gw.new_key()
        return gw

    return run


def refusals(fake):
    return [s for s in fake.seen if s.status == 401]


def test_a_key_file_is_all_it_takes(run, fake, tmp_path):
    file = tmp_path / "sa.json"
    file.write_text(json.dumps(fake.service_account(), indent=2) + "\n")
    gw = run({**keyed(fake, credentials=f"file:{file}"), "type": "vertex"})
    any_.lives(gw, fake)
    assert fake.token_requests == 1


def test_the_machine_has_an_account_of_its_own(run, fake):
    gw = run(machine(fake))
    any_.lives(gw, fake)
    assert fake.token_requests == 1


@pytest.mark.parametrize("source", [keyed, machine])
def test_all_workers_share_a_token(run, fake, source):
    fake.token_delay = 0.3
    gw = run(source(fake))
    with ThreadPoolExecutor(20) as pool:
        replies = list(pool.map(lambda n: any_.send(gw, n), range(20)))
    assert [r.status_code for r in replies] == [200] * 20
    assert fake.token_requests == 1
    assert len(fake.files) == 20 and not refusals(fake)


def test_a_token_is_renewed_before_it_ends(run, fake):
    fake.token_life = 8
    gw = run(keyed(fake))
    path = f"/v1/files/{any_.made(any_.send(gw, 5))['id']}/content"

    def is_renewed():
        assert gw.call(gw.key, "GET", path).status_code == 200
        return fake.token_requests > 1

    until(is_renewed, "another token is fetched")
    assert not refusals(fake)


def chunks(gw):
    return any_.send(gw, 3 * CHUNK, chunks=True)


def one_chunk(gw):
    return any_.send(gw, 100, chunks=True)


def download(gw):
    return gw.call(gw.key, "GET", gw.path + "/content")


def delete(gw):
    return gw.call(gw.key, "DELETE", gw.path)


@pytest.mark.parametrize("act", [chunks, one_chunk, download, delete])
def test_a_token_that_was_revoked_is_replaced_at_once(run, fake, act):
    gw = run(keyed(fake))
    gw.path = f"/v1/files/{any_.made(any_.send(gw, 5))['id']}"
    fake.revoke()
    reply = act(gw)
    status = reply.status if hasattr(reply, "status") else reply.status_code
    assert status == 200
    assert fake.token_requests == 2 and len(refusals(fake)) == 1


def test_a_token_that_is_never_taken_is_asked_for_once_more_and_no_oftener(run, fake):
    gw = run(keyed(fake))
    path = f"/v1/files/{any_.made(any_.send(gw, 5))['id']}/content"
    fake.fault(on_head(answer(401, "Invalid Credentials")), path="/o/", times=9)
    refused(gw.call(gw.key, "GET", path), 502, "upstream_auth")
    assert fake.token_requests == 2 and len(refusals(fake)) == 2


def works_again(gw):
    until(lambda: any_.send(gw, 5).status_code == 200, "it works again")


def test_a_clock_that_is_off_is_told(run, fake):
    fake.clock_offset = -120
    gw = run(keyed(fake))
    told = refused(any_.send(gw, 5), 502, "upstream_auth")
    assert "clock" in told["message"]
    fake.clock_offset = 0
    works_again(gw)


@pytest.mark.parametrize("offset", [-20, 20])
def test_a_clock_that_is_a_little_off_does_no_harm(run, fake, offset):
    fake.clock_offset = offset
    assert any_.send(run(keyed(fake)), 5).status_code == 200


def test_a_token_endpoint_that_is_not_there_is_told_and_found_again(run, fake):
    port = free_port()
    uri = f"http://127.0.0.1:{port}/token"
    gw = run(keyed(fake, fake.service_account(token_uri=uri)))
    told = refused(any_.send(gw, 5), 502, "upstream_unreachable")
    assert str(port) not in told["message"]
    assert fake.seen == []
    any_.nothing_is_left(gw)
    fake.hand_out_tokens_at(port)
    works_again(gw)


def test_a_token_endpoint_that_fails_is_told_and_works_again(run, fake):
    fake.token_status = 503
    gw = run(machine(fake))
    refused(any_.send(gw, 5), 503, "upstream_unavailable")
    fake.token_status = None
    works_again(gw)


def test_a_key_that_was_revoked_is_told_and_not_shown(run, fake):
    other = GCS()
    account = {**other.service_account(), "token_uri": fake.url + "/token"}
    other.stop()
    gw = run(keyed(fake, account))
    told = refused(any_.send(gw, 5), 502, "upstream_auth")
    assert "invalid_grant" in told["message"]
    for text in (told["message"], gw.stderr()):
        assert "PRIVATE" not in text and account["private_key"][40:80] not in text
        assert account["client_email"] not in text


def test_no_token_is_in_the_log(run, fake):
    gw = run(keyed(fake))
    any_.lives(gw, fake)
    (token,) = fake.tokens
    assert token not in gw.stderr() and "eyJ" not in gw.stderr()
