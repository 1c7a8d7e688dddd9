"""Waiting for a moment at which the running release may be replaced: all is prepared, nothing live has changed.

The wait is a phase of its own. It outlives opsbot: the next process finds the deployment waiting, and waits on. A
person ends it by the card's button or `opsbot now`. Each second it is decided again whether it may be deployed: a hold
or a quarantine that came meanwhile ends the deployment.

Another deployment may supersede it. The request for that one is stored as the service's next deployment, and the one
that waits is set ASIDE, with its release, in the same transaction (`ledger.claim`). It waits on if the other one fails
before it is ready (`ledger.save`).
"""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from typing import TypeVar

from opsbot.core.access import Origin
from opsbot.core.deploy_codes import NoteCode, StepCode
from opsbot.core.deployment import Deployment, Phase
from opsbot.core.inhibitors import Inhibitors, first_reason
from opsbot.core.message import Message, message
from opsbot.deploy.deployment_run import DeploymentRun, RunningStep
from opsbot.store import ledger
from opsbot.store.ledger import StaleError

T = TypeVar("T")

INTERVAL = 1.0
"""Seconds between two checks."""
CHAIN = 100
"""So many deployments in a row, each superseding the one before, share one wait."""

Objection = Callable[[], Awaitable[Message | None]]
"""Why the deployment may not be done any more, None if it may."""


def began_to_wait(deployment: Deployment) -> datetime | None:
    """Since when it waits, across restarts of opsbot."""
    return min((step.started_at for step in deployment.steps if step.phase is Phase.WAITING), default=None)


def waiting_since(db: sqlite3.Connection, service: str) -> datetime | None:
    """Since when the unfinished deployment of a service waits; None if it does not.

    One that superseded another has waited as long as that one: else a busy branch would never be deployed.
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

    def __init__(self, vetoes: Inhibitors, paused: Callable[[], Message | None], interval: float = INTERVAL) -> None:
        """paused: why nothing may begin at the moment, None if it may."""
        self._vetoes = vetoes
        self._paused = paused
        self._interval = interval
        self._hurried: dict[int, str] = {}
        self._withdrawn: dict[int, Message] = {}
        self._superseded: dict[int, int] = {}
        self._wakes: dict[int, asyncio.Event] = {}

    async def must_wait(self, value: Deployment) -> bool:
        """Whether one that is ready has to wait."""
        # Where recovery returns to another release, what runs is broken: there is nothing to spare.
        if value.actor.origin is Origin.RECOVERY:
            return False
        return await first_reason(self._vetoes.swings, value.service) is not None

    async def quiet(self, run: DeploymentRun, objection: Objection) -> Message | None:
        """Return once the running release may be replaced: None, or why this deployment must not do it any more.

        Raises:
            StaleError: another deployment supersedes it.
        """
        number = run.value.id
        self._wakes[number] = asyncio.Event()
        try:
            async with run.step(StepCode.WAIT) as doing:
                return await self._wait(run, doing, objection)
        finally:
            del self._wakes[number]
            for asked in (self._hurried, self._withdrawn, self._superseded):
                asked.pop(number, None)

    async def _wait(self, run: DeploymentRun, doing: RunningStep, objection: Objection) -> Message | None:
        number = run.value.id
        while True:
            withdrawn = self._withdrawn.get(number) or await objection()
            if number in self._superseded:
                raise StaleError(f"deployment {number} is superseded")
            if withdrawn is not None:
                doing.note = withdrawn
                return withdrawn
            by = self._hurried.get(number)
            against = None if by else await self._against(run.value)
            if by or not (against or self._paused()):
                doing.note = message(NoteCode.HURRIED, by=by) if by else message(NoteCode.QUIET)
                return None
            if against and against != doing.note:
                await run.say(doing, against)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._interval):
                    await self._wakes[number].wait()

    async def _against(self, value: Deployment) -> Message | None:
        why = await first_reason(self._vetoes.swings, value.service)
        if why is None and value.actor.automatic:
            # A window that opened while it waited; one that is in progress already comes to its end in it.
            why = await first_reason(self._vetoes.deploys, value.service)
        return why

    def hurry(self, number: int, by: str) -> bool:
        """End the wait of a deployment; False if it does not wait."""
        return self._tell(number, self._hurried, by)

    def withdraw(self, number: int, why: Message) -> bool:
        """Have a deployment that waits end as skipped; False if it does not wait."""
        return self._tell(number, self._withdrawn, why)

    def supersede(self, number: int) -> bool:
        """Have a deployment that is ASIDE wait no longer; False if it does not wait."""
        return self._tell(number, self._superseded, number)

    def _tell(self, number: int, where: dict[int, T], what: T) -> bool:
        wake = self._wakes.get(number)
        if wake is None or number in self._superseded:
            return False
        where[number] = what
        wake.set()
        return True
