"""Waiting until the running release may be replaced; nothing live has changed.

The wait is a separate phase. It outlives opsbot: the next process finds the deployment waiting, and waits on. A
person ends it by the card's button or `opsbot now`. Each second it is decided again whether it may be deployed: a hold
or a quarantine that came meanwhile ends the deployment.

Another deployment may supersede it. The request for that one is stored as the service's next deployment, and the one
that waits is set ASIDE, with its release, in the same transaction (`ledger.claim`). It waits on if the other one fails
before it is ready (`ledger.save`).
"""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime

from opsbot.core.access import Origin
from opsbot.core.deploy_codes import NoteCode, StepCode
from opsbot.core.deployment import Deployment, Phase
from opsbot.core.inhibitors import Inhibitors, first_reason
from opsbot.core.message import Message, message
from opsbot.deploy.deployment_run import DeploymentRun, RunningStep
from opsbot.runtime.tasks import wait_at_most
from opsbot.store import ledger
from opsbot.store.ledger import StaleError

INTERVAL = 1.0
"""Seconds between two checks."""
CHAIN = 100
"""So many deployments in a row, each superseding the one before, share one wait."""


def waiting_since(db: sqlite3.Connection, service: str) -> datetime | None:
    """Since when the unfinished deployment of a service waits; None if it does not.

    One that superseded another has waited as long as that one: else a busy branch would never be deployed.
    """
    found = ledger.unfinished(db, service)
    one, since = found[0] if found else None, None
    for _ in range(CHAIN):
        if one is None:
            break
        since = min((step.started_at for step in one.steps if step.phase is Phase.WAITING), default=since)
        one = None if one.instead_of is None else ledger.deployment(db, one.instead_of)
    return since


@dataclass(slots=True)
class _Wait:
    """What ends the wait of one deployment early."""

    wake: asyncio.Event = field(default_factory=asyncio.Event)
    hurried_by: str = ""
    withdrawn: Message | None = None
    superseded: bool = False


class SwitchGate:
    """Holds deployments back while the running release must not be replaced."""

    def __init__(self, inhibitors: Inhibitors) -> None:
        self._inhibitors = inhibitors
        self._waits: dict[int, _Wait] = {}
        self.paused: Message | None = None
        """Why nothing may begin at the moment."""

    async def must_wait(self, value: Deployment) -> bool:
        # Where recovery returns to another release, what runs is broken: there is nothing to spare.
        if value.actor.origin is Origin.RECOVERY:
            return False
        return await first_reason(self._inhibitors.swings, value.service) is not None

    async def wait(self, run: DeploymentRun, objection: Callable[[], Awaitable[Message | None]]) -> Message | None:
        """Return when the release may be replaced: None, or why it must not be any more.

        objection: why the deployment may not be done any more, None if it may.

        Raises:
            StaleError: another deployment supersedes it.
        """
        wait = self._waits[run.value.id] = _Wait()
        try:
            async with run.step(StepCode.WAIT) as doing:
                return await self._wait(run, wait, doing, objection)
        finally:
            del self._waits[run.value.id]

    async def _wait(
        self, run: DeploymentRun, wait: _Wait, doing: RunningStep, objection: Callable[[], Awaitable[Message | None]]
    ) -> Message | None:
        while True:
            withdrawn = wait.withdrawn or await objection()
            if wait.superseded:
                raise StaleError(f"deployment {run.value.id} is superseded")
            if withdrawn is not None:
                doing.note = withdrawn
                return withdrawn
            by = wait.hurried_by
            against = None if by else await self._against(run.value)
            if by or not (against or self.paused):
                doing.note = message(NoteCode.HURRIED, by=by) if by else message(NoteCode.QUIET)
                return None
            if against and against != doing.note:
                await run.say(doing, against)
            await wait_at_most(wait.wake, INTERVAL)

    async def _against(self, value: Deployment) -> Message | None:
        why = await first_reason(self._inhibitors.swings, value.service)
        if why is None and value.actor.automatic:
            # A window that opened while it waited; one that is in progress already comes to its end in it.
            why = await first_reason(self._inhibitors.deploys, value.service)
        return why

    def end(
        self, number: int, *, hurried_by: str = "", withdrawn: Message | None = None, superseded: bool = False
    ) -> bool:
        """End the wait of a deployment for one of three reasons; False if none waits."""
        wait = self._waits.get(number)
        if wait is None or wait.superseded:
            return False
        wait.hurried_by = hurried_by or wait.hurried_by
        wait.withdrawn = withdrawn or wait.withdrawn
        wait.superseded = superseded
        wait.wake.set()
        return True
