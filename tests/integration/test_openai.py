"""The type `openai`: what holds of every type, in front of the shared fake.

What is special about it stands in the modules of the gateway itself, most of
which are tested with it."""

import any_provider as any_
import pytest
from gw import openai_provider as provider  # noqa: F401 -- as the others have it

ERROR = {"message": "said so", "type": "t", "param": None, "code": None}


@pytest.fixture
def fake(up):
    return up


@pytest.fixture
def gw(gw):
    gw.key = gw.new_key()
    return gw


class TestEvery(any_.Every):
    error = {"error": ERROR}
