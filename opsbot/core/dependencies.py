"""What fails because of what: the checks of one service, and services that need others. One root cause is one incident.

The checks of a service depend on each other: unit → process → port → HTTP → command. The one nearest the root is the
cause: a closed port makes every HTTP check on it fail.

A service that fails while one of its dependencies has an incident is part of that incident. If a dependency fails but
has no verdict yet, or has not been checked since, its verdict is awaited for at most `PATIENCE`: the failure of a
dependent is often seen first.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from opsbot.core.message import Message

_LAYERS = ("unit", "process", "tcp", "http", "command")
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
    return _LAYERS.index(kind) if kind in _LAYERS else len(_LAYERS)


def _hangs_below(one: FailingCheck, root: FailingCheck) -> bool:
    return depth(root.kind) < depth(one.kind) and (not root.unit or not one.unit or root.unit == one.unit)


def untangle(failing: Sequence[FailingCheck]) -> tuple[tuple[FailingCheck, ...], tuple[FailingCheck, ...]]:
    """The causes, root-most first, and the consequences."""
    ordered = sorted(failing, key=lambda each: depth(each.kind))
    consequences = tuple(one for one in ordered if any(_hangs_below(one, root) for root in ordered))
    return tuple(one for one in ordered if one not in consequences), consequences


PATIENCE = timedelta(seconds=30)
"""How long a service waits for the verdict on its dependencies."""

Needs = Mapping[str, tuple[str, ...]]
"""By service: the names in its `depends_on`."""


def above(needs: Needs, service: str) -> tuple[str, ...]:
    """All dependencies of a service, the nearest first, without itself."""
    found: dict[str, None] = {}
    edge = [service]
    while edge:
        edge = [each for name in edge for each in needs.get(name, ()) if each != service and each not in found]
        found |= dict.fromkeys(edge)
    return tuple(found)


def below(needs: Needs, service: str) -> tuple[str, ...]:
    """All dependents of a service, in the order of the configuration."""
    return tuple(name for name in needs if name != service and service in above(needs, name))


def ways_back(needs: Needs) -> Iterator[tuple[str, ...]]:
    """Each cycle of dependencies once, from its first member in the file back to it."""
    found: set[frozenset[str]] = set()
    for start in needs:
        way = _way(needs, start)
        if way and frozenset(way) not in found:
            found.add(frozenset(way))
            yield way


def _way(needs: Needs, start: str) -> tuple[str, ...]:
    """The shortest cycle through a service with both ends, or nothing."""
    came: dict[str, str] = {}
    edge = [start]
    while edge:
        further = []
        for name in edge:
            for each in needs.get(name, ()):
                if each == start:
                    way = [start, name]
                    while way[-1] != start:
                        way.append(came[way[-1]])
                    return tuple(reversed(way)) if name != start else (start, start)
                if each not in came:
                    came[each] = name
                    further.append(each)
        edge = further
    return ()


class DependencyState(StrEnum):
    """The state of a dependency when its dependent fails."""

    WELL = "well"
    UNSEEN = "unseen"  # it was not checked since: it may be the cause
    FAILING = "failing"  # its checks fail, not often enough yet for a verdict
    DOWN = "down"  # it has an incident


@dataclass(frozen=True, slots=True)
class OwnFault:
    """The service itself is the cause."""


@dataclass(frozen=True, slots=True)
class CausedBy:
    """The failure is part of the incident of `root`."""

    root: str


@dataclass(frozen=True, slots=True)
class AwaitVerdict:
    """The cause is not known before the verdicts on these services."""

    on: tuple[str, ...]


def attribute(
    service: str, needs: Needs, states: Mapping[str, DependencyState], asked: datetime, now: datetime
) -> OwnFault | CausedBy | AwaitVerdict:
    """Find the cause of a failure. asked: when it was first looked for."""
    up = above(needs, service)
    down = [name for name in up if states.get(name) is DependencyState.DOWN]
    for name in down:
        # The root-most: none of what it needs has an incident itself.
        if not any(states.get(each) is DependencyState.DOWN for each in above(needs, name)):
            return CausedBy(name)
    doubtful = tuple(name for name in up if states.get(name) in {DependencyState.FAILING, DependencyState.UNSEEN})
    # A clock that was set back makes nobody wait for hours.
    if doubtful and timedelta(0) <= now - asked < PATIENCE:
        return AwaitVerdict(doubtful)
    return OwnFault()


def pace(interval: timedelta, fall: int) -> timedelta:
    """The interval of a check whose verdict must come within `PATIENCE`."""
    return min(interval, PATIENCE / (fall + 2))
