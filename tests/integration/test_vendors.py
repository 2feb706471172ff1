"""The vendors of `openai`: each refuses what is not said its own way."""

import any_provider as any_
import httpx
import openai
import pytest
from conftest import sdk_for
from fakes import pattern
from fakes.openai import after_bytes, answer, call, on_head, on_stored, reset
from fakes.vendors import EXPIRY, RULES, Vendor
from gw import MB, Gateway, config, openai_provider, refused, until
from wire import form, form_type, part

LINES = b'{"custom_id":"r1","method":"POST","url":"/v1/x","body":{"model":"m"}}\n'
QUICK = {"journal": {"lease": "2s", "sweep_interval": "1s"}}
HOUR = {"anchor": "created_at", "seconds": 3600}
# The words of a client that the vendor has others for.
THEIRS = {
    "moonshot": ("user_data", "file-extract"),
    "dashscope": ("assistants", "file-extract"),
}
DELETING = [v for v, r in RULES.items() if "delete" in r.operations]


def entry(fake, **more):
    return openai_provider(fake, vendor=fake.name, **more)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    """One gateway with a fake of every vendor behind it."""
    fakes = {name: Vendor(name) for name in RULES}
    entries = {
        name: entry(fake, namespace=f"v{i}")
        for i, (name, fake) in enumerate(fakes.items())
    }
    gw = Gateway(tmp_path_factory.mktemp("fleet"), config({"providers": entries}))
    try:
        yield gw.start(), fakes
        gw.stop()
    finally:
        gw.end()
    for fake in fakes.values():
        fake.stop()
        assert fake.violations == []


@pytest.fixture
def fake(fleet, request):
    fake = fleet[1][request.param]
    for kept in (fake.seen, fake.faults, fake.files):
        kept.clear()
    return fake


@pytest.fixture
def gw(fleet, fake):
    """It has a key whose files go to that vendor."""
    gw = fleet[0]
    gw.key = gw.new_key(default_provider=fake.name)
    return gw


@pytest.fixture
def sdk(gw):
    with sdk_for(gw, gw.key) as client:
        yield client


def vendors(*names):
    return pytest.mark.parametrize("fake", names or list(RULES), indirect=True)


def purposes(fake):
    """The client's, and what is seen of it upstream."""
    return THEIRS.get(fake.name, ("batch", "batch"))


def send_jsonl(gw, size, purpose, chunks=False, file_first=False):
    data = pattern.pattern(size)
    parts = [part("purpose", purpose),
             part("file", data, filename="x.jsonl", content_type="text/plain")]  # fmt: skip
    body = form(*(parts[::-1] if file_first else parts))
    pieces = (body[i : i + 100_003] for i in range(0, len(body), 100_003))
    reply = gw.call(gw.key, "POST", "/v1/files",
                    content=pieces if chunks else body,
                    headers={"Content-Type": form_type()})  # fmt: skip
    return any_.made(reply)


@vendors()
def test_the_sdk_does_all_that_the_vendor_can(sdk, fake):
    ours, theirs = purposes(fake)
    can = fake.rules.operations
    made = sdk.files.create(file=("in.jsonl", LINES), purpose=ours)
    (stored,) = fake.files.values()
    assert stored.read() == LINES and stored.purpose == theirs
    assert made.purpose == ours and made.bytes == len(LINES)
    assert made.filename == "in.jsonl" and made.status == "processed"
    assert abs(made.created_at - stored.created_at) <= 2
    assert sdk.files.retrieve(made.id) == made
    assert [f.id for f in sdk.files.list()] == [made.id]
    if "content" in can:
        assert sdk.files.content(made.id).read() == LINES
    else:
        with pytest.raises(openai.BadRequestError) as e:
            sdk.files.content(made.id)
        assert e.value.code == "unsupported_operation"
    assert sdk.files.delete(made.id).deleted
    assert len(fake.files) == (0 if "delete" in can else 1)
    with pytest.raises(openai.NotFoundError):
        sdk.files.delete(made.id)


@vendors()
def test_an_end_is_told_as_the_vendor_takes_it(sdk, fake):
    ours, _ = purposes(fake)
    made = sdk.files.create(
        file=("in.jsonl", LINES), purpose=ours, expires_after=HOUR
    )
    assert made.expires_at == made.created_at + 3600
    seen = fake.uploads()[-1].fields
    assert (EXPIRY[1] in seen) == (EXPIRY[1] in fake.rules.fields and "create" in
                                   fake.rules.operations)  # fmt: skip


@vendors()
def test_a_form_may_have_its_fields_behind_the_file(gw, fake):
    ours, theirs = purposes(fake)
    behind = [part("purpose", ours), part("expires_after[anchor]", "created_at"),
              part("expires_after[seconds]", "3600")]  # fmt: skip
    file = part("file", LINES, filename="in.jsonl", content_type="text/plain")
    reply = gw.call(gw.key, "POST", "/v1/files", content=form(file, *behind),
                    headers={"Content-Type": form_type()})  # fmt: skip
    made = any_.made(reply)
    assert made["expires_at"] == made["created_at"] + 3600
    (stored,) = fake.files.values()
    assert stored.read() == LINES and stored.purpose == theirs
    if fake.rules.fields_first:
        assert fake.uploads()[0].order == ["purpose", *EXPIRY, "file"]


