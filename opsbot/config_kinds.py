"""The kinds of value a configuration key may have: how each is read, what is said when it is wrong, how it is written.

A kind's `read` takes what tomli gave and returns the value that `opsbot.config` holds, or raises `WrongError` saying what
was found and what would be right. Values are shown through `shown`, which never shows a secret.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import SplitResult, urlsplit

from opsbot.config_secrets import redacted
from opsbot.core.amounts import parse_duration, parse_size, show_duration, show_size

SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
NO_TIME = timedelta(0)
_SHOWN_AT_MOST = 60
_PORTS = 65_535
_LEAST_SNOWFLAKE, _END_OF_SNOWFLAKES = 10**16, 2**63  # 17 to 19 digits; the first are from February 2015


class WrongError(ValueError):
    """The value is wrong. `faults`: where in it (a path, empty for the whole) and what is to be said."""

    def __init__(self, text: str = "", faults: Iterable[tuple[tuple[str | int, ...], str]] = ()) -> None:
        """One fault of the whole value, or several within it."""
        self.faults = tuple(faults) or (((), text),)
        super().__init__("; ".join(text for _, text in self.faults))


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of value. `what` completes "expected …"; `example` is TOML; `show` writes a value as TOML."""

    what: str
    example: str
    read: Callable[[Any], Any]
    show: Callable[[Any], str]

    def wrong(self, value: object) -> WrongError:
        """What is said of a value that is of another kind altogether."""
        return WrongError(f"found {found(value)}; expected {self.what}, for example {self.example}")


def quoted(text: str) -> str:
    """The text as a TOML basic string."""
    marks = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    return '"' + "".join(marks.get(c, c if c.isprintable() else f"\\U{ord(c):08X}") for c in text) + '"'


def shown(value: object) -> str:
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
            return f"{name} {shown(value)}"
        case str():
            return f"the string {shown(value)}"
        case list():
            return "an array" if value else "an empty array"
        case datetime() | date() | time():
            return f"the date or time {value}"
    return "a table"


def nearest(word: str, words: Iterable[str]) -> str:
    """A sentence's end that proposes the nearest of the words: `; did you mean "x"?`, or nothing."""
    match = get_close_matches(word, list(words), n=1, cutoff=0.6)
    return f"; did you mean {match[0]}?" if match else ""


def _kind(what: str, example: str, read: Callable[[Kind, Any], Any], show: Callable[[Any], str] = shown) -> Kind:
    kind: Kind
    kind = Kind(what, example, lambda value: read(kind, value), show)
    return kind


def _string(kind: Kind, value: object) -> str:
    if not isinstance(value, str):
        raise kind.wrong(value)
    if "\0" in value:
        raise WrongError("holds a NUL character; leave it out")
    return value


def text(what: str = "a text", example: str = '"text"', *, most: int = 10_000, lines: bool = False) -> Kind:
    """A string that is not empty, on one line unless `lines`."""

    def read(kind: Kind, value: object) -> str:
        string = _string(kind, value)
        if not string.strip():
            raise WrongError(f"is empty; expected {what}, for example {example}")
        if len(string) > most:
            raise WrongError(f"has {len(string)} characters; at most {most} are allowed")
        if not lines and not string.isprintable():
            raise WrongError(f"holds a line break or a control character; expected {what} on one line")
        return string

    return _kind(what, example, read)


def anything() -> Kind:
    """Any string, empty ones and several lines included."""
    return _kind("a text", '"text"', _string)


def boolean() -> Kind:
    """True or false."""

    def read(kind: Kind, value: object) -> bool:
        if not isinstance(value, bool):
            raise kind.wrong(value)
        return value

    return _kind("true or false", "true", read)


