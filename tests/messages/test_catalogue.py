import string
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from opsbot.core.message import Message, MessageCode, decode, encode, plain, redacted
from opsbot.messages import render
from opsbot.messages.catalogue import texts


def codes() -> Iterator[MessageCode]:
    texts()  # imports every area, and with it every list of codes
    for each in MessageCode.__subclasses__():
        yield from each


def test_every_code_has_a_text_and_every_text_a_code() -> None:
    assert {str(code) for code in codes()} == {str(code) for code in texts()}


def test_no_two_codes_share_a_value() -> None:
    found = [code.value for code in codes()]

    assert len(found) == len(set(found))


@pytest.mark.parametrize("code", sorted(texts()))
def test_a_text_names_in_braces_only_parameters_that_its_code_documents(code: str) -> None:
    text = texts()[code]
    if not isinstance(text, str):
        return

    for _, name, _, _ in string.Formatter().parse(text):
        assert name is None or name.isidentifier()


def test_an_unknown_code_is_shown_with_its_parameters() -> None:
    assert render(Message("future.thing", {"count": 3})) == "future.thing (count=3)"


def test_a_message_is_the_same_after_a_trip_through_json() -> None:
    at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    nested = Message("one.two", {"at": at, "took": timedelta(seconds=1.5), "names": ("a", "b"), "inner": plain("x")})

    assert decode(encode(nested)) == nested


def test_text_of_an_earlier_version_is_shown_unchanged() -> None:
    assert render(plain("restart 1 of 3 {at}")) == "restart 1 of 3 {at}"


def test_strings_of_a_message_are_redacted_however_deep_they_are() -> None:
    secret = Message(
        "one.two", {"text": "key=hunter2", "count": 3, "inner": plain("hunter2"), "names": ("hunter2", "b")}
    )

    found = redacted(secret, lambda text: text.replace("hunter2", "***"))

    assert found == Message("one.two", {"text": "key=***", "count": 3, "inner": plain("***"), "names": ("***", "b")})


def test_a_message_without_secrets_stays_the_same_object() -> None:
    harmless = Message("one.two", {"inner": plain("x"), "count": 3})

    assert redacted(harmless, str.strip) is harmless
