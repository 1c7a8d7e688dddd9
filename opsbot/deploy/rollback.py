"""Rolling back a failed deployment: to the previous release, to an older good one if that fails too, or to a stop."""

import asyncio
import logging
from contextlib import suppress
from datetime import timedelta

from opsbot.core.deploy_codes import NoteCode, OutcomeCode, StepCode
from opsbot.core.deployment import Deployment, DeploymentKind, Phase
from opsbot.core.message import Message, message
from opsbot.deploy.deployment_run import DeployFailure, DeploymentRun
from opsbot.deploy.rolling_restart import bring_back, pid_note, restart_what_is_left
from opsbot.deploy.target import DeployTarget
from opsbot.messages import render
from opsbot.store import ledger

log = logging.getLogger(__name__)

ROLLBACK_WITHIN = timedelta(seconds=60)
"""How long a release that was good before may take to pass its checks again."""
OLDER_TRIED = 2
"""Good releases that are tried, besides the previous one, if that one fails too."""


async def roll_back(run: DeploymentRun, target: DeployTarget) -> None:
    """Bring a deployment in UNDOING to its end. Can be interrupted at any point, and begun again."""
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
        with suppress(DeployFailure):
            await target.strategy.lay(run, candidates[0])
            await target.switch(candidates[0])
            await restart_what_is_left(run, target, candidates[0])
    note = message(OutcomeCode.NOT_ROLLED_BACK, cause=cause, tried=tuple(candidates))
    await run.end(Phase.STUCK, note, quarantined=blamed, hold=hold)


async def _given_up(value: Deployment, target: DeployTarget) -> Message | None:
    """How to deploy the commit that waited, was ready, and was superseded by this one."""
    before = None if value.instead_of is None else await target.store.read(ledger.deployment, value.instead_of)
    if before is None or before.phase is not Phase.REPLACED or before.kind is not DeploymentKind.DEPLOY:
        return None
    return message(OutcomeCode.LOST, service=value.service, commit=before.commit_to)


async def _ways_back(value: Deployment, target: DeployTarget) -> list[str]:
    """The releases to go back to that are on disk: the previous one, then older good ones."""
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
            if not start and not several:
                doing.note = message(NoteCode.LEFT_STOPPED)
                return True
            state = await target.state()
            if not several and not await target.strategy.runs(state, name):
                state = await target.restart()
            if not several:
                doing.note = pid_note(state)
        if several and not await bring_back(run, target, name, within):
            return True  # a person stopped some of it: there is no whole to check
        state = await target.state() if several else state
        await target.verify(run, state, name, soak=timedelta(0), within=within)
    except DeployFailure as failure:
        log.warning("rolling %s back to %s: %s", target.name, name, render(failure.message))
        return False
    return True
