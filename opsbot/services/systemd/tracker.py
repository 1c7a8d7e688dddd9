"""Derives events of a service from the property changes of one unit.

Transient states are no events: a crash with Restart= passes through `failed` in less than a millisecond, and a start
through `inactive`. A death is reported at once when the run that was seen alive has ended without a job (a stop or a
restart is a job). That systemd gave the unit up, or that somebody stopped it, is reported once the unit has been at
rest for a moment.
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta

from opsbot.core.exits import ExitCode
from opsbot.core.message import Message, message
from opsbot.services.port import Activity, Happening, ServiceState
from opsbot.services.systemd.unit import UnitFacts

SETTLED = timedelta(milliseconds=500)
"""How long a unit must be at rest before systemd counts as finished with it."""


class Tracker:
    """One unit. `facts` are its properties; `asked` counts opsbot's own jobs for it."""

    def __init__(self, unit: str, notify: Callable[["Tracker", Happening], None]) -> None:
        """notify: called with each event; `asked` is not 0 if opsbot requested it."""
        self.unit = unit
        self.facts = UnitFacts()
        self.asked = 0
        self.heard = 0
        """Changes that systemd has signalled."""
        self.by_hand = False
        self.ending = False
        """opsbot is stopping it; it counts as stopped on purpose only once that is done."""
        self.exit: Message | None = None
        self.lived = ""
        """The run that was seen alive and has not ended as far as is known."""
        self.last_run = ""
        """The last known run, also after systemd has unloaded the unit."""
        self.reported_dead = False
        self.barred = False
        """It was reported, or is about to be, that systemd cannot load it."""
        self._leaving = False
        """Somebody else's job is stopping or restarting it."""
        self._was_retrying = False
        self._rest = ("", "")
        """The run and the state in which it was last found at rest; each is reported once."""
        self._unsettled: asyncio.TimerHandle | None = None
        self._notify = notify

    def state(self) -> ServiceState:
        facts = self.facts
        activity = self._activity()
        running = activity is Activity.RUNNING
        return ServiceState(
            activity,
            pid=facts.pid or None if facts.alive or activity is Activity.STARTING else None,
            run=facts.run or None,
            started_at=facts.started_at if running else None,
            restarts=facts.restarts,
            exit=None if running else self._exit(),
            stopped_by_hand=self.by_hand and activity is Activity.STOPPED,
            revivable=activity is Activity.FAILED,
            groups=(facts.cgroup,) if facts.alive and facts.cgroup else (),
        )

    def _exit(self) -> Message | None:
        if self.facts.unloadable:
            return self.facts.exit()
        return self.exit or (None if self.facts.active == "inactive" else self.facts.exit())

    def _activity(self) -> Activity:
        facts = self.facts
        if facts.alive:
            return Activity.RUNNING
        if facts.active == "activating":
            return Activity.RETRYING if facts.retrying else Activity.STARTING
        if facts.active == "deactivating" or (self.ending and facts.load == "loaded"):
            return Activity.STOPPING
        if self._unsettled is not None and self.reported_dead:
            return Activity.RETRYING  # systemd may be about to restart it
        if facts.job and facts.active == "inactive":
            return Activity.STARTING
        if facts.unloadable or (facts.active == "failed" and not self.by_hand):
            return Activity.FAILED
        return Activity.STOPPED

    # Changes

    def begin(self, facts: UnitFacts, *, by_hand: bool) -> None:
        """Take the initial properties; report nothing."""
        self.facts, self.by_hand = facts, by_hand
        self.last_run = facts.run or self.last_run
        self.lived = facts.run if facts.alive else ""
        self._rest = (facts.run, facts.active)
        self.exit = None if facts.alive else facts.exit()

    def take(self, facts: UnitFacts) -> None:
        """Take changed properties; report what has happened by them."""
        before, self.facts = self.facts, facts
        self.last_run = facts.run or self.last_run
        if facts.run != before.run:
            self._leaving = False
        if facts.retrying:
            self._was_retrying = True
        if self.lived and self._ended(facts):
            self._end(facts, before)
        if facts.alive:
            self._came_alive(facts)
        elif self._at_rest(facts):
            self._settle_soon()
        else:
            self.unsettle()
        if self._leaving and self._at_rest(facts):
            self._stopped_by_other()

    def _ended(self, facts: UnitFacts) -> bool:
        at_rest_or_retrying = facts.active in {"inactive", "failed"} or facts.retrying
        return facts.run != self.lived or at_rest_or_retrying or facts.main_is_gone

    @staticmethod
    def _at_rest(facts: UnitFacts) -> bool:
        return facts.active in {"inactive", "failed"} and not facts.job

    def _end(self, facts: UnitFacts, before: UnitFacts) -> None:
        missed = facts.run != self.lived  # systemd reports only the end of the last run
        self.lived = ""
        self.exit = None if missed else facts.exit()
        if self.asked:
            return
        if facts.job and not facts.retrying:
            self._leaving = True
        elif not missed or facts.restarts > before.restarts:
            self.exit = self.exit or message(ExitCode.RESTARTED_UNSEEN)
            self.reported_dead = True
            self._notify(self, Happening.DIED)

    def _came_alive(self, facts: UnitFacts) -> None:
        self.unsettle()
        if facts.run == self.lived:
            return
        self.lived, self.by_hand, self.reported_dead = facts.run, False, False
        self._leaving = self._was_retrying = False
        self._notify(self, Happening.STARTED)

    def _stopped_by_other(self) -> None:
        self._leaving = False
        self.unsettle()
        self.by_hand = True
        self._notify(self, Happening.STOPPED)

    # Rest

    def _settle_soon(self) -> None:
        rest = (self.facts.run, self.facts.active)
        if self._unsettled is None and not self.by_hand and rest != self._rest:
            loop = asyncio.get_running_loop()
            self._unsettled = loop.call_later(SETTLED.total_seconds(), self._settled)

    def unsettle(self) -> None:
        if self._unsettled is not None:
            self._unsettled.cancel()
            self._unsettled = None

    def _settled(self) -> None:
        self._unsettled = None
        if self.asked or not self._at_rest(self.facts):
            return
        self._rest = (self.facts.run, self.facts.active)
        if self.facts.active == "failed":
            self.exit = self.facts.exit()
            self._was_retrying = False
            self._notify(self, Happening.GAVE_UP)
        elif self._was_retrying:
            # Somebody stopped it between a crash and the restart: systemd does not give up without `failed`.
            self._was_retrying = False
            self.by_hand = True
            self._notify(self, Happening.STOPPED)

    def stopped(self) -> None:
        """opsbot stopped the unit on request."""
        self.by_hand = True
        self._was_retrying = self._leaving = False
        self.unsettle()
        self._notify(self, Happening.STOPPED)

    def report(self, what: Happening, *, by_hand: bool = False) -> None:
        """Report an event that happened while opsbot was not running."""
        self.by_hand = by_hand
        self.reported_dead = what is Happening.DIED
        self._notify(self, what)
