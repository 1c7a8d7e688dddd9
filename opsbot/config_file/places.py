"""Kinds that say where something is: paths, hosts, ports, addresses, repositories; and what is accepted there."""

import ipaddress
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from urllib.parse import SplitResult, urlsplit

from opsbot.config_file.kinds import (
    Kind,
    WrongError,
    found,
    kind_of,
    listed,
    quoted,
    string_of,
    text_kind,
    unfit,
)

_PORTS = 65_535


def absolute_path(example: str) -> Kind:
    def read(value: str) -> Path:
        if not value.startswith("/"):
            hint = "; ~ is not expanded" if value.startswith("~") else ""
            raise unfit(value, f'is not an absolute path{hint}; begin with /, for example "{example}"')
        if ".." in PurePosixPath(value).parts:
            raise unfit(value, 'goes through ".."; write the path without it')
        return Path(value)

    return text_kind("an absolute path", f'"{example}"', read)


def directory(example: str) -> Kind:
    """A folder of opsbot's own: an absolute path other than the root itself."""
    inner = absolute_path(example)

    def read(_: Kind, value: object) -> Path:
        path: Path = inner.read(value)
        if path == Path("/"):
            raise WrongError(f'is the root of the file system; give it a separate folder, for example "{example}"')
        return path

    return kind_of(inner.what, inner.example, read)


def inside(where: str, example: str) -> Kind:
    """A path that stays inside `where`; kept as text, without `./` and a slash at the end."""

    def read(value: str) -> str:
        path = PurePosixPath(value)
        if not value.strip():
            raise WrongError(f'is empty; expected a path inside {where}, for example "{example}"')
        if path.is_absolute() or value.startswith("~"):
            raise unfit(value, f'is outside {where}; write it relative to {where}, for example "{example}"')
        if ".." in path.parts:
            raise unfit(value, f'leaves {where} through ".."; write a path inside it, as "{example}"')
        return str(path)

    return text_kind(f"a path inside {where}", f'"{example}"', read)


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
        raise unfit(
            string, f"does not begin with {' or '.join(f'{s}://' for s in schemes)}; for example {quoted(example)}"
        )
    if not parts.hostname or number == 0 or re.search(r"[\s\x00-\x1f]", string):
        raise unfit(string, f"is not an address; for example {quoted(example)}")
    return parts


def http_url(example: str) -> Kind:
    def read(value: str) -> str:
        url_parts(value, ("http", "https"), example)
        return value

    return text_kind("an http or https address", quoted(example), read)


def host() -> Kind:
    def read(value: str) -> str:
        if not is_host(value):
            raise unfit(value, 'is not a host; expected a name or an IP address, for example "127.0.0.1"')
        return value

    return text_kind("a host name or an IP address", '"127.0.0.1"', read)


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
        string = string_of(kind, value)
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
            raise unfit(value, f'is not HOST:PORT; for example {example}, "[::1]:9464", or "off"')
        if int(digits) > _PORTS:
            raise WrongError(f"port {digits} is out of range; expected 1 to {_PORTS} (0 takes any free one)")
        return bare, int(digits)

    return kind_of('HOST:PORT, or "off"', example, read)


def tls_server() -> Kind:
    """HOST or HOST:PORT as a pair; port 443 where none is given."""

    def read(value: str) -> tuple[str, int]:
        name, digits = value, "443"
        if value.startswith("[") or value.count(":") == 1:
            name, _colon, digits = value.rpartition(":") if not value.endswith("]") else (value, "", "443")
        bare = name.removeprefix("[").removesuffix("]")
        if not is_host(bare) or not (digits.isascii() and digits.isdigit()) or not 1 <= int(digits) <= _PORTS:
            raise unfit(value, 'is not a server; expected a host, or host:port, for example "example.org:8443"')
        return bare, int(digits)

    return text_kind("a host, or host:port", '"example.org"', read)


_SCP = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9_.-]*@)?[A-Za-z0-9_][A-Za-z0-9_.-]*:(?!/?/)[^\s]+")


def repository() -> Kind:
    """What git can clone from: an address, user@host:path, or an absolute path on this machine."""
    example = "https://github.com/example/voice-meeting-bot.git"
    what = "the address of a git repository"

    def read(value: str) -> str:
        if value.startswith("/") or _SCP.fullmatch(value):
            return value
        if value.startswith("ssh://"):
            parts = urlsplit(value)
            if parts.password is not None or parts.hostname is None or parts.hostname.startswith("-"):
                raise WrongError('is not an address that can be used; for example "ssh://git@example.org/team/bot.git"')
            return value
        if value.startswith("file:///"):
            return value
        if "::" in value.partition("/")[0]:
            raise unfit(value, f'runs a command; expected {what}, for example "{example}"')
        try:
            url_parts(value, ("https", "http"), example)
        except WrongError as error:
            if "user name" in str(error):
                raise WrongError(
                    "holds a user name or a password; leave it out, write the name as username, "
                    "and name the secret by token_env or token_file"
                ) from error
            raise unfit(
                value, f'is not {what}; for example "{example}", "git@github.com:example/bot.git" or an absolute path'
            ) from error
        return value

    return text_kind(what, quoted(example), read)


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
            raise unfit(value, f'is reversed; write "{high}-{low}"')
        return low, high

    many = listed(kind_of("", "", lambda _, value: one(value)), "HTTP statuses", example, least=1, once=True)

    def read(_: Kind, value: object) -> tuple[tuple[int, int], ...]:
        ranges: tuple[tuple[int, int], ...] = many.read(value) if isinstance(value, list) else (one(value),)
        return ranges

    return kind_of(f"HTTP statuses (200, {example}, or an array of them)", example, read)