def integer(least: int, most: int, example: int, what: str = "a whole number") -> Kind:
    """A whole number between two others, both included."""
    span = f"{what} from {least} to {most}"

    def read(kind: Kind, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise kind.wrong(value)
        if not least <= value <= most:
            raise WrongError(f"{value} is out of range; expected {span}, for example {example}")
        return value

    return _kind(span, str(example), read)


def port() -> Kind:
    """A TCP port."""
    return integer(1, _PORTS, 3003, "a port")


def duration(least: timedelta, most: timedelta, example: str) -> Kind:
    """A duration between two others, both included."""
    span = f"from {show_duration(least)} to {show_duration(most)}"

    def read(kind: Kind, value: object) -> timedelta:
        if isinstance(value, int) and not isinstance(value, bool):
            raise WrongError(f'found the number {value} without a unit; write the unit, for example "{max(value, 1)}s"')
        string = _string(kind, value)
        try:
            length = parse_duration(string.strip())
        except ValueError as error:
            raise WrongError(
                f'{shown(value)} is not a duration; write it like "90s", "5m", "1h30m", "7d" or "500ms"'
            ) from error
        if not least <= length <= most:
            raise WrongError(f'{shown(value)} is out of range; expected a duration {span}, for example "{example}"')
        return length

    return _kind(f"a duration {span}", f'"{example}"', read, lambda value: quoted(show_duration(value)))


def size(least: int, most: int, example: str) -> Kind:
    """A number of bytes between two others, both included."""
    span = f"from {show_size(least)} to {show_size(most)}"

    def read(kind: Kind, value: object) -> int:
        if isinstance(value, int) and not isinstance(value, bool):
            raise WrongError(f'found the number {value} without a unit; write the unit, for example "{example}"')
        string = _string(kind, value)
        try:
            count = parse_size(string.strip())
        except ValueError as error:
            raise WrongError(f'{shown(value)} is not a size; write it like "512KiB", "50MiB" or "2GiB"') from error
        if not least <= count <= most:
            raise WrongError(f'{shown(value)} is out of range; expected a size {span}, for example "{example}"')
        return count

    return _kind(f"a size {span}", f'"{example}"', read, lambda value: quoted(show_size(value)))


def choice(of: type[StrEnum]) -> Kind:
    """One word of a closed list."""
    words = [str(word) for word in of]
    what = "one of " + ", ".join(f'"{word}"' for word in words)

    def read(kind: Kind, value: object) -> StrEnum:
        string = _string(kind, value)
        if string not in words:
            raise WrongError(f"{shown(value)} is not known{nearest(string, words)}; expected {what}")
        return of(string)

    return _kind(what, f'"{words[0]}"', read, lambda value: quoted(str(value)))


def snowflake(what: str) -> Kind:
    """A Discord id, as a number."""

    def read(kind: Kind, value: object) -> int:
        if isinstance(value, str) and re.fullmatch(r"[0-9]{17,19}", value.strip()):
            raise WrongError(f"found the id in quotes; drop the quotes: {value.strip()}")
        if isinstance(value, bool) or not isinstance(value, int):
            raise kind.wrong(value)
        if not _LEAST_SNOWFLAKE <= value < _END_OF_SNOWFLAKES:
            raise WrongError(
                f"{value} is not a Discord id; ids have 17 to 19 digits "
                f"(Discord: Settings > Advanced > Developer Mode, then right-click > Copy ID)"
            )
        return value

    return _kind(f"{what} without quotes", "100000000000000001", read)


def holders() -> Kind:
    """Who holds a rank: ids of roles and users, and local users and groups."""
    local = re.compile(r"unix:@?[A-Za-z_][A-Za-z0-9_.-]{0,31}\$?")

    def one(value: object) -> str:
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if isinstance(value, str) and value.isascii() and value.isdigit():
            if _LEAST_SNOWFLAKE <= int(value) < _END_OF_SNOWFLAKES:
                return value
            raise WrongError(f"{value} is not a Discord id; ids of roles and users have 17 to 19 digits")
        if isinstance(value, str) and local.fullmatch(value):
            return value
        raise WrongError(
            f"found {found(value)}; expected the id of a role or user, for example 100000000000000003, "
            'or a local "unix:NAME" or "unix:@GROUP"'
        )

    whole = listed(_kind("", "", lambda _, value: one(value)), "an array of role and user ids", "[100000000000000003]")
    return Kind(whole.what, whole.example, lambda value: frozenset(whole.read(value)), lambda value: f"{sorted(value)}")


def listed(kind: Kind, what: str, example: str, *, least: int = 0) -> Kind:
    """An array of values of one kind."""

    def read(this: Kind, value: object) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise this.wrong(value)
        if len(value) < least:
            raise WrongError(f"is empty; expected {what}, for example {example}")
        values: list[Any] = []
        faults: list[tuple[tuple[str | int, ...], str]] = []
        for index, element in enumerate(value):
            try:
                values.append(kind.read(element))
            except WrongError as error:
                faults += [((index, *where), said) for where, said in error.faults]
        if faults:
            raise WrongError(faults=faults)
        return tuple(values)

    return _kind(what, example, read, lambda value: "[" + ", ".join(map(kind.show, value)) + "]")


def command(example: str) -> Kind:
    """A command as a list of its arguments; never a shell string."""
    inner = listed(anything(), "an array of a command and its arguments", example, least=1)

    def read(kind: Kind, value: object) -> tuple[str, ...]:
        if isinstance(value, str):
            words = ", ".join(shown(word) for word in value.split()) or "..."
            raise WrongError(f"found one string; no shell is involved: write each argument by itself: [{words}]")
        run: tuple[str, ...] = inner.read(value)
        if not run[0].strip():
            raise WrongError(f"the first argument is empty; expected {kind.what}, for example {example}")
        return run

    return _kind(inner.what, example, read, inner.show)


def table_of(kind: Kind, what: str, example: str, names: re.Pattern[str], name: str) -> Kind:
    """A table of the user's own keys."""

    def read(this: Kind, value: object) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            raise this.wrong(value)
        values: dict[str, Any] = {}
        faults: list[tuple[tuple[str | int, ...], str]] = []
        for key, element in value.items():
            if not names.fullmatch(key):
                faults.append(((key,), f"is not {name}; for example {example}"))
                continue
            try:
                values[key] = kind.read(element)
            except WrongError as error:
                faults += [((key, *where), said) for where, said in error.faults]
        if faults:
            raise WrongError(faults=faults)
        return values

    def show(value: Mapping[str, Any]) -> str:
        if not value:
            return "{}"
        return "{ " + ", ".join(f"{quoted(key)} = {kind.show(each)}" for key, each in value.items()) + " }"

    return _kind(what, example, read, show)


def absolute_path(example: str) -> Kind:
    """A path from the root."""

    def read(kind: Kind, value: object) -> Path:
        string = _string(kind, value)
        if not string.startswith("/"):
            hint = "; ~ is not expanded" if string.startswith("~") else ""
            raise WrongError(f'{shown(value)} is not an absolute path{hint}; begin with /, for example "{example}"')
        if ".." in PurePosixPath(string).parts:
            raise WrongError(f'{shown(value)} goes through ".."; write the path without it')
        return Path(string)

    return _kind("an absolute path", f'"{example}"', read, lambda value: quoted(str(value)))


def directory(example: str) -> Kind:
    """A folder of opsbot's own: an absolute path other than the root itself."""
    inner = absolute_path(example)

    def read(_: Kind, value: object) -> Path:
        path: Path = inner.read(value)
        if path == Path("/"):
            raise WrongError(f'is the root of the file system; give it a folder of its own, for example "{example}"')
        return path

    return _kind(inner.what, inner.example, read, inner.show)


def inside(where: str, example: str) -> Kind:
    """A path that stays inside `where`; kept as text, without `./` and a slash at the end."""

    def read(kind: Kind, value: object) -> str:
        string = _string(kind, value)
        path = PurePosixPath(string)
        if not string.strip():
            raise WrongError(f'is empty; expected a path inside {where}, for example "{example}"')
        if path.is_absolute() or string.startswith("~"):
            raise WrongError(
                f'{shown(value)} is outside {where}; write it relative to {where}, for example "{example}"'
            )
        if ".." in path.parts:
            raise WrongError(f'{shown(value)} leaves {where} through ".."; write a path inside it, as "{example}"')
        return str(path)

    return _kind(f"a path inside {where}", f'"{example}"', read)


def pattern() -> Kind:
    """A regular expression; kept as text once it is known to compile."""

    def read(kind: Kind, value: object) -> str:
        string = _string(kind, value)
        try:
            re.compile(string)
        except (re.error, OverflowError, RecursionError) as error:
            raise WrongError(
                f'{shown(value)} is not a regular expression ({error}); for example "ok", or "\\\\(ok\\\\)"'
            ) from error
        return string

    return _kind("a regular expression", '"\\"status\\": *\\"ok\\""', read)


def url_parts(string: str, schemes: Iterable[str], example: str) -> SplitResult:
    """The parts of an address that has one of the schemes, a host and no user name or password.

    Raises:
        WrongError: it has not.
    """
    try:
        parts = urlsplit(string)
        number = parts.port
    except ValueError as error:
        raise WrongError(f"is not an address ({error}); for example {quoted(example)}") from error
    if parts.username is not None or parts.password is not None:
        raise WrongError(f"holds a user name or a password; leave it out, for example {quoted(example)}")
    if parts.scheme not in schemes:
        raise WrongError(
            f"{shown(string)} does not begin with {' or '.join(f'{s}://' for s in schemes)}; for example {quoted(example)}"
        )
    if not parts.hostname or number == 0 or re.search(r"[\s\x00-\x1f]", string):
        raise WrongError(f"{shown(string)} is not an address; for example {quoted(example)}")
    return parts


def http_url(example: str) -> Kind:
    """An http or https address."""

    def read(kind: Kind, value: object) -> str:
        string = _string(kind, value)
        url_parts(string, ("http", "https"), example)
        return string

    return _kind("an http or https address", quoted(example), read)


def host() -> Kind:
    """A host name or IP address."""

    def read(kind: Kind, value: object) -> str:
        string = _string(kind, value)
        if not is_host(string):
            raise WrongError(f'{shown(value)} is not a host; expected a name or an IP address, for example "127.0.0.1"')
        return string

    return _kind("a host name or an IP address", '"127.0.0.1"', read)


def is_host(string: str) -> bool:
    """Whether it is an IP address or could be a host name."""
    try:
        ipaddress.ip_address(string)
    except ValueError:
        return re.fullmatch(r"(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?", string) is not None
    return True


def listen() -> Kind:
    """HOST:PORT as a pair, or "off" as (None, 0)."""
    example = '"127.0.0.1:9464"'

    def read(kind: Kind, value: object) -> tuple[str | None, int]:
        if value is False:
            raise WrongError('found the boolean false; write "off" to turn it off')
        if isinstance(value, int) and not isinstance(value, bool):
            raise WrongError(f'found the number {value}; write the address too, for example "127.0.0.1:{value}"')
        string = _string(kind, value)
        if string == "off":
            return None, 0
        name, colon, digits = string.rpartition(":")
        bare = name.removeprefix("[").removesuffix("]")
        if (
            not colon
            or not (digits.isascii() and digits.isdigit())
            or not is_host(bare)
            or (":" in name and name == bare)
        ):
            raise WrongError(f'{shown(value)} is not HOST:PORT; for example {example}, "[::1]:9464", or "off"')
        if int(digits) > _PORTS:
            raise WrongError(f"port {digits} is out of range; expected 1 to {_PORTS} (0 takes any free one)")
        return bare, int(digits)

    def show(value: tuple[str | None, int]) -> str:
        name, number = value
        return '"off"' if name is None else quoted(f"[{name}]:{number}" if ":" in name else f"{name}:{number}")

    return _kind('HOST:PORT, or "off"', example, read, show)


_SCP = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9_.-]*@)?[A-Za-z0-9_][A-Za-z0-9_.-]*:(?!/?/)[^\s]+")


