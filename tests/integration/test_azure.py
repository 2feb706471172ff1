"""Azure OpenAI, in both of its styles, with a key and with a token."""

import any_provider as any_
import pytest
from fakes import pattern
from fakes.azure import DAYS_14, Azure
from gw import MB, config, refused
from wire import form, form_type, part

STYLES = {"dated": "2024-10-21", "expiring": "2025-04-01-preview", "v1": None}
ERROR = {"error": {"code": "invalidPayload", "message": "said so"}}


def provider(fake, **more):
    auth = {"token": fake.token} if fake.token else {"api_key": fake.api_key}
    out = {"type": "azure", "base_url": fake.url, **auth, **more}
    if fake.api_version:
        out["api_version"] = fake.api_version
    return out


@pytest.fixture
def fake(request):
    fake = Azure(STYLES[request.param])
    yield fake
    fake.stop()
    assert fake.violations == []


@pytest.fixture
def gw(start, fake):
    gw = start(config({"providers": {"up": provider(fake)}}))
    gw.key = gw.new_key()
    return gw


def style(*names):
    return pytest.mark.parametrize("fake", names, indirect=True)


@style("dated", "v1")
def test_files_of_any_size_arrive_and_come_back(gw, fake):
    for size in any_.SIZES:
        for how in ({}, {"chunks": True}, {"file_first": True}):
            fake.files.clear()
            fake.seen.clear()
            obj = any_.arrives(gw, fake, size, **how)
            any_.comes_back(gw, obj, size)


@style("dated", "v1")
def test_a_file_lives_and_is_deleted_twice(gw, fake):
    any_.lives(gw, fake)
    any_.gone_counts_as_deleted(gw, fake)


@style("v1")
def test_a_token_takes_the_place_of_the_key(start, fake):
    fake.token = "eyJ0"
    gw = start(config({"providers": {"up": provider(fake)}}))
    gw.key = gw.new_key()
    any_.lives(gw, fake)


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
    "fake, seconds",
    [("dated", 3600), ("expiring", DAYS_14 - 1), ("expiring", DAYS_14), ("v1", 3600)],
    indirect=["fake"],
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


@style("dated", "v1")
def test_azures_statuses_are_translated(gw, fake):
    for theirs, ours, code in any_.STATUSES:
        fake.faults.clear()
        any_.status_is_told(gw, fake, theirs, ours, code, ERROR)


@style("dated")
def test_a_wrong_key_or_version_is_the_gateways_fault(start, fake):
    gw = start(config({"providers": {"up": provider(fake, api_key="other")}}))
    gw.key = gw.new_key()
    error = refused(any_.send(gw, 5), 502, "upstream_auth")
    assert "other" not in error["message"]


@style("dated")
def test_a_connection_cut_in_mid_upload_leaves_nothing(gw, fake):
    any_.cut_upload_leaves_nothing(gw, fake)


@style("dated")
def test_a_connection_cut_in_mid_download_is_seen(gw, fake):
    obj = any_.made(any_.send(gw, 3 * MB))
    any_.cut_download_is_not_whole(gw, fake, obj, 3 * MB)


@style("v1")
def test_a_part_of_a_file_comes_back(gw, fake):
    path = f"/v1/files/{any_.made(any_.send(gw, 1000))['id']}/content"
    reply = gw.call(gw.key, "GET", path, headers={"Range": "bytes=10-19"})
    assert reply.status_code == 206 and reply.content == pattern.pattern(20)[10:]
