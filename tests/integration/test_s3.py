"""The types `s3` and `bedrock`, against a strict fake that checks signatures."""

import any_provider as any_
import pytest
from fakes import pattern
from fakes.openai import after_bytes, answer, on_head, on_stored, reset
from fakes.s3 import KEY_ID, SECRET, S3, error_xml
from gw import MB, Gateway, config, refused, until
from wire import form_around, form_type, part

PART = 5 * MB


def provider(fake, **more):
    return {
        "type": "s3",
        "base_url": fake.url,
        "bucket": fake.bucket,
        "region": fake.region,
        "credentials": "keys",
        "access_key_id": KEY_ID,
        "secret_access_key": SECRET,
        "part_size": "5MB",
        **more,
    }


def virtual(fake):
    return fake.url.replace("127.0.0.1", "localhost")


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    fake = S3()
    providers = {
        "up": provider(fake),
        "host": provider(fake, base_url=virtual(fake), addressing="virtual"),
        "rock": provider(fake, type="bedrock", sse="aws:kms", sse_kms_key_id="key-1"),
        "lost": provider(fake, bucket="another"),
        "west": provider(fake, region="us-west-2"),
        "wrong": provider(fake, secret_access_key="wrong"),
    }
    conf = config({"providers": providers, "routing": {"default": "up"}})
    gw = Gateway(tmp_path_factory.mktemp("s3"), conf)
    try:
        yield gw.start(), fake
        gw.stop()
    finally:
        gw.end()
    fake.stop()


@pytest.fixture
def gw(pair):
    pair[0].key = pair[0].new_key()
    return pair[0]


@pytest.fixture
def fake(pair):
    fake = pair[1]
    for held in (fake.seen, fake.faults, fake.files, fake.unfinished, fake.completions):
        held.clear()
    fake.clock_off, fake.page = 0, 1000
    yield fake
    assert fake.violations == []


def nothing_unfinished(fake):
    until(lambda: not fake.unfinished, "no upload is left unfinished")


def nothing_stored(fake):
    nothing_unfinished(fake)
    until(lambda: not fake.files, "no object is left")


def big(gw, size=2 * PART + 1, **kw):
    return any_.send(gw, size, **kw)


# --- what holds of every provider ---


class TestEvery(any_.Every):
    error = {"message": "said so"}