def repository() -> Kind:
    """What git can clone from: an address, user@host:path, or an absolute path on this machine."""
    example = "https://github.com/example/voice-meeting-bot.git"
    what = "the address of a git repository"

    def read(kind: Kind, value: object) -> str:
        string = _string(kind, value)
        if string.startswith("/") or _SCP.fullmatch(string):
            return string
        if string.startswith("ssh://"):
            parts = urlsplit(string)
            if parts.password is not None or parts.hostname is None or parts.hostname.startswith("-"):
                raise WrongError('is not an address that can be used; for example "ssh://git@example.org/team/bot.git"')
            return string
        if string.startswith("file:///"):
            return string
        if "::" in string.partition("/")[0]:
            raise WrongError(f'{shown(value)} runs a command of its own; expected {what}, for example "{example}"')
        try:
            url_parts(string, ("https", "http"), example)
        except WrongError as error:
            if "user name" in str(error):
                raise WrongError(
                    "holds a user name or a password; leave it out, write the name as username, "
                    "and name the secret by token_env or token_file"
                ) from error
            raise WrongError(
                f'{shown(value)} is not {what}; for example "{example}", "git@github.com:example/bot.git" or an absolute path'
            ) from error
        return string

    return _kind(what, quoted(example), read)


def branch() -> Kind:
    """The name of a branch, as git-check-ref-format(1) allows it."""
    bad = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|^[-/.]|/\.|[/.]$|\.lock(?:/|$)|^@$")

    def read(kind: Kind, value: object) -> str:
        string = _string(kind, value)
        if string.startswith(("refs/heads/", "origin/")):
            plain = string.removeprefix("refs/heads/").removeprefix("origin/")
            raise WrongError(f"{shown(value)} is more than the branch; write {shown(plain)}")
        if not string or bad.search(string):
            raise WrongError(f'{shown(value)} is not the name of a branch; for example "main"')
        return string

    return _kind("the name of a branch", '"main"', read)


