"""Going back: to the release before, to an older good one where that is not well either, or to a stop."""

import asyncio
import logging
from contextlib import suppress
from datetime import timedelta

from opsbot.core.deployment import Deployment, DeploymentKind, Phase
from opsbot.deploy.course import Course, SetbackError, tried_again
from opsbot.deploy.place import Place
from opsbot.deploy.rolling import bring_back, restart_what_is_left
from opsbot.store import ledger

log = logging.getLogger(__name__)

UNDO_WITHIN = timedelta(seconds=60)
"""How long a release that was good before may take to pass its checks again."""
OLDER_TRIED = 2
"""Good releases that are tried, besides the one before, when that one is not well either."""


async def undo(course: Course, place: Place) -> None:
    """Bring a deployment in UNDOING to its end. Can be cut short at any point, and begun anew."""
    value = course.value
    # The commit is to blame when it was started and was not well, or its install step failed where it lies: not when
    # the link could not be put in its place, nor when a person stopped the service meanwhile (who is not fought: the
    # release before is not started either) or restarted it, nor when no release could be started.
    by_hand = (await place.state()).stopped_by_hand
    started = value.failed_in in {Phase.RESTARTING, Phase.VERIFYING}
    blamed = value.commit_to if (started or course.lasting) and not (by_hand or course.innocent) else None
    why = value.note + (tried_again(value) if course.innocent and not by_hand else "") + await _given_up(value, place)
    hold = await place.wait_past(value, blamed) if value.kind is DeploymentKind.DEPLOY else None
    candidates = await _ways_back(value, place)
    for name in candidates:
        if await _back_to(course, place, name, start=not by_hand):
            other = name if name != value.release_from else None
            note = f"{why} Back on {name}."
            await course.end(Phase.UNDONE, note, live=other, quarantined=blamed, hold=hold)
            return
    if value.release_from is None and not candidates:
        async with course.step("stop the service"):
            await place.stop()
        note = f"{why} There was no release before: the service is stopped."
        await course.end(Phase.UNDONE, note, quarantined=blamed, hold=hold)
        return
    if candidates:
        # Not well, but what was live before: better than the one that was tried last.
        with suppress(SetbackError):
            await place.lay(course, candidates[0])
            await place.switch(candidates[0])
            await restart_what_is_left(course, place, candidates[0])
    tried = ", ".join(candidates) or "none is left"
    note = f"{value.note} No release before is well either (tried: {tried}). A human is needed."
    await course.end(Phase.STUCK, note, quarantined=blamed, hold=hold)


async def _given_up(value: Deployment, place: Place) -> str:
    """What to do about the commit that waited, was ready, and was given up for this one."""
    before = None if value.instead_of is None else await place.store.read(ledger.deployment, value.instead_of)
    if before is None or before.phase is not Phase.REPLACED or before.kind is not DeploymentKind.DEPLOY:
        return ""
    commit = f"{before.commit_to or '':.10}"
    return f" {commit}, which waited before it, is not deployed any more: /deploy service:{value.service} ref:{commit}."


async def _ways_back(value: Deployment, place: Place) -> list[str]:
    """The releases to go back to: the one before, then older good ones; those that stand."""
    known = await place.store.read(ledger.releases, place.name)
    bad = await place.store.read(ledger.quarantined, place.name)
    before = [value.release_from] if value.release_from else []
    passed_over = {*before, value.release_to}
    good = [each.name for each in known if each.good and each.commit not in bad and each.name not in passed_over]
    names = [*before, *good[:OLDER_TRIED]]
    return await asyncio.to_thread(lambda: [name for name in names if place.releases.stands(name)])


async def _back_to(course: Course, place: Place, name: str, *, start: bool) -> bool:
    within = min(place.service.verify_timeout, UNDO_WITHIN)
    several = bool(place.manager.parts(place.name))
    try:
        await place.lay(course, name)
        async with course.step(f"back to {name}") as doing:
            await place.switch(name)
            if not start and not several:
                doing.note = "the service was stopped by hand and is left so"
                return True
            state = await place.state()
            if not several and not await place.runs(state, name):
                state = await place.restart()
            if not several:
                doing.note = f"pid {state.pid}" if state.pid else ""
        if several and not await bring_back(course, place, name, within):
            return True  # a person stopped some of it: there is no whole to look at
        state = await place.state() if several else state
        await place.verify(course, state, name, soak=timedelta(0), within=within)
    except SetbackError as setback:
        log.warning("going back to %s of %s: %s", name, place.name, setback)
        return False
    return True
