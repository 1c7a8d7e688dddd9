"""The story of a deployment, from top to bottom, and which way it takes when something goes wrong.

    deploy:    fetch → prepare → install ┐
                                         ├→ (wait) → switch → restart → verify → live, or back to the release before
    rollback:  its release stands        ┘

Each phase is written down before its work begins (`opsbot.deploy.course`). Up to the switch nothing live has changed,
and what goes wrong ends it as failed; from there on it is undone. How each of these goes stands in a file of its own:
`prepare`, `waiting`, `rolling` (restart), `verify`, `undo`; what becomes of one that was cut short in `interrupted`.
"""

import asyncio
import logging
import sqlite3
from dataclasses import replace
from functools import partial

from opsbot.core.access import Origin
from opsbot.core.deployment import (
    CHANGED,
    TAKEN_UP,
    DeploymentKind,
    DeploymentRequest,
    Phase,
    Refused,
    Release,
    decide,
)
from opsbot.deploy.asking import gather, objection
from opsbot.deploy.course import Course, SetbackError, sentence, tried_again
from opsbot.deploy.place import Place
from opsbot.deploy.releases import told
from opsbot.deploy.rolling import bring_up
from opsbot.deploy.undo import undo
from opsbot.deploy.waiting import GivenUp, Waits
from opsbot.source.remote import RemoteError
from opsbot.source.repo import BadRefError, is_full_id
from opsbot.store import StoreError, ledger
from opsbot.store.ledger import StaleError

log = logging.getLogger(__name__)


async def go(course: Course, place: Place, waits: Waits, *, resumed: bool) -> None:
    """Bring a deployment to its end, from its beginning or, resumed, from the phase that it stands in.

    Raises:
        StaleError: another process has it.
    """
    try:
        if course.value.phase is Phase.UNDOING:
            await undo(course, place)
        elif resumed:
            await _swing(course, place, waits, resumed=True)
        elif course.value.kind is DeploymentKind.ROLLBACK:
            await _return(course, place, waits)
        else:
            await _bring(course, place, waits)
    except SetbackError as setback:
        await _set_back(course, place, waits, setback)
    except StaleError:
        raise
    except OSError as error:
        why = await asyncio.to_thread(told, error, place.source.directory)
        await _set_back(course, place, waits, SetbackError(str(why)))
    except Exception as error:
        log.exception("deployment %s of %s", course.value.id, place.name)
        if not course.value.finished:
            await _set_back(course, place, waits, SetbackError(f"{type(error).__name__}: {error}"))


async def _bring(course: Course, place: Place, waits: Waits) -> None:
    """A deploy: its commit is fetched and a release made of it."""
    value = course.value
    await course.move(Phase.FETCHING)
    await place.recognise_locked()
    wanted = value.ref or place.source.branch
    async with course.step(f"fetch {wanted[:10] if is_full_id(wanted) else wanted}") as doing:
        commit = await _fetch(place, value.ref)
        doing.note = commit[:10]
    request = DeploymentRequest(value.service, value.kind, value.actor, ref=commit)
    facts = replace(await gather(place, request), unfinished=None)
    verdict = decide(request, facts)
    if isinstance(verdict, Refused):
        await course.end(Phase.SKIPPED, verdict.text)
        return
    async with place.installing:
        release = await _prepare(course, place, commit, facts.live)
    await place.store.write(ledger.add_release, place.name, release)
    await _swing(course, place, waits)


async def _fetch(place: Place, ref: str | None) -> str:
    try:
        return await place.repository.bring(ref)
    except BadRefError as error:
        raise SetbackError(str(error)) from error
    except RemoteError as error:
        raise SetbackError(error.text) from error


async def _prepare(course: Course, place: Place, commit: str, live: Release | None) -> Release:
    commits, total = await place.repository.commits_between(live.commit if live else None, commit)
    if live is not None and not await place.follows(commit, live.commit):
        text = f"{commit[:10]} does not follow from {live.commit[:10]}: it is older, or the history was rewritten"
        course.remarks.append(text)
    name = await asyncio.to_thread(place.releases.name, commit, place.clock())
    await course.move(
        Phase.PREPARING,
        commit_from=live.commit if live else None,
        release_from=live.name if live else None,
        commit_to=commit,
        release_to=name,
        commits=commits,
        commits_total=total,
    )
    await place.prepare(course, name, commit, live)
    await course.move(Phase.INSTALLING)
    await place.install(course, name, commit, live)
    shown = await place.repository.commit(commit)
    return Release(name, commit, place.clock(), good=False, title=shown.title if shown else "")


