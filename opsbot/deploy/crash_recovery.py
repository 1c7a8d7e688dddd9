"""What happens to a deployment if opsbot is killed, stopped or cannot store it.

Each phase is in the store before its work begins, so the phase says the most that can have happened:

    PENDING FETCHING PREPARING INSTALLING    nothing live has changed: it has failed, what it prepared is removed
    WAITING                                  all is prepared: the next opsbot waits on
    ASIDE                                    waits on, or is superseded, depending on the deployment it is ASIDE for
    SWITCHING RESTARTING VERIFYING           the next opsbot continues from there, and finishes or rolls back
    UNDOING                                  the next opsbot begins the rollback again

`Deployer.settle` calls this at startup, under the lock on the state directory, after it has ended the processes that an
earlier opsbot left. A step that was interrupted and is begun again is not shown as failed. Only what does not run the
release already is restarted (`target`).
"""

import asyncio
import logging
import sqlite3
from datetime import datetime

from opsbot.core.deploy_codes import FailureCode, OutcomeCode
from opsbot.core.deployment import CHANGED, TAKEN_UP, Deployment, Phase, advance
from opsbot.core.message import message
from opsbot.deploy.deployment_run import DeployFailure, DeploymentRun
from opsbot.deploy.pipeline import fail
from opsbot.deploy.target import DeployTarget
from opsbot.filesystem.processes_in_folder import end_marked
from opsbot.services.run_as import Errands
from opsbot.store import ledger

log = logging.getLogger(__name__)


async def end_left_behind(mark: str, run_as: Errands | None) -> None:
    """End the processes of an opsbot that was killed: they would go on writing."""
    ended = await asyncio.to_thread(end_marked, mark)
    if ended:
        log.warning("ended %s processes that an earlier opsbot left behind", ended)
    if run_as is not None and (ended := await run_as.end_left()):
        log.warning("ended %s commands of services' users that an earlier opsbot left running", ended)


async def goes_on(run: DeploymentRun, target: DeployTarget) -> bool:
    """Whether an unfinished deployment continues; one that does not is ended."""
    going = run.value.phase in TAKEN_UP
    await run.cut(failed=not going)
    if not going:
        await fail(run, target, DeployFailure(message(FailureCode.INTERRUPTED, phase=str(run.value.phase))))
    return going


async def stopped(run: DeploymentRun, target: DeployTarget) -> None:
    """End a deployment that changed nothing, because opsbot stops."""
    if run.value.phase not in TAKEN_UP and not run.value.finished:
        await fail(run, target, DeployFailure(message(FailureCode.STOPPED, phase=str(run.value.phase))))


def end_unknown(db: sqlite3.Connection, deployment: Deployment, now: datetime) -> None:
    """End a deployment of a service that is not configured any more."""
    note = message(OutcomeCode.FAILED, cause=message(FailureCode.NOT_CONFIGURED, service=deployment.service))
    changed = deployment.phase in CHANGED
    if changed and deployment.phase is not Phase.UNDOING:
        deployment = ledger.save(db, advance(deployment, Phase.UNDOING, now, note))
    ledger.save(db, advance(deployment, Phase.STUCK if changed else Phase.FAILED, now, note))
