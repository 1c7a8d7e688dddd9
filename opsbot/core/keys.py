"""How a key of `config.toml` is declared: once, as a field of the value it fills.

soak: Annotated[timedelta, Key(least=NO_TIME, most=HOUR)] = timedelta(seconds=15) \"\"\"How long every check must keep
passing before a release counts as verified.\"\"\"

The field gives the key's name, type and default; `Key` adds what the type cannot say; the string below it is its
sentence in the reference (the compiler drops it, so it takes no memory). A field whose type says enough needs no `Key`.
`opsbot.config_file` derives from this how a file is read and checked, how the values are built, and
docs/configuration.md; `opsbot.daemon.reload` derives what a reload can change.
"""

import dataclasses
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any

NO_TIME = timedelta(0)
MILLISECOND, SECOND, MINUTE = timedelta(milliseconds=1), timedelta(seconds=1), timedelta(minutes=1)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


class Format(StrEnum):
    """What a value must look like, where its type alone does not say it."""

    ANY_TEXT = "any text"
    BRANCH = "branch"
    COMMAND = "command"
    FOLDER = "folder"
    GLOBS = "globs"
    HEADERS = "headers"
    HOLDERS = "holders"  # of a rank: ids of roles and users, local users and groups
    HOST = "host"
    HTTP_URL = "http url"
    INSIDE = "inside"  # a path inside what `Key.what` names
    LISTEN = "listen"
    REGEX = "regex"
    REPOSITORY = "repository"
    SIZE = "size"
    SNOWFLAKE = "snowflake"
    STATUSES = "statuses"
    TLS_SERVER = "tls server"
    UNIT = "unit"
    VARIABLES = "variables"


class Reload(StrEnum):
    """When a changed value takes effect."""

    AT_ONCE = "at once"
    AT_NEXT_START = "at next start"  # of the service: a reload leaves its process alone
    NEVER = "never"  # only by stopping opsbot


@dataclass(frozen=True, slots=True)
class Key:
    """What a key accepts beyond its type, and how it is treated."""

    format: Format | None = None
    least: Any = None
    """The least value, of the key's own type; of an array, the least number of elements."""
    most: Any = None
    """The greatest value; of a text, the greatest number of characters."""
    what: str = ""
    """Completes "expected …" in problems and in the reference."""
    example: str = ""
    """As it is written, without quotes for a text; TOML for arrays and tables. Empty: the default is the example.

    Of a secret: its file in /etc/opsbot, after which the variable is named too.
    """
    unset: str = ""
    """In words, what holds without the key, where there is no value to show for it."""
    only: str = ""
    """The kind of check it is for."""
    needed: bool = False
    """A check of that kind cannot do without it."""
    once: bool = False
    """The array names nothing twice."""
    name: str = ""
    """In the file, where it differs from the field's."""
    required: bool = False
    """Of a table: it must be given. A key must be where its field has no default and nothing is said in `unset`."""
    inline: bool = False
    """The fields of this value are keys of the table around it."""
    absent: bool = False
    """This field is no key."""
    private: bool = False
    """A reload shows that it changed, not its value: people put there what is nobody's business in a channel."""
    reload: Reload = Reload.AT_ONCE


PLAIN = Key()
NOT_IN_FILE = Key(absent=True)
ServiceName = Annotated[str, Key(what="the name of a service", example="api", most=64)]


def key_of(hint: Any) -> Key:
    """What is declared for a field with this type."""
    return next((each for each in getattr(hint, "__metadata__", ()) if isinstance(each, Key)), PLAIN)


def values_by_reload(value: Any, reload: Reload, where: tuple[str, ...] = ()) -> dict[tuple[str, ...], object]:
    """The keys in a configuration value that a reload treats so, with values."""
    found: dict[tuple[str, ...], object] = {}
    for field in dataclasses.fields(value):
        inner, place = getattr(value, field.name), (*where, field.name)
        if key_of(field.type).reload is reload:
            found[place] = inner
        elif dataclasses.is_dataclass(inner):
            found |= values_by_reload(inner, reload, place)
    return found
