"""The fakes themselves: what they refuse and record, asked by the real SDK."""

import openai
import pytest
from fakes import pattern
from fakes.http import head_bytes
from fakes.openai import OpenAI, after_sent, answer, on_head, reset
from wire import Wire, file_part, form, form_type, part, upload

AUTH = "sk-upstream"


@pytest.fixture
def direct(fake):
    with openai.OpenAI(base_url=fake.url, api_key=AUTH, max_retries=0) as client:
        yield client


def test_the_sdk_is_content_with_the_fake(fake, direct):
    made = direct.files.create(
        file=("a.jsonl", b"{}\n"),
        purpose="batch",
        expires_after={"anchor": "created_at", "seconds": 3600},
    )
    assert [f.id for f in direct.files.list()] == [made.id]
    assert direct.files.retrieve(made.id).expires_at == made.created_at + 3600
    assert direct.files.content(made.id).read() == b"{}\n"
    assert direct.files.delete(made.id).deleted
    assert fake.files == {}
    assert fake.seen[0].order[-1] == "file"
    assert fake.seen[0].raw_length == fake.seen[0].declared


@pytest.mark.parametrize(
    "bad",
    [
        {"purpose": "answers"},
        {"purpose": "batch", "file": ("a.txt", b"1")},
        {"extra_body": {"provider": "up"}},
        {"expires_after": {"anchor": "created_at", "seconds": 3599}},
        {"expires_after": {"anchor": "now", "seconds": 3600}},
    ],
    ids=str,
)
def test_bad_uploads_are_refused(direct, bad):
    with pytest.raises(openai.BadRequestError):
        direct.files.create(**{"file": ("a", b"1"), "purpose": "vision", **bad})


@pytest.mark.parametrize(
    "body",
    [
        form(part("purpose", "vision"), part("file", "x", "a.txt")),
        form(part("purpose", "vision"), file_part(b"x", filename="")),
        form(part("purpose", "vision"), part("file", "x", None, "text/plain")),
        form(part("purpose", "v"), file_part(b"x")).replace(b'"v"', b'"v'),
        form(
            part("purpose", "vision"),
            part("file", "x", "a", "text/plain", "\r\nContent-Length: 1"),
        ),
        b"preamble\r\n" + form(part("purpose", "vision"), file_part(b"x")),
        form(part("purpose", "vision"), file_part(b"x"))[:-8],
        form(file_part(b"x")),
        form(part("purpose", "vision")),
    ],
)
def test_bad_forms_are_refused(fake, body):
    with Wire(fake.port) as w:
        assert upload(w, AUTH, body).status == 400
    assert fake.files == {}


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=10001", "limit=x", "order=up", "before=file-a"]
)
def test_bad_list_queries_are_refused(fake, query):
    with Wire(fake.port) as w:
        w.head("GET", f"/v1/files?{query}", AUTH)
        assert w.reply().status == 400


def test_a_wrong_key_is_refused(fake):
    with Wire(fake.port) as w:
        w.head("GET", "/v1/files", "sk-wrong")
        assert w.reply().status == 401


@pytest.mark.parametrize(
    "field", ["Content-Length: 1\r\nTransfer-Encoding: chunked", "Bad Name: x"]
)
def test_bad_http_is_a_violation(field):
    fake = OpenAI()
    with Wire(fake.port) as w:
        w.send(f"GET /v1/files HTTP/1.1\r\nHost: x\r\n{field}\r\n\r\n")
        assert w.reply().status == 400
    assert len(fake.violations) == 1
    fake.stop()


def test_a_body_is_hashed_without_being_kept(fake):
    fake.keep = False
    body = form(part("purpose", "vision"), file_part(pattern.pattern(3_000_000)))
    with Wire(fake.port) as w:
        upload(w, AUTH, body)
        (stored,) = fake.files.values()
        assert stored.sha256 == pattern.sha256(3_000_000)
        w.head("GET", f"/v1/files/{stored.id}/content", AUTH)
        assert w.reply().body == pattern.pattern(3_000_000)


def test_faults_strike_once(fake, direct):
    fake.fault(on_head(reset))
    with pytest.raises(openai.APIConnectionError):
        direct.files.list()
    fake.fault(on_head(answer(429, {"error": {"message": "slow"}})))
    with pytest.raises(openai.RateLimitError):
        direct.files.list()
    assert list(direct.files.list()) == []


def test_a_download_can_be_cut(fake, direct):
    made = direct.files.create(file=("a", b"0123456789"), purpose="vision")
    fake.fault(after_sent(4, reset))
    with Wire(fake.port) as w:
        w.head("GET", f"/v1/files/{made.id}/content", AUTH)
        reply = w.reply()
    assert reply.body == b"0123" and not reply.whole


def test_the_wire_reads_chunked_replies():
    assert head_bytes(200, [("A", "b")]) == b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n"
    assert form_type("x").endswith("boundary=x")


def test_a_fine_tuning_job_runs_to_its_end(fake, direct):
    file = fake.put("a.jsonl", b"{}\n", "fine-tune")
    job = direct.fine_tuning.jobs.create(model="gpt-4o", training_file=file.id)
    assert job.status == "validating_files"
    fake.auto_run = True
    seen = [direct.fine_tuning.jobs.retrieve(job.id).status for _ in range(3)]
    assert seen == ["queued", "running", "succeeded"]
    [result] = direct.fine_tuning.jobs.retrieve(job.id).result_files
    assert b"train_loss" in direct.files.content(result).read()
    assert len(list(direct.fine_tuning.jobs.list(limit=1))) == 1
    assert len(list(direct.fine_tuning.jobs.checkpoints.list(job.id))) == 2
    for bad in ({"model": "x"}, {"training_file": "file-x"}, {"extra_body": {"a": 1}}):
        with pytest.raises(openai.APIStatusError):
            good = {"model": "gpt-4o", "training_file": file.id}
            direct.fine_tuning.jobs.create(**{**good, **bad})


def test_a_vector_store_has_its_files(fake, direct):
    file = fake.put("a.txt", b"text", "assistants")
    store = direct.vector_stores.create(name="s", file_ids=[file.id])
    assert [f.id for f in direct.vector_stores.files.list(store.id)] == [file.id]
    direct.vector_stores.files.delete(file.id, vector_store_id=store.id)
    batch = direct.vector_stores.file_batches.create(store.id, file_ids=[file.id])
    assert batch.file_counts.completed == 1
    [found] = direct.vector_stores.search(store.id, query="q")
    assert found.file_id == file.id
    with pytest.raises(openai.NotFoundError):
        direct.vector_stores.files.create(store.id, file_id="file-x")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_forms_of_images_and_audio_are_read(fake, direct):
    audio = ("a.wav", b"RIFF", "audio/wav")
    assert direct.audio.transcriptions.create(model="whisper-1", file=audio).text
    images = [("a.png", b"a", "image/png"), ("b.png", b"b", "image/png")]
    direct.images.edit(model="gpt-image-1", prompt="x", image=images)
    assert [name for name, _ in fake.seen[-1].form.files] == ["image[]"] * 2
    with pytest.raises(openai.NotFoundError):
        direct.audio.translations.create(model="gpt-9", file=audio)
