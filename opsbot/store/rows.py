"""Conversion of values and frozen dataclasses for SQLite.

A dataclass is a row whose columns have the names of its fields. Times and lengths of time are seconds (REAL), messages
JSON text ("" for none), enums their values. Inside JSON a dataclass is an array of its fields, a message an object.
"""

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from opsbot.core.message import Message, decode, encode

T = TypeVar("T")


def seconds(at: datetime) -> float:
    return at.timestamp()


def maybe_seconds(at: datetime | None) -> float | None:
    return None if at is None else at.timestamp()


def moment(value: float) -> datetime:
    return datetime.fromtimestamp(value, UTC)


def maybe_moment(value: float | None) -> datetime | None:
    return None if value is None else moment(value)


def message_out(value: Message | None) -> str:
    return "" if value is None else dump(encode(value))


def message_in(found: str | Mapping[str, Any] | None) -> Message | None:
    """The message of a column or in a JSON array."""
    return decode(load(found) if isinstance(found, str) else found) if found else None


def dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def load(text: str) -> Any:
    return json.loads(text)


def packed(value: Any) -> list[object]:
    """A dataclass as a JSON array of its fields."""
    return [_json(getattr(value, one.name)) for one in fields(value)]


def unpacked(kind: Callable[..., T], found: Sequence[object]) -> T:
    pairs = zip(_readers(kind).values(), found, strict=True)
    return kind(*[one if read is None else read(one) for read, one in pairs])


def _json(value: object) -> object:
    if isinstance(value, datetime):
        return seconds(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    return encode(value) if isinstance(value, Message) else value


def columns(value: Any) -> dict[str, object]:
    kind: Any = type(value)
    messages = [name for name, read in _readers(kind).items() if read is message_in]
    found = dict(zip((one.name for one in fields(value)), packed(value), strict=True))
    return found | {name: message_out(getattr(value, name)) for name in messages}


def from_row(kind: Callable[..., T], row: sqlite3.Row, **given: object) -> T:
    """The dataclass in a row. given: fields that are no plain columns."""
    for name, read in _readers(kind).items():
        if name not in given:
            given[name] = row[name] if read is None else read(row[name])
    return kind(**given)


def insert(
    db: sqlite3.Connection, table: str, values: Mapping[str, object], verb: str = "INSERT", conflict: str = ""
) -> sqlite3.Cursor:
    """Insert a row. verb: may replace one. conflict: the key of one to update instead."""
    query = f"{verb} INTO {table} ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})"
    if conflict:
        query += f" ON CONFLICT ({conflict}) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in values)}"
    return db.execute(query, tuple(values.values()))


def put_row(db: sqlite3.Connection, table: str, value: Any) -> None:
    """Store a dataclass as a row of this table, in place of the one with the same key."""
    insert(db, table, columns(value), "INSERT OR REPLACE")


@cache
def _readers(kind: Any) -> dict[str, Callable[[Any], Any] | None]:
    """How the value of each field is converted, by the type of the field; None: it is taken as it is."""
    hints = get_type_hints(kind)
    return {one.name: _reader(hints[one.name]) for one in fields(kind)}


def _reader(hint: Any) -> Callable[[Any], Any] | None:
    kind = next(each for each in get_args(hint) if each is not NoneType) if get_origin(hint) is UnionType else hint
    if kind is Message:
        return message_in
    if kind is datetime:
        return maybe_moment
    if kind is timedelta:
        return lambda value: timedelta(seconds=value)
    if kind is bool or (isinstance(kind, type) and issubclass(kind, Enum)):
        return lambda value: None if value is None else kind(value)
    return None
