"""Layers of checks (unit, process, port, HTTP, command): the root is the cause.

A port that refuses connections makes every HTTP check on it fail: that is one problem, named by the port.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from opsbot.core.message import Message

ORDER = ("unit", "process", "tcp", "http", "command")
"""Kinds of checks from the root up; any other kind is above them."""


@dataclass(frozen=True, slots=True)
class FailingCheck:
    """A failing check. unit: "" for the whole service. seen: what it saw."""

    name: str
    kind: str
    unit: str
    seen: Message


def depth(kind: str) -> int:
    """How near the root: 0 is nearest."""
    return ORDER.index(kind) if kind in ORDER else len(ORDER)


def _hangs_below(one: FailingCheck, root: FailingCheck) -> bool:
    return depth(root.kind) < depth(one.kind) and (not root.unit or not one.unit or root.unit == one.unit)


def untangle(failing: Sequence[FailingCheck]) -> tuple[tuple[FailingCheck, ...], tuple[FailingCheck, ...]]:
    """The causes, root-most first, and the consequences."""
    ordered = sorted(failing, key=lambda each: depth(each.kind))
    consequences = tuple(one for one in ordered if any(_hangs_below(one, root) for root in ordered))
    return tuple(one for one in ordered if one not in consequences), consequences
