"""A release is started in a service: at once where it is one, else unit after unit, each looked at before the next.

While one unit is restarted the others serve. What is not well stops it there, and the way back touches only units that
do not run the release before. An opsbot that takes this up from one that died goes by what each unit runs.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

from opsbot.config import Service, Strategy
from opsbot.core.deployment import DeploymentStep
from opsbot.core.manager_codes import ManagerCode
from opsbot.core.message import message
from opsbot.deploy.course import Course, SetbackError
from opsbot.deploy.place import Place
from opsbot.deploy.verify import Verifier
from opsbot.messages import render
from opsbot.services.port import Activity, ManagerError, ServiceManager, ServiceState

SETTLE = timedelta(seconds=2)
"""How long one unit must be well before the next is touched; the whole service gets its full soak afterwards."""


async def bring_up(course: Course, place: Place, release: str, *, resumed: bool) -> ServiceState:
    """Have all of the service run the release that `current` points to; how it stood when each was started.

    resumed: an earlier opsbot may have started it already, all or in part.

    Raises:
        SetbackError: one does not start, or is not well; those after it were not touched.
    """
    parts = place.manager.parts(place.name)
    state = await place.state()
    if not parts:
        if resumed and await runs(course, place, state, release):
            return state
        async with course.step("restart") as doing:
            state = await place.restart()
            doing.note = _pid(state)
        return state
    waiting = {part for part in parts if not (resumed and await runs(course, place, state, release, part))}
    begun: dict[str, ServiceState] = {}
    within = place.service.verify_timeout
    for part in parts if waiting else ():
        _still(begun, await place.state())
        if part in waiting:
            begun[part] = await _restart(course, place, part)
        else:
            begun[part] = (await place.state()).of(part)
        await _settle(course, place, release, part, begun[part], within)
    state = await place.state()
    return replace(state, parts=tuple((part, begun.get(part, now)) for part, now in state.parts))


async def bring_back(course: Course, place: Place, release: str, within: timedelta) -> bool:
    """Have each unit run the release that `current` points to again; whether all of them are to run.

    The last that was restarted comes first: it is the one that is not well. One that a person stopped is left so.

    Raises:
        SetbackError: one is not well in that release either.
    """
    for part in reversed(place.manager.parts(place.name)):
        state = await place.state()
        if state.of(part).stopped_by_hand or await runs(course, place, state, release, part):
            continue
        begun = await _restart(course, place, part)
        await _settle(course, place, release, part, begun, within)
    return not any(part.stopped_by_hand for _, part in (await place.state()).parts)


async def restart_what_is_left(course: Course, place: Place, release: str) -> None:
    """Restart all that does not run this release, whether it is well there or not."""
    for part in place.manager.parts(place.name) or ("",):
        with suppress(SetbackError):
            if not await runs(course, place, await place.state(), release, part):
                await place.restart(part)


async def restart_in_turn(manager: ServiceManager, verifier: Verifier, service: Service) -> ServiceState:
    """Restart the units of a service for somebody who asked for it, each looked at before the next is touched.

    Raises:
        ManagerError: one did not start, or is not well after its restart; those after it were left alone.
    """
    parts = manager.parts(service.name)
    for number, part in enumerate(parts, 1):
        begun = (await manager.restart(service.name, part)).of(part)
        judged = await verifier.verify(
            service, begun, None, soak=min(SETTLE, service.soak), within=service.verify_timeout, part=part
        )
        if not judged.ok:
            left = tuple(parts[number:])
            raise ManagerError(message(ManagerCode.UNIT_FAILED_CHECKS, unit=part, why=judged.text, left=left))
    return await manager.state(service.name)


async def runs(course: Course, place: Place, state: ServiceState, release: str, part: str = "") -> bool:
    """Whether that part runs this release, so that it need not be restarted for it."""
    now = state.of(part)
    told = now.release is not None or place.source.strategy is not Strategy.RELEASES
    if now.activity is not Activity.RUNNING or told:
        return await place.runs(now, release)
    return _by_the_story(course, now, release, part)


def _by_the_story(course: Course, now: ServiceState, release: str, part: str) -> bool:
    """The same by what this deployment has written down, for a process whose directory nobody can tell."""
    value = course.value
    if now.started_at is None:
        return False
    if now.started_at < value.created_at:
        return release == value.release_from
    restarts = [step for step in _since_switched(value.steps, release) if step.name == _restart_step(part) and step.ok]
    return bool(restarts) and now.started_at >= restarts[-1].started_at


def _since_switched(steps: tuple[DeploymentStep, ...], release: str) -> tuple[DeploymentStep, ...]:
    names = [step.name for step in steps]
    switched = [at for at, name in enumerate(names) if name in {f"switch to {release}", f"back to {release}"}]
    return steps[switched[0] + 1 :] if switched else ()


def _restart_step(part: str) -> str:
    return f"restart {part}" if part else "restart"


async def _restart(course: Course, place: Place, part: str) -> ServiceState:
    async with course.step(_restart_step(part)) as doing:
        state = await place.restart(part)
        doing.note = _pid(state)
    return state


async def _settle(
    course: Course, place: Place, release: str, part: str, begun: ServiceState, within: timedelta
) -> None:
    soak = min(SETTLE, place.service.soak)
    await place.verify(course, begun, release, soak=soak, within=within, part=part)


def _still(begun: Mapping[str, ServiceState], state: ServiceState) -> None:
    """Those that were started before go on in the same run.

    Raises:
        SetbackError: one does not.
    """
    for part, before in begun.items():
        now = state.of(part)
        if now.run != before.run or now.activity is not Activity.RUNNING:
            how = f" ({render(now.exit)})" if now.exit else ""
            what = "was stopped by hand" if now.stopped_by_hand else f"did not stay alive in the new release{how}"
            raise SetbackError(f"{part} {what}", lasting=not now.stopped_by_hand)


def _pid(state: ServiceState) -> str:
    return f"pid {state.pid}" if state.pid else ""
