"""Waiting for a moment at which what runs may be replaced: all is prepared, nothing live has changed.

The wait is a phase of its own. It outlives opsbot: the next one finds the deployment waiting, and waits on. A person
ends it by the card's button or `opsbot now`. What waits is asked about again each second: a hold or a quarantine that
came meanwhile ends the deployment.

Another deployment may take its place. That one is claimed by the one that waits, which stands aside in the same
transaction, with its release, and goes on waiting if the other one fails before it is ready (`ledger.save`).
"""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from opsbot.core.access import Origin
from opsbot.core.deployment import Deployment, Phase, Refused
from opsbot.core.inhibitors import Inhibitors, first_reason
from opsbot.deploy.course import Course, Doing
from opsbot.messages import render
from opsbot.store import ledger

BEAT = 1.0
"""Seconds between two looks."""
STEP = "wait for a quiet moment"
CHAIN = 100
"""So many deployments in a row, each in the place of the one before, share one wait."""


@dataclass(frozen=True, slots=True)
class GivenUp:
    """It is not to be done any more: why, in words for the card."""

    why: str


@dataclass(frozen=True, slots=True)
class Successor:
    """Another deployment takes the place of the one that waits.

    words: what it brings and for whom. claim: makes the one that waits stand aside for it, and begins it.
    """

    words: str
    claim: Callable[[Deployment], Awaitable[Deployment | Refused]]
    begun: "asyncio.Future[Deployment | Refused | None]" = field(default_factory=asyncio.Future)
    """What came of it; None: the one that waited was stopped before it could stand aside."""

    async def take_over(self, waiting: Deployment) -> bool:
        """Whether it was begun. Who asks for it is told so, or what went wrong."""
        try:
            begun = await self.claim(waiting)
            self.begun.set_result(begun)
        except (sqlite3.Error, ledger.StaleError) as error:
            self.begun.set_exception(error)
            return False
        finally:
            if not self.begun.done():
                self.begun.set_result(None)
        return isinstance(begun, Deployment)


Objection = Callable[[], Awaitable[str]]
"""Why the deployment is not to be done any more, "" where it is."""


def began_to_wait(deployment: Deployment) -> datetime | None:
    """Since when it waits, also where opsbot was restarted meanwhile."""
    return min((step.started_at for step in deployment.steps if step.phase is Phase.WAITING), default=None)


def waiting_since(db: sqlite3.Connection, service: str) -> datetime | None:
    """Since when the unfinished deployment of a service waits; None where it does not.

    One that took another's place has waited as long as that one: else a busy branch would never come to its turn.
    """
    found = ledger.unfinished(db, service)
    one, since = found[0] if found else None, None
    for _ in range(CHAIN):
        if one is None:
            break
        since = began_to_wait(one) or since
        one = None if one.instead_of is None else ledger.deployment(db, one.instead_of)
    return since


class Waits:
    """The deployments that wait."""

    def __init__(
        self,
        vetoes: Inhibitors,
        paused: Callable[[], str],
        beat: float = BEAT,
    ) -> None:
        """paused: why nothing may begin at the moment, "" where it may."""
        self.replaced: Callable[[Deployment], None] = lambda _: None
        """Told of each that another has taken the place of."""
        self._vetoes = vetoes
        self._paused = paused
        self._beat = beat
        self._hurried: dict[int, str] = {}
        self._given_up: dict[int, GivenUp] = {}
        self._successors: dict[int, Successor] = {}
        self._wakes: dict[int, asyncio.Event] = {}

    async def against(self, value: Deployment) -> bool:
        """Whether one that is ready has to wait."""
        # Where recovery returns to another release, what runs is broken: there is nothing to spare.
        if value.actor.origin is Origin.RECOVERY:
            return False
        return await first_reason(self._vetoes.swings, value.service) is not None

    async def quiet(self, course: Course, objection: Objection) -> GivenUp | Successor | None:
        """Return once nothing speaks against replacing what runs, or once this deployment is not to do it."""
        number = course.value.id
        self._wakes[number] = asyncio.Event()
        try:
            async with course.step(STEP) as doing:
                given_up = await self._wait(course, doing, objection)
            # Nothing is awaited between this look and the end of the wait: what `give_up` promised is kept.
            return self._successors.pop(number, None) or self._given_up.get(number, given_up)
        finally:
            del self._wakes[number]
            self._hurried.pop(number, None)
            self._given_up.pop(number, None)
            if successor := self._successors.pop(number, None):
                successor.begun.set_result(None)

    async def _wait(self, course: Course, doing: Doing, objection: Objection) -> GivenUp | None:
        number = course.value.id
        while True:
            if successor := self._successors.get(number):
                doing.note = f"stands aside for {successor.words}"
                return None
            given_up = self._given_up.get(number)
            if given_up is None and (said := await objection()):
                given_up = GivenUp(said)
            if given_up is not None:
                doing.note = given_up.why
                return given_up
            by = self._hurried.get(number)
            words = "" if by else await self._against(course.value)
            if by or not (words or self._paused()):
                doing.note = f"ended by {by}" if by else "nothing speaks against it any more"
                return None
            if words and words != doing.note:
                await course.say(doing, words)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._beat):
                    await self._wakes[number].wait()

    async def _against(self, value: Deployment) -> str:
        why = await first_reason(self._vetoes.swings, value.service)
        if why is None and value.actor.automatic:
            # A window that opened while it waited; one that is under way already comes to its end in it.
            why = await first_reason(self._vetoes.deploys, value.service)
        return render(why)

    def hurry(self, number: int, by: str) -> bool:
        """End the wait of a deployment; False where it does not wait."""
        if number not in self._wakes:
            return False
        self._hurried[number] = by
        self._wakes[number].set()
        return True

    def give_up(self, number: int, given_up: GivenUp) -> bool:
        """Have a deployment that waits end like this; False where it does not wait, or stands aside already."""
        if number not in self._wakes or number in self._successors:
            return False
        self._given_up[number] = given_up
        self._wakes[number].set()
        return True

    def make_way(self, number: int, successor: Successor) -> bool:
        """Have a deployment that waits stand aside for another; False where it does not wait, or does so already."""
        if number not in self._wakes or number in self._given_up or number in self._successors:
            return False
        self._successors[number] = successor
        self._wakes[number].set()
        return True
