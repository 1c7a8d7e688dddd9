"""The checks of a service hang together: unit → process → port → HTTP → command. What is nearest the root is the cause.

A port that refuses makes every HTTP check on it fail; that is one trouble, and the port names it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from opsbot.core.message import Message

ORDER = ("unit", "process", "tcp", "http", "command")
"""Kinds of checks from the root up; a kind that is not named here stands above them all."""


@dataclass(frozen=True, slots=True)
class FailingCheck:
    """A check that fails: its name, its kind, the unit it is about ("" for the whole service), what it saw."""

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
    """The causes, root-most first, and the consequences; in the given order where they stand equal."""
    ordered = sorted(failing, key=lambda each: depth(each.kind))
    consequences = tuple(one for one in ordered if any(_hangs_below(one, root) for root in ordered))
    return tuple(one for one in ordered if one not in consequences), consequences


_CHECK = "check "


def cause_of(failing: FailingCheck, show: Callable[[Message], str]) -> str:
    """A failing check as the cause of an incident."""
    return f"{_CHECK}{failing.name}: {show(failing.seen)}"


def is_checks(cause: str) -> bool:
    """Whether a cause was made by `cause_of`: what is nearer the root may take its place."""
    return cause.startswith(_CHECK)
