"""Starts a release in a service: at once if it is one unit, else unit by unit, each verified before the next.

While one unit is restarted the others serve. A failure stops it there, and the rollback touches only units that do not
run the previous release. An opsbot that takes this up after a crash goes by what each unit runs.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

from opsbot.config import Service, Strategy
from opsbot.core.deploy_codes import FailureCode, NoteCode, StepCode
from opsbot.core.deployment import DeploymentStep
from opsbot.core.message import Message, message
from opsbot.deploy.deployment_run import DeployFailure, DeploymentRun
from opsbot.deploy.target import DeployTarget
from opsbot.deploy.verify import Verifier
from opsbot.services.port import Activity, ServiceManager, ServiceState

SETTLE = timedelta(seconds=2)
"""How long one unit must be healthy before the next is touched; the whole service gets its full soak afterwards."""


async def bring_up(run: DeploymentRun, target: DeployTarget, release: str, *, resumed: bool) -> ServiceState:
    """Have all of the service run the release that `current` points to; the state when each unit was started.

    resumed: an earlier opsbot may have started it already, all or in part.

    Raises:
        DeployFailure: one does not start, or fails its checks; those after it were not touched.
    """
    parts = target.manager.parts(target.name)
    state = await target.state()
    if not parts:
        if resumed and await runs(run, target, state, release):
            return state
        return await _restart(run, target, "")
    waiting = {part for part in parts if not (resumed and await runs(run, target, state, release, part))}
    begun: dict[str, ServiceState] = {}
    within = target.service.verify_timeout
    for part in parts if waiting else ():
        _still_run(begun, await target.state())
        if part in waiting:
            begun[part] = await _restart(run, target, part)
        else:
            begun[part] = (await target.state()).of(part)
        await _settle(run, target, release, part, begun[part], within)
    state = await target.state()
    return replace(state, parts=tuple((part, begun.get(part, now)) for part, now in state.parts))


async def bring_back(run: DeploymentRun, target: DeployTarget, release: str, within: timedelta) -> bool:
    """Have each unit run the release that `current` points to again; whether all of them are meant to run.

    The last that was restarted comes first: it is the one that fails. One that a person stopped stays stopped.

    Raises:
        DeployFailure: one fails in that release too.
    """
    for part in reversed(target.manager.parts(target.name)):
        state = await target.state()
        if state.of(part).stopped_by_hand or await runs(run, target, state, release, part):
            continue
        begun = await _restart(run, target, part)
        await _settle(run, target, release, part, begun, within)
    return not any(part.stopped_by_hand for _, part in (await target.state()).parts)


async def restart_what_is_left(run: DeploymentRun, target: DeployTarget, release: str) -> None:
    """Restart all that does not run this release, whether it is healthy or not."""
    for part in target.manager.parts(target.name) or ("",):
        with suppress(DeployFailure):
            if not await runs(run, target, await target.state(), release, part):
                await target.restart(part)


async def restart_in_turn(manager: ServiceManager, verifier: Verifier, service: Service) -> ServiceState:
    """Restart the units of a service for somebody who asked for it, each verified before the next is touched.

    Raises:
        ManagerError: one did not start; those after it were left alone.
        DeployFailure: one is not healthy after its restart; likewise.
    """
    parts = manager.parts(service.name)
    for number, part in enumerate(parts, 1):
        begun = (await manager.restart(service.name, part)).of(part)
        judged = await verifier.verify(
            service, begun, None, soak=min(SETTLE, service.soak), within=service.verify_timeout, part=part
        )
        if not judged.ok:
            left = tuple(parts[number:])
            raise DeployFailure(message(FailureCode.PART_NOT_HEALTHY, part=part, cause=judged.message, left=left))
    return await manager.state(service.name)


async def runs(run: DeploymentRun, target: DeployTarget, state: ServiceState, release: str, part: str = "") -> bool:
    """Whether that part runs this release, so that it need not be restarted for it."""
    now = state.of(part)
    known = now.release is not None or target.source.strategy is not Strategy.RELEASES
    if now.activity is not Activity.RUNNING or known:
        return await target.strategy.runs(now, release)
    return _by_the_steps(run, now, release, part)


def _by_the_steps(run: DeploymentRun, now: ServiceState, release: str, part: str) -> bool:
    """The same by the steps of this deployment, for a process whose directory is unknown."""
    value = run.value
    if now.started_at is None:
        return False
    if now.started_at < value.created_at:
        return release == value.release_from
    wanted = _restart_step(part)
    restarts = [step for step in _since_switched(value.steps, release) if step.name == wanted and step.ok]
    return bool(restarts) and now.started_at >= restarts[-1].started_at


def _since_switched(steps: tuple[DeploymentStep, ...], release: str) -> tuple[DeploymentStep, ...]:
    switches = [message(code, release=release) for code in (StepCode.SWITCH, StepCode.SWITCH_BACK)]
    switched = [number for number, step in enumerate(steps) if step.name in switches]
    return steps[switched[0] + 1 :] if switched else ()


def _restart_step(part: str) -> Message:
    return message(StepCode.RESTART, part=part or None)


async def _restart(run: DeploymentRun, target: DeployTarget, part: str) -> ServiceState:
    async with run.step(StepCode.RESTART, part=part or None) as doing:
        state = await target.restart(part)
        doing.note = pid_note(state)
    return state


async def _settle(
    run: DeploymentRun, target: DeployTarget, release: str, part: str, begun: ServiceState, within: timedelta
) -> None:
    soak = min(SETTLE, target.service.soak)
    await target.verify(run, begun, release, soak=soak, within=within, part=part)


def _still_run(begun: Mapping[str, ServiceState], state: ServiceState) -> None:
    """Check that those started before continue in the same run.

    Raises:
        DeployFailure: one does not.
    """
    for part, before in begun.items():
        now = state.of(part)
        if now.run != before.run or now.activity is not Activity.RUNNING:
            if now.stopped_by_hand:
                raise DeployFailure(message(FailureCode.PART_STOPPED, part=part))
            raise DeployFailure(message(FailureCode.PART_DIED, part=part, exit=now.exit), lasting=True)


def pid_note(state: ServiceState) -> Message | None:
    """The process that was started, as a step's note."""
    return message(NoteCode.PID, pid=state.pid) if state.pid else None
