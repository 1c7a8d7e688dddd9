"""The pipeline of a deployment, from top to bottom, with its failures.

    deploy:    fetch → prepare → install ┐
                                         ├→ (wait) → switch → restart → verify → live, or back to the previous release
    rollback:  its release is on disk    ┘

Each phase is stored before its work begins (`deployment_run`). Up to the switch nothing live has changed, and a failure
ends the deployment as failed; from there on it is rolled back: to the previous release, to an older good one if that
fails too, or to a stop. Details: `releases` and `in_place` (the two strategies), `waiting`, `target` (switch and
restart), `verify`; after a crash `crash_recovery`.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial

from opsbot.core.access import Origin
from opsbot.core.deploy_codes import FailureCode, NoteCode, OutcomeCode, RemarkCode, StepCode
from opsbot.core.deployment import (
    CHANGED,
    SHORT,
    TAKEN_UP,
    Deployment,
    DeploymentKind,
    DeploymentRequest,
    Phase,
    Refused,
    Release,
    decide,
)
from opsbot.core.message import Message, MessageError, message, message_of
from opsbot.deploy.deployment_run import DeployFailure, DeploymentRun
from opsbot.deploy.releases import release_error
from opsbot.deploy.target import DeployTarget, pid_note
from opsbot.messages import render
from opsbot.source.repo import UnsupportedTreeError, is_full_id
from opsbot.store import StoreError, ledger
from opsbot.store.ledger import StaleError

log = logging.getLogger(__name__)

ROLLBACK_WITHIN = timedelta(seconds=60)
"""How long a release that was good before may take to pass its checks again."""
OLDER_TRIED = 2
"""Good releases that are tried, besides the previous one, if that one fails too."""


async def run_pipeline(run: DeploymentRun, target: DeployTarget, *, resumed: bool) -> None:
    """Bring a deployment to its end, from its beginning or, resumed, from its phase.

    Returns early where another deployment supersedes it.

    Raises:
        StaleError: another process has it.
    """
    if run.value.phase is not Phase.UNDOING:
        if resumed:
            work = _activate(run, target, resumed=True)
        else:
            work = (_return if run.value.kind is DeploymentKind.ROLLBACK else _deploy)(run, target)
        failure = await _failure_of(run, target, work)
        if failure is None:
            return
        if run.value.phase not in CHANGED:
            await fail(run, target, failure)
            return
        run.lasting, run.innocent = failure.lasting, failure.innocent
        await run.move(Phase.UNDOING, note=failure.message)
    failure = await _failure_of(run, target, _roll_back(run, target))
    if failure is not None:
        note = message(OutcomeCode.ROLLBACK_BROKE, cause=run.value.note, error=failure.message)
        await run.end(Phase.STUCK, note)


async def _failure_of(
    run: DeploymentRun, target: DeployTarget, work: Coroutine[None, None, None]
) -> DeployFailure | None:
    """Do the work; return its failure, None if the deployment ended or is superseded."""
    try:
        await work
    except DeployFailure as failure:
        return failure
    except MessageError as error:
        return DeployFailure(error.message, lasting=isinstance(error, UnsupportedTreeError))
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


async def fail(run: DeploymentRun, target: DeployTarget, failure: DeployFailure) -> None:
    """End a deployment that has changed nothing live."""
    await target.discard(run.value)
    await run.cut(failed=True)
    blamed = run.value.commit_to if failure.lasting else None
    retry_at = None if blamed else await run.retry_at()
    note = message(OutcomeCode.FAILED, cause=failure.message, retry_at=retry_at)
    await run.end(Phase.FAILED, note, quarantined=blamed)


async def _deploy(run: DeploymentRun, target: DeployTarget) -> None:
    value = run.value
    await run.move(Phase.FETCHING)
    await target.strategy.recognise()
    wanted = value.ref or target.source.branch
    async with run.step(StepCode.FETCH, ref=wanted[:SHORT] if is_full_id(wanted) else wanted) as doing:
        commit = await target.repository.bring(value.ref)
        doing.note = message(NoteCode.COMMIT, commit=commit)
    request = DeploymentRequest(value.service, value.kind, value.actor, ref=commit)
    facts = replace(await target.facts_for(request), unfinished=None)
    verdict = decide(request, facts)
    if isinstance(verdict, Refused):
        await run.end(Phase.SKIPPED, verdict.message)
        return
    async with target.installing:
        release = await _prepare(run, target, commit, facts.live)
    await target.store.write(ledger.add_release, target.name, release)
    await _activate(run, target)


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


async def _return(run: DeploymentRun, target: DeployTarget) -> None:
    """Activate a release that is on disk already."""
    await target.strategy.recognise()
    facts = await target.known()
    wanted = run.value.release_to or ""
    back = next((release for release in facts.releases if release.name == wanted), None)
    if back is None or not await asyncio.to_thread(target.releases.stands, back.name):
        raise DeployFailure(message(FailureCode.RELEASE_GONE, release=wanted))
    live = facts.live
    await run.change(
        commit_to=back.commit, commit_from=live.commit if live else None, release_from=live.name if live else None
    )
    await target.strategy.check_return(run, back.name)
    await _activate(run, target)


async def _activate(run: DeploymentRun, target: DeployTarget, *, resumed: bool = False) -> None:
    """Wait, switch, restart, verify; after a crash from the phase that it is in."""
    name = run.value.release_to or ""
    if run.value.phase not in TAKEN_UP:
        await run.ready(Phase.WAITING if await target.gate.must_wait(run.value) else Phase.SWITCHING)
    if run.value.phase is Phase.WAITING:
        refusal = await target.gate.wait(run, partial(_objection, target, run.value))
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
    state = await target.bring_up(run, name, resumed=resumed)
    if run.value.phase is Phase.RESTARTING:
        await run.move(Phase.VERIFYING)
    service = target.service
    await target.verify(run, state, name, soak=service.soak, within=service.verify_timeout)
    await _live(run, target, name)


async def _objection(target: DeployTarget, value: Deployment) -> Message | None:
    """Why a waiting deployment would be refused if it were requested now."""
    request = DeploymentRequest(value.service, value.kind, value.actor, ref=value.commit_to, release=value.release_to)
    verdict = decide(request, replace(await target.facts_for(request), unfinished=None))
    return verdict.message if isinstance(verdict, Refused) else None


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
    """Whether another deployment supersedes this one; discard what it superseded."""
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


async def _roll_back(run: DeploymentRun, target: DeployTarget) -> None:
    """Bring a deployment in UNDOING to its end; may be interrupted and repeated."""
    value, cause = run.value, run.value.note
    # The commit is to blame when it was started and failed, or its install step failed in place: not when the link
    # could not be replaced, nor when a person stopped the service meanwhile (who is not fought: the previous release is
    # not started either) or restarted it, nor when no release could be started.
    by_hand = (await target.state()).stopped_by_hand
    started = value.failed_in in {Phase.RESTARTING, Phase.VERIFYING}
    blamed = value.commit_to if (started or run.lasting) and not (by_hand or run.innocent) else None
    retry_at = None if blamed or by_hand else await run.retry_at()
    lost = await _given_up(value, target)
    hold = await target.wait_past(value, blamed) if value.kind is DeploymentKind.DEPLOY else None
    candidates = await _ways_back(value, target)
    for name in candidates:
        if await _back_to(run, target, name, start=not by_hand):
            other = name if name != value.release_from else None
            note = message(OutcomeCode.ROLLED_BACK, cause=cause, release=name, retry_at=retry_at, lost=lost)
            await run.end(Phase.UNDONE, note, live=other, quarantined=blamed, hold=hold)
            return
    if value.release_from is None and not candidates:
        async with run.step(StepCode.STOP):
            await target.stop()
        note = message(OutcomeCode.STOPPED, cause=cause, retry_at=retry_at, lost=lost)
        await run.end(Phase.UNDONE, note, quarantined=blamed, hold=hold)
        return
    if candidates:
        # It fails too, but was live before: better than the one that was tried last.
        with suppress(MessageError):
            await target.strategy.lay(run, candidates[0])
            await target.switch(candidates[0])
            await target.restart_what_is_left(run, candidates[0])
    note = message(OutcomeCode.NOT_ROLLED_BACK, cause=cause, tried=tuple(candidates))
    await run.end(Phase.STUCK, note, quarantined=blamed, hold=hold)


async def _given_up(value: Deployment, target: DeployTarget) -> Message | None:
    """How to deploy the commit that waited, was ready, and was superseded by this one."""
    before = None if value.instead_of is None else await target.store.read(ledger.deployment, value.instead_of)
    if before is None or before.phase is not Phase.REPLACED or before.kind is not DeploymentKind.DEPLOY:
        return None
    return message(OutcomeCode.LOST, service=value.service, commit=before.commit_to)


async def _ways_back(value: Deployment, target: DeployTarget) -> list[str]:
    """Return the releases on disk to go back to: the previous one, older good ones."""
    known = await target.store.read(ledger.releases, target.name)
    bad = await target.store.read(ledger.quarantined, target.name)
    before = [value.release_from] if value.release_from else []
    passed_over = {*before, value.release_to}
    good = [each.name for each in known if each.good and each.commit not in bad and each.name not in passed_over]
    names = [*before, *good[:OLDER_TRIED]]
    return await asyncio.to_thread(lambda: [name for name in names if target.releases.stands(name)])


async def _back_to(run: DeploymentRun, target: DeployTarget, name: str, *, start: bool) -> bool:
    within = min(target.service.verify_timeout, ROLLBACK_WITHIN)
    several = bool(target.manager.parts(target.name))
    try:
        await target.strategy.lay(run, name)
        async with run.step(StepCode.SWITCH_BACK, release=name) as doing:
            await target.switch(name)
            state = await target.state()
            if not several:
                if not start:
                    doing.note = message(NoteCode.LEFT_STOPPED)
                    return True
                if not await target.strategy.runs(state, name):
                    state = await target.restart()
                doing.note = pid_note(state)
        if several:
            if not await target.bring_back(run, name, within):
                return True  # a person stopped some of it: there is no whole to check
            state = await target.state()
        await target.verify(run, state, name, soak=timedelta(0), within=within)
    except MessageError as failure:
        log.warning("rolling %s back to %s: %s", target.name, name, render(failure.message))
        return False
    return True
