"""Fills in the texts of the catalogue.

A text is a format string over the parameters of its code. `{name}` is shown by the type of the value: a string escaped,
a time as a moment, a timedelta as a duration, a nested message as its own text, a tuple as a list. A format after the
colon says more:

    {path:code}                       a name or command, set as code
    {at:t}                            a time in one of Discord's styles (t, T, d, D, f, F, R)
    {size:bytes}                      a number of bytes as "512 MiB"
    {commit:short}                    the first characters of a commit id
    {release:release}                 the commit in a release's name, likewise
    {length:rough}                    a timedelta in one unit: "90 s", "22 min", "3 h"
    {parts:clauses}, {paths:or}       a tuple, with semicolons or "or" in between; {all:lines}: on lines
    {cause:sentence}, {cause:clause}  a text that ends with a full stop; one that does not
    {count} {count:plural|restart|restarts}

Where a text depends on more than a count, the catalogue holds a function of the parameters that returns such a string.
"""

import string
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Protocol

from opsbot.core.deployment import SHORT, commit_in
from opsbot.core.message import GeneralCode, Message, MessageError, Param
from opsbot.formatting import duration, size
from opsbot.messages.catalogue import texts
from opsbot.messages.text import Text

_ENDS = {"sentence": ".", "clause": ""}
_BETWEEN = {"clauses": "; ", "or": " or ", "lines": "\n"}


class TextStyle(Protocol):
    """How the parts of a text look where it is shown."""

    def text(self, value: str) -> str:
        """Text from outside, made harmless."""

    def code(self, value: str) -> str:
        """A name, path or command."""

    def moment(self, at: datetime, style: str) -> str:
        """A time. style: one of Discord's letters; "f" is date and time, "t" the time of day, "R" relative."""


class PlainStyle:
    """Plain text: the command line, mails and logs. Times in UTC."""

    def text(self, value: str) -> str:
        """As it is: whoever prints it cleans the whole line."""
        return value

    def code(self, value: str) -> str:
        """Between backticks, like in the documentation."""
        return f"`{value}`"

    def moment(self, at: datetime, style: str) -> str:
        """Date and time in UTC, whatever the style: a log line ages."""
        seconds = ":%S" if style == "T" else ""
        return f"{at.astimezone(UTC):%Y-%m-%d %H:%M{seconds}} UTC"


PLAIN = PlainStyle()


def render(value: Message | None, style: TextStyle = PLAIN) -> str:
    """The text of a message, "" for None. A code that this version does not know is shown with its parameters."""
    if value is None:
        return ""
    if value.code == GeneralCode.TEXT:
        return _show(value.params.get("text"), "", style)
    text = texts().get(value.code)
    if text is None:
        known = ", ".join(f"{name}={_show(each, '', style)}" for name, each in value.params.items())
        return style.text(value.code) + (f" ({known})" if known else "")
    return _fill(text, value.params, style)


def describe(error: Exception) -> str:
    """The text of an error, in plain text: of its message where it carries one."""
    return render(error.message) if isinstance(error, MessageError) else str(error)


def _fill(text: Text, params: Mapping[str, Param], style: TextStyle) -> str:
    template = text if isinstance(text, str) else text(params)
    return "".join(
        literal + ("" if name is None else _show(params.get(name), spec, style))
        for literal, name, spec in _parsed(template)
    )


@lru_cache(maxsize=512)
def _parsed(template: str) -> tuple[tuple[str, str | None, str], ...]:
    return tuple((literal, name, spec or "") for literal, name, spec, _ in string.Formatter().parse(template))


def _show(value: Param, spec: str, style: TextStyle) -> str:
    if spec.startswith("plural|"):
        one, many = spec.split("|")[1:]
        return one if value == 1 else many
    if spec in _ENDS:
        shown = _show(value, "", style)
        return shown if spec == "sentence" and shown.endswith(("!", "?")) else shown.rstrip(".") + _ENDS[spec]
    if isinstance(value, Message):
        return render(value, style)
    if isinstance(value, tuple):
        between, spec = (_BETWEEN[spec], "") if spec in _BETWEEN else (", ", spec)
        return between.join(_show(each, spec, style) for each in value)
    if isinstance(value, datetime):
        return style.moment(value, spec or "f")
    if isinstance(value, timedelta):
        return _rough(value) if spec == "rough" else duration(value)
    if spec == "bytes" and isinstance(value, int | float):
        return size(value)
    if isinstance(value, str):
        return _shown_text(value, spec, style)
    return "" if value is None else style.text(str(value))


def _rough(length: timedelta) -> str:
    seconds = max(round(length.total_seconds()), 0)
    if seconds < 100:  # noqa: PLR2004 - up to here seconds say more than minutes
        return f"{seconds} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{round(minutes / 60)} h"  # noqa: PLR2004 - two hours


def _shown_text(value: str, spec: str, style: TextStyle) -> str:
    if spec == "plain-short":
        return style.text(value[:SHORT])
    if spec in {"short", "release"}:
        return style.code((commit_in(value) if spec == "release" else value)[:SHORT])
    return style.code(value) if spec == "code" else style.text(value)
