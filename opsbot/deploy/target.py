"""DeployTarget: one service for the pipeline: facts, switch, restart, checks.

A service of several units is restarted unit by unit, each verified before the next: while one is restarted the others
serve. A failure stops it there, and the rollback touches only units that do not run the previous release. An opsbot
that takes this up after a crash goes by what each unit runs.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from opsbot.config import Service, Source, Strategy
from opsbot.core.deploy_codes import FailureCode, NoteCode, OutcomeCode, RemarkCode, StepCode
from opsbot.core.deployment import Deployment, DeploymentFacts, DeploymentKind, DeploymentRequest, DeploymentStep, Hold
from opsbot.core.message import Message, message, message_of
from opsbot.deploy.deployment_run import DeployFailure, DeploymentRun
from opsbot.deploy.releases import ReleaseError, ReleaseFolders, Releases
from opsbot.deploy.verify import Verifier
from opsbot.deploy.waiting import SwitchGate
from opsbot.services.port import Activity, LogQuery, ManagerError, ServiceManager, ServiceState, known_or, spoken
from opsbot.source.remote import RemoteError
from opsbot.source.repo import Repository, is_full_id
from opsbot.store import Store, ledger

log = logging.getLogger(__name__)

LOG_LINES = 15
LINE_MOST = 500
SETTLE = timedelta(seconds=2)
"""How long one unit must be healthy before the next is touched; the whole service gets its full soak afterwards."""


@dataclass(frozen=True, slots=True)
class DeployTarget:
    """One service: its releases, its mirror, its strategy, and who keeps it running.

    Methods that change what is live raise DeployFailure or ReleaseError if that cannot be done, or fails its checks.
    """

    service: Service
    source: Source
    repository: Repository
    releases: Releases
    strategy: ReleaseFolders
    manager: ServiceManager
    verifier: Verifier
    gate: SwitchGate
    store: Store
    clock: Callable[[], datetime]
    installing: asyncio.Semaphore
    """Held while install steps run: one installation at a time on the whole host."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by a deployment, and by the cleanup after it."""

    @property
    def name(self) -> str:
        return self.service.name

    # What is known of it

    async def known(self) -> DeploymentFacts:
        """What the store knows of its deployments, at one moment."""
        return await self.store.read(_known, self.name)

    async def facts_for(self, request: DeploymentRequest) -> DeploymentFacts:
        facts = await self.known()
        commit = request.ref if request.ref is not None and is_full_id(request.ref) else None
        waits = facts.hold.waits if facts.hold else None
        older = commit != waits and await self.follows(waits, commit)
        stopped = (await self.state()).stopped_by_hand
        return replace(facts, commit=commit, older_than_hold=older, stopped_by_hand=stopped)

    async def recognise(self) -> None:
        """Take note of a release that a person activated, unless a deployment is at work."""
        if self.lock.locked():
            return  # that one changes it, and whoever requests another meanwhile is not kept waiting
        async with self.lock:
            if not await self.store.read(ledger.unfinished, self.name):
                await self.strategy.recognise()

    # The live release

    async def switch(self, release: str) -> None:
        await asyncio.to_thread(self.releases.switch, release)

    async def restart(self, part: str = "") -> ServiceState:
        """Start the service, or one part of it, in what `current` points to; its state."""
        before = (await self.state()).of(part)
        try:
            after = (await self.manager.restart(self.name, part or None)).of(part)
        except ManagerError as error:
            tail = await self.last_words()
            why = message(FailureCode.NOT_STARTED, error=message_of(error))
            raise DeployFailure(why, tail=tail, innocent=error.barred) from error
        if before.run and after.run == before.run:
            raise DeployFailure(message(FailureCode.NOT_RESTARTED, part=part or None))
        return after

    async def stop(self) -> None:
        try:
            await self.manager.stop(self.name)
            await asyncio.to_thread(self.releases.take_away)
        except (ManagerError, ReleaseError) as error:
            raise DeployFailure(message(FailureCode.NOT_STOPPED, error=message_of(error))) from error

    async def bring_up(self, run: DeploymentRun, release: str, *, resumed: bool) -> ServiceState:
        """Have all of it run what `current` points to; return the state at each start.

        resumed: an earlier opsbot may have started it already, all or in part. Units after one that fails are not
        touched.
        """
        parts = self.manager.parts(self.name)
        state = await self.state()
        if not parts:
            if resumed and await self._runs(run, state, release):
                return state
            return await self._restart(run, "")
        waiting = {part for part in parts if not (resumed and await self._runs(run, state, release, part))}
        begun: dict[str, ServiceState] = {}
        for part in parts if waiting else ():
            _check_still_running(begun, await self.state())
            if part in waiting:
                begun[part] = await self._restart(run, part)
            else:
                begun[part] = (await self.state()).of(part)
            await self._settle(run, release, part, begun[part], self.service.verify_timeout)
        state = await self.state()
        return replace(state, parts=tuple((part, begun.get(part, now)) for part, now in state.parts))

    async def bring_back(self, run: DeploymentRun, release: str, within: timedelta) -> bool:
        """Have units run what `current` points to again; whether all are meant to run.

        The last that was restarted comes first: it is the one that fails. One that a person stopped stays stopped.
        """
        for part in reversed(self.manager.parts(self.name)):
            state = await self.state()
            if not state.of(part).stopped_by_hand and not await self._runs(run, state, release, part):
                await self._settle(run, release, part, await self._restart(run, part), within)
        return not any(part.stopped_by_hand for _, part in (await self.state()).parts)

    async def restart_what_is_left(self, run: DeploymentRun, release: str) -> None:
        """Restart all that does not run this release, whether it is healthy or not."""
        for part in self.manager.parts(self.name) or ("",):
            with suppress(DeployFailure):
                if not await self._runs(run, await self.state(), release, part):
                    await self.restart(part)

    async def _restart(self, run: DeploymentRun, part: str) -> ServiceState:
        async with run.step(StepCode.RESTART, part=part or None) as doing:
            state = await self.restart(part)
            doing.note = pid_note(state)
        return state

    async def _settle(
        self, run: DeploymentRun, release: str, part: str, begun: ServiceState, within: timedelta
    ) -> None:
        soak = min(SETTLE, self.service.soak)
        await self.verify(run, begun, release, soak=soak, within=within, part=part)

    async def _runs(self, run: DeploymentRun, state: ServiceState, release: str, part: str = "") -> bool:
        """Whether that part runs this release, so that it need not be restarted for it."""
        now = state.of(part)
        known = now.release is not None or self.source.strategy is not Strategy.RELEASES
        if now.activity is not Activity.RUNNING or known:
            return await self.strategy.runs(now, release)
        return _runs_by_the_steps(run.value, now, release, part)

    async def state(self) -> ServiceState:
        """The service's state, failed where its manager does not know."""
        return await known_or(self.manager.state(self.name), Activity.FAILED)

    async def verify(
        self,
        run: DeploymentRun,
        state: ServiceState,
        release: str,
        *,
        soak: timedelta,
        within: timedelta,
        part: str = "",
    ) -> None:
        """Verify what was just started, as a step. part: only that one and its checks."""
        again = not (soak or part)
        step = (
            run.step(StepCode.VERIFY_AGAIN, release=release) if again else run.step(StepCode.VERIFY, part=part or None)
        )
        async with step as doing:

            async def report(seen: Message) -> None:
                await run.say(doing, seen)

            folder = self.releases.path(release)
            judged = await self.verifier.verify(
                self.service, state, folder, soak=soak, within=within, report=report, part=part
            )
            if not judged.ok:
                tail = await self.last_words()
                disturbed = judged.disturbed
                raise DeployFailure(judged.message, lasting=not disturbed, tail=tail, innocent=disturbed)
            doing.note = judged.message
        if not part:
            run.remarks += [remark for remark in self._unproven(await self.state()) if remark not in run.remarks]

    def _unproven(self, state: ServiceState) -> list[Message]:
        """What is to be said where it is unknown which release a unit runs."""
        if not self.service.manager.capabilities.has_units or self.source.strategy is not Strategy.RELEASES:
            return []
        folder, current = str(self.releases.folder), str(self.releases.current)
        return [
            message(RemarkCode.RELEASE_UNPROVEN, unit=unit, folder=folder, current=current)
            for unit, now in state.parts or ((self.service.unit, state),)
            if now.activity is Activity.RUNNING and now.release is None
        ]

    async def last_words(self) -> str:
        """The last lines the service wrote."""
        try:
            lines = await self.manager.logs(self.name, LogQuery(lines=LOG_LINES * 2, this_run=True))
            lines = lines or await self.manager.logs(self.name, LogQuery(lines=LOG_LINES * 2))
        except ManagerError:
            return ""
        return "\n".join(line.text[:LINE_MOST] for line in spoken(lines)[-LOG_LINES:])

    async def remove(self, release: str) -> None:
        """Remove a release and forget it; the next cleanup retries."""
        try:
            await self.strategy.remove(release)
            await self.store.write(ledger.forget_release, self.name, release)
            await self.repository.forget(release)
        except (ReleaseError, RemoteError, OSError) as error:
            log.warning("release %s of %s was not removed: %s", release, self.name, error)

    async def discard(self, value: Deployment) -> None:
        """Remove what a deploy has prepared. A rollback has prepared nothing."""
        if value.release_to is not None and value.kind is DeploymentKind.DEPLOY:
            await self.remove(value.release_to)

    # Which commit follows which

    async def follows(self, new: str | None, old: str | None) -> bool:
        """Whether `new` is `old` or has it in its history; False if that is unknown."""
        return new is not None and old is not None and await self.repository.is_ancestor(old, new)

    async def wait_past(self, value: Deployment, commit: str | None) -> Hold | None:
        """The hold after a rollback: past the newest commit that was rolled back from."""
        if commit is None:
            return None
        known = await self.store.read(ledger.hold, self.name)
        waits = commit
        if known is not None and known.waits is not None and not await self.follows(commit, known.waits):
            waits = known.waits
        reason = message(OutcomeCode.HOLD_AFTER_ROLLBACK, deployment=value.id)
        return Hold(self.name, value.actor.name, reason, self.clock(), waits=waits)


