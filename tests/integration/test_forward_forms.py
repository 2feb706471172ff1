"""Forms that are passed on: images and audio, streamed, in bounded memory."""

import os

import pytest
from fakes import pattern
from fakes.openai import after_bytes, answer, on_head, reset
from gw import MB, RELEASE, config, refused, until
from wire import form, form_around, form_type, part

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

AUDIO = ("a.wav", b"RIFF" * 100, "audio/wav")
FORM = "/v1/audio/transcriptions"


def seen(fake):
    return [s for s in fake.seen if s.form]


def raw(gw, key, *parts, path=FORM, **head):
    """A form byte by byte."""
    body = form(*parts)
    head = {"Content-Type": form_type(), **head}
    return gw.call(key, "POST", path, content=body, headers=head)


def file(data="RIFF", name="file"):
    return part(name, data, "a.wav", "audio/wav")


def test_audio_goes_through(gw, up, sdk):
    made = sdk.audio.transcriptions.create(model="whisper-1", file=AUDIO, language="de")
    assert made.text == "400 bytes"
    [asked] = seen(up)
    assert asked.fields == {"model": "whisper-1", "language": "de"}
    assert asked.file.filename == "a.wav" and asked.file.content_type == "audio/wav"
    assert asked.declared == asked.raw_length  # the exact length
    assert sdk.audio.translations.create(model="whisper-1", file=AUDIO).text
    text = sdk.audio.transcriptions.create(
        model="whisper-1", file=AUDIO, response_format="srt"
    )
    assert text == "400 bytes\n"


def test_events_of_audio_stream(up, sdk):
    events = sdk.audio.transcriptions.create(
        model="gpt-4o-transcribe", file=AUDIO, stream=True
    )
    assert [e.type for e in events] == ["transcript.text.delta", "transcript.text.done"]


def test_images_are_edited(gw, up, sdk, key):
    images = [("a.png", b"a", "image/png"), ("b.png", b"bb", "image/png")]
    made = sdk.images.edit(model="gpt-image-1", prompt="x" * 32000, image=images)
    assert made.data[0].b64_json
    [asked] = seen(up)
    assert [f.size for _, f in asked.form.files] == [1, 2]
    assert len(asked.fields["prompt"]) == 32000
    assert sdk.images.create_variation(image=images[0]).data
    file_id = sdk.files.create(file=("i.png", b"x"), purpose="vision").id
    body = {"model": "gpt-image-1", "prompt": "p", "images": [{"file_id": file_id}]}
    reply = gw.call(key, "POST", "/v1/images/edits", json=body)
    assert reply.status_code == 200
    assert up.seen[-1].json["images"][0]["file_id"] in up.files


def test_an_alias_names_provider_and_model(gw, up, other, key):
    """gpt-there is gpt-4o at other, where no audio is heard."""
    refused(raw(gw, key, part("model", "gpt-there"), file()), 404)
    [asked] = seen(other)
    assert asked.fields["model"] == "gpt-4o" and asked.declared == asked.raw_length
    assert seen(up) == []


@pytest.mark.parametrize("size", [1, MB])
def test_an_alias_behind_the_file_is_refused(gw, up, other, key, size):
    parts = file("x" * size), part("model", "gpt-there")
    error = refused(raw(gw, key, *parts), 400)
    assert error["param"] == "model" and "before the file" in error["message"]
    assert seen(other) == []
    for asked in up.seen:
        until(asked.done.is_set, "the provider sees the end")
        assert asked.status is None and asked.form is None


def test_a_model_behind_the_file_goes_to_the_default(gw, up, key):
    reply = raw(gw, key, file(), part("model", "whisper-1"))
    assert reply.status_code == 200
    assert seen(up)[0].order == ["file", "model"]


def test_a_header_names_the_provider(gw, up, other, key):
    reply = raw(gw, key, file(), part("model", "whisper-1"),
                **{"x-filemux-provider": "other"})  # fmt: skip
    assert reply.status_code == 200 and len(seen(other)) == 1 and not seen(up)
    reply = raw(gw, key, file(), part("model", "whisper-1"), path="/other" + FORM)
    assert reply.status_code == 200 and len(seen(other)) == 2


def test_a_field_names_the_provider_and_stays_here(gw, up, other, key):
    reply = raw(gw, key, part("provider", "other"), part("model", "whisper-1"), file())
    assert reply.status_code == 200 and len(seen(other)) == 1 and not seen(up)
    assert seen(other)[0].fields == {"model": "whisper-1"}
    error = refused(raw(gw, key, file(), part("provider", "other")), 400)
    assert error["param"] == "provider"


def test_what_the_key_may_not_use_is_refused(gw, up, other):
    key = gw.new_key(providers=["other"])
    fields = part("provider", "up"), part("model", "whisper-1"), file()
    refused(raw(gw, key, *fields), 403, "provider_not_allowed")
    key = gw.new_key(models=["gpt-there"])
    refused(raw(gw, key, part("model", "whisper-1"), file()), 403, "model_not_allowed")
    refused(raw(gw, key, file(), part("model", "whisper-1")), 403, "model_not_allowed")
    key = gw.new_key(operations=["create"])
    refused(raw(gw, key, part("model", "whisper-1"), file()), 403)


def test_chunked_forms_go_through(gw, up, key):
    body = form(part("model", "whisper-1"), file("x" * 100000))
    pieces = (body[i : i + 7777] for i in range(0, len(body), 7777))
    reply = gw.call(key, "POST", FORM, content=pieces,
                    headers={"Content-Type": form_type()})  # fmt: skip
    assert reply.json() == {"text": "100000 bytes"}
    assert seen(up)[0].framing == "chunked"


