"""Flapping: repeated failures and recoveries are one state and one message.

`changed` folds the openings and closings of a subject's incidents: `changes` of them within `window` are flapping,
until nothing has changed for `calm`. `alternates` finds a check that fails often, but never often enough in a row to
be down.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from opsbot.core.health import alternations, failures, looks

LOOKS = 20
"""How many results `alternates` judges."""
LEAST_FAILED = 6
"""Of those; fewer are hiccups, which `fall` forgives."""


@dataclass(frozen=True, slots=True)
class FlapPolicy:
    """So many changes within `window` are flapping, until none came for `calm`."""

    changes: int = 6
    window: timedelta = timedelta(minutes=10)
    calm: timedelta = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Flaps:
    """The changes of a subject.

    changes: those within the window, oldest first. since: the first of those that made it flap, None while it does
    not. count: how many since then. last: the latest.
    """

    changes: tuple[datetime, ...] = ()
    since: datetime | None = None
    count: int = 0
    last: datetime | None = None

    @property
    def flapping(self) -> bool:
        return self.since is not None


def changed(flaps: Flaps, at: datetime, policy: FlapPolicy) -> Flaps:
    """The changes after one more opening or closing."""
    if flaps.since is not None:
        return replace(flaps, count=flaps.count + 1, last=at)
    # A change in the future was made by a clock that was set back since.
    within = (*(each for each in flaps.changes if timedelta(0) <= at - each < policy.window), at)
    if len(within) < policy.changes:
        return Flaps(within, last=at)
    return Flaps((), within[0], len(within), at)


def is_calm(flaps: Flaps, now: datetime, policy: FlapPolicy) -> bool:
    if flaps.since is None or flaps.last is None:
        return False
    # Likewise: a clock that was set back must not make it flap for hours.
    return not timedelta(0) <= now - flaps.last < policy.calm


def alternates(recent: int, policy: FlapPolicy) -> bool:
    """Whether a check flaps without failures in a row: by its last results as bits."""
    return (
        looks(recent) >= LOOKS
        and failures(recent, LOOKS) >= LEAST_FAILED
        and alternations(recent, LOOKS) >= policy.changes
    )