@vendors("xai", "doubleword")
def test_an_end_behind_the_file_is_ours_when_the_purpose_is_before_it(gw, fake):
    """Nothing is held back for it, and nothing that is refused is sent."""
    expiry = [part(EXPIRY[0], "created_at"), part(EXPIRY[1], "3600")]
    file = part("file", LINES, filename="in.jsonl", content_type="text/plain")
    body = form(part("purpose", "batch"), file, *expiry)
    reply = gw.call(gw.key, "POST", "/v1/files", content=body,
                    headers={"Content-Type": form_type()})  # fmt: skip
    made = any_.made(reply)
    assert made["expires_at"] == made["created_at"] + 3600
    assert fake.uploads()[0].order == ["purpose", "file"]


@vendors("xai", "moonshot", "digitalocean", "aibrix", "litellm")
def test_files_of_any_size_arrive(gw, fake):
    ours, _ = purposes(fake)
    for size in any_.SIZES:
        for how in ({}, {"chunks": True}, {"file_first": True}):
            fake.files.clear()
            send_jsonl(gw, size, purpose=ours, **how)
            (stored,) = fake.files.values()
            assert stored.sha256 == pattern.sha256(size) and stored.size == size


@vendors("digitalocean")
def test_a_cut_upload_to_a_signed_url_leaves_nothing(gw, fake):
    fake.fault(after_bytes(2 * MB, reset), method="PUT", times=9)
    file = part("file", bytes(6 * MB), filename="x.jsonl", content_type="text/plain")
    reply = gw.call(gw.key, "POST", "/v1/files",
                    content=form(part("purpose", "batch"), file),
                    headers={"Content-Type": form_type()})  # fmt: skip
    refused(reply, 502)
    assert fake.files == {} and [s.method for s in fake.seen[:2]] == ["POST", "PUT"]
    any_.nothing_is_left(gw)


@vendors("litellm", "xai", "siliconflow")
def test_what_came_down_is_what_went_up(gw, fake):
    obj = send_jsonl(gw, 5 * MB + 1, purpose="batch")
    any_.comes_back(gw, obj, 5 * MB + 1)


@vendors(*DELETING)
def test_what_was_left_behind_is_found_in_its_lists(start, fake):
    """A kill before the answer: the sweeper walks the pages, and deletes."""
    ours, _ = purposes(fake)
    gw = start(config({"providers": {"up": entry(fake)}, **QUICK}))
    gw.key = gw.new_key()

    def upload(name):
        return gw.upload(gw.key, LINES, name, fields={"purpose": ours})

    fake.fault(on_stored(call(lambda x: gw.kill())))
    with pytest.raises(httpx.TransportError):
        upload("lost.jsonl")
    until(lambda: not gw.runs, "the kill is over")
    gw.start()
    kept = [upload(f"{i}.jsonl").json()["id"] for i in range(3)]
    until(lambda: len(fake.files) == 3, "what was lost is deleted", 60)
    assert "lost.jsonl" not in [f.filename for f in fake.files.values()]
    listed = gw.call(gw.key, "GET", "/v1/files").json()["data"]
    assert sorted(f["id"] for f in listed) == sorted(kept)


@vendors()
def test_a_wrong_key_is_ours_to_mend(gw, fake, monkeypatch):
    monkeypatch.setattr(fake, "api_key", "sk-other")
    refused(any_.send(gw, 5), 502, "upstream_auth")
    any_.nothing_is_left(gw)


@vendors()
def test_a_rate_limit_says_when_to_come_back(gw, fake):
    fake.fault(on_head(lambda x: (x.body.read_all(1 << 26),
                                  answer(429, b"", {"Retry-After": "7"})(x))),
               times=9)  # fmt: skip
    reply = any_.send(gw, 1000)
    refused(reply, 429)
    assert reply.headers["retry-after"] == "7"
    any_.nothing_is_left(gw)


@vendors("aibrix")
def test_a_collection_may_end_in_a_slash(start, fake, monkeypatch):
    monkeypatch.setattr(fake, "slash", True)
    gw = start(config({"providers": {"up": entry(fake, trailing_slash="yes")}}))
    gw.key = gw.new_key()
    obj = send_jsonl(gw, 5, purpose="batch")
    any_.comes_back(gw, obj, 5)


@vendors("xai")
def test_a_file_over_the_vendors_bound_is_refused_unread(gw, fake):
    head = form(part("purpose", "batch"), part("file", b"", filename="a"))
    with gw.wire() as w:
        w.head("POST", "/v1/files", gw.key, Content_Length=51 * MB,
               Content_Type=form_type())  # fmt: skip
        w.send(head[: head.rindex(b"\r\n--")])
        refused(w.reply(), 413, "file_too_large")
    assert fake.uploads() == []


@vendors("litellm")
def test_an_id_of_hundreds_of_bytes_works_whole(sdk, fake):
    made = sdk.files.create(file=("in.jsonl", LINES), purpose="batch")
    (upstream_id,) = fake.files
    assert len(upstream_id) > 1000 and "/" in upstream_id and "=" in upstream_id
    assert len(made.id) < 64
    fake.files[upstream_id].purpose = "vision"
    raw = sdk.files.with_raw_response.content(made.id)
    assert raw.content == LINES and upstream_id not in str(raw.headers)
    fake.fault(on_head(answer(404, {"error": {"message": f"no {upstream_id}"}})))
    with pytest.raises(openai.NotFoundError) as e:
        sdk.files.content(made.id)
    assert upstream_id[:40] not in str(e.value) and made.id in str(e.value)
    sdk.files.delete(made.id)
    assert fake.files == {}
