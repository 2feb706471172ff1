"""The fixtures: one shared gateway for most tests, fresh ones for faults.

Every gateway is stopped by SIGTERM at its end, must exit with 0, and must not
have had a word from a sanitizer. Every fake must not have seen bad HTTP.
"""

import openai
import pytest
from fakes.openai import OpenAI
from gw import Gateway, Redis, config


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """The shared gateway with its two fakes and a local disk."""
    up, other = OpenAI(), OpenAI(api_key="sk-other")
    conf = config(
        {
            "providers": {"local": {"type": "disk", "path": "./data/files"}},
            "models": {"gpt-there": {"provider": "other", "model": "gpt-4o"}},
        },
        up=up,
        other=other,
    )
    gw = Gateway(tmp_path_factory.mktemp("shared"), conf)
    try:
        yield gw.start(), up, other
        gw.stop()
    finally:
        gw.end()
    up.stop()
    other.stop()


def _fresh(fake):
    """Nothing left of the test before."""
    fake.seen.clear()
    fake.faults.clear()
    fake.quirks.clear()
    fake.files.clear()
    fake.kept.clear()
    fake.read_rate = fake.write_rate = 0
    fake.reset_inference()
    fake.first_status = "processed"
    fake.details = None
    return fake


@pytest.fixture
def gw(shared):
    """The shared gateway: providers up (the default), other, local."""
    gw = shared[0]
    yield gw
    if not gw.runs:
        told = gw.bury()
        gw.start()
        pytest.fail(f"the shared gateway died:\n{told}")


@pytest.fixture
def up(shared):
    """The fake behind the shared gateway's default provider."""
    yield _fresh(shared[1])
    assert shared[1].violations == []


@pytest.fixture
def other(shared):
    """The fake behind the shared gateway's provider `other`."""
    yield _fresh(shared[2])
    assert shared[2].violations == []


@pytest.fixture
def key(gw):
    """A new virtual key of the shared gateway."""
    return gw.new_key()


@pytest.fixture
def sdk(gw, up, key):
    """The official SDK with a new key of the shared gateway."""
    with sdk_for(gw, key) as client:
        yield client


def sdk_for(gw, key, path="/v1"):
    return openai.OpenAI(base_url=gw.url + path, api_key=key, max_retries=0)


@pytest.fixture
def fake():
    """A fake of one's own."""
    fake = OpenAI()
    yield fake
    fake.stop()
    assert fake.violations == []


@pytest.fixture
def start(tmp_path):
    """start(conf): gateways of one's own, stopped at the end."""
    started = []

    def start_one(conf, wait=True, **kw):
        folder = tmp_path / f"gw{len(started)}"
        gw = Gateway(folder, conf, **kw)
        started.append(gw)
        return gw.start(wait)

    yield start_one
    try:
        for gw in started:
            gw.stop()
    finally:
        for gw in started:
            gw.end()


@pytest.fixture
def redis(tmp_path):
    """A redis-server of one's own."""
    redis = Redis(tmp_path / "redis").start()
    yield redis
    redis.kill()


def pytest_collection_modifyitems(items):
    """What takes long starts first, so that others run beside it."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)
