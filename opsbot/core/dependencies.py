"""What fails because of what: the checks of one service, and services that need others. One root cause is one incident.

The checks of a service hang together: unit → process → port → HTTP → command. What is nearest the root is the cause: a
port that refuses makes every HTTP check on it fail.

A service that fails while one it needs has an incident is part of that incident. Where the one it needs is failing too
but not yet judged, or has no result since, its verdict is waited for, at most `PATIENCE`: children often fail first.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from opsbot.core.message import Message

_LAYERS = ("unit", "process", "tcp", "http", "command")
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
    return _LAYERS.index(kind) if kind in _LAYERS else len(_LAYERS)


def _hangs_below(one: FailingCheck, root: FailingCheck) -> bool:
    return depth(root.kind) < depth(one.kind) and (not root.unit or not one.unit or root.unit == one.unit)


def untangle(failing: Sequence[FailingCheck]) -> tuple[tuple[FailingCheck, ...], tuple[FailingCheck, ...]]:
    """The causes, root-most first, and the consequences; in the given order where they stand equal."""
    ordered = sorted(failing, key=lambda each: depth(each.kind))
    consequences = tuple(one for one in ordered if any(_hangs_below(one, root) for root in ordered))
    return tuple(one for one in ordered if one not in consequences), consequences


PATIENCE = timedelta(seconds=30)
"""How long a service waits for the verdict on those it needs."""

Needs = Mapping[str, tuple[str, ...]]
"""By service: those it names in `depends_on`."""


def above(needs: Needs, service: str) -> tuple[str, ...]:
    """All that a service needs, directly or not, the nearest first; itself never."""
    found: dict[str, None] = {}
    edge = [service]
    while edge:
        edge = [each for name in edge for each in needs.get(name, ()) if each != service and each not in found]
        found |= dict.fromkeys(edge)
    return tuple(found)


def below(needs: Needs, service: str) -> tuple[str, ...]:
    """All that need a service, directly or not, in the order of the configuration."""
    return tuple(name for name in needs if name != service and service in above(needs, name))


def ways_back(needs: Needs) -> Iterator[tuple[str, ...]]:
    """Each ring of services that need each other, once: from its first member in the file back to it."""
    told: set[frozenset[str]] = set()
    for start in needs:
        way = _way(needs, start)
        if way and frozenset(way) not in told:
            told.add(frozenset(way))
            yield way


def _way(needs: Needs, start: str) -> tuple[str, ...]:
    """The shortest way from a service back to itself, both ends included; empty where there is none."""
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
    """How one that is needed stands, when one that needs it fails."""

    WELL = "well"
    UNSEEN = "unseen"
    """Nobody has looked since: it may be the cause."""
    FAILING = "failing"
    """It was seen to fail, not often enough yet to be judged."""
    DOWN = "down"
    """It has an incident."""


@dataclass(frozen=True, slots=True)
class OwnFault:
    """The trouble is its own."""


@dataclass(frozen=True, slots=True)
class CausedBy:
    """The trouble is part of another's: that of `root`."""

    root: str


@dataclass(frozen=True, slots=True)
class AwaitVerdict:
    """It is not known yet: what `on` names is to be judged first."""

    on: tuple[str, ...]


def attribute(
    service: str, needs: Needs, standings: Mapping[str, DependencyState], asked: datetime, now: datetime
) -> OwnFault | CausedBy | AwaitVerdict:
    """Whose trouble it is that a service fails. asked: when this was first asked of this trouble."""
    up = above(needs, service)
    down = [name for name in up if standings.get(name) is DependencyState.DOWN]
    for name in down:
        # The root-most: none of what it needs has an incident itself.
        if not any(standings.get(each) is DependencyState.DOWN for each in above(needs, name)):
            return CausedBy(name)
    doubtful = tuple(name for name in up if standings.get(name) in {DependencyState.FAILING, DependencyState.UNSEEN})
    # A clock that was set back makes nobody wait for hours.
    if doubtful and timedelta(0) <= now - asked < PATIENCE:
        return AwaitVerdict(doubtful)
    return OwnFault()


def pace(interval: timedelta, fall: int) -> timedelta:
    """How often a check is run while others wait for its verdict: so that it can be reached while they do."""
    return min(interval, PATIENCE / (fall + 2))
