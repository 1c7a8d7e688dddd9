"""What the watcher remembers of a service between two looks."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime

from opsbot.config import Service
from opsbot.core.health import CheckHealth
from opsbot.core.model import Incident


@dataclass(slots=True)
class Watched:
    """What the watcher remembers of one service between two looks."""

    service: Service
    checks: dict[str, CheckHealth]
    due: dict[str, datetime]
    meant_to_run: bool = False
    """It has a release to run; before its first deploy there is nothing to watch."""
    looking: set[str] = field(default_factory=set)
    runs: dict[str, str | None] = field(default_factory=dict)
    """By the unit that checks are about ("": the service): the run whose failures are in grace until it has once
    answered well."""
    answered: set[str] = field(default_factory=set)
    """Checks that were well once in this run."""
    incident: Incident | None = None
    restarts: tuple[datetime, ...] = ()
    """Restarts made for the open incident, since a person last had a hand in it."""
    rolled_back: bool = False
    called: bool = False
    acting: bool = False
    last_deed: str = ""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    events: asyncio.Lock = field(default_factory=asyncio.Lock)
    """What the manager says is taken in its order: the start that follows a death belongs to the incident it opened."""

    def see_run(self, unit: str, run: str | None) -> None:
        """What checks about this unit look at: another run has to answer well anew."""
        if unit not in self.runs or self.runs[unit] != run:
            self.runs[unit] = run
            self.answered -= {check.name for check in self.service.checks if check.unit == unit}

    def hurry(self, now: datetime) -> None:
        """Every check is due."""
        for check in self.due:
            self.due[check] = min(self.due[check], now)

    def judge_anew(self) -> None:
        """What was known of the checks says nothing any more; what they last saw can still be shown."""
        for check in self.checks:
            self.checks[check] = CheckHealth(last=self.checks[check].last)

    def forget_tries(self) -> None:
        """The ladder begins at its first rung."""
        self.restarts, self.rolled_back, self.called = (), False, False