def _known(db: sqlite3.Connection, service: str) -> DeploymentFacts:
    unfinished = ledger.unfinished(db, service)
    return DeploymentFacts(
        has_source=True,
        unfinished=unfinished[0].id if unfinished else None,
        hold=ledger.hold(db, service),
        live=ledger.live_release(db, service),
        releases=ledger.releases(db, service),
        quarantined=ledger.quarantined(db, service),
    )


async def restart_in_turn(manager: ServiceManager, verifier: Verifier, service: Service) -> ServiceState:
    """Restart the units of a service in turn, each verified before the next.

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


def _runs_by_the_steps(value: Deployment, now: ServiceState, release: str, part: str) -> bool:
    """Whether a process of unknown directory runs a release, going by the steps."""
    if now.started_at is None:
        return False
    if now.started_at < value.created_at:
        return release == value.release_from
    wanted = message(StepCode.RESTART, part=part or None)
    restarts = [step for step in _since_switched(value.steps, release) if step.name == wanted and step.ok]
    return bool(restarts) and now.started_at >= restarts[-1].started_at


def _since_switched(steps: tuple[DeploymentStep, ...], release: str) -> tuple[DeploymentStep, ...]:
    switches = [message(code, release=release) for code in (StepCode.SWITCH, StepCode.SWITCH_BACK)]
    switched = [number for number, step in enumerate(steps) if step.name in switches]
    return steps[switched[0] + 1 :] if switched else ()


def _check_still_running(begun: Mapping[str, ServiceState], state: ServiceState) -> None:
    """Raise DeployFailure unless those started before continue in the same run."""
    for part, before in begun.items():
        now = state.of(part)
        if now.run != before.run or now.activity is not Activity.RUNNING:
            if now.stopped_by_hand:
                raise DeployFailure(message(FailureCode.PART_STOPPED, part=part))
            raise DeployFailure(message(FailureCode.PART_DIED, part=part, exit=now.exit), lasting=True)


def pid_note(state: ServiceState) -> Message | None:
    """The process that was started, as a step's note."""
    return message(NoteCode.PID, pid=state.pid) if state.pid else None