@pytest.mark.parametrize("how", [{}, {"chunks": True}], ids=str)
@pytest.mark.parametrize("size", [PART - 1, PART, PART + 1])
def test_what_is_longer_than_a_part_has_several(gw, fake, size, how):
    obj = any_.arrives(gw, fake, size, **how)
    any_.comes_back(gw, obj, size)
    assert len(fake.uploads()) == -(-size // PART)
    assert fake.unfinished == {}


def test_what_fails_leaves_nothing(gw, fake):
    any_.cut_upload_leaves_nothing(gw, fake)
    nothing_stored(fake)


def test_a_part_of_a_file_comes_back(gw, fake):
    path = f"/v1/files/{any_.made(any_.send(gw, 1000))['id']}/content"
    reply = gw.call(gw.key, "GET", path, headers={"Range": "bytes=10-19"})
    assert reply.status_code == 206 and reply.content == pattern.pattern(20)[10:]
    refused(gw.call(gw.key, "GET", path, headers={"Range": "bytes=1000-"}), 416)


# --- objects ---


def upload_at(gw, name, data=b"hello", filename="a.txt"):
    return gw.upload(gw.key, data, filename, path=f"/{name}/v1/files")


def test_an_object_is_named_by_us_and_tells_its_name(gw, fake):
    obj = any_.made(upload_at(gw, "up", filename="Ünï & 100%.txt"))
    ((key, stored),) = fake.files.items()
    assert key == "filemux/" + obj["id"][-26:]
    assert stored.filename == "Ünï & 100%.txt" == obj["filename"]
    assert stored.fields["x-amz-meta-purpose"] == "vision"
    assert gw.call(gw.key, "GET", f"/v1/files/{obj['id']}").json() == obj


def test_the_bucket_may_be_in_the_hosts_name(gw, fake):
    for size in (1000, PART + 1):
        fake.files.clear()
        reply = upload_at(gw, "host", pattern.pattern(size))
        obj = any_.made(reply)
        any_.comes_back(gw, obj, size)
    assert {s.head.get("host").split(":")[0] for s in fake.seen} == {
        "files-bucket.localhost"
    }


def test_encryption_is_asked_for(gw, fake):
    for size in (10, PART + 1):
        fake.files.clear()
        any_.made(upload_at(gw, "rock", pattern.pattern(size)))
        (stored,) = fake.files.values()
        assert stored.fields["x-amz-server-side-encryption"] == "aws:kms"
        name = "x-amz-server-side-encryption-aws-kms-key-id"
        assert stored.fields[name] == "key-1"


def test_what_is_wrong_with_the_configuration_is_named(gw, fake):
    for name, said in (("lost", "no such bucket"), ("west", "'us-east-1'")):
        error = refused(upload_at(gw, name), 502, "upstream_error")
        assert said in error["message"]
    error = refused(upload_at(gw, "wrong"), 502, "upstream_auth")
    assert "wrong" == error["message"].split("'")[1] and SECRET not in error["message"]


def test_a_bucket_that_has_moved_is_named(gw, fake):
    path = f"/v1/files/{any_.made(any_.send(gw, 5))['id']}/content"
    moved = error_xml("PermanentRedirect", "use https://s3.eu-west-1.amazonaws.com")
    fake.fault(on_head(answer(301, moved, {"x-amz-bucket-region": "eu-west-1"})))
    error = refused(gw.call(gw.key, "GET", path), 502, "upstream_error")
    assert "'eu-west-1'" in error["message"] and "https" not in error["message"]


def test_a_clock_that_is_off_is_named(gw, fake):
    fake.clock_off = 3600
    error = refused(any_.send(gw, 5), 502, "upstream_auth")
    assert "clock" in error["message"]
    nothing_stored(fake)


def test_the_clients_own_credentials_go_nowhere(gw, fake):
    any_.made(any_.send(gw, 5))
    assert gw.key not in str([s.head.fields for s in fake.seen])


# --- uploads in parts ---


def test_a_part_is_sent_again_when_it_failed_on_the_way(gw, fake):
    fake.fault(after_bytes(MB, reset), method="PUT", times=2)
    any_.made(big(gw))
    (stored,) = fake.files.values()
    assert stored.sha256 == pattern.sha256(2 * PART + 1)
    assert len(fake.uploads()) == 5 and fake.unfinished == {}


def test_a_part_is_sent_again_when_s3_asks_for_it(gw, fake):
    slow = answer(503, error_xml("SlowDown", "Please reduce your request rate."))
    fake.fault(on_head(lambda x: (x.body.read_all(), slow(x))), method="PUT", times=2)
    any_.made(big(gw))
    (stored,) = fake.files.values()
    assert stored.sha256 == pattern.sha256(2 * PART + 1)
    nothing_unfinished(fake)


def test_a_part_that_was_stored_unheard_counts_once(gw, fake):
    fake.fault(on_stored(reset), method="PUT")
    assert any_.made(big(gw))["bytes"] == 2 * PART + 1
    (stored,) = fake.files.values()
    assert stored.sha256 == pattern.sha256(2 * PART + 1)


def test_an_upload_that_was_begun_unheard_is_found(gw, fake):
    fake.fault(on_stored(reset), method="POST")
    any_.made(big(gw))
    assert fake.unfinished == {}


def test_a_completion_that_was_carried_out_unheard_counts(gw, fake):
    fake.fault(on_head(lambda x: None), method="POST")  # the beginning
    fake.fault(on_stored(reset), method="POST")
    obj = any_.made(big(gw))
    assert obj["bytes"] == 2 * PART + 1 and fake.unfinished == {}


def test_an_error_within_a_200_is_one(gw, fake):
    fake.completions.append(error_xml("InvalidPart", "said so"))
    refused(big(gw), 502, "upstream_error")
    nothing_stored(fake)


def test_a_failure_within_a_200_is_tried_again(gw, fake):
    fake.completions.append(" \n \n" + error_xml("InternalError", "said so"))
    any_.made(big(gw))
    assert len(fake.files) == 1 and fake.unfinished == {}


def test_an_upload_that_fails_is_given_up(gw, fake):
    fails = answer(500, error_xml("InternalError", "said so"))
    fake.fault(on_head(lambda x: None), method="PUT")  # the first part
    fake.fault(on_head(lambda x: (x.body.read_all(), fails(x))), method="PUT", times=9)
    refused(big(gw), 502, "upstream_error")
    any_.nothing_is_left(gw)
    nothing_stored(fake)


def begin_large(w, gw, fake):
    """Two parts and a byte of four."""
    prefix, _, length = form_around(4 * PART, part("purpose", "vision"))
    fields = {"Content_Type": form_type(), "Content_Length": length}
    w.head("POST", "/v1/files", gw.key, **fields)
    w.send(prefix + pattern.pattern(2 * PART + 1))
    until(lambda: len(fake.uploads()) >= 2, "a second part is there")


def test_an_upload_is_given_up_when_the_client_goes_away(gw, fake):
    with gw.wire() as w:
        begin_large(w, gw, fake)
    until(lambda: gw.transfers() == 0, "no transfer is under way")
    nothing_stored(fake)
    any_.nothing_is_left(gw)


def test_an_upload_a_crash_left_unfinished_is_given_up(start, fake):
    """The journal knows the object's name; the deletion finds the upload."""
    journal = {"lease": "2s", "sweep_interval": "1s"}
    gw = start(config({"providers": {"up": provider(fake)}, "journal": journal}))
    gw.key = gw.new_key()
    with gw.wire() as w:
        begin_large(w, gw, fake)
        gw.kill()
    assert len(fake.unfinished) == 1
    gw.start()
    until(lambda: not fake.unfinished, "the upload is given up", 30)