async def _return(course: Course, place: Place, waits: Waits) -> None:
    """A rollback: its release stands on disk already."""
    await place.recognise_locked()
    facts = await place.known()
    back = next((release for release in facts.releases if release.name == course.value.release_to), None)
    if back is None or not await asyncio.to_thread(place.releases.stands, back.name):
        raise SetbackError(f"the folder of release {course.value.release_to} is gone")
    live = facts.live
    await course.change(
        commit_to=back.commit,
        commit_from=live.commit if live else None,
        release_from=live.name if live else None,
    )
    await place.ready(course, back.name)
    await _swing(course, place, waits)


async def _swing(course: Course, place: Place, waits: Waits, *, resumed: bool = False) -> None:
    """Wait, switch, restart, verify; where it was cut short, from the phase that it stands in."""
    name = course.value.release_to or ""
    if course.value.phase not in TAKEN_UP:
        waited = await place.store.read(ledger.aside, course.value)
        await course.move(Phase.WAITING if await waits.against(course.value) else Phase.SWITCHING)
        if waited is not None:
            waits.replaced(replace(waited, phase=Phase.REPLACED))
    if course.value.phase is Phase.WAITING:
        if not await _waited(course, place, waits):
            return
        await course.move(Phase.SWITCHING)
    if course.value.phase is Phase.SWITCHING or await asyncio.to_thread(place.releases.live) != name:
        await place.lay(course, name)
        async with course.step(f"switch to {name}"):
            await place.switch(name)
    if course.value.phase is Phase.SWITCHING:
        await course.move(Phase.RESTARTING)
    state = await bring_up(course, place, name, resumed=resumed)
    if course.value.phase is Phase.RESTARTING:
        await course.move(Phase.VERIFYING)
    service = place.service
    await place.verify(course, state, name, soak=service.soak, within=service.verify_timeout)
    await _live(course, place, name)


async def _waited(course: Course, place: Place, waits: Waits) -> bool:
    """Wait; whether it is to be done then, rather than ended, or left to stand aside for another."""
    while True:
        came = await waits.quiet(course, partial(objection, place, course.value))
        if isinstance(came, GivenUp):
            await course.end(Phase.SKIPPED, sentence(came.why))
            await place.discard(course.value)
            return False
        if came is None:
            return True
        if await came.take_over(course.value):
            # It stands aside, and whatever goes wrong from here on is not to be dealt with as a failure of it.
            try:
                await _discard_replaced(course, place)
            except (sqlite3.Error, StoreError, OSError) as error:
                log.warning("%s: what was replaced is left to the tidying: %s", place.name, error)
            return False


async def _discard_replaced(course: Course, place: Place) -> None:
    """While one waits, what it has replaced is kept; not that of many in a row. The last is left to the tidying."""
    number = course.value.instead_of
    replaced = None if number is None else await place.store.read(ledger.deployment, number)
    if replaced is None or replaced.phase is not Phase.REPLACED:
        return
    # What took this one's place may be a rollback to that very release.
    if replaced.release_to not in await place.store.read(ledger.prepared, place.name):
        await place.discard(replaced)


async def _live(course: Course, place: Place, name: str) -> None:
    value, note = course.value, "; ".join(course.remarks)
    hold = await place.store.read(ledger.hold, place.name)
    waits = hold.waits if hold else None
    if value.kind is DeploymentKind.ROLLBACK and not await place.follows(value.commit_to, value.commit_from):
        blamed = value.commit_from if value.actor.origin is Origin.RECOVERY else None
        wait = await place.wait_past(value, value.commit_from)
        left = value.release_from if value.release_from != name else None
        await course.end(Phase.LIVE, note, live=name, quarantined=blamed, hold=wait, left=left)
        return
    # An older commit than the one that is waited past, deployed by hand, does not end the wait.
    older = waits != value.commit_to and await place.follows(waits, value.commit_to)
    await course.end(Phase.LIVE, note, live=name, lift=not older)


async def _set_back(course: Course, place: Place, waits: Waits, setback: SetbackError) -> None:
    """It went wrong: undo it, or end it where nothing live has changed."""
    if course.value.phase is Phase.UNDOING:
        await course.end(Phase.STUCK, f"{course.value.note} Going back failed: {setback}. A human is needed.")
    elif course.value.phase in CHANGED:
        course.lasting, course.innocent = setback.lasting, setback.innocent
        await course.move(Phase.UNDOING, note=sentence(str(setback)))
        await go(course, place, waits, resumed=True)
    else:
        await place.discard(course.value)
        blamed = course.value.commit_to if setback.lasting else None
        again = "" if blamed else tried_again(course.value)
        await course.end(Phase.FAILED, sentence(str(setback)) + again, quarantined=blamed)
