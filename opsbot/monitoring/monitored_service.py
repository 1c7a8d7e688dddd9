"""What the watcher remembers of a service between two looks."""

import asyncio
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime

from opsbot.config import Service
from opsbot.core.health import CheckHealth, Verdict
from opsbot.core.layers import FailingCheck
from opsbot.core.message import Message
from opsbot.core.model import Incident
from opsbot.monitoring.incident_state import IncidentState, ListedUnder, PendingCause

NEVER = datetime.max.replace(tzinfo=UTC)
RESTARTED = "restarted by opsbot"
FROM_OUTSIDE = "by itself or from outside, as far as opsbot can see"
RESTART = re.compile(r"restart \d+ of \d+")
DEEDS = ("started again", "restarted by", "deployment ")
VAIN = ("died again", "called for a human", "the restart failed", "not started again")
"""How deeds begin that may help, and what says that those before did not."""


@dataclass(slots=True)
class MonitoredService:
    """What the watcher remembers of one service between two looks."""

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
    runs: dict[str, str | None] = field(default_factory=dict)
    """By the unit that checks are about ("": the service): the run whose failures are in grace until it has once
    answered well."""
    answered: set[str] = field(default_factory=set)
    """Checks that were well once in this run."""
    seen_well: bool = False
    """A check of it was well since opsbot was started."""
    fallen: set[str] = field(default_factory=set)
    """Checks that were down at any time of the open incident."""
    restarts: tuple[datetime, ...] = ()
    """Restarts made for the open incident, since a person last had a hand in it."""
    rolled_back: bool = False
    barred: str = ""
    """Why its manager could start nothing of it at the last restart, whatever the release; "" where it could."""
    called: bool = False
    spent: bool = False
    """A human was called since a veto forbids what recovery would do: when that is lifted, it goes on."""
    waits: Message | None = None
    """What recovery waits for; None while it does not."""
    revive: bool = False
    """What made its manager give up is over: a restart can help again."""
    acting: bool = False
    hands: int = 0
    """How many people's restarts of it are under way: recovery takes no step beside them."""
    settling: bool = False
    waits_for: str = ""
    """The service it needs that fails, too, so that it is not restarted."""
    last_deed: str = ""
    """What may end the trouble, as it will be said to have ended it; "" where nothing was done that may still help."""
    in_vain: bool = False
    """Something was done, and did not help."""
    events: asyncio.Lock = field(default_factory=asyncio.Lock)
    """What the manager says is taken in its order: the start that follows a death belongs to the incident it opened."""

    def __post_init__(self) -> None:
        """Nothing is known of its trouble yet."""
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
        return any(health.verdict is Verdict.DOWN and health.streak < 0 for health in self.checks.values())

    @property
    def ended_by(self) -> str:
        """What ended its trouble, as far as is known, were it well now."""
        return self.last_deed or (FROM_OUTSIDE if self.in_vain else "by itself")

    def did(self, deed: str) -> None:
        """Something was done about it: if it is well next, that ended it."""
        self.last_deed, self.in_vain = deed, False

    def did_not_help(self) -> None:
        """It is as bad as before, after what was done: that will not have ended it."""
        self.last_deed, self.in_vain = "", True

    def remember_deeds(self, incident: Incident) -> None:
        """What an earlier opsbot did about the open incident, and whether it helped."""
        for deed in incident.deeds:
            if RESTART.match(deed.text):
                self.did(RESTARTED)
            elif deed.text.startswith(DEEDS):
                self.did(deed.text)
            elif deed.text.startswith(VAIN):
                self.did_not_help()

    def see_run(self, unit: str, run: str | None) -> None:
        """What checks about this unit look at: another run has to answer well anew."""
        if unit not in self.runs or self.runs[unit] != run:
            self.runs[unit] = run
            self.answered -= {check.name for check in self.service.checks if check.unit == unit}

    def hurry(self, now: datetime) -> None:
        """Every check is due."""
        for check in self.due:
            self.due[check] = min(self.due[check], now)
        self.next_due = min(self.next_due, now)

    def judge_anew(self) -> None:
        """What was known of the checks says nothing any more; what they last saw can still be shown."""
        for check in self.checks:
            self.checks[check] = CheckHealth(last=self.checks[check].last)

    def forget_deeds(self) -> None:
        """Another trouble begins, or none goes on."""
        self.last_deed, self.in_vain = "", False

    def forget_tries(self) -> None:
        """The ladder begins at its first rung."""
        self.restarts, self.rolled_back, self.called, self.waits_for = (), False, False, ""
        self.spent, self.waits, self.barred = False, None, ""
