"""Expect: 100-continue: whoever is refused is not invited to send."""

import pytest
from gw import refused
from wire import file_part, form, form_type, part

BODY = form(part("purpose", "vision"), file_part(b"x", "a"))


def ask(gw, key, target="/v1/files", length=len(BODY), **fields):
    w = gw.wire()
    w.head(
        "POST", target, key, Content_Type=form_type(), Content_Length=length,
        Expect="100-continue", **fields,
    )  # fmt: skip
    return w


def first_word(w):
    """The first head of the reply, with its body unless it is a 1xx."""
    reply = w.reply_head()
    if reply.status >= 200:
        w._body(reply)
    return reply


def test_a_good_request_is_invited_once(gw, up, key):
    with ask(gw, key) as w:
        assert w.reply_head().status == 100
        w.send(BODY)
        assert w.reply_head().status == 200
    assert len(up.files) == 1


def test_a_body_that_does_not_wait_is_read_all_the_same(gw, up, key):
    with ask(gw, key) as w:
        w.send(BODY)
        assert w.reply().status == 200


@pytest.mark.parametrize(
    "target, status",
    [("/v1/files", 401), ("/nowhere", 404), ("/v1/files/x/content", 405)],
)
def test_a_refusal_comes_instead_of_the_invitation(gw, up, key, target, status):
    secret = "sk-wrong" if status == 401 else key
    with ask(gw, secret, target) as w:
        refused(first_word(w), status)
    assert up.seen == []


def test_a_length_over_the_limit_is_not_invited(gw, up, key):
    with ask(gw, key, length=1 << 40) as w:
        refused(first_word(w), 413)
    assert up.seen == []


def test_a_length_over_the_keys_limit_is_not_invited(gw, up):
    with ask(gw, gw.new_key(max_file_bytes=100), length=100 << 20) as w:
        refused(first_word(w), 413)
    assert up.seen == []


def test_an_operation_not_allowed_is_not_invited(gw, up):
    with ask(gw, gw.new_key(operations=["read"])) as w:
        refused(first_word(w), 403)


def test_a_provider_not_allowed_is_not_invited(gw, up):
    with ask(gw, gw.new_key(providers=["local"]), "/up/v1/files") as w:
        refused(first_word(w), 403)


def test_a_wrong_content_type_is_not_invited(gw, up, key):
    with gw.wire() as w:
        w.head(
            "POST", "/v1/files", key, Content_Type="text/plain", Content_Length=9,
            Expect="100-continue",
        )  # fmt: skip
        refused(first_word(w), 415)


def test_an_unknown_expectation_is_no_reason_to_hang(gw, up, key):
    with gw.wire() as w:
        w.head(
            "POST", "/v1/files", key, Content_Type=form_type(),
            Content_Length=len(BODY), Expect="miracles",
        )  # fmt: skip
        w.send(BODY)
        assert w.reply().status in (200, 400, 417)
