"""Kinds that name something: Discord ids, holders of a rank, branches, units, environment variables, secrets' files."""

import re
from pathlib import Path, PurePosixPath

from opsbot.config_file.kinds import (
    Kind,
    WrongError,
    display_value,
    found,
    kind_of,
    listed,
    text_kind,
    unfit,
)

SERVICE_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
VARIABLES = re.compile(r"[A-Za-z_][A-Za-z0-9_]*"), "the name of an environment variable"
HEADERS = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,200}"), "the name of a header"
_LEAST_SNOWFLAKE, _END_OF_SNOWFLAKES = 10**16, 2**63  # 17 to 19 digits; the first are from February 2015


def snowflake(what: str) -> Kind:
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

    return kind_of(f"{what} without quotes", "100000000000000001", read)


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

    whole = listed(
        kind_of("", "", lambda _, value: one(value)), "an array of role and user ids", "[100000000000000003]", once=True
    )
    return Kind(whole.what, whole.example, lambda value: frozenset(whole.read(value)))


def branch() -> Kind:
    """The name of a branch, as git-check-ref-format(1) allows it."""
    bad = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|^[-/.]|/\.|[/.]$|\.lock(?:/|$)|^@$")

    def read(value: str) -> str:
        if value.startswith(("refs/heads/", "origin/")):
            plain = value.removeprefix("refs/heads/").removeprefix("origin/")
            raise unfit(value, f"is more than the branch; write {display_value(plain)}")
        if not value or bad.search(value):
            raise unfit(value, 'is not the name of a branch; for example "main"')
        return value

    return text_kind("the name of a branch", '"main"', read)


def unit() -> Kind:
    def read(value: str) -> str:
        if re.fullmatch(r"[A-Za-z0-9:_.\\@-]+", value) and "." not in value:
            raise unfit(value, f'has no ending; write "{value}.service"')
        if not re.fullmatch(r"[A-Za-z0-9:_.\\@-]{1,247}\.service", value):
            raise unfit(value, 'is not a service unit; for example "voice-meeting-discord-bot.service"')
        return value

    return text_kind("the name of a systemd unit", '"voice-meeting-discord-bot.service"', read)


def variable(example: str) -> Kind:
    """The name of an environment variable. What is given instead may be the secret itself: it is not shown."""

    def read(_: Kind, value: object) -> str:
        if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,127}", value):
            raise WrongError(
                f'is not the name of an environment variable; write the name, not the value, as "{example}"'
            )
        return value

    return kind_of("the name of an environment variable", f'"{example}"', read)


def secret_file(example: str) -> Kind:
    """A file with a secret: an absolute path, or the plain name of a systemd credential. A wrong one is not shown."""

    def read(_: Kind, value: object) -> Path:
        path = value if isinstance(value, str) and "\0" not in value else ""
        absolute = path.startswith("/") and ".." not in PurePosixPath(path).parts
        if not absolute and not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}", path):
            raise WrongError(
                f'is neither an absolute path nor the name of a systemd credential; for example "{example}"'
            )
        return Path(path)

    return kind_of("an absolute path, or the name of a systemd credential", f'"{example}"', read)
