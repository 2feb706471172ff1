"""Anthropic's files: the file alone goes up, and little comes down."""

import any_provider as any_
import pytest
from fakes import pattern
from fakes.anthropic import BETA, Anthropic
from gw import config, refused
from wire import form, form_type, part

ERROR = {"type": "error", "error": {"type": "some_error", "message": "said so"}}


def provider(fake):
    return {"type": "anthropic", "base_url": fake.url, "api_key": fake.api_key}


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    yield from any_.pair(tmp_path_factory, Anthropic(), up=provider)


@pytest.fixture
def fake(pair):
    yield from any_.fresh(pair)


@pytest.fixture
def gw(pair):
    return any_.with_key(pair)


@pytest.fixture
def begin(start, fake):
    """begin(**keys): a gateway whose provider has those keys besides."""

    def begin(**keys):
        up = {**provider(fake), **keys}
        gw = start(config({"providers": {"up": up}}))
        gw.key = gw.new_key()
        return gw

    return begin


def generated(fake):
    """What is there now was made by a model."""
    for stored in fake.files.values():
        stored.downloadable = True


class TestEvery(any_.Every):
    error = ERROR

    def serve(self, fake):
        generated(fake)


def test_a_token_takes_the_place_of_the_key(begin, fake):
    fake.token = "oat01"
    any_.lives(begin(api_key="", token="oat01"), fake)
    fake.token = None


def test_a_file_has_a_status_though_it_tells_none(gw):
    assert any_.made(any_.send(gw, 5))["status"] == "processed"


def test_another_version_and_beta_can_be_asked_for(begin, fake):
    fake.version, fake.beta = "2027-01-01", "files-api-2027-01-01"
    any_.lives(begin(version=fake.version, beta=f"x-1,{fake.beta}"), fake)
    refused(any_.send(begin(beta=fake.beta), 5), 400)
    fake.version, fake.beta = "2023-06-01", BETA


def test_the_clients_own_credentials_go_nowhere(gw, fake):
    assert any_.send(gw, 5).status_code == 200
    head = fake.uploads()[0].head
    assert head.get("authorization") is None
    assert head.get_all("x-api-key") == [fake.api_key]
    assert gw.key not in str(head.fields)


def test_an_uploaded_file_does_not_come_back(gw, fake):
    obj = any_.made(any_.send(gw, 5))
    (raw,) = fake.files
    reply = gw.call(gw.key, "GET", f"/v1/files/{obj['id']}/content")
    error = refused(reply, 400, "unsupported_operation")
    assert "'up'" in error["message"] and "'content'" in error["message"]
    assert raw not in error["message"]


@pytest.mark.parametrize("first", [True, False])
def test_purpose_and_expiry_stay_here_and_hold(gw, fake, first):
    fields = [
        part("purpose", "user_data"),
        part("expires_after[anchor]", "created_at"),
        part("expires_after[seconds]", "3600"),
    ]
    file = part("file", "hello", "a.txt", "text/plain")
    body = form(*fields, file) if first else form(file, *fields)
    headers = {"Content-Type": form_type()}
    obj = any_.made(
        gw.call(gw.key, "POST", "/v1/files", content=body, headers=headers)
    )
    assert obj["purpose"] == "user_data"
    assert obj["expires_at"] == obj["created_at"] + 3600
    assert fake.uploads()[0].order == ["file"]
    assert fake.uploads()[0].file.content_type == "text/plain"


@pytest.mark.parametrize("name", ["a:b*c?.txt", "dir/sub\\x.txt", "n" * 300 + ".txt"])
def test_a_name_that_it_refuses_is_changed_for_it_alone(gw, fake, name):
    obj = any_.made(gw.upload(gw.key, filename=name))
    (stored,) = fake.files.values()
    assert stored.filename.endswith(".txt") and stored.filename != name
    path = f"/v1/files/{obj['id']}"
    assert gw.call(gw.key, "GET", path).json()["filename"] == obj["filename"]


def test_a_wrong_key_is_the_gateways_fault(begin, fake):
    error = refused(any_.send(begin(api_key="other"), 5), 502, "upstream_auth")
    assert "other" not in error["message"]


def test_a_range_that_it_may_not_know_is_not_asked_for(gw, fake):
    path = f"/v1/files/{any_.made(any_.send(gw, 1000))['id']}/content"
    generated(fake)
    reply = gw.call(gw.key, "GET", path, headers={"Range": "bytes=10-19"})
    assert reply.status_code == 200 and reply.content == pattern.pattern(1000)
    assert fake.seen[-1].header("range") is None