def test_a_form_split_anywhere_is_the_same(gw, up, key):
    body = form(part("model", "gpt-4o-transcribe"), file("\r\n--x"), part("prompt", "p"))
    for at in range(1, len(body), 17):
        with gw.wire() as w:
            w.head("POST", FORM, key, Content_Type=form_type(), Content_Length=len(body))
            w.send(body[:at])
            w.send(body[at:])
            assert w.reply().status == 200
    assert {s.raw_length for s in seen(up)} == {len(body)}


@pytest.mark.parametrize("boundary", ["a b", "x:y=z", "'quoted'", "(1)"])
def test_any_boundary_goes_through(gw, up, key, boundary):
    body = form(part("model", "whisper-1"), file(), boundary=boundary)
    head = {"Content-Type": f'multipart/form-data;boundary="{boundary}"; charset=utf-8'}
    reply = gw.call(key, "POST", FORM, content=body, headers=head)
    assert reply.status_code == 200, reply.text
    assert seen(up)[0].raw_length == len(body)


def test_ids_in_forms_are_the_callers(gw, up, sdk, key):
    box = sdk.containers.create(name="c")
    path = f"/v1/containers/{box.id}/files"
    mine = sdk.files.create(file=("a.txt", b"x"), purpose="user_data").id
    reply = raw(gw, key, part("file_id", mine), path=path)
    assert reply.status_code == 200, reply.text
    assert up.seen[-1].fields["file_id"] in up.files
    his = gw.upload(gw.new_key()).json()["id"]
    up.seen.clear()
    for name in (his, list(up.files)[-1], mine[:-4] + "zzzz", "file-x", ""):
        error = refused(raw(gw, key, part("file_id", name), path=path), 404)
        assert error["param"] == "file_id"
        edit = part("images[0][file_id]", name), part("prompt", "p")
        refused(raw(gw, key, *edit, path="/v1/images/edits"), 404)
    assert up.seen == []
    late = file(), part("file_id", mine)
    refused(raw(gw, key, *late, path=path), 400)
    twice = part("file_id", mine), part("file_id", mine)
    refused(raw(gw, key, *twice, path=path), 400)


@pytest.mark.parametrize(
    "body",
    [b"", b"nonsense", form(part("model", "m"))[:-9], form(file("x"))[:-4] + b"zz"],
    ids=["empty", "nonsense", "cut", "no end"],
)
def test_a_broken_form_is_refused(gw, up, key, body):
    head = {"Content-Type": form_type()}
    refused(gw.call(key, "POST", FORM, content=body, headers=head), 400)
    assert all(s.status is None for s in up.seen)


def test_other_bodies_are_refused(gw, up, key):
    head = {"Content-Type": "application/json"}
    refused(gw.call(key, "POST", FORM, content=b"{}", headers=head), 415)
    long = part("prompt", "x" * 300000), part("model", "whisper-1"), file()
    refused(raw(gw, key, *long), 400)
    assert up.seen == []


def test_what_stands_before_files_is_bounded_together(start, fake):
    gw = start(config({"forward": {"max_held_bytes": "64KB"}}, up=fake))
    key = gw.new_key()
    long = part("prompt", "x" * 100000), part("model", "gpt-image-1")
    edit = *long, part("image", "png", "a.png", "image/png")
    refused(raw(gw, key, *edit, path="/v1/images/edits"), 503)
    for _ in range(3):  # nothing of it is still counted
        short = part("prompt", "x" * 50000), *edit[1:]
        reply = raw(gw, key, *short, path="/v1/images/edits")
        assert reply.status_code == 200, reply.text


def test_a_client_who_hangs_up_stops_the_provider(gw, up, key):
    head, _, length = form_around(8 * MB, part("model", "whisper-1"))
    with gw.wire() as w:
        w.head("POST", FORM, key, Content_Type=form_type(), Content_Length=length)
        w.send(head + pattern.pattern(MB))
        until(lambda: up.seen, "the provider is asked")
    until(up.seen[0].done.is_set, "the provider sees the end")
    assert up.seen[0].aborted


@pytest.mark.parametrize(
    "when, status",
    [
        (on_head(answer(413, {"error": {"message": "too big"}}, then_close=True)), 413),
        (on_head(reset), 502),
        (after_bytes(300_000, reset), 502),
    ],
    ids=["refuses", "dies", "dies later"],
)
def test_a_provider_that_fails_is_told(gw, up, key, when, status):
    up.fault(when, times=9)
    refused(raw(gw, key, part("model", "whisper-1"), file("x" * MB)), status)


@pytest.mark.skipif(not os.path.exists(RELEASE), reason="no release build")
def test_64_mb_of_audio_stay_under_16_mb(start, fake):
    gw = start(config(up=fake), binary=RELEASE)
    key = gw.new_key()
    assert raw(gw, key, part("model", "whisper-1"), file("x" * MB)).status_code == 200
    gw.reset_peak()
    before = gw.memory()
    fake.read_rate = 40 * MB
    head, tail, length = form_around(64 * MB, part("model", "whisper-1"))
    with gw.wire() as w:
        w.sock.settimeout(60)
        w.head("POST", FORM, key, Content_Type=form_type(), Content_Length=length)
        w.send(head)
        for piece in pattern.pieces(64 * MB):
            w.send(piece)
        w.send(tail)
        assert w.reply().body == b'{"text": "%d bytes"}' % (64 * MB)
    assert gw.memory("VmHWM") - before < 16 * MB
