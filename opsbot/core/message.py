"""A statement as data: a code from a closed list, and its parameters.

The store, the wire and every decision hold messages; text is rendered from them where it is shown
(`opsbot.messages`). A message is compared by its code and parameters, never by its text.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, TypeAlias, Union

Param: TypeAlias = Union[str, int, float, datetime, timedelta, "Message", tuple["Param", ...], None]
"""What a message may be about. Strings are untrusted text: they are escaped when rendered."""


class MessageCode(StrEnum):
    """Base of the lists of codes, one for each area; values read `AREA.CODE`.

    The comment of a member names its parameters and their units. Each member has a text in `opsbot.messages`.
    """


class GeneralCode(MessageCode):
    """Codes of no area."""

    TEXT = "general.text"
    """text: a sentence written by an earlier version or by somebody else (git, npm, systemd), shown unchanged."""


@dataclass(frozen=True, slots=True)
class Message:
    """A code and its parameters.

    code: the value of a member of a subclass of `MessageCode`. A plain string, as a row or a peer may hold a code that
    a newer version wrote.
    """

    code: str
    params: Mapping[str, Param] = field(default_factory=dict)

    def __hash__(self) -> int:
        """Messages that are equal have the same code."""
        return hash(self.code)


def message(code: MessageCode, /, **params: Param) -> Message:
    return Message(code, params)


def plain(text: str) -> Message:
    """A text of an earlier version or of another program."""
    return Message(GeneralCode.TEXT, {"text": text})


class MessageError(Exception):
    """An error with a message, which front ends and logs render."""

    def __init__(self, message: Message) -> None:
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        return f"{self.message.code} {dict(self.message.params)}" if self.message.params else self.message.code


def message_of(error: Exception) -> Message:
    """What an error says: its message, or its text where it has none."""
    return error.message if isinstance(error, MessageError) else plain(str(error) or type(error).__name__)


def redacted(value: Message, redact: Callable[[str], str]) -> Message:
    """Apply `redact` to each string in a message; an unchanged one is returned."""
    changed = {name: clean for name, each in value.params.items() if (clean := _redacted(each, redact)) != each}
    return Message(value.code, {**value.params, **changed}) if changed else value


def _redacted(value: Param, redact: Callable[[str], str]) -> Param:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Message):
        return redacted(value, redact)
    return tuple(_redacted(each, redact) for each in value) if isinstance(value, tuple) else value


def encode(value: Message) -> dict[str, Any]:
    """A message as JSON values: `{"code": ..., "params": {...}}`."""
    return {"code": str(value.code), "params": {name: _encode(each) for name, each in value.params.items()}}


def decode(value: Mapping[str, Any]) -> Message:
    return Message(value["code"], {name: _decode(each) for name, each in value.get("params", {}).items()})


def decode_kept(value: str | Mapping[str, Any] | None) -> Message | None:
    """A message that may be missing; an earlier version kept its text."""
    if isinstance(value, str):
        return plain(value) if value else None
    return None if value is None else decode(value)


def _encode(value: Param) -> Any:
    if isinstance(value, datetime):
        return {"at": value.timestamp()}
    if isinstance(value, timedelta):
        return {"seconds": value.total_seconds()}
    if isinstance(value, Message):
        return encode(value)
    if isinstance(value, tuple):
        return [_encode(each) for each in value]
    return value


def _decode(value: Any) -> Param:
    if isinstance(value, list):
        return tuple(_decode(each) for each in value)
    if not isinstance(value, dict):
        return value  # type: ignore[no-any-return]
    if "at" in value:
        return datetime.fromtimestamp(value["at"], UTC)
    if "seconds" in value:
        return timedelta(seconds=value["seconds"])
    return decode(value)
