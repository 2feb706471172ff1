"""The official openai SDK, as its users call it."""

import asyncio
import io

import openai
import pytest
from conftest import sdk_for
from fakes import pattern
from gw import MB, by_time

LINES = b'{"custom_id":"r1","method":"POST","url":"/v1/x","body":{"model":"m"}}\n'


def test_bytes_go_up_and_come_down(sdk, up):
    made = sdk.files.create(file=("in.jsonl", LINES), purpose="batch")
    assert sdk.files.content(made.id).read() == LINES
    assert up.uploads()[0].file.filename == "in.jsonl"


def test_the_file_object_is_complete(sdk, up):
    made = sdk.files.create(file=("in.jsonl", LINES), purpose="batch")
    (stored,) = up.files.values()
    assert made.id.startswith("file-up-") and len(made.id) == 8 + 26
    assert made.object == "file"
    assert made.bytes == len(LINES)
    assert made.created_at == stored.created_at
    assert made.expires_at == stored.expires_at
    assert made.filename == "in.jsonl"
    assert made.purpose == "batch"
    assert made.status == "processed"
    assert made.to_dict()["status_details"] is None
    assert made.to_dict()["filemux"] == {"provider": "up"}


def test_the_providers_id_is_nowhere(sdk, up):
    made = sdk.files.create(file=("a", b"x"), purpose="vision")
    (upstream_id,) = up.files
    raw = sdk.files.with_raw_response
    for reply in (raw.retrieve(made.id), raw.list(), raw.content(made.id)):
        assert upstream_id not in reply.text
        assert upstream_id not in str(reply.headers)
    assert upstream_id not in raw.delete(made.id).text


def test_a_path_is_uploaded_under_its_name(sdk, up, tmp_path):
    path = tmp_path / "päper.pdf"
    path.write_bytes(b"%PDF")
    made = sdk.files.create(file=path, purpose="vision")
    assert made.filename == "päper.pdf"
    assert up.uploads()[0].file.filename == "päper.pdf"
    assert up.uploads()[0].file.content_type == "application/pdf"


def test_an_open_file_is_streamed(sdk, up, tmp_path):
    path = tmp_path / "big.bin"
    path.write_bytes(pattern.pattern(5 * MB + 1))
    with open(path, "rb") as f:
        made = sdk.files.create(file=f, purpose="vision")
    assert made.bytes == 5 * MB + 1
    assert up.uploads()[0].file.sha256 == pattern.sha256(5 * MB + 1)


def test_a_stream_without_a_name_works(sdk, up):
    made = sdk.files.create(file=io.BytesIO(b"abc"), purpose="vision")
    assert sdk.files.content(made.id).read() == b"abc"


def test_an_empty_file_is_a_file(sdk, up):
    made = sdk.files.create(file=("empty.bin", b""), purpose="vision")
    assert made.bytes == 0
    assert sdk.files.content(made.id).read() == b""


def test_content_is_streamed(sdk, up):
    data = pattern.pattern(3 * MB)
    made = sdk.files.create(file=("b", data), purpose="vision")
    with sdk.files.with_streaming_response.content(made.id) as reply:
        got = b"".join(reply.iter_bytes())
    assert got == data
    assert reply.headers["content-length"] == str(len(data))


def test_expiry_is_passed_on_and_shown(sdk, up):
    made = sdk.files.create(
        file=("a", b"x"),
        purpose="vision",
        expires_after={"anchor": "created_at", "seconds": 7200},
    )
    seen = up.uploads()[0].fields
    assert seen["expires_after[anchor]"] == "created_at"
    assert seen["expires_after[seconds]"] == "7200"
    assert made.expires_at == made.created_at + 7200


def test_files_are_listed_newest_first(sdk, up):
    made = [sdk.files.create(file=(n, b"x"), purpose="vision").id for n in "abc"]
    page = sdk.files.list()
    assert [f.id for f in page.data] == sorted(made, key=by_time, reverse=True)
    assert not page.has_more


def test_pages_are_walked_to_the_end(sdk, up):
    made = [sdk.files.create(file=(n, b"x"), purpose="vision").id for n in "abcdefg"]
    listed = [f.id for f in sdk.files.list(limit=3, order="asc")]
    assert listed == sorted(made, key=by_time)


def test_a_deleted_file_is_gone_everywhere(sdk, up):
    made = sdk.files.create(file=("a", b"x"), purpose="vision")
    gone = sdk.files.delete(made.id)
    assert (gone.id, gone.object, gone.deleted) == (made.id, "file", True)
    assert up.files == {}
    for call in (sdk.files.retrieve, sdk.files.content, sdk.files.delete):
        with pytest.raises(openai.NotFoundError):
            call(made.id)
    assert list(sdk.files.list()) == []


def test_waiting_for_processing_ends(sdk, up):
    made = sdk.files.create(file=("a", b"x"), purpose="vision")
    assert sdk.files.wait_for_processing(made.id).status == "processed"


def test_an_unfinished_status_is_refreshed(gw, up, key):
    up.first_status = "uploaded"
    made = gw.upload(key).json()
    assert made["status"] == "uploaded"
    (stored,) = up.files.values()
    stored.status = "processed"
    assert (
        gw.call(key, "GET", f"/v1/files/{made['id']}").json()["status"] == "processed"
    )


def test_errors_are_the_sdks_own(gw, up):
    with sdk_for(gw, "sk-wrong") as client:
        with pytest.raises(openai.AuthenticationError) as e:
            client.files.list()
    assert e.value.code == "invalid_api_key"
    assert e.value.request_id.startswith("req_")


def test_a_bad_purpose_is_the_providers_word(sdk, up):
    with pytest.raises(openai.BadRequestError) as e:
        sdk.files.create(file=("a", b"x"), purpose="answers")
    assert "answers" in str(e.value)
    assert up.files == {}


def test_the_async_sdk_does_the_same(gw, up, key):
    async def all_at_once():
        client = openai.AsyncOpenAI(base_url=gw.url + "/v1", api_key=key, max_retries=0)
        async with client:
            made = await asyncio.gather(
                *(
                    client.files.create(file=(f"{i}", b"%d" % i), purpose="vision")
                    for i in range(10)
                )
            )
            texts = [(await client.files.content(f.id)).read() for f in made]
            listed = [f.id async for f in client.files.list(limit=4)]
            await asyncio.gather(*(client.files.delete(f.id) for f in made))
            return made, texts, listed

    made, texts, listed = asyncio.run(all_at_once())
    assert texts == [b"%d" % i for i in range(10)]
    assert set(listed) == {f.id for f in made}
    assert up.files == {}


def test_no_header_of_the_client_reaches_the_provider(gw, up, key):
    with sdk_for(gw, key) as client:
        client.files.create(
            file=("a", b"x"),
            purpose="vision",
            extra_headers={"OpenAI-Organization": "org-client", "Cookie": "a=b"},
        )
    head = up.uploads()[0].head.raw.decode().lower()
    assert key not in head and "org-client" not in head and "cookie" not in head
    assert "bearer sk-upstream" in head


def test_no_header_of_the_provider_reaches_the_client(sdk, up):
    made = sdk.files.create(file=("a", b"x"), purpose="vision")
    headers = sdk.files.with_raw_response.content(made.id).headers
    for name in ("set-cookie", "openai-organization", "server"):
        assert name not in headers
    assert headers["x-request-id"] != "req_fake"
