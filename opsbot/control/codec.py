"""Dataclasses as JSON, and back.

Each field is a key. Times are ISO 8601 in UTC to the millisecond, lengths of time are seconds, time zones IANA names,
enums their values, messages their English text, "" for none; tuples, sets and sequences are arrays. Where the JSON of a
type differs from its fields, a `JsonForm` says how.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from enum import Enum
from functools import cache
from pathlib import PurePath
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from opsbot.core.message import Message, plain
from opsbot.formatting import plain_times
from opsbot.messages import render

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class JsonForm:
    """How the JSON of a dataclass differs from its fields.

    hidden: fields that are not sent, and have a default. keys: fields whose key has another name. inlined: fields that
    are dataclasses, and whose keys are among those of the object itself. added: keys that are computed when it is
    sent; where one has the name of a field, it is sent instead.
    """

    hidden: frozenset[str] = frozenset()
    keys: Mapping[str, str] = field(default_factory=dict)
    inlined: frozenset[str] = frozenset()
    added: Mapping[str, Callable[[Any], object]] = field(default_factory=dict)


_PLAIN = JsonForm()
_MAYBE_MESSAGE = Message | None


class Codec:
    """Encodes values, and decodes them again, with these forms."""

    def __init__(self, forms: Mapping[type, JsonForm]) -> None:
        """forms: by the dataclass. One that has none is sent as it is."""
        self._forms = forms

    def encode(self, value: object) -> Any:
        """The value as `json.dumps` takes it.

        Raises:
            TypeError: JSON has nothing for such a value.
        """
        if isinstance(value, Enum):
            return value.value
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, datetime):
            return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        if isinstance(value, timedelta):
            return value.total_seconds()
        if isinstance(value, date | time):
            return value.isoformat()
        if isinstance(value, Message):
            return plain_times(render(value))
        if isinstance(value, PurePath | tzinfo):
            return str(value)
        if isinstance(value, Mapping):
            return {str(self.encode(key)): self.encode(one) for key, one in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.encode(one) for one in value]
        if is_dataclass(value):
            return self._encode_object(value)
        raise TypeError(f"{type(value).__name__} cannot be sent as JSON")

    def _encode_object(self, value: Any) -> dict[str, Any]:
        kind: type = type(value)
        form = self._forms.get(kind, _PLAIN)
        found: dict[str, Any] = {}
        for one in fields(value):
            if one.name in form.inlined:
                found |= self._encode_object(getattr(value, one.name))
            elif one.name not in form.hidden:
                held = getattr(value, one.name)
                no_message = held is None and _types(kind)[one.name] == _MAYBE_MESSAGE
                found[form.keys.get(one.name, one.name)] = "" if no_message else self.encode(held)
        return found | {key: self.encode(computed(value)) for key, computed in form.added.items()}

    def decode(self, kind: type[T], value: Any) -> T:
        """The value of this type that was encoded. Keys it has no field for are ignored: a newer opsbot added them.

        Raises:
            TypeError, ValueError, AttributeError: it is no such value.
        """
        return cast("T", self._decode(kind, value))

    def _decode(self, kind: Any, value: Any) -> Any:
        origin, parts = get_origin(kind), get_args(kind)
        if kind == _MAYBE_MESSAGE:
            return plain(value) if value else None
        if kind is Message:
            return plain(value)
        if origin in {Union, UnionType}:
            kinds = [one for one in parts if one is not NoneType]
            # Which of several types a value had, JSON does not say: it is taken as it was sent.
            return value if value is None or len(kinds) > 1 else self._decode(kinds[0], value)
        if origin is tuple and parts[-1] is not Ellipsis:
            return tuple(self._decode(part, one) for part, one in zip(parts, value, strict=True))
        if origin is not None and issubclass(origin, Mapping):
            return {self._decode(parts[0], key): self._decode(parts[1], one) for key, one in value.items()}
        if origin is not None:
            container = origin if origin in {list, set, frozenset} else tuple
            return container(self._decode(parts[0], one) for one in value)
        if is_dataclass(kind):
            return self._decode_object(kind, value)
        if kind in {datetime, date, time}:
            return kind.fromisoformat(value)
        if kind is tzinfo:
            from zoneinfo import ZoneInfo  # noqa: PLC0415 - seldom needed, and the command line must start fast

            return ZoneInfo(value)
        if kind is timedelta:
            return timedelta(seconds=value)
        return kind(value) if isinstance(kind, type) and issubclass(kind, Enum | PurePath) else value

    def _decode_object(self, kind: Any, value: Mapping[str, Any]) -> Any:
        form = self._forms.get(kind, _PLAIN)
        given = {}
        for name, its in _types(kind).items():
            key = form.keys.get(name, name)
            if name in form.inlined:
                given[name] = self._decode_object(its, value)
            elif name not in form.hidden and key in value:
                given[name] = self._decode(its, value[key])
        return kind(**given)


@cache
def _types(kind: type) -> dict[str, Any]:
    """The type of each field; the same as its annotation, with what is quoted there looked up."""
    hints = get_type_hints(kind)
    return {one.name: hints[one.name] for one in fields(kind)}
