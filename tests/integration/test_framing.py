"""Forms of every client, and the exact form the provider sees of each."""

import time

import pytest
from fakes import pattern
from gw import refused, until
from wire import (
    BOUNDARY,
    chunked,
    file_part,
    form,
    form_type,
    part,
    upload,
    upload_chunked,
)

# What undici sends, to the byte: the file first, 503 bytes.
UNDICI = (
    "------formdata-undici-091903099327\r\n"
    'Content-Disposition: form-data; name="file"; filename="x.jsonl"\r\n'
    "Content-Type: application/octet-stream\r\n"
    "\r\n"
    '{"a":1}\n\r\n'
    "------formdata-undici-091903099327\r\n"
    'Content-Disposition: form-data; name="purpose"\r\n'
    "\r\n"
    "batch\r\n"
    "------formdata-undici-091903099327\r\n"
    'Content-Disposition: form-data; name="expires_after[anchor]"\r\n'
    "\r\n"
    "created_at\r\n"
    "------formdata-undici-091903099327\r\n"
    'Content-Disposition: form-data; name="expires_after[seconds]"\r\n'
    "\r\n"
    "3600\r\n"
    "------formdata-undici-091903099327--\r\n"
).encode()

PURPOSE = part("purpose", "vision")
DATA = b"line\r\n--not a boundary\r\n" * 20


@pytest.fixture
def wire(gw):
    with gw.wire() as w:
        yield w


def stored_bytes(up):
    (stored,) = up.files.values()
    return stored.read()


def test_the_bytes_of_undici_are_read_as_they_are(wire, key, up):
    assert len(UNDICI) == 503
    reply = upload(wire, key, UNDICI)
    assert reply.status == 200, reply
    seen = up.uploads()[0]
    assert stored_bytes(up) == b'{"a":1}\n'
    assert seen.fields["purpose"] == "batch"
    assert seen.fields["expires_after[seconds]"] == "3600"
    assert seen.framing == "length" and seen.raw_length == seen.declared


def test_scalars_first_with_a_length_stay_so(wire, key, up):
    body = form(PURPOSE, file_part(DATA, "a.bin"))
    assert upload(wire, key, body).status == 200
    seen = up.uploads()[0]
    assert seen.order == ["purpose", "file"]
    assert seen.framing == "length" and seen.raw_length == seen.declared
    assert stored_bytes(up) == DATA


def test_the_file_first_and_chunked_goes_up_chunked(wire, key, up):
    body = form(file_part(DATA, "a.bin"), PURPOSE, boundary=BOUNDARY)
    assert upload_chunked(wire, key, body, step=7).status == 200
    seen = up.uploads()[0]
    assert seen.framing == "chunked"
    assert seen.fields == {"purpose": "vision"}
    assert stored_bytes(up) == DATA


def test_the_length_is_exact_by_the_framing_arithmetic(wire, key, up):
    """L_out = P_out + (L_in - P_in): what stands before the file is rewritten,
    what follows it is not."""
    body = form(PURPOSE, part("model", "proxy/m"), file_part(DATA, "a.bin"))
    assert upload(wire, key, body).status == 200
    seen = up.uploads()[0]
    tail = len(DATA) + len(f"\r\n--{BOUNDARY}--\r\n")
    assert BOUNDARY in seen.header("content-type")
    assert seen.raw_length == seen.declared
    assert seen.declared < len(body)
    assert stored_bytes(up) == DATA and seen.declared > tail


def test_fields_of_the_gateway_never_reach_the_provider(wire, key, up):
    body = form(
        PURPOSE, part("provider", "up"), part("model", "m"), file_part(DATA, "a.bin")
    )
    assert upload(wire, key, body).status == 200
    assert up.uploads()[0].order == ["purpose", "file"]


@pytest.mark.parametrize("send", [upload, upload_chunked])
def test_such_fields_behind_the_file_do_not_either(wire, key, up, send):
    body = form(file_part(DATA, "a.bin"), part("custom_llm_provider", "up"), PURPOSE)
    reply = send(wire, key, body)
    assert reply.status == 200, reply
    seen = up.uploads()[0]
    assert "custom_llm_provider" not in seen.fields
    assert seen.fields["purpose"] == "vision"
    assert stored_bytes(up) == DATA


