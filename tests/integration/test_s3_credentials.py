"""Keys for AWS from a profile, from a container's and an instance's metadata."""

import time

import any_provider as any_
import pytest
from fakes import pattern
from fakes.aws_metadata import AwsMetadata
from fakes.openai import answer, on_head
from fakes.s3 import KEY_ID, S3, SECRET, Key, error_xml
from gw import MB, config, refused, until

PART = 5 * MB


@pytest.fixture
def fake():
    fake = S3()
    fake.keys.clear()
    yield fake
    fake.stop()
    assert fake.violations == []


@pytest.fixture
def metadata(fake):
    metadata = AwsMetadata(fake)
    yield metadata
    metadata.stop()
    assert metadata.violations == []


@pytest.fixture
def run(start, fake):
    """run(key=value …, env={…}): a gateway with that provider."""

    def run_one(env=None, **more):
        up = {
            "type": "s3",
            "base_url": fake.url,
            "bucket": fake.bucket,
            "part_size": "5MB",
            **more,
        }
        gw = start(config({"providers": {"up": up}}), env=env)
        gw.key = gw.new_key()
        return gw

    return run_one


def instance(metadata):
    return {"credentials": "instance", "metadata_endpoint": metadata.url}


def nothing_unfinished(fake):
    until(lambda: not fake.unfinished, "no upload is left unfinished")


# --- known when the configuration is read ---


def test_keys_of_the_environment_are_used(run, fake):
    fake.keys = {KEY_ID: Key(SECRET)}
    env = {"AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET}
    env["AWS_REGION"] = fake.region
    any_.lives(run(env=env), fake)


def test_a_profile_is_used(run, fake, tmp_path):
    fake.keys = {"ASIAPROFILE": Key(SECRET, "t0ken")}
    fake.region = "eu-west-3"
    aws = tmp_path / ".aws"
    aws.mkdir()
    (aws / "credentials").write_text(
        f"[default]\naws_access_key_id = no\n\n[work]\naws_access_key_id=ASIAPROFILE\n"
        f"aws_secret_access_key = {SECRET}\naws_session_token = t0ken\n"
    )
    (aws / "config").write_text("[profile work]\nregion = eu-west-3\n")
    env = {"HOME": str(tmp_path), "AWS_PROFILE": "work"}
    any_.lives(run(env=env), fake)


# --- got from a service ---


def test_an_instances_keys_are_got_once(run, fake, metadata):
    gw = run(**instance(metadata))
    any_.lives(gw, fake)
    any_.made(any_.send(gw, 2 * PART + 1))
    assert [m for m, _ in metadata.asked] == ["PUT", "GET", "GET"]
    assert len(metadata.given) == 1


def test_nothing_that_was_asked_for_metadata_is_told_to_the_client(run, metadata):
    metadata.role = None
    error = refused(any_.send(run(**instance(metadata)), 5), 502, "upstream_auth")
    assert "role" in error["message"] and "127.0.0.1" not in error["message"]


def test_a_containers_keys_need_its_token(run, fake, metadata):
    url = metadata.url + "/container/credentials"
    gw = run(env={"AWS_CONTAINER_CREDENTIALS_FULL_URI": url,
                  "AWS_CONTAINER_AUTHORIZATION_TOKEN": metadata.container_token,
                  "AWS_ACCESS_KEY_ID": "", "HOME": "/nowhere"})  # fmt: skip
    any_.lives(gw, fake)
    gw = run(credentials="container", container_token="wrong",
             container_relative_uri="/container/credentials",
             container_endpoint=metadata.url)  # fmt: skip
    error = refused(any_.send(gw, 5), 502, "upstream_auth")
    assert "401" in error["message"] and "wrong" not in error["message"]


def test_keys_that_have_expired_are_got_anew(run, fake, metadata):
    gw = run(**instance(metadata))
    path = f"/v1/files/{any_.made(any_.send(gw, 5))['id']}"
    for method, where in (("GET", path + "/content"), ("DELETE", path)):
        fake.keys[metadata.given[-1]].expires = time.time() - 1
        assert gw.call(gw.key, method, where).status_code == 200
    fake.keys[metadata.given[-1]].expires = time.time() - 1
    any_.made(any_.send(gw, 5))
    assert len(metadata.given) == 4


@pytest.mark.parametrize("when", ["POST", "PUT"])
def test_an_upload_goes_on_with_new_keys(run, fake, metadata, when):
    gw = run(**instance(metadata))

    def expire(x):
        fake.keys[metadata.given[-1]].expires = time.time() - 1

    for _ in range(3):  # then the same again, with new keys
        fake.fault(on_head(expire), method=when)
        fake.fault(on_head(lambda x: None), method=when)
    obj = any_.made(any_.send(gw, 2 * PART + 1))
    assert obj["bytes"] == 2 * PART + 1 and len(metadata.given) > 2
    (stored,) = fake.files.values()
    assert stored.sha256 == pattern.sha256(2 * PART + 1)
    assert fake.unfinished == {}


def test_keys_that_are_refused_for_good_end_the_upload(run, fake, metadata):
    gw = run(**instance(metadata))
    refuses = answer(403, error_xml("InvalidAccessKeyId", "said so"))
    fake.fault(on_head(lambda x: None), method="PUT")
    fake.fault(on_head(lambda x: (x.body.read_all(), refuses(x))), method="PUT", times=9)
    refused(any_.send(gw, 2 * PART + 1), 502, "upstream_auth")
    assert len(metadata.given) == 2
    any_.nothing_is_left(gw)
    nothing_unfinished(fake)


def test_a_metadata_service_that_is_down_is_told(run, fake, metadata):
    gw = run(**instance(metadata))
    metadata.instead = 503
    error = refused(any_.send(gw, 5), 502, "upstream_auth")
    assert "503" in error["message"]
    metadata.instead = None
    until(lambda: any_.send(gw, 5).status_code == 200, "it is asked again")
    assert fake.unfinished == {}


def test_a_metadata_service_that_is_not_there_is_told(run, fake):
    gw = run(credentials="instance", metadata_endpoint="http://127.0.0.1:1")
    refused(any_.send(gw, 5), 502)
    any_.nothing_is_left(gw)
    assert fake.seen == []


def test_keys_that_have_ended_already_are_not_asked_for_again_and_again(run, metadata):
    metadata.lifetime = -100
    gw = run(**instance(metadata))
    refused(any_.send(gw, 5), 502, "upstream_auth")
    assert len(metadata.given) <= 3
