"""What the watcher remembers of a service between two looks."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime

from opsbot.config import Service
from opsbot.core.health import CheckHealth, Verdict, failures, looks
from opsbot.core.layers import FailingCheck
from opsbot.core.message import Message
from opsbot.core.model import Incident
from opsbot.monitoring.incident_state import IncidentState, ListedUnder, PendingCause

NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(slots=True)
class MonitoredService:
    """What the watcher remembers of one service between two looks.

    What was tried about its incident is stored with that: `incident.recovery`.
    """

    service: Service
    checks: dict[str, CheckHealth]
    due: dict[str, datetime]
    case: IncidentState = field(init=False)
    next_due: datetime = field(init=False)
    """When the first of its checks is due."""
    pending: PendingCause | None = None
    under: ListedUnder | None = None
    awaited: datetime | None = None
    """Until when others wait for the verdict on it: its checks are run often enough for one."""
    meant_to_run: bool = False
    """It has a release to run; before its first deploy there is nothing to watch."""
    looking: set[str] = field(default_factory=set)
    answered: dict[str, str | None] = field(default_factory=dict)
    """By check: the run in which it has passed once. Until then its failures are in the grace of a start."""
    seen_well: bool = False
    """A check of it was well since opsbot was started."""
    waits: Message | None = None
    """What recovery waits for; None while it does not."""
    restarting: bool = False
    """Recovery is restarting it."""
    hands: int = 0
    """How many people's restarts of it are under way: recovery takes no step beside them."""
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while something about it is decided and recorded: events of its manager, results of its checks and steps of
    recovery are handled one at a time, in their order. Otherwise records would depend on how fast the store is. A start
    that follows a death belongs to the incident that the death opens."""

    def __post_init__(self) -> None:
        self.case = IncidentState(self.service.name)
        self.next_due = min(self.due.values(), default=NEVER)

    @property
    def incident(self) -> Incident | None:
        """Its open incident."""
        return self.case.incident

    @property
    def unwell(self) -> bool:
        """Whether it has an incident, or is listed in another's as not well."""
        return self.case.incident is not None or (self.under is not None and not self.under.well)

    @property
    def up_since(self) -> datetime | None:
        """Since when every check of it has passed; None where one has not, or it has none."""
        healths = self.checks.values()
        if not healths or any(health.streak <= 0 or health.streak_since is None for health in healths):
            return None
        return max(health.streak_since for health in healths if health.streak_since is not None)

    @property
    def failing(self) -> list[FailingCheck]:
        """The checks whose last look saw a failure."""
        return [
            FailingCheck(check.name, check.kind, check.unit, health.last.seen)
            for check in self.service.checks
            if (health := self.checks[check.name]).last is not None and not health.last.ok
        ]

    @property
    def down(self) -> bool:
        """Whether a check is down as it was last seen.

        One that answers again, or that an earlier opsbot saw, may be well already.
        """
        return any(is_down(health) for health in self.checks.values())

    def counts(self, check: str) -> tuple[int | None, int | None]:
        """How many of how many results of a check failed, where that makes it down; None twice where it is not."""
        policy = next(one.policy for one in self.service.checks if one.name == check)
        health = self.checks[check]
        if -health.streak >= policy.fall:
            return policy.fall, policy.fall
        if policy.of is not None and (failed := failures(health.recent, policy.of)) >= policy.fall:
            return failed, min(policy.of, looks(health.recent))
        return None, None

    def hurry(self, now: datetime) -> None:
        """Every check is due."""
        for check in self.due:
            self.due[check] = min(self.due[check], now)
        self.next_due = min(self.next_due, now)

    def judge_anew(self) -> None:
        """What was known of the checks says nothing any more; what they last saw can still be shown."""
        for check in self.checks:
            self.checks[check] = CheckHealth(last=self.checks[check].last)


def is_down(health: CheckHealth) -> bool:
    """Whether a check is down as it was last seen."""
    return health.verdict is Verdict.DOWN and health.streak < 0
