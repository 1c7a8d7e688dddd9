"""Waiting for a moment at which what runs may be replaced: all is prepared, nothing live has changed.

The wait is a phase of its own. It outlives opsbot: the next one finds the deployment waiting, and waits on. A person
ends it by the card's button or `opsbot now`. What waits is asked about again each second: a hold or a quarantine that
came meanwhile ends the deployment, and another one may take its place.
"""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from opsbot.core.access import Origin
from opsbot.core.deployment import Deployment, Phase
from opsbot.deploy.course import Course, Doing
from opsbot.deploy.vetoes import Vetoes, first
from opsbot.store import ledger

BEAT = 1.0
"""Seconds between two looks."""
STEP = "wait for a quiet moment"
CHAIN = 100
"""So many deployments in a row, each in the place of the one before, share one wait."""


@dataclass(frozen=True, slots=True)
class GivenUp:
    """It is not to be done any more: the phase it ends in, and why, in words for the card."""

    phase: Phase
    why: str


Objection = Callable[[], Awaitable[str]]
"""Why the deployment is not to be done any more, "" where it is."""


def began_to_wait(deployment: Deployment) -> datetime | None:
    """Since when it waits, also where opsbot was restarted meanwhile."""
    return min((step.started_at for step in deployment.steps if step.phase is Phase.WAITING), default=None)


def waiting_since(db: sqlite3.Connection, service: str) -> datetime | None:
    """Since when the unfinished deployment of a service waits; None where it does not.

    One that took another's place has waited as long as that one: else a busy branch would never come to its turn.
    """
    latest = ledger.deployments(db, service, CHAIN)
    if not latest or latest[0].finished:
        return None
    since = began_to_wait(latest[0])
    for before in latest[1:]:
        if before.phase is not Phase.REPLACED:
            break
        since = began_to_wait(before) or since
    return since


class Waits:
    """The deployments that wait."""

    def __init__(self, vetoes: Vetoes, paused: Callable[[], str], beat: float = BEAT) -> None:
        """paused: why nothing may begin at the moment, "" where it may."""
        self._vetoes = vetoes
        self._paused = paused
        self._beat = beat
        self._hurried: dict[int, str] = {}
        self._given_up: dict[int, GivenUp] = {}
        self._wakes: dict[int, asyncio.Event] = {}

    async def quiet(self, course: Course, objection: Objection) -> GivenUp | None:
        """Return once nothing speaks against replacing what runs, or once that is not to be done any more."""
        value = course.value
        if value.actor.origin is Origin.RECOVERY:  # it is broken: there is nothing to spare
            return None
        if value.phase is not Phase.WAITING:
            if not await first(self._vetoes.swings, value.service):
                return None
            await course.move(Phase.WAITING)
        self._wakes[value.id] = asyncio.Event()
        try:
            async with course.step(STEP) as doing:
                given_up = await self._wait(course, doing, objection)
            # Nothing is awaited between this look and the end of the wait: what `give_up` promised is kept.
            return self._given_up.get(value.id, given_up)
        finally:
            del self._wakes[value.id]
            self._hurried.pop(value.id, None)
            self._given_up.pop(value.id, None)

    async def _wait(self, course: Course, doing: Doing, objection: Objection) -> GivenUp | None:
        number = course.value.id
        while True:
            given_up = self._given_up.get(number)
            if given_up is None and (said := await objection()):
                given_up = GivenUp(Phase.SKIPPED, said)
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
        words = await first(self._vetoes.swings, value.service)
        if not words and value.actor.automatic:
            # A window that opened while it waited; one that is under way already comes to its end in it.
            words = await first(self._vetoes.deploys, value.service)
        return words or ""

    def hurry(self, number: int, by: str) -> bool:
        """End the wait of a deployment; False where it does not wait."""
        if number not in self._wakes:
            return False
        self._hurried[number] = by
        self._wakes[number].set()
        return True

    def give_up(self, number: int, given_up: GivenUp) -> bool:
        """Have a deployment that waits end like this; False where it does not wait."""
        if number not in self._wakes:
            return False
        self._given_up[number] = given_up
        self._wakes[number].set()
        return True
