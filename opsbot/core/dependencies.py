"""Which services need which, and whose trouble is whose: one root cause, however many fail below it.

A service that fails while one it needs has an incident is part of that incident. Where the one it needs is failing too
but not yet judged, or has not been looked at since, its verdict is waited for, at most `PATIENCE`: children are often
seen first.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

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
