"""The tables of `config.toml`, derived from the values in `opsbot.config` that they fill.

A field that holds another such value is a table, one that holds several is `[name.NAME]` or `[[name]]`; every other
field is a key, of the kind its type and its `Key` say. A property with a `Key` is a key that fills other fields.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, time, timedelta, tzinfo
from enum import StrEnum
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, get_args, get_origin

from opsbot.config import Config, Secret
from opsbot.config_file import cleanups, kinds, names, places, times
from opsbot.config_file.kinds import Kind, quoted
from opsbot.core.amounts import show_duration, show_size
from opsbot.core.keys import Format, Key, key_of


class _Absent:
    """Replaces a default where there is none."""


ABSENT = _Absent()


class Form(StrEnum):
    """How a table is written in the file."""

    TABLE = "table"
    """`[http]`: once."""
    NAMED = "named"
    """`[services.NAME]`: once for each name."""
    ARRAY = "array"
    """`[[services.NAME.checks]]`: again and again."""


@dataclass(frozen=True, slots=True)
class TableKey:
    """One key of a table, and the field it fills.

    unset: in words, what holds where it is not given and there is no value to show. part: "env" or "file", for the two
    keys of a secret. inline: where the field is that of an inner value, which field holds this, and its type.
    """

    name: str
    kind: Kind
    declared: Key
    field: str
    default: Any = ABSENT
    unset: str = ""
    part: str = ""
    inline: tuple[str, type] | None = None

    @property
    def required(self) -> bool:
        return self.default is ABSENT and not self.unset


@dataclass(frozen=True, slots=True)
class Table:
    """One table: the value it fills, its keys and the tables in it. optional: the value may be missing altogether."""

    name: str
    of: type
    form: Form = Form.TABLE
    required: bool = False
    optional: bool = False
    keys: tuple[TableKey, ...] = ()
    tables: tuple["Table", ...] = ()

    def names(self) -> list[str]:
        return [key.name for key in self.keys] + [table.name for table in self.tables]

    def key(self, name: str) -> TableKey:
        return next(key for key in self.keys if key.name == name)

    def secrets(self) -> Iterator[tuple[TableKey, TableKey]]:
        """The pairs of keys that say where a secret is."""
        parts = [key for key in self.keys if key.part]
        return zip(parts[::2], parts[1::2], strict=True)


def walk(table: Table, path: str = "") -> Iterator[tuple[str, Table]]:
    """The table and all in it, depth first, each with its path as it is written: `services.NAME.source`."""
    yield path, table
    for inner in table.tables:
        name = f"{inner.name}.NAME" if inner.form is Form.NAMED else inner.name
        yield from walk(inner, f"{path}.{name}" if path else name)


def header(path: str, table: Table) -> str:
    """The line a table begins with: `[http]`, `[[services.NAME.checks]]`; "" for keys before the first table."""
    return "" if not path else f"[[{path}]]" if table.form is Form.ARRAY else f"[{path}]"


def table_for(of: type) -> Table:
    return next(table for _, table in walk(ROOT) if table.of is of)


def _table(name: str, of: type, form: Form = Form.TABLE, *, required: bool = False, optional: bool = False) -> Table:
    tables = []
    for field in dataclasses.fields(of):
        if inner := _inner(field):
            _, declared, may_be_none = _plain(field.type)
            tables.append(_table(field.name, *inner, required=declared.required, optional=may_be_none))
    tables.sort(key=lambda each: bool(each.tables))  # the reference is easier to read with the largest last
    return Table(name, of, form, required, optional, tuple(_keys(of)), tuple(tables))


def _inner(field: dataclasses.Field[Any]) -> tuple[type, Form] | None:
    """The value that a field's table fills, and how the table is written in the file; None where the field is a key."""
    hint, declared, _ = _plain(field.type)
    origin = get_origin(hint)
    form = Form.ARRAY if origin is tuple else Form.NAMED if origin is Mapping else Form.TABLE
    of: Any = hint if form is Form.TABLE else get_args(hint)[form is Form.NAMED]
    is_value = isinstance(of, type) and dataclasses.is_dataclass(of) and of is not Secret
    return (of, form) if is_value and not declared.inline else None


def _plain(hint: Any) -> tuple[Any, Key, bool]:
    """A type without its `Key` and without None, the `Key`, and whether None was in it."""
    declared = key_of(hint)
    if get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    if get_origin(hint) is UnionType:
        return next(each for each in get_args(hint) if each is not NoneType), declared, True
    return hint, declared, False


