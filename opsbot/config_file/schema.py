"""What the tables of keys are made of: `opsbot.config_file.keys` holds them.

A key's default is the one of the value it fills in `opsbot.config`, so it stands in one place only.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from opsbot.config import CheckKind
from opsbot.config_file import names
from opsbot.config_file.kinds import Kind


class _Absent:
    """Stands where there is no default."""


ABSENT = _Absent()


class Form(StrEnum):
    """How a table stands in the file."""

    TABLE = "table"
    """`[http]`: once."""
    NAMED = "named"
    """`[services.NAME]`: once for each name."""
    ARRAY = "array"
    """`[[services.NAME.checks]]`: again and again."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key. `doc` is Markdown: what it means, why its default is what it is. `only`: the check kinds it is for."""

    name: str
    kind: Kind
    doc: str
    default: Any = ABSENT
    required: bool = False
    unset: str = ""
    """In words, what holds where it is not given and there is no value to show for it."""
    only: tuple[CheckKind, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """One table: its own keys and the tables in it. `of`: the values whose fields hold the defaults."""

    name: str
    doc: str
    keys: tuple[Key, ...] = ()
    tables: tuple["Table", ...] = ()
    form: Form = Form.TABLE
    of: tuple[type, ...] = ()
    required: bool = False

    def names(self) -> list[str]:
        """All that may stand in it."""
        return [key.name for key in self.keys] + [table.name for table in self.tables]

    def default(self, key: Key) -> Any:
        """The value a key has where it is not given; ABSENT where there is none."""
        if key.default is not ABSENT:
            return key.default
        for owner in self.of:
            for field in dataclasses.fields(owner):
                if field.name != key.name:
                    continue
                if field.default is not dataclasses.MISSING:
                    return field.default
                if field.default_factory is not dataclasses.MISSING:
                    return field.default_factory()
        return ABSENT

    def default_text(self, key: Key) -> str:
        """The default as TOML; "" where there is none that could be written down."""
        value = self.default(key)
        return "" if key.required or key.unset or value is ABSENT or value is None else key.kind.show(value)


def walk(table: Table, path: str = "") -> Iterator[tuple[str, Table]]:
    """The table and all in it, depth first, each with its path as it is written: `services.NAME.source`."""
    yield path, table
    for inner in table.tables:
        name = f"{inner.name}.NAME" if inner.form is Form.NAMED else inner.name
        yield from walk(inner, f"{path}.{name}" if path else name)


def header(path: str, table: Table) -> str:
    """The line a table begins with: `[http]`, `[[services.NAME.checks]]`; "" for keys before the first table."""
    return "" if not path else f"[[{path}]]" if table.form is Form.ARRAY else f"[{path}]"


def secret_keys(name: str, of: str, env: str, file: str, *, optional: str = "") -> tuple[Key, Key]:
    """The two keys that say where a secret is. `optional`: what happens without it."""
    return (
        Key(
            f"{name}_env",
            names.variable(env),
            f"The environment variable that holds {of}. One of the two, `{name}_env` or `{name}_file`, must be given; "
            "the secret itself never stands in this file."
            if not optional
            else f"The environment variable that holds {of}. At most one of `{name}_env` and `{name}_file`.",
            unset=optional or f"`{name}_file` must be given",
        ),
        Key(
            f"{name}_file",
            names.secret_file(file),
            f"The file that holds {of}, alone. A name without a slash is looked for in `$CREDENTIALS_DIRECTORY`, where "
            "systemd puts what `LoadCredential=` names.",
            unset=optional or f"`{name}_env` must be given",
        ),
    )
