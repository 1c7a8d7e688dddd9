"""Recovery: decides what to do about a service that is down, by its policy, and does it."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

from opsbot.core.access import Origin, itself
from opsbot.core.deployment import DeploymentKind, DeploymentRequest, Refused, previous_good
from opsbot.core.incident import EscalationReason, IncidentEvent, IncidentEventKind, RollbackReason, SkipReason, event
from opsbot.core.inhibitors import Inhibitor, Inhibitors, first_reason
from opsbot.core.message import Param, message
from opsbot.core.model import Incident
from opsbot.core.recovery import AttemptBy, RecoveryAction, RecoveryFacts, RecoveryStep, next_step
from opsbot.deploy.deployer import Deployer
from opsbot.monitoring.dependency_tracker import DependencyTracker
from opsbot.monitoring.incident_timeline import IncidentTimeline
from opsbot.monitoring.monitored_service import UNSETTLED, MonitoredService, left_alone, meant_to_run
from opsbot.runtime.tasks import BackgroundTasks
from opsbot.services.port import Activity, ManagerError, ServiceManager, ServiceState
from opsbot.store import Store, incident_repository, ledger

log = logging.getLogger(__name__)


class RecoveryRunner:
    """Takes the steps of recovery of each service."""

    def __init__(
        self,
        watched: Mapping[str, MonitoredService],
        store: Store,
        managers: Mapping[str, ServiceManager],
        deployer: Deployer,
        timeline: IncidentTimeline,
        dependencies: DependencyTracker,
        clock: Callable[[], datetime],
        inhibitors: Inhibitors,
        background: BackgroundTasks,
    ) -> None:
        """inhibitors: asked before each step."""
        self._inhibitors = inhibitors
        self._background = background
        self._watched = watched
        self._store = store
        self._managers = managers
        self._deployer = deployer
        self._timeline = timeline
        self._dependencies = dependencies
        self._clock = clock

    @contextmanager
    def by_hand(self, service: str) -> Iterator[None]:
        """A person restarts it: recovery neither restarts it nor rolls back meanwhile."""
        watched = self._watched[service]
        watched.recovery.hands += 1
        try:
            yield
        finally:
            watched.recovery.hands -= 1
            watched.checks.judge_again()  # what was seen during the restart is not of the run that it is in now
            watched.checks.hurry(self._clock())

    async def act(self, name: str) -> None:
        """Take the next step about a service with an incident, where one is due. The caller holds its turn."""
        watched = self._watched[name]
        if watched.recovery.busy:
            return
        try:
            state = await self._managers[name].state(name)
            if await self._spent(name, state):
                return
            if watched.incident is not None and watched.needs_recovery(state):
                await self._step(name, state)
            elif state.activity is Activity.RETRYING and watched.service.manager.capabilities.asks_before_restarts:
                # Its manager asks the same before it starts it again; this is for the card.
                await self._kept_back(name, self._inhibitors.restarts)
        except ManagerError as error:
            log.warning("%s: its state cannot be read: %s", name, error)

    async def started_again(self, name: str) -> None:
        """Its manager has started it by itself. One that never stays up never escalates by its state:
        nothing is given up while systemd goes on. So what follows on restarts follows here once their budget is spent.
        """
        watched, now, policy = self._watched[name], self._clock(), self._watched[name].service.recovery
        incident = watched.incident
        if incident is None or watched.recovery.busy:
            return
        facts = await self._facts(name, incident, await self._managers[name].state(name), now)
        if len(facts.recent) < policy.budget:
            return
        step = next_step(incident.recovery, replace(facts, manager_acts=False), policy, now)
        if step.rung not in {RecoveryAction.ROLL_BACK, RecoveryAction.CALL_HUMAN}:
            return
        if await self._kept_back(name, self._inhibitors.last_steps) or watched.incident is None:
            return
        if step.rung is RecoveryAction.CALL_HUMAN:
            after = now - policy.window
            by_manager = await self._store.read(incident_repository.recoveries, name, after, AttemptBy.MANAGER)
            why = message(
                EscalationReason.CRASH_LOOP,
                count=len(by_manager),
                restarts=len(facts.recent) - len(by_manager),
                within=policy.window,
            )
            step = replace(step, why=why)
        await self._take(name, step, facts, now, [])

    async def _spent(self, name: str, state: ServiceState) -> bool:
        """Whether an inhibitor forbids recovery, not only for now: then people are called, once, until it is lifted."""
        watched = self._watched[name]
        incident = watched.incident
        if incident is None or left_alone(state):
            return False
        known = incident.recovery
        if known.escalated and not known.inhibited:
            return False
        if state.activity is Activity.RUNNING and not watched.needs_recovery(state):
            return False
        why = await first_reason(self._inhibitors.spent, name)
        if why is not None and not known.inhibited:
            reason = message(EscalationReason.INHIBITED, why=why)
            await self._timeline.escalate(name, reason, inhibited=True)
        elif why is None and known.inhibited:
            await self._timeline.note(name, event(IncidentEventKind.INHIBITOR_LIFTED, self._clock()))
        return why is not None

    async def decision(self, name: str) -> RecoveryStep | None:
        """What recovery would do now about a service with an incident, were it down by what its checks last saw."""
        incident = self._watched[name].incident
        if incident is None:
            return None
        now, state = self._clock(), await self._managers[name].state(name)
        facts = await self._facts(name, incident, state, now)
        return next_step(incident.recovery, facts, self._watched[name].service.recovery, now)

    async def _step(self, name: str, state: ServiceState) -> None:
        watched = self._watched[name]
        incident = watched.incident
        if incident is None:
            return
        now, policy = self._clock(), watched.service.recovery
        facts = await self._facts(name, incident, state, now)
        await self._dependency(name, incident, facts.dependency)
        settled = _settled(watched, state)
        parts = settled or [part for part, _ in meant_to_run(state)]
        step = next_step(incident.recovery, facts, policy, now)
        if step.rung in {RecoveryAction.WAIT, RecoveryAction.NOTHING}:
            return
        inhibitors = self._inhibitors.restarts if step.rung is RecoveryAction.RESTART else self._inhibitors.last_steps
        kept_back = await self._kept_back(name, inhibitors)
        # All that was asked took a moment, in which a check may have seen it well, or somebody begun to stop it.
        state = await self._managers[name].state(name)
        parts = [part for part in parts if not _being_stopped(state.of(part))]
        if parts and not kept_back and watched.incident is not None and watched.needs_recovery(state):
            await self._take(name, step, facts, now, parts)

    async def _dependency(self, name: str, incident: Incident, service: str) -> None:
        """Keep which service, that it needs and that is down, it waits for."""
        before = incident.recovery.dependency
        if service and not before:
            happened = event(IncidentEventKind.DEPENDENCY_DOWN, self._clock(), service=service)
            await self._timeline.note(name, happened)
        elif before and not service:
            await self._timeline.note(name, event(IncidentEventKind.DEPENDENCY_UP, self._clock()), quiet=True)

    async def _facts(self, name: str, incident: Incident, state: ServiceState, now: datetime) -> RecoveryFacts:
        watched, window = self._watched[name], self._watched[name].service.recovery.window
        concerned = [state.of(part) for part in _settled(watched, state) or watched.troubled_units(state)]
        concerned = concerned or [part for _, part in meant_to_run(state)]
        live = await self._store.read(ledger.live, name)
        releases = await self._store.read(ledger.releases, name)
        quarantined = frozenset(await self._store.read(ledger.quarantined, name))
        previous = previous_good(releases, live.release if live else None, quarantined)
        return RecoveryFacts(
            since=incident.opened_at,
            recent=await self._store.read(incident_repository.recoveries, name, now - window),
            live_since=live.since if live else None,
            previous=previous.name if previous is not None else "",
            deploying=self._deployer.busy(name),
            stopped_by_hand=left_alone(state),
            manager_acts=any(each.activity in UNSETTLED for each in concerned),
            dependency=self._dependencies.failing_dependency(name),
            restart_cannot_help=any(each.activity is Activity.FAILED and not each.revivable for each in concerned),
        )

    async def _take(
        self, name: str, step: RecoveryStep, facts: RecoveryFacts, now: datetime, parts: Sequence[str]
    ) -> None:
        match step.rung:
            case RecoveryAction.RESTART:
                await self._restart(name, step, now, parts)
            case RecoveryAction.ROLL_BACK:
                await self._roll_back(name, facts.previous, now)
            case RecoveryAction.CALL_HUMAN if step.why is not None:
                await self._timeline.escalate(name, step.why)

    async def _kept_back(self, name: str, inhibitors: Sequence[Inhibitor]) -> bool:
        """Whether an inhibitor has this step wait. It is asked at the next tick; the card has each reason once."""
        watched, why = self._watched[name], await first_reason(inhibitors, name)
        incident, watched.recovery.waits = watched.incident, why
        known = incident.recovery.waiting if incident is not None else None
        # The figures in a reason change all the time.
        if why is not None and (known is None or why.code != known.code):
            log.info("%s: recovery waits: %s", name, why)
            await self._timeline.note(name, event(IncidentEventKind.WAITING, self._clock(), why=why))
        elif why is None and known is not None:
            await self._timeline.note(name, event(IncidentEventKind.WAIT_OVER, self._clock()), quiet=True)
        return why is not None

    async def _restart(self, name: str, step: RecoveryStep, now: datetime, parts: Sequence[str]) -> None:
        """Write a restart down and begin it; of several units those that are named are restarted."""
        watched = self._watched[name]
        # Written down before it is done: what counts it must not forget it, should opsbot be restarted in between.
        policy, units = watched.service.recovery, tuple(part for part in parts if part)
        attempt = event(IncidentEventKind.RESTARTING, now, attempt=step.attempt, of=policy.attempts, units=units)
        if not await self._timeline.note(name, attempt, counted=AttemptBy.OPSBOT):
            return
        watched.checks.judge_again()
        # It may take minutes, in which the service's turn is free for what happens meanwhile.
        watched.recovery.restarting = True
        self._background.run(self._restart_units(watched, parts), f"restart:{name}")

    async def _restart_units(self, watched: MonitoredService, parts: Sequence[str]) -> None:
        """Restart them one after the other. What is not restarted is recorded."""
        name, barred = watched.name, 0
        try:
            for part in parts:
                try:
                    failed = await self._restart_unit(name, part)
                except ManagerError as error:
                    barred += error.barred
                    params: dict[str, Param] = {"why": error.message, "barred": barred == len(parts)}
                    failed = event(IncidentEventKind.RESTART_FAILED, self._clock(), unit=part, **params)
                if failed is not None:
                    async with watched.turn:
                        await self._timeline.note(name, failed)
        finally:
            watched.recovery.restarting = False
            watched.checks.hurry(self._clock())

    async def _restart_unit(self, name: str, part: str) -> IncidentEvent | None:
        """Restart it; why not, where somebody deals with it already."""
        # Writing it down took a moment, and so did the unit before. On a host that can hardly breathe systemd says that
        # somebody stops it later than the check fails because of it.
        reason = _at_it((await self._managers[name].state(name, refresh=True)).of(part))
        if reason is not None:
            return event(IncidentEventKind.RESTART_SKIPPED, self._clock(), unit=part or name, why=message(reason))
        await self._managers[name].restart(name, part or None)
        return None

    async def _roll_back(self, name: str, release: str, now: datetime) -> None:
        incident = self._watched[name].incident
        if incident is None:
            return
        # Written down before, likewise: there is one rollback in an incident, and not one more after a restart.
        if not await self._timeline.note(name, event(IncidentEventKind.ROLLING_BACK, now, release=release or None)):
            return
        reason = message(RollbackReason.INCIDENT, incident=incident.id)
        begun = await self._deployer.start(
            DeploymentRequest(name, DeploymentKind.ROLLBACK, itself(Origin.RECOVERY), reason=reason)
        )
        if isinstance(begun, Refused):
            refused = event(IncidentEventKind.ROLLBACK_REFUSED, self._clock(), why=begun.message)
            await self._timeline.note(name, refused)


def _settled(watched: MonitoredService, state: ServiceState) -> list[str]:
    """Of several units only those that are down are dealt with, and of these only what systemd is not at itself."""
    return [part for part in watched.troubled_units(state) if state.of(part).activity not in UNSETTLED]


def _at_it(state: ServiceState) -> SkipReason | None:
    """Who is dealing with a unit already; None where nobody is."""
    if _being_stopped(state):
        return SkipReason.BEING_STOPPED
    return SkipReason.MANAGER_ACTS if state.activity in UNSETTLED else None


def _being_stopped(state: ServiceState) -> bool:
    """Whether somebody has stopped this unit, or is just stopping it."""
    return state.stopped_by_hand or state.activity is Activity.STOPPING