def _keys(of: type) -> Iterator[TableKey]:
    """The keys of a value: those without a default first, then those of properties."""
    fields = [field for field in dataclasses.fields(of) if not key_of(field.type).absent and _inner(field) is None]
    needed = [field for field in fields if _default(field) is ABSENT]
    for field in needed:
        yield from _of_field(field)
    for name, each in vars(of).items():
        if isinstance(each, property) and each.fget is not None:
            hint, declared, _ = _plain(each.fget.__annotations__["return"])
            if declared.what or declared.format:
                default = ABSENT if declared.unset else getattr(of(), name)
                yield TableKey(name, kind_for(hint, declared, default), declared, name, default, declared.unset)
    for field in fields:
        if field not in needed:
            yield from _of_field(field)


def _of_field(field: dataclasses.Field[Any]) -> Iterator[TableKey]:
    hint, declared, _ = _plain(field.type)
    name, default = declared.name or field.name, _default(field)
    if declared.inline:
        yield from (dataclasses.replace(key, inline=(field.name, hint)) for key in _keys(hint))
    elif hint is Secret:
        env, file = f"{name}_env", f"{name}_file"
        variable = "OPSBOT_" + declared.example.upper().replace("-", "_")
        unset = declared.unset
        yield TableKey(
            env, names.variable(variable), declared, field.name, ABSENT, unset or f"`{file}` must be given", "env"
        )
        path = names.secret_file(f"/etc/opsbot/{declared.example}")
        yield TableKey(file, path, declared, field.name, ABSENT, unset or f"`{env}` must be given", "file")
    else:
        unset = declared.unset or (f'required with `kind = "{declared.only}"`' if declared.needed else "")
        yield TableKey(name, kind_for(hint, declared, default), declared, field.name, default, unset)


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    return ABSENT if field.default_factory is dataclasses.MISSING else field.default_factory()


_OF_FORMAT: Mapping[Format, Callable[[Key], Kind]] = {
    Format.ANY_TEXT: lambda _: kinds.anything(),
    Format.BRANCH: lambda _: names.branch(),
    Format.COMMAND: lambda key: kinds.command(key.example),
    Format.FOLDER: lambda key: places.directory(key.example),
    Format.GLOBS: lambda _: cleanups.patterns(),
    Format.HOLDERS: lambda _: names.holders(),
    Format.HOST: lambda _: places.host(),
    Format.HTTP_URL: lambda key: places.http_url(key.example),
    Format.INSIDE: lambda key: places.inside(key.what, key.example),
    Format.LISTEN: lambda _: places.listen(),
    Format.REGEX: lambda _: kinds.pattern(),
    Format.REPOSITORY: lambda _: places.repository(),
    Format.SNOWFLAKE: lambda key: names.snowflake(key.what),
    Format.STATUSES: lambda _: places.statuses(),
    Format.TLS_SERVER: lambda _: places.tls_server(),
    Format.UNIT: lambda _: names.unit(),
}
_OF_TYPE: Mapping[type, Callable[[Key, Any], Kind]] = {
    bool: lambda _, __: kinds.boolean(),
    date: lambda _, __: times.calendar_day(),
    int: lambda key, default: kinds.integer(
        key.least, key.most, int(key.example or default), key.what or "a whole number"
    ),
    Path: lambda key, _: places.absolute_path(key.example),
    str: lambda key, default: kinds.text(key.what, quoted(key.example or default), most=key.most),
    time: lambda _, __: times.time_of_day(),
    timedelta: lambda key, default: kinds.duration(key.least, key.most, key.example or show_duration(default)),
    tzinfo: lambda _, __: times.zone(),
}


def kind_for(hint: Any, key: Key, default: Any = ABSENT) -> Kind:
    if key.format is not None and key.format in _OF_FORMAT:
        return _OF_FORMAT[key.format](key)
    if key.format is Format.SIZE:
        return kinds.size(key.least, key.most, key.example or show_size(default))
    if get_origin(hint) is Mapping:
        keys = names.VARIABLES if key.format is Format.VARIABLES else names.HEADERS
        return kinds.table_of(_element(get_args(hint)[1]), key.what, key.example, *keys)
    if get_origin(hint) is tuple:
        each = _element(get_args(hint)[0])
        return kinds.listed(each, key.what, key.example or f"[{each.example}]", least=key.least or 0, once=key.once)
    return kinds.choice(hint) if issubclass(hint, StrEnum) else _OF_TYPE[hint](key, default)


def _element(hint: Any) -> Kind:
    plain, declared, _ = _plain(hint)
    return kind_for(plain, declared)


ROOT = _table("", Config)
