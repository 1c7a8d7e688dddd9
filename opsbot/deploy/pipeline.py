"""The story of a deployment, from top to bottom, and which way it takes when something goes wrong.

    deploy:    fetch → prepare → install ┐
                                         ├→ (wait) → switch → restart → verify → live, or back to the release before
    rollback:  its release stands        ┘

Each phase is written down before its work begins (`opsbot.deploy.deployment_run`). Up to the switch nothing live has changed,
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
from opsbot.deploy.deployment_run import DeployFailure, DeploymentRun, sentence, tried_again
from opsbot.deploy.preconditions import gather, objection
from opsbot.deploy.releases import told
from opsbot.deploy.rollback import undo
from opsbot.deploy.rolling_restart import bring_up
from opsbot.deploy.target import DeployTarget
from opsbot.deploy.waiting import GivenUp, Waits
from opsbot.source.remote import RemoteError
from opsbot.source.repo import BadRefError, is_full_id
from opsbot.store import StoreError, ledger
from opsbot.store.ledger import StaleError

log = logging.getLogger(__name__)


async def go(run: DeploymentRun, target: DeployTarget, waits: Waits, *, resumed: bool) -> None:
    """Bring a deployment to its end, from its beginning or, resumed, from the phase that it stands in.

    Raises:
        StaleError: another process has it.
    """
    try:
        if run.value.phase is Phase.UNDOING:
            await undo(run, target)
        elif resumed:
            await _swing(run, target, waits, resumed=True)
        elif run.value.kind is DeploymentKind.ROLLBACK:
            await _return(run, target, waits)
        else:
            await _bring(run, target, waits)
    except DeployFailure as failure:
        await _set_back(run, target, waits, failure)
    except StaleError:
        raise
    except OSError as error:
        why = await asyncio.to_thread(told, error, target.source.directory)
        await _set_back(run, target, waits, DeployFailure(str(why)))
    except Exception as error:
        log.exception("deployment %s of %s", run.value.id, target.name)
        if not run.value.finished:
            await _set_back(run, target, waits, DeployFailure(f"{type(error).__name__}: {error}"))


async def _bring(run: DeploymentRun, target: DeployTarget, waits: Waits) -> None:
    """A deploy: its commit is fetched and a release made of it."""
    value = run.value
    await run.move(Phase.FETCHING)
    await target.recognise_locked()
    wanted = value.ref or target.source.branch
    async with run.step(f"fetch {wanted[:10] if is_full_id(wanted) else wanted}") as doing:
        commit = await _fetch(target, value.ref)
        doing.note = commit[:10]
    request = DeploymentRequest(value.service, value.kind, value.actor, ref=commit)
    facts = replace(await gather(target, request), unfinished=None)
    verdict = decide(request, facts)
    if isinstance(verdict, Refused):
        await run.end(Phase.SKIPPED, verdict.text)
        return
    async with target.installing:
        release = await _prepare(run, target, commit, facts.live)
    await target.store.write(ledger.add_release, target.name, release)
    await _swing(run, target, waits)


async def _fetch(target: DeployTarget, ref: str | None) -> str:
    try:
        return await target.repository.bring(ref)
    except BadRefError as error:
        raise DeployFailure(str(error)) from error
    except RemoteError as error:
        raise DeployFailure(error.text) from error


async def _prepare(run: DeploymentRun, target: DeployTarget, commit: str, live: Release | None) -> Release:
    commits, total = await target.repository.commits_between(live.commit if live else None, commit)
    if live is not None and not await target.follows(commit, live.commit):
        text = f"{commit[:10]} does not follow from {live.commit[:10]}: it is older, or the history was rewritten"
        run.remarks.append(text)
    name = await asyncio.to_thread(target.releases.name, commit, target.clock())
    await run.move(
        Phase.PREPARING,
        commit_from=live.commit if live else None,
        release_from=live.name if live else None,
        commit_to=commit,
        release_to=name,
        commits=commits,
        commits_total=total,
    )
    await target.prepare(run, name, commit, live)
    await run.move(Phase.INSTALLING)
    await target.install(run, name, commit, live)
    shown = await target.repository.commit(commit)
    return Release(name, commit, target.clock(), good=False, title=shown.title if shown else "")


async def _return(run: DeploymentRun, target: DeployTarget, waits: Waits) -> None:
    """A rollback: its release stands on disk already."""
    await target.recognise_locked()
    facts = await target.known()
    back = next((release for release in facts.releases if release.name == run.value.release_to), None)
    if back is None or not await asyncio.to_thread(target.releases.stands, back.name):
        raise DeployFailure(f"the folder of release {run.value.release_to} is gone")
    live = facts.live
    await run.change(
        commit_to=back.commit,
        commit_from=live.commit if live else None,
        release_from=live.name if live else None,
    )
    await target.ready(run, back.name)
    await _swing(run, target, waits)


async def _swing(run: DeploymentRun, target: DeployTarget, waits: Waits, *, resumed: bool = False) -> None:
    """Wait, switch, restart, verify; where it was cut short, from the phase that it stands in."""
    name = run.value.release_to or ""
    if run.value.phase not in TAKEN_UP:
        waited = await target.store.read(ledger.aside, run.value)
        await run.move(Phase.WAITING if await waits.against(run.value) else Phase.SWITCHING)
        if waited is not None:
            waits.replaced(replace(waited, phase=Phase.REPLACED))
    if run.value.phase is Phase.WAITING:
        if not await _waited(run, target, waits):
            return
        await run.move(Phase.SWITCHING)
    if run.value.phase is Phase.SWITCHING or await asyncio.to_thread(target.releases.live) != name:
        await target.lay(run, name)
        async with run.step(f"switch to {name}"):
            await target.switch(name)
    if run.value.phase is Phase.SWITCHING:
        await run.move(Phase.RESTARTING)
    state = await bring_up(run, target, name, resumed=resumed)
    if run.value.phase is Phase.RESTARTING:
        await run.move(Phase.VERIFYING)
    service = target.service
    await target.verify(run, state, name, soak=service.soak, within=service.verify_timeout)
    await _live(run, target, name)


async def _waited(run: DeploymentRun, target: DeployTarget, waits: Waits) -> bool:
    """Wait; whether it is to be done then, rather than ended, or left to stand aside for another."""
    while True:
        came = await waits.quiet(run, partial(objection, target, run.value))
        if isinstance(came, GivenUp):
            await run.end(Phase.SKIPPED, sentence(came.why))
            await target.discard(run.value)
            return False
        if came is None:
            return True
        if await came.take_over(run.value):
            # It stands aside, and whatever goes wrong from here on is not to be dealt with as a failure of it.
            try:
                await _discard_replaced(run, target)
            except (sqlite3.Error, StoreError, OSError) as error:
                log.warning("%s: what was replaced is left to the tidying: %s", target.name, error)
            return False


async def _discard_replaced(run: DeploymentRun, target: DeployTarget) -> None:
    """While one waits, what it has replaced is kept; not that of many in a row. The last is left to the tidying."""
    number = run.value.instead_of
    replaced = None if number is None else await target.store.read(ledger.deployment, number)
    if replaced is None or replaced.phase is not Phase.REPLACED:
        return
    # What took this one's target may be a rollback to that very release.
    if replaced.release_to not in await target.store.read(ledger.prepared, target.name):
        await target.discard(replaced)


async def _live(run: DeploymentRun, target: DeployTarget, name: str) -> None:
    value, note = run.value, "; ".join(run.remarks)
    hold = await target.store.read(ledger.hold, target.name)
    waits = hold.waits if hold else None
    if value.kind is DeploymentKind.ROLLBACK and not await target.follows(value.commit_to, value.commit_from):
        blamed = value.commit_from if value.actor.origin is Origin.RECOVERY else None
        wait = await target.wait_past(value, value.commit_from)
        left = value.release_from if value.release_from != name else None
        await run.end(Phase.LIVE, note, live=name, quarantined=blamed, hold=wait, left=left)
        return
    # An older commit than the one that is waited past, deployed by hand, does not end the wait.
    older = waits != value.commit_to and await target.follows(waits, value.commit_to)
    await run.end(Phase.LIVE, note, live=name, lift=not older)


async def _set_back(run: DeploymentRun, target: DeployTarget, waits: Waits, failure: DeployFailure) -> None:
    """It went wrong: undo it, or end it where nothing live has changed."""
    if run.value.phase is Phase.UNDOING:
        await run.end(Phase.STUCK, f"{run.value.note} Going back failed: {failure}. A human is needed.")
    elif run.value.phase in CHANGED:
        run.lasting, run.innocent = failure.lasting, failure.innocent
        await run.move(Phase.UNDOING, note=sentence(str(failure)))
        await go(run, target, waits, resumed=True)
    else:
        await target.discard(run.value)
        blamed = run.value.commit_to if failure.lasting else None
        again = "" if blamed else tried_again(run.value)
        await run.end(Phase.FAILED, sentence(str(failure)) + again, quarantined=blamed)
