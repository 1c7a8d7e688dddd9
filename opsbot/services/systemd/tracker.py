"""Follows one unit: what its properties come to, one change after the other, is what happened to the service.

What systemd does for a while is no event: a crash with Restart= passes through `failed` in less than a millisecond, a
start through `inactive`. So a death is told when the run that was seen alive has ended without a job (a stop or a
restart is one), at once; that systemd gave it up, or that somebody stopped it, only once it has rested so for a moment.
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta

from opsbot.core.exits import ExitCode
from opsbot.core.message import Message, message
from opsbot.services.port import Activity, Happening, ServiceState
from opsbot.services.systemd.unit import UnitFacts

SETTLED = timedelta(milliseconds=500)
"""How long a unit must rest in a state for it to count as the end of what systemd does by itself."""

Tell = Callable[["Tracker", Happening], None]
"""Told what happened; whether opsbot had asked for it says `Tracker.asked`."""


class Tracker:
    """One unit. `facts` is what is known of it; `asked` counts what opsbot itself has under way with it."""

    def __init__(self, unit: str, tell: Tell) -> None:
        """Nothing is known yet."""
        self.unit = unit
        self.facts = UnitFacts()
        self.asked = 0
        self.heard = 0
        """How many changes of it systemd has told."""
        self.by_hand = False
        self.ending = False
        """Opsbot stops it; that it was stopped on purpose is known only when that is done."""
        self.exit: Message | None = None
        self.lived = ""
        """The run that was seen alive and has not been seen to end."""
        self.last_run = ""
        """The last one that is known of, also after systemd has unloaded the unit."""
        self.told_dead = False
        self.barred = False
        """That systemd cannot load it is told, or is about to be."""
        self._leaving = False
        """A job that is none of ours is ending it, or starting it anew."""
        self._was_retrying = False
        self._rest = ("", "")
        """The run and the state in which it was last found at rest: that is told once."""
        self._unsettled: asyncio.TimerHandle | None = None
        self._tell = tell

    def state(self) -> ServiceState:
        """How the unit stands; `release` is not known here."""
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
        if self._unsettled is not None and self.told_dead:
            return Activity.RETRYING  # systemd may be about to start it again
        if facts.job and facts.active == "inactive":
            return Activity.STARTING
        if facts.unloadable or (facts.active == "failed" and not self.by_hand):
            return Activity.FAILED
        return Activity.STOPPED

    # What is heard

    def begin(self, facts: UnitFacts, *, by_hand: bool) -> None:
        """Take what is found as known; nothing has happened."""
        self.facts, self.by_hand = facts, by_hand
        self.last_run = facts.run or self.last_run
        self.lived = facts.run if facts.alive else ""
        self._rest = (facts.run, facts.active)
        self.exit = None if facts.alive else facts.exit()

    def take(self, facts: UnitFacts) -> None:
        """What is known after a change; tells what has happened by it."""
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
        return facts.run != self.lived or self._at_rest_or_retrying(facts) or facts.main_is_gone

    @staticmethod
    def _at_rest(facts: UnitFacts) -> bool:
        return facts.active in {"inactive", "failed"} and not facts.job

    @staticmethod
    def _at_rest_or_retrying(facts: UnitFacts) -> bool:
        return facts.active in {"inactive", "failed"} or facts.retrying

    def _end(self, facts: UnitFacts, before: UnitFacts) -> None:
        """The run that lived is over."""
        missed = facts.run != self.lived  # its end was not seen: systemd tells of the last run only
        self.lived = ""
        self.exit = None if missed else facts.exit()
        if self.asked:
            return
        if facts.job and not facts.retrying:
            self._leaving = True
        elif not missed or facts.restarts > before.restarts:
            self.exit = self.exit or message(ExitCode.RESTARTED_UNSEEN)
            self.told_dead = True
            self._tell(self, Happening.DIED)

    def _came_alive(self, facts: UnitFacts) -> None:
        self.unsettle()
        if facts.run == self.lived:
            return
        self.lived, self.by_hand, self.told_dead = facts.run, False, False
        self._leaving = self._was_retrying = False
        self._tell(self, Happening.STARTED)

    def _stopped_by_other(self) -> None:
        self._leaving = False
        self.unsettle()
        self.by_hand = True
        self._tell(self, Happening.STOPPED)

    # Rest

    def _settle_soon(self) -> None:
        rest = (self.facts.run, self.facts.active)
        if self._unsettled is None and not self.by_hand and rest != self._rest:
            loop = asyncio.get_running_loop()
            self._unsettled = loop.call_later(SETTLED.total_seconds(), self._settled)

    def unsettle(self) -> None:
        """It does not rest, or nobody wants to know any more."""
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
            self._tell(self, Happening.GAVE_UP)
        elif self._was_retrying:
            # Stopped between a crash and the start that was to follow it: systemd does not leave off by itself.
            self._was_retrying = False
            self.by_hand = True
            self._tell(self, Happening.STOPPED)

    def stopped(self) -> None:
        """Opsbot stopped it, for somebody who asked for it."""
        self.by_hand = True
        self._was_retrying = self._leaving = False
        self.unsettle()
        self._tell(self, Happening.STOPPED)

    def told(self, what: Happening, *, by_hand: bool = False) -> None:
        """Something that happened while nobody listened is known from elsewhere: tell it."""
        self.by_hand = by_hand
        self.told_dead = what is Happening.DIED
        self._tell(self, what)
