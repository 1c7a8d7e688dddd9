"""The kinds of value a configuration key may have: how each is read, what is said when it is wrong, how it is written.

A kind's `read` takes what tomli gave and returns the value that `opsbot.config` holds, or raises `WrongError` saying
what was found and what would be right. Values are shown by `display_value`, which never shows a secret.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from difflib import get_close_matches
from enum import StrEnum
from typing import Any

from opsbot.config_file.leaks import redacted
from opsbot.core.amounts import parse_duration, parse_size, show_duration, show_size

_SHOWN_AT_MOST = 60


class WrongError(ValueError):
    """The value is wrong. `faults`: where in it (a path, empty for the whole) and what is to be said."""

    def __init__(self, text: str = "", faults: Iterable[tuple[tuple[str | int, ...], str]] = ()) -> None:
        """One fault of the whole value, or several within it."""
        self.faults = tuple(faults) or (((), text),)
        super().__init__("; ".join(text for _, text in self.faults))


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of value. `what` completes "expected …"; `example` is TOML."""

    what: str
    example: str
    read: Callable[[Any], Any]

    def wrong(self, value: object) -> WrongError:
        """What is said of a value that is of another kind altogether."""
        return WrongError(f"found {found(value)}; expected {self.what}, for example {self.example}")


def quoted(text: str) -> str:
    """The text as a TOML basic string."""
    marks = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    return '"' + "".join(marks.get(c, c if c.isprintable() else f"\\U{ord(c):08X}") for c in text) + '"'


def display_value(value: object) -> str:
    """A value as TOML for people: short, on one line, without secrets."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return str(value)
    text = redacted(value)
    return quoted(text if len(text) <= _SHOWN_AT_MOST else text[: _SHOWN_AT_MOST - 1] + "…")


def found(value: object) -> str:
    """What was found, with its type: `the string "5"`, `a table`."""
    match value:
        case bool() | int() | float():
            name = "the boolean" if isinstance(value, bool) else "the number"
            return f"{name} {display_value(value)}"
        case str():
            return f"the string {display_value(value)}"
        case list():
            return "an array" if value else "an empty array"
        case datetime() | date() | time():
            return f"the date or time {value}"
    return "a table"


def nearest(word: str, words: Iterable[str]) -> str:
    """A sentence's end that proposes the nearest of the words: `; did you mean "x"?`, or nothing."""
    match = get_close_matches(word, list(words), n=1, cutoff=0.6)
    return f"; did you mean {match[0]}?" if match else ""


def kind_of(what: str, example: str, read: Callable[[Kind, Any], Any]) -> Kind:
    """A kind whose `read` is given the kind itself, to speak of it."""
    kind: Kind
    kind = Kind(what, example, lambda value: read(kind, value))
    return kind


def unfit(value: object, said: str) -> WrongError:
    """The error that shows a value and says what is wrong with it."""
    return WrongError(f"{display_value(value)} {said}")


def text_kind(what: str, example: str, read: Callable[[str], Any]) -> Kind:
    """A kind that is written as a string."""
    return kind_of(what, example, lambda kind, value: read(string_of(kind, value)))


def string_of(kind: Kind, value: object) -> str:
    """The value if it is a string.

    Raises:
        WrongError: it is not, or it holds a NUL character, which no path and no argument can hold.
    """
    if not isinstance(value, str):
        raise kind.wrong(value)
    if "\0" in value:
        raise WrongError("holds a NUL character; leave it out")
    return value


def text(what: str = "a text", example: str = '"text"', *, most: int = 10_000, lines: bool = False) -> Kind:
    """A string that is not empty, on one line unless `lines`."""

    def read(value: str) -> str:
        if not value.strip():
            raise WrongError(f"is empty; expected {what}, for example {example}")
        if len(value) > most:
            raise WrongError(f"has {len(value)} characters; at most {most} are allowed")
        if not lines and not value.isprintable():
            raise WrongError(f"holds a line break or a control character; expected {what} on one line")
        return value

    return text_kind(what, example, read)


def anything() -> Kind:
    """Any string, empty ones and several lines included."""
    return kind_of("a text", '"text"', string_of)


def boolean() -> Kind:
    def read(kind: Kind, value: object) -> bool:
        if not isinstance(value, bool):
            raise kind.wrong(value)
        return value

    return kind_of("true or false", "true", read)


