"""What one configuration changes of another, key by key, in the words of the files themselves."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeGuard

from opsbot.config_file import dotted
from opsbot.config_file.lines import Path as KeyPath
from opsbot.config_file.schema import ROOT, walk

_PRIVATE = frozenset(key.name for _, table in walk(ROOT) for key in table.keys if key.declared.private)
VALUE_MOST = 80


def differences(before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    """A line for each key that is added, removed or changed: `services.api.checks[0].interval: 30s -> 10s`."""
    return list(_tables(before, after, ()))


def _tables(before: Mapping[str, object], after: Mapping[str, object], where: KeyPath) -> Iterator[str]:
    for key in [*before, *(key for key in after if key not in before)]:
        place = (*where, key)
        if key not in after:
            yield f"{dotted(place)}: removed{_said(place, before[key], ', was ')}"
        elif key not in before:
            yield f"{dotted(place)}: added{_said(place, after[key], ', ')}"
        elif before[key] != after[key]:
            yield from _values(before[key], after[key], place)


def _values(before: object, after: object, place: KeyPath) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        yield from _tables(before, after, place)
    elif _is_tables(before) and _is_tables(after):
        yield from _rows(before, after, place)
    elif _hidden(place):
        yield f"{dotted(place)}: changed"
    else:
        yield f"{dotted(place)}: {_value(before)} -> {_value(after)}"


def _rows(
    before: Sequence[Mapping[str, object]], after: Sequence[Mapping[str, object]], place: KeyPath
) -> Iterator[str]:
    """Arrays of tables: what is the same at the beginning and at the end is not what changed."""
    most = min(len(before), len(after))
    head = next((at for at in range(most) if before[at] != after[at]), most)
    tail = next((at for at in range(most - head) if before[-1 - at] != after[-1 - at]), most - head)
    old, new = before[head : len(before) - tail], after[head : len(after) - tail]
    for at, (was, now) in enumerate(zip(old, new, strict=False), head):
        yield from _tables(was, now, (*place, at))
    for at, row in enumerate(old[len(new) :], head + len(new)):
        yield f"{dotted((*place, at))}: removed{_said((*place, at), row, ', was ')}"
    for at, row in enumerate(new[len(old) :], head + len(old)):
        yield f"{dotted((*place, at))}: added{_said((*place, at), row, ', ')}"


def _is_tables(value: object) -> TypeGuard[list[dict[str, object]]]:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _hidden(place: KeyPath) -> bool:
    return any(part in _PRIVATE for part in place)


def _said(place: KeyPath, value: object, between: str) -> str:
    return "" if _hidden(place) else between + _value(value)


def _value(value: object) -> str:
    """A value as the file would say it, shortened; of a table only which keys it has."""
    if isinstance(value, dict):
        text = f"with {', '.join(value)}"
    elif _is_tables(value):
        text = f"{len(value)} of them"
    elif isinstance(value, str) and value:
        text = value
    else:
        text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= VALUE_MOST else text[: VALUE_MOST - 1] + "…"
