"""Azure OpenAI, in both of its styles, with a key and with a token."""

import any_provider as any_
import pytest
from fakes import pattern
from fakes.azure import DAYS_14, Azure
from gw import config, refused
from wire import form, form_type, part

STYLES = {"dated": "2024-10-21", "expiring": "2025-04-01-preview", "v1": None}
ERROR = {"error": {"code": "invalidPayload", "message": "said so"}}


def provider(fake, **more):
    auth = {"token": fake.token} if fake.token else {"api_key": fake.api_key}
    out = {"type": "azure", "base_url": fake.url, **auth, **more}
    if fake.api_version:
        out["api_version"] = fake.api_version
    return out


@pytest.fixture(scope="module")
def pair(request, tmp_path_factory):
    fake = Azure(STYLES[request.param])
    yield from any_.pair(tmp_path_factory, fake, up=provider)


@pytest.fixture
def fake(pair):
    yield from any_.fresh(pair)


@pytest.fixture
def gw(pair):
    return any_.with_key(pair)


def style(*names):
    return pytest.mark.parametrize("pair", names, indirect=True, scope="module")


@style("dated", "v1")
class TestEvery(any_.Every):
    error = ERROR


@style("v1")
def test_a_token_takes_the_place_of_the_key(start, fake):
    fake.token = "eyJ0"
    gw = start(config({"providers": {"up": provider(fake)}}))
    gw.key = gw.new_key()
    any_.lives(gw, fake)
    fake.token = None


@style("dated")
def test_a_pending_file_is_not_called_processed(gw, fake):
    obj = any_.made(any_.send(gw, 5))
    assert obj["status"] == "uploaded" and obj["bytes"] == 5
    path = f"/v1/files/{obj['id']}"
    assert gw.call(gw.key, "GET", path).json()["status"] == "uploaded"
    (stored,) = fake.files.values()
    stored.status = "processed"
    assert gw.call(gw.key, "GET", path).json()["status"] == "processed"


@style("dated")
def test_the_clients_own_credentials_go_nowhere(gw, fake):
    assert any_.send(gw, 5).status_code == 200
    head = fake.uploads()[0].head
    assert head.get("authorization") is None and head.get_all("api-key") == ["azure-key"]
    assert "sk-" not in str(head.fields)


def expiring_form(seconds, first):
    """A form with an expiry, before the file or behind it."""
    fields = [
        part("purpose", "vision"),
        part("expires_after[anchor]", "created_at"),
        part("expires_after[seconds]", str(seconds)),
    ]
    file = part("file", "hello", "a.txt", "text/plain")
    return form(*fields, file) if first else form(file, *fields)


def upload_expiring(gw, seconds, first):
    headers = {"Content-Type": form_type()}
    body = expiring_form(seconds, first)
    return any_.made(
        gw.call(gw.key, "POST", "/v1/files", content=body, headers=headers)
    )


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    "pair, seconds",
    [("dated", 3600), ("expiring", DAYS_14 - 1), ("expiring", DAYS_14), ("v1", 3600)],
    indirect=["pair"],
    scope="module",
)
def test_an_expiry_holds_whether_azure_takes_it_or_not(gw, fake, seconds, first):
    obj = upload_expiring(gw, seconds, first)
    assert obj["expires_at"] == obj["created_at"] + seconds
    told = fake.uploads()[0].fields.get("expires_after[seconds]")
    takes = not fake.api_version or (seconds >= DAYS_14 and first)
    assert told == (str(seconds) if takes else None)


@style("v1")
def test_part_headers_behind_the_file_are_left_out(gw, fake):
    """Java and .NET give every part a length, which Azure refuses."""
    extra = "\r\nContent-Type: text/plain\r\nContent-Length: 6"
    late = part("purpose", "vision", extra=extra)
    body = form(part("file", "hello", "a.txt", "text/plain"), late)
    headers = {"Content-Type": form_type()}
    any_.made(gw.call(gw.key, "POST", "/v1/files", content=body, headers=headers))
    assert fake.uploads()[0].fields == {"purpose": "vision"}


@style("v1")
def test_terse_fields_behind_the_file_arrive_too(gw, fake):
    """A new framing would be longer than the length that was promised."""
    b = form_type().split("=")[1]
    head = 'Content-Disposition: form-data; name="file"; filename="a.txt"'
    body = (
        f"--{b}\r\n{head}\r\nContent-Type: text/plain\r\n\r\nhello\r\n"
        f'--{b}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nvision'
        f"\r\n--{b}--"
    )
    headers = {"Content-Type": form_type()}
    any_.made(gw.call(gw.key, "POST", "/v1/files", content=body, headers=headers))
    assert fake.uploads()[0].fields == {"purpose": "vision"}


@style("dated")
def test_a_wrong_key_or_version_is_the_gateways_fault(start, fake):
    gw = start(config({"providers": {"up": provider(fake, api_key="other")}}))
    gw.key = gw.new_key()
    error = refused(any_.send(gw, 5), 502, "upstream_auth")
    assert "other" not in error["message"]


@style("v1")
def test_a_part_of_a_file_comes_back(gw, fake):
    path = f"/v1/files/{any_.made(any_.send(gw, 1000))['id']}/content"
    reply = gw.call(gw.key, "GET", path, headers={"Range": "bytes=10-19"})
    assert reply.status_code == 206 and reply.content == pattern.pattern(20)[10:]
