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
from opsbot.deploy.course import Course, sentence, tried_again
from opsbot.deploy.occupants import end_marked
from opsbot.deploy.place import Place
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


async def goes_on(course: Course, place: Place) -> bool:
    """Whether one that an earlier opsbot left unfinished goes on from its phase; one that does not is ended here."""
    going = course.value.phase in TAKEN_UP
    await course.cut(CUT, failed=not going)
    if not going:
        await abandon(course, place, f"opsbot was restarted while {_doing(course.value.phase)}")
    return going


async def stopped(course: Course, place: Place) -> None:
    """opsbot is being stopped: end what has changed nothing, leave the rest to the next one."""
    if course.value.phase not in TAKEN_UP and not course.value.finished:
        await abandon(course, place, f"opsbot was stopped while {_doing(course.value.phase)}")


async def abandon(course: Course, place: Place, why: str) -> None:
    """End one that has changed nothing live."""
    await place.discard(course.value)
    await course.cut(why, failed=True)
    await course.end(Phase.FAILED, sentence(why) + tried_again(course.value))


def end_unknown(db: sqlite3.Connection, deployment: Deployment, now: datetime) -> None:
    """End a deployment of a service that is not configured any more."""
    note = f"{deployment.service} is not configured any more"
    changed = deployment.phase in CHANGED
    if changed and deployment.phase is not Phase.UNDOING:
        deployment = ledger.save(db, advance(deployment, Phase.UNDOING, now, note))
    ledger.save(db, advance(deployment, Phase.STUCK if changed else Phase.FAILED, now, note))


def _doing(phase: Phase) -> str:
    return "it was about to begin" if phase is Phase.PENDING else f"{phase} the new release"