def integer(least: int, most: int, example: int, what: str = "a whole number") -> Kind:
    """A whole number between two others, both included."""
    span = f"{what} from {least} to {most}"

    def read(kind: Kind, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise kind.wrong(value)
        if not least <= value <= most:
            raise WrongError(f"{value} is out of range; expected {span}, for example {example}")
        return value

    return kind_of(span, str(example), read)


def duration(least: timedelta, most: timedelta, example: str) -> Kind:
    """A duration between two others, both included."""
    form = '"90s", "5m", "1h30m", "7d" or "500ms"'
    return _amount("duration", least, most, example, parse_duration, show_duration, form)


def size(least: int, most: int, example: str) -> Kind:
    """A number of bytes between two others, both included."""
    return _amount("size", least, most, example, parse_size, show_size, '"512KiB", "50MiB" or "2GiB"')


def _amount(
    name: str, least: Any, most: Any, example: str, parse: Callable[[str], Any], show: Callable[[Any], str], form: str
) -> Kind:
    """A number with a unit. form: examples of how it is written."""
    span = f"a {name} from {show(least)} to {show(most)}"

    def read(kind: Kind, value: object) -> Any:
        if isinstance(value, int) and not isinstance(value, bool):
            better = f"{max(value, 1)}s" if name == "duration" else example
            raise WrongError(f'found the number {value} without a unit; write the unit, for example "{better}"')
        string = string_of(kind, value)
        try:
            amount = parse(string.strip())
        except ValueError as error:
            raise unfit(value, f"is not a {name}; write it like {form}") from error
        if not least <= amount <= most:
            raise unfit(value, f'is out of range; expected {span}, for example "{example}"')
        return amount

    return kind_of(span, f'"{example}"', read)


def choice(of: type[StrEnum]) -> Kind:
    words = [str(word) for word in of]
    what = "one of " + ", ".join(f'"{word}"' for word in words)

    def read(value: str) -> StrEnum:
        if value not in words:
            guess = nearest(quoted(value), map(quoted, words))
            raise unfit(value, f"is not known{guess}; expected {what}")
        return of(value)

    return text_kind(what, f'"{words[0]}"', read)


def _each(kind: Kind, elements: Iterable[tuple[str | int, Any]]) -> dict[str | int, Any]:
    """The values of these elements, by their place.

    Raises:
        WrongError: with all that is wrong with them.
    """
    values: dict[str | int, Any] = {}
    faults: list[tuple[tuple[str | int, ...], str]] = []
    for place, element in elements:
        try:
            values[place] = kind.read(element)
        except WrongError as error:
            faults += [((place, *where), said) for where, said in error.faults]
    if faults:
        raise WrongError(faults=faults)
    return values


def listed(kind: Kind, what: str, example: str, *, least: int = 0, once: bool = False) -> Kind:
    """An array of values of one kind. once: a value given twice is a slip; what was meant may be missing."""

    def read(this: Kind, value: object) -> tuple[Any, ...]:
        taken: list[Any] = []

        def one(value: object) -> Any:
            found = kind.read(value)
            if once and found in taken:
                raise unfit(value, "is named twice; keep one of them")
            taken.append(found)
            return found

        if not isinstance(value, list):
            raise this.wrong(value)
        if len(value) < least:
            raise WrongError(f"is empty; expected {what}, for example {example}")
        return tuple(_each(Kind("", "", one), enumerate(value)).values())

    return kind_of(what, example, read)


def command(example: str) -> Kind:
    """A command as a list of its arguments; never a shell string."""
    inner = listed(anything(), "an array of a command and its arguments", example, least=1)

    def read(kind: Kind, value: object) -> tuple[str, ...]:
        if isinstance(value, str):
            words = ", ".join(display_value(word) for word in value.split()) or "..."
            raise WrongError(f"found one string; no shell is involved: write each argument by itself: [{words}]")
        run: tuple[str, ...] = inner.read(value)
        if not run[0].strip():
            raise WrongError(f"the first argument is empty; expected {kind.what}, for example {example}")
        return run

    return kind_of(inner.what, example, read)


def table_of(kind: Kind, what: str, example: str, names: re.Pattern[str], name: str) -> Kind:
    def one(item: tuple[str, object]) -> Any:
        if not names.fullmatch(item[0]):
            raise WrongError(f"is not {name}; for example {example}")
        return kind.read(item[1])

    def read(this: Kind, value: object) -> Mapping[str | int, Any]:
        if not isinstance(value, dict):
            raise this.wrong(value)
        return _each(Kind("", "", one), ((key, (key, element)) for key, element in value.items()))

    return kind_of(what, example, read)


def pattern() -> Kind:
    """A regular expression; kept as text once it is known to compile."""

    def read(value: str) -> str:
        try:
            re.compile(value)
        except (re.error, OverflowError, RecursionError) as error:
            raise unfit(value, f'is not a regular expression ({error}); for example "ok", or "\\\\(ok\\\\)"') from error
        return value

    return text_kind("a regular expression", '"\\"status\\": *\\"ok\\""', read)
