"""A deployment that was cut short: what becomes of it when opsbot is killed, stopped, or cannot write its state.

Each phase is in the store before its work begins, so the phase says the most that can have happened:

    PENDING FETCHING PREPARING INSTALLING    nothing live has changed: it has failed, what it prepared is removed
    WAITING                                  all is prepared: the next opsbot waits on
    ASIDE                                    waits on, or is replaced, by what becomes of the one it stands aside for
    SWITCHING RESTARTING VERIFYING           the next opsbot goes on from there, and finishes or undoes it
    UNDOING                                  the next opsbot begins the undoing anew

`Deployer.settle` asks for this at the start, under the lock on the state directory, when it has ended the processes
that an earlier opsbot left. A step that was cut short is not shown as failed where it is begun anew. What goes on
restarts only what does not run the release already (`rolling`).
"""

import asyncio
import logging
import sqlite3
from datetime import datetime

from opsbot.core.deployment import CHANGED, TAKEN_UP, Deployment, Phase, advance
from opsbot.deploy.deployment_run import DeploymentRun, sentence, tried_again
from opsbot.deploy.target import DeployTarget
from opsbot.filesystem.processes_in_folder import end_marked
from opsbot.services.errands import Errands
from opsbot.store import ledger

log = logging.getLogger(__name__)

CUT = "opsbot was restarted meanwhile"


async def end_left_behind(mark: str, errands: Errands | None) -> None:
    """End the install steps and other children of an opsbot that was killed: they would go on writing."""
    ended = await asyncio.to_thread(end_marked, mark)
    if ended:
        log.warning("ended %s processes that an earlier opsbot left behind", ended)
    if errands is not None and (ended := await errands.end_left()):
        log.warning("ended %s errands that an earlier opsbot left running", ended)


async def goes_on(run: DeploymentRun, target: DeployTarget) -> bool:
    """Whether one that an earlier opsbot left unfinished goes on from its phase; one that does not is ended here."""
    going = run.value.phase in TAKEN_UP
    await run.cut(CUT, failed=not going)
    if not going:
        await abandon(run, target, f"opsbot was restarted while {_doing(run.value.phase)}")
    return going


async def stopped(run: DeploymentRun, target: DeployTarget) -> None:
    """opsbot is being stopped: end what has changed nothing, leave the rest to the next one."""
    if run.value.phase not in TAKEN_UP and not run.value.finished:
        await abandon(run, target, f"opsbot was stopped while {_doing(run.value.phase)}")


async def abandon(run: DeploymentRun, target: DeployTarget, why: str) -> None:
    """End one that has changed nothing live."""
    await target.discard(run.value)
    await run.cut(why, failed=True)
    await run.end(Phase.FAILED, sentence(why) + tried_again(run.value))


def end_unknown(db: sqlite3.Connection, deployment: Deployment, now: datetime) -> None:
    """End a deployment of a service that is not configured any more."""
    note = f"{deployment.service} is not configured any more"
    changed = deployment.phase in CHANGED
    if changed and deployment.phase is not Phase.UNDOING:
        deployment = ledger.save(db, advance(deployment, Phase.UNDOING, now, note))
    ledger.save(db, advance(deployment, Phase.STUCK if changed else Phase.FAILED, now, note))


def _doing(phase: Phase) -> str:
    return "it was about to begin" if phase is Phase.PENDING else f"{phase} the new release"
