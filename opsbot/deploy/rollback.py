"""Going back: to the release before, to an older good one where that is not well either, or to a stop."""

import asyncio
import logging
from contextlib import suppress
from datetime import timedelta

from opsbot.core.deployment import Deployment, DeploymentKind, Phase
from opsbot.deploy.deployment_run import DeployFailure, DeploymentRun, tried_again
from opsbot.deploy.rolling_restart import bring_back, restart_what_is_left
from opsbot.deploy.target import DeployTarget
from opsbot.store import ledger

log = logging.getLogger(__name__)

UNDO_WITHIN = timedelta(seconds=60)
"""How long a release that was good before may take to pass its checks again."""
OLDER_TRIED = 2
"""Good releases that are tried, besides the one before, when that one is not well either."""


async def undo(run: DeploymentRun, target: DeployTarget) -> None:
    """Bring a deployment in UNDOING to its end. Can be cut short at any point, and begun anew."""
    value = run.value
    # The commit is to blame when it was started and was not well, or its install step failed where it lies: not when
    # the link could not be put in its target, nor when a person stopped the service meanwhile (who is not fought: the
    # release before is not started either) or restarted it, nor when no release could be started.
    by_hand = (await target.state()).stopped_by_hand
    started = value.failed_in in {Phase.RESTARTING, Phase.VERIFYING}
    blamed = value.commit_to if (started or run.lasting) and not (by_hand or run.innocent) else None
    why = value.note + (tried_again(value) if run.innocent and not by_hand else "") + await _given_up(value, target)
    hold = await target.wait_past(value, blamed) if value.kind is DeploymentKind.DEPLOY else None
    candidates = await _ways_back(value, target)
    for name in candidates:
        if await _back_to(run, target, name, start=not by_hand):
            other = name if name != value.release_from else None
            note = f"{why} Back on {name}."
            await run.end(Phase.UNDONE, note, live=other, quarantined=blamed, hold=hold)
            return
    if value.release_from is None and not candidates:
        async with run.step("stop the service"):
            await target.stop()
        note = f"{why} There was no release before: the service is stopped."
        await run.end(Phase.UNDONE, note, quarantined=blamed, hold=hold)
        return
    if candidates:
        # Not well, but what was live before: better than the one that was tried last.
        with suppress(DeployFailure):
            await target.lay(run, candidates[0])
            await target.switch(candidates[0])
            await restart_what_is_left(run, target, candidates[0])
    tried = ", ".join(candidates) or "none is left"
    note = f"{value.note} No release before is well either (tried: {tried}). A human is needed."
    await run.end(Phase.STUCK, note, quarantined=blamed, hold=hold)


async def _given_up(value: Deployment, target: DeployTarget) -> str:
    """What to do about the commit that waited, was ready, and was given up for this one."""
    before = None if value.instead_of is None else await target.store.read(ledger.deployment, value.instead_of)
    if before is None or before.phase is not Phase.REPLACED or before.kind is not DeploymentKind.DEPLOY:
        return ""
    commit = f"{before.commit_to or '':.10}"
    return f" {commit}, which waited before it, is not deployed any more: /deploy service:{value.service} ref:{commit}."


async def _ways_back(value: Deployment, target: DeployTarget) -> list[str]:
    """The releases to go back to: the one before, then older good ones; those that stand."""
    known = await target.store.read(ledger.releases, target.name)
    bad = await target.store.read(ledger.quarantined, target.name)
    before = [value.release_from] if value.release_from else []
    passed_over = {*before, value.release_to}
    good = [each.name for each in known if each.good and each.commit not in bad and each.name not in passed_over]
    names = [*before, *good[:OLDER_TRIED]]
    return await asyncio.to_thread(lambda: [name for name in names if target.releases.stands(name)])


async def _back_to(run: DeploymentRun, target: DeployTarget, name: str, *, start: bool) -> bool:
    within = min(target.service.verify_timeout, UNDO_WITHIN)
    several = bool(target.manager.parts(target.name))
    try:
        await target.lay(run, name)
        async with run.step(f"back to {name}") as doing:
            await target.switch(name)
            if not start and not several:
                doing.note = "the service was stopped by hand and is left so"
                return True
            state = await target.state()
            if not several and not await target.runs(state, name):
                state = await target.restart()
            if not several:
                doing.note = f"pid {state.pid}" if state.pid else ""
        if several and not await bring_back(run, target, name, within):
            return True  # a person stopped some of it: there is no whole to look at
        state = await target.state() if several else state
        await target.verify(run, state, name, soak=timedelta(0), within=within)
    except DeployFailure as failure:
        log.warning("going back to %s of %s: %s", name, target.name, failure)
        return False
    return True