def unit() -> Kind:
    """A systemd service unit."""

    def read(kind: Kind, value: object) -> str:
        string = _string(kind, value)
        if re.fullmatch(r"[A-Za-z0-9:_.\\@-]+", string) and "." not in string:
            raise WrongError(f'{shown(value)} has no ending; write "{string}.service"')
        if not re.fullmatch(r"[A-Za-z0-9:_.\\@-]{1,247}\.service", string):
            raise WrongError(f'{shown(value)} is not a service unit; for example "voice-meeting-discord-bot.service"')
        return string

    return _kind("the name of a systemd unit", '"voice-meeting-discord-bot.service"', read)


def variable(example: str) -> Kind:
    """The name of an environment variable. What stands there instead may be the secret itself: it is not shown."""

    def read(_: Kind, value: object) -> str:
        if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,127}", value):
            raise WrongError(
                f'is not the name of an environment variable; write the name, not the value, as "{example}"'
            )
        return value

    return _kind("the name of an environment variable", f'"{example}"', read)


def secret_file(example: str) -> Kind:
    """A file with a secret: an absolute path, or the plain name of a systemd credential. A wrong one is not shown."""

    def read(_: Kind, value: object) -> Path:
        good = isinstance(value, str) and "\0" not in value and ".." not in PurePosixPath(value).parts
        if not good or not (value.startswith("/") or re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}", value)):
            raise WrongError(
                f'is neither an absolute path nor the name of a systemd credential; for example "{example}"'
            )
        return Path(value)

    return _kind("an absolute path, or the name of a systemd credential", f'"{example}"', read)