@pytest.mark.parametrize("send", [upload, upload_chunked])
@pytest.mark.parametrize("first", [True, False])
def test_unknown_fields_are_dropped(wire, key, up, send, first):
    parts = [PURPOSE, file_part(DATA, "a.bin")]
    parts.insert(0 if first else 2, part("colour", "blue"))
    assert send(wire, key, form(*parts)).status == 200
    assert "colour" not in up.uploads()[0].order
    assert stored_bytes(up) == DATA


def test_the_expiry_may_come_behind_the_file(wire, key, up):
    body = form(
        file_part(DATA, "a.bin"),
        PURPOSE,
        part("expires_after[anchor]", "created_at"),
        part("expires_after[seconds]", "7200"),
    )
    assert upload(wire, key, body).status == 200
    assert up.uploads()[0].fields["expires_after[seconds]"] == "7200"


@pytest.mark.parametrize(
    "head, name",
    [
        (b'filename="a%22b.txt"', 'a"b.txt'),
        (b'filename="a\\"b.txt"', 'a"b.txt'),
        (b"filename=bare.txt", "bare.txt"),
        ('filename="ü.txt"'.encode(), "ü.txt"),
        (b"filename=\"x.txt\"; filename*=UTF-8''%e2%82%ac.txt", "€.txt"),
        (b'filename="../../etc/passwd"', "passwd"),
        (b'filename="C:\\\\dir\\\\x.txt"', "x.txt"),
    ],
)
def test_names_are_read_in_every_quoting(wire, key, up, head, name):
    file = b'content-disposition:form-data; name="file"; ' + head + b"\r\n\r\nx"
    reply = upload(wire, key, form(PURPOSE, file))
    assert reply.status == 200, reply
    assert up.uploads()[0].file.filename == name
    assert up.uploads()[0].file.content_type == "application/octet-stream"


def test_a_file_without_a_name_gets_one(wire, key, up):
    assert upload(wire, key, form(PURPOSE, part("file", "x"))).status == 200
    assert up.uploads()[0].file.filename


def test_preamble_epilogue_and_part_lengths_stay_behind(wire, key, up):
    file = part("file", "x", "a", "text/plain", "\r\nContent-Length: 1")
    body = b"preamble\r\n" + form(PURPOSE, file) + b"epilogue"
    assert upload(wire, key, body).status == 200
    assert stored_bytes(up) == b"x"


def test_a_missing_final_line_end_is_fine(wire, key, up):
    body = form(PURPOSE, file_part(b"x", "a"))
    assert upload(wire, key, body[:-2]).status == 200
    assert stored_bytes(up) == b"x"


def test_a_quoted_boundary_is_read(wire, key, up):
    body = form(PURPOSE, file_part(b"x", "a"), boundary="a b:c")
    wire.head(
        "POST", "/v1/files", key, Content_Length=len(body),
        Content_Type='multipart/form-data; charset=utf-8; BOUNDARY="a b:c"',
    )  # fmt: skip
    wire.send(body)
    assert wire.reply().status == 200
    assert stored_bytes(up) == b"x"


@pytest.mark.parametrize("step", [1, 3])
def test_a_form_that_trickles_in_is_the_same_form(wire, key, up, step):
    body = form(PURPOSE, file_part(DATA, "a.bin"))
    wire.head(
        "POST", "/v1/files", key, Content_Type=form_type(), Content_Length=len(body)
    )
    wire.send_slowly(body, step)
    assert wire.reply().status == 200
    assert stored_bytes(up) == DATA


@pytest.mark.parametrize("last", [PURPOSE, None], ids=["field", "file"])
def test_a_form_may_pause_anywhere_behind_its_file(wire, key, up, last):
    parts = [file_part(b"abc", "a.bin"), PURPOSE]
    body = form(*(parts if last else reversed(parts)))
    start = body.index(b"abc")
    for cut in range(start, len(body)):
        wire.head(
            "POST", "/v1/files", key, Content_Type=form_type(), Content_Length=len(body)
        )
        wire.send(body[:cut])
        time.sleep(0.005)  # for the gateway to read so far; it need not have
        wire.send(body[cut:])
        assert wire.reply().status == 200, f"paused at {body[cut - 20:cut]!r}"
        assert stored_bytes(up) == b"abc"
        up.files.clear()


