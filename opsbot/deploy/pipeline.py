"""The pipeline of a deployment, from top to bottom, and what happens if something fails.

    deploy:    fetch → prepare → install ┐
                                         ├→ (wait) → switch → restart → verify → live, or back to the previous release
    rollback:  its release is on disk    ┘

Each phase is stored before its work begins (`deployment_run`). Up to the switch nothing live has changed, and a failure
ends the deployment as failed; from there on it is rolled back. Details: `release_folders` and `in_place` (the two
strategies), `waiting`, `rolling_restart`, `verify`, `rollback`; after a crash `crash_recovery`.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import partial

from opsbot.core.access import Origin
from opsbot.core.deploy_codes import FailureCode, NoteCode, OutcomeCode, RemarkCode, StepCode
from opsbot.core.deployment import (
    CHANGED,
    TAKEN_UP,
    Deployment,
    DeploymentKind,
    DeploymentRequest,
    Phase,
    Refused,
    Release,
    decide,
)
from opsbot.core.message import message, message_of
from opsbot.deploy.deployment_run import DeployFailure, DeploymentRun
from opsbot.deploy.preconditions import gather, objection
from opsbot.deploy.releases import release_error
from opsbot.deploy.rollback import roll_back
from opsbot.deploy.rolling_restart import bring_up
from opsbot.deploy.target import DeployTarget
from opsbot.deploy.waiting import Waits
from opsbot.source.remote import RemoteError
from opsbot.source.repo import BadRefError, is_full_id
from opsbot.store import StoreError, ledger
from opsbot.store.ledger import StaleError

log = logging.getLogger(__name__)

Superseded = Callable[[Deployment], None]
"""Called with the deployment that another one, being ready, supersedes."""


async def run_pipeline(
    run: DeploymentRun, target: DeployTarget, waits: Waits, superseded: Superseded, *, resumed: bool
) -> None:
    """Bring a deployment to its end, from its beginning or, resumed, from its phase.

    Returns early where another deployment supersedes it.

    Raises:
        StaleError: another process has it.
    """
    if run.value.phase is not Phase.UNDOING:
        if resumed:
            work = _activate(run, target, waits, superseded, resumed=True)
        else:
            work = (_return if run.value.kind is DeploymentKind.ROLLBACK else _deploy)(run, target, waits, superseded)
        failure = await _failure_of(run, target, work)
        if failure is None:
            return
        if run.value.phase not in CHANGED:
            await _fail(run, target, failure)
            return
        run.lasting, run.innocent = failure.lasting, failure.innocent
        await run.move(Phase.UNDOING, note=failure.message)
    failure = await _failure_of(run, target, roll_back(run, target))
    if failure is not None:
        note = message(OutcomeCode.ROLLBACK_BROKE, cause=run.value.note, error=failure.message)
        await run.end(Phase.STUCK, note)


async def _failure_of(
    run: DeploymentRun, target: DeployTarget, work: Coroutine[None, None, None]
) -> DeployFailure | None:
    """Do it; why it failed, None where the deployment has ended or another one supersedes it."""
    try:
        await work
    except DeployFailure as failure:
        return failure
    except StaleError:
        if not await _is_aside(run, target):
            raise
    except OSError as error:
        return DeployFailure((await asyncio.to_thread(release_error, error, target.source.directory)).message)
    except Exception as error:
        log.exception("deployment %s of %s", run.value.id, target.name)
        if not run.value.finished:
            kind = type(error).__name__
            return DeployFailure(message(FailureCode.UNEXPECTED, kind=kind, error=message_of(error)))
    return None


async def _fail(run: DeploymentRun, target: DeployTarget, failure: DeployFailure) -> None:
    """End a deployment that has changed nothing live."""
    await target.discard(run.value)
    blamed = run.value.commit_to if failure.lasting else None
    retry_at = None if blamed else await run.retry_at()
    note = message(OutcomeCode.FAILED, cause=failure.message, retry_at=retry_at)
    await run.end(Phase.FAILED, note, quarantined=blamed)


async def _deploy(run: DeploymentRun, target: DeployTarget, waits: Waits, superseded: Superseded) -> None:
    """Fetch a commit, make a release of it and activate that."""
    value = run.value
    await run.move(Phase.FETCHING)
    await target.strategy.recognise()
    wanted = value.ref or target.source.branch
    async with run.step(StepCode.FETCH, ref=wanted[:10] if is_full_id(wanted) else wanted) as doing:
        try:
            commit = await target.repository.bring(value.ref)
        except (BadRefError, RemoteError) as error:
            raise DeployFailure(error.message) from error
        doing.note = message(NoteCode.COMMIT, commit=commit)
    request = DeploymentRequest(value.service, value.kind, value.actor, ref=commit)
    facts = replace(await gather(target, request), unfinished=None)
    verdict = decide(request, facts)
    if isinstance(verdict, Refused):
        await run.end(Phase.SKIPPED, verdict.message)
        return
    async with target.installing:
        release = await _prepare(run, target, commit, facts.live)
    await target.store.write(ledger.add_release, target.name, release)
    await _activate(run, target, waits, superseded)


async def _prepare(run: DeploymentRun, target: DeployTarget, commit: str, live: Release | None) -> Release:
    commits, total = await target.repository.commits_between(live.commit if live else None, commit)
    if live is not None and not await target.follows(commit, live.commit):
        run.remarks.append(message(RemarkCode.NOT_A_SUCCESSOR, commit=commit, live=live.commit))
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
    await target.strategy.prepare(run, name, commit, live)
    await run.move(Phase.INSTALLING)
    await target.strategy.install(run, name, commit, live)
    shown = await target.repository.commit(commit)
    return Release(name, commit, target.clock(), good=False, title=shown.title if shown else "")


async def _return(run: DeploymentRun, target: DeployTarget, waits: Waits, superseded: Superseded) -> None:
    """Activate a release that is on disk already."""
    await target.strategy.recognise()
    facts = await target.known()
    wanted = run.value.release_to or ""
    back = next((release for release in facts.releases if release.name == wanted), None)
    if back is None or not await asyncio.to_thread(target.releases.stands, back.name):
        raise DeployFailure(message(FailureCode.RELEASE_GONE, release=wanted))
    live = facts.live
    await run.change(
        commit_to=back.commit,
        commit_from=live.commit if live else None,
        release_from=live.name if live else None,
    )
    await target.strategy.check_return(run, back.name)
    await _activate(run, target, waits, superseded)


async def _activate(
    run: DeploymentRun, target: DeployTarget, waits: Waits, superseded: Superseded, *, resumed: bool = False
) -> None:
    """Wait, switch, restart, verify; after a crash from the phase that it is in."""
    name = run.value.release_to or ""
    if run.value.phase not in TAKEN_UP:
        waited = await target.store.read(ledger.aside, run.value)
        await run.move(Phase.WAITING if await waits.must_wait(run.value) else Phase.SWITCHING)
        if waited is not None:
            superseded(replace(waited, phase=Phase.REPLACED))
    if run.value.phase is Phase.WAITING:
        refusal = await waits.quiet(run, partial(objection, target, run.value))
        if refusal is not None:
            await run.end(Phase.SKIPPED, refusal)
            await target.discard(run.value)
            return
        await run.move(Phase.SWITCHING)
    if run.value.phase is Phase.SWITCHING or await asyncio.to_thread(target.releases.live) != name:
        await target.strategy.lay(run, name)
        async with run.step(StepCode.SWITCH, release=name):
            await target.switch(name)
    if run.value.phase is Phase.SWITCHING:
        await run.move(Phase.RESTARTING)
    state = await bring_up(run, target, name, resumed=resumed)
    if run.value.phase is Phase.RESTARTING:
        await run.move(Phase.VERIFYING)
    service = target.service
    await target.verify(run, state, name, soak=service.soak, within=service.verify_timeout)
    await _live(run, target, name)


async def _live(run: DeploymentRun, target: DeployTarget, name: str) -> None:
    value = run.value
    note = message(OutcomeCode.LIVE, remarks=tuple(run.remarks)) if run.remarks else None
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


async def _is_aside(run: DeploymentRun, target: DeployTarget) -> bool:
    """Whether another deployment supersedes this one. What this one superseded is not kept any longer then."""
    stored = await target.store.read(ledger.deployment, run.value.id)
    # It may wait again already: the other one was ended because opsbot is being stopped.
    if stored is None or stored.phase not in {Phase.ASIDE, Phase.REPLACED, Phase.WAITING}:
        return False
    number = stored.instead_of
    try:
        earlier = None if number is None else await target.store.read(ledger.deployment, number)
        # The deployment that supersedes this one may be a rollback to that very release.
        kept = await target.store.read(ledger.prepared, target.name)
        if earlier is not None and earlier.phase is Phase.REPLACED and earlier.release_to not in kept:
            await target.discard(earlier)
    except (sqlite3.Error, StoreError, OSError) as error:
        log.warning("%s: what was superseded is left to the cleanup: %s", target.name, message_of(error))
    return True