def statuses() -> Kind:
    """Accepted HTTP statuses: 200, "200-399", or a list of them, as ranges with both ends included."""
    example = '"200-399"'

    def one(value: object) -> tuple[int, int]:
        match = (
            re.fullmatch(r"([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?", str(value)) if not isinstance(value, bool) else None
        )
        if match is None or not isinstance(value, int | str):
            raise WrongError(f"found {found(value)}; expected HTTP statuses, for example 200, {example} or [200, 204]")
        low, high = int(match[1]), int(match[2] or match[1])
        if high < low:
            raise WrongError(f'{shown(value)} runs backwards; write "{high}-{low}"')
        return low, high

    many = listed(_kind("", "", lambda _, value: one(value)), "HTTP statuses", example, least=1)

    def read(_: Kind, value: object) -> tuple[tuple[int, int], ...]:
        ranges: tuple[tuple[int, int], ...] = many.read(value) if isinstance(value, list) else (one(value),)
        return ranges

    def show(value: tuple[tuple[int, int], ...]) -> str:
        words = [str(low) if low == high else f'"{low}-{high}"' for low, high in value]
        return words[0] if len(words) == 1 else f"[{', '.join(words)}]"

    return _kind(f"HTTP statuses (200, {example}, or an array of them)", example, read, show)