def test_near_boundaries_in_the_file_are_data(wire, key, up):
    data = b"".join(
        b"\r\n--" + BOUNDARY.encode()[:n] + b"\r" for n in range(len(BOUNDARY) + 1)
    ).replace(b"--" + BOUNDARY.encode() + b"\r", b"")
    assert upload_chunked(wire, key, form(PURPOSE, file_part(data)), 5).status == 200
    assert stored_bytes(up) == data


@pytest.mark.parametrize("send", [upload, upload_chunked])
def test_megabytes_arrive_intact(wire, key, up, send):
    data = pattern.pattern(8_000_001)
    body = form(file_part(data, "big.bin"), PURPOSE)
    kw = {"step": 100_003} if send is upload_chunked else {}
    assert send(wire, key, body, **kw).status == 200
    assert up.uploads()[0].file.sha256 == pattern.sha256(8_000_001)


def test_a_connection_serves_upload_after_upload(wire, key, up):
    for i in range(5):
        assert upload(wire, key, form(PURPOSE, file_part(b"%d" % i))).status == 200
    assert [f.read() for f in up.files.values()] == [b"%d" % i for i in range(5)]


GOOD = form(PURPOSE, file_part(b"x", "a"))


@pytest.mark.parametrize(
    "body, param",
    [
        (form(file_part(b"x", "a")), "purpose"),
        (form(PURPOSE), "file"),
        (form(PURPOSE, part("purpose", "batch"), file_part(b"x")), "purpose"),
        (form(PURPOSE, file_part(b"x"), file_part(b"y")), "file"),
        (form(file_part(b"x"), PURPOSE, PURPOSE), "purpose"),
        (
            form(PURPOSE, part("expires_after[anchor]", "now"),
                 part("expires_after[seconds]", "3600"), file_part(b"x")),
            "expires_after[anchor]",
        ),
        (
            form(PURPOSE, part("expires_after[anchor]", "created_at"),
                 part("expires_after[seconds]", "3599"), file_part(b"x")),
            "expires_after[seconds]",
        ),
        (
            form(PURPOSE, part("expires_after[anchor]", "created_at"), file_part(b"x")),
            "expires_after",
        ),
        (
            form(file_part(b"x"), PURPOSE, part("expires_after[seconds]", "1e9"),
                 part("expires_after[anchor]", "created_at")),
            "expires_after[seconds]",
        ),
        (GOOD[:-6], None),
        (GOOD.replace(b"form-data", b"attachment"), None),
        (b"", None),
        (b"hello", None),
    ],
    ids=[
        "no purpose", "no file", "two purposes", "two files", "late second purpose",
        "anchor", "seconds", "no seconds", "late bad seconds", "no closing delimiter",
        "not form-data", "empty", "no form",
    ],
)  # fmt: skip
def test_bad_forms_are_refused_and_leave_nothing(gw, wire, key, up, body, param):
    error = refused(upload(wire, key, body), 400)
    assert error["param"] == param
    assert gw.call(key, "GET", "/v1/files").json()["data"] == []
    until(lambda: all(s.done.is_set() for s in up.seen), "the fake is at rest")
    assert up.files == {}


@pytest.mark.parametrize(
    "kind, status",
    [
        ("application/json", 415),
        ("multipart/mixed; boundary=x", 415),
        ("multipart/form-data", 400),
        ("multipart/form-data; boundary=" + "b" * 71, 400),
    ],
)
def test_bad_content_types_are_refused(wire, key, up, kind, status):
    wire.head("POST", "/v1/files", key, Content_Type=kind, Content_Length=2)
    wire.send("{}")
    refused(wire.reply(), status)
    assert up.seen == []


@pytest.mark.parametrize("chunk", [b"x\r\n", b"-1\r\n", b"1 \r\nab", b"3\r\nabcd\r\n"])
def test_broken_chunks_are_refused_and_leave_nothing(wire, key, up, chunk):
    head = form(PURPOSE, file_part(b"x" * 1000))[:600]
    wire.head(
        "POST", "/v1/files", key, Content_Type=form_type(), Transfer_Encoding="chunked"
    )
    wire.send(chunked(head, 600)[:-5] + chunk)
    refused(wire.reply(), 400)
    assert wire.is_closed()
    until(lambda: all(s.done.is_set() for s in up.seen), "the fake is at rest")
    assert up.files == {}
