"""Recovery: asks the ladder what to do about a service in trouble, and does it."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from opsbot.core.access import Origin, itself
from opsbot.core.deployment import DeploymentKind, DeploymentRequest, Refused, previous_good
from opsbot.core.inhibitors import Inhibitor, Inhibitors, first_reason
from opsbot.core.model import Incident
from opsbot.core.recovery import RecoveryAction, RecoveryFacts, RecoveryStep, next_step
from opsbot.deploy.deployer import Deployer
from opsbot.formatting import duration
from opsbot.messages import describe, render
from opsbot.monitoring.dependency_tracker import DependencyTracker
from opsbot.monitoring.incident_manager import IncidentManager
from opsbot.monitoring.monitored_service import RESTARTED, MonitoredService
from opsbot.monitoring.service_parts import UNSETTLED, in_trouble, left_alone, let_go, meant_to_run, troubled
from opsbot.services.port import Activity, ManagerError, ServiceManager, ServiceState
from opsbot.store import Store, incident_repository, ledger

log = logging.getLogger(__name__)


class RecoveryRunner:
    """Climbs the ladder of each service in trouble."""

    def __init__(
        self,
        watched: Mapping[str, MonitoredService],
        store: Store,
        managers: Mapping[str, ServiceManager],
        deployer: Deployer,
        incident_manager: IncidentManager,
        family: DependencyTracker,
        clock: Callable[[], datetime],
        vetoes: Inhibitors | None = None,
    ) -> None:
        """Take the parts; `watched` is the watcher's own. vetoes: asked before each step."""
        self._vetoes = vetoes or Inhibitors()
        self._watched = watched
        self._store = store
        self._managers = managers
        self._deployer = deployer
        self._incident_manager = incident_manager
        self._family = family
        self._clock = clock

    async def act(self, name: str) -> None:
        """Take the next step about a service in trouble, where one is due. Never twice at a time."""
        watched = self._watched[name]
        if watched.acting or watched.hands:
            return
        watched.acting = True
        try:
            state = await self._managers[name].state(name)
            if await self._spent(name, state):
                return
            if watched.incident is not None and in_trouble(watched, state):
                await self._climb(name, state)
            elif state.activity is Activity.RETRYING and watched.service.manager.capabilities.asks_before_restarts:
                # Its manager asks the same before it starts it again; here the card is told.
                await self._kept_back(name, self._vetoes.restarts)
        except ManagerError as error:
            log.warning("%s: its state cannot be read: %s", name, error)
        finally:
            watched.acting = False

    async def started_again(self, name: str) -> None:
        """Its manager has started it by itself. One that never stays up never comes to the ladder's end by its state:
        nothing is given up while systemd goes on. So what follows on restarts follows here once their budget is spent.
        """
        watched, now, ladder = self._watched[name], self._clock(), self._watched[name].service.recovery
        incident = watched.incident
        if incident is None or watched.acting or watched.hands:
            return
        watched.acting = True
        try:
            recent = len(await self._store.read(incident_repository.recoveries, name, now - ladder.window))
            if recent < ladder.budget:
                return
            trouble = await self._trouble(name, incident, await self._managers[name].state(name), now)
            step = next_step(replace(trouble, silenced_by_manager=False), ladder, now)
            if step.rung not in {RecoveryAction.ROLL_BACK, RecoveryAction.CALL_HUMAN}:
                return
            if await self._kept_back(name, self._vetoes.ladder_ends) or watched.incident is None:
                return
            why = f"it was started again {recent} times within {duration(ladder.window)}, and never stays up"
            await self._take(name, replace(step, why=why) if step.rung is RecoveryAction.CALL_HUMAN else step, now, [])
        finally:
            watched.acting = False

    async def _spent(self, name: str, state: ServiceState) -> bool:
        """Whether a veto forbids recovery, not only for now: then a human is called, once, until it is lifted."""
        watched = self._watched[name]
        if watched.incident is None or left_alone(state) or (watched.called and not watched.spent):
            return False
        if state.activity is Activity.RUNNING and not in_trouble(watched, state):
            return False
        why = await first_reason(self._vetoes.spent, name)
        if why is not None and not watched.spent:
            watched.spent = True
            await self._incident_manager.call(name, render(why), self._clock())
        elif why is None and watched.spent:
            await self._incident_manager.afresh(name, "what kept recovery back is over: it goes on")
        return why is not None

    async def _climb(self, name: str, state: ServiceState) -> None:
        watched = self._watched[name]
        incident = watched.incident
        if incident is None:
            return
        now, ladder = self._clock(), watched.service.recovery
        trouble = await self._trouble(name, incident, state, now)
        settled = _settled(watched, state)
        parts = settled or [part for part, _ in meant_to_run(state)]
        step = next_step(trouble, ladder, now)
        if step.rung in {RecoveryAction.WAIT, RecoveryAction.NOTHING}:
            return
        vetoes = self._vetoes.restarts if step.rung is RecoveryAction.RESTART else self._vetoes.ladder_ends
        kept_back = await self._kept_back(name, vetoes)
        # All that was asked took a moment, in which a check may have seen it well, or somebody begun to stop it.
        state = await self._managers[name].state(name)
        parts = [part for part in parts if not let_go(state.of(part))]
        if parts and not kept_back and watched.incident is not None and in_trouble(watched, state):
            await self._take(name, step, now, parts)

    async def _trouble(self, name: str, incident: Incident, state: ServiceState, now: datetime) -> RecoveryFacts:
        watched, window = self._watched[name], self._watched[name].service.recovery.window
        needs = self._family.needs_failing(name)
        if needs and not watched.waits_for:
            await self._incident_manager.note(name, f"left alone while {needs}, which it needs, is not well")
        watched.waits_for = needs
        concerned = [state.of(part) for part in _settled(watched, state) or troubled(watched, state)]
        concerned = concerned or [part for _, part in meant_to_run(state)]
        live = await self._store.read(ledger.live, name)
        releases = await self._store.read(ledger.releases, name)
        quarantined = frozenset(await self._store.read(ledger.quarantined, name))
        return RecoveryFacts(
            since=incident.opened_at,
            restarts=watched.restarts,
            recent=await self._store.read(incident_repository.recoveries, name, now - window),
            live_since=live.since if live else None,
            can_roll_back=previous_good(releases, live.release if live else None, quarantined) is not None,
            rolled_back=watched.rolled_back,
            called=watched.called,
            deploying=self._deployer.busy(name),
            stopped_by_hand=left_alone(state),
            silenced_by_manager=any(each.activity in UNSETTLED for each in concerned),
            needs_failing=needs,
            restart_cannot_help=not watched.revive
            and any(each.activity is Activity.FAILED and not each.revivable for each in concerned),
            barred=watched.barred,
        )

    async def _take(self, name: str, step: RecoveryStep, now: datetime, parts: Sequence[str]) -> None:
        match step.rung:
            case RecoveryAction.RESTART:
                await self._restart(name, step, now, parts)
            case RecoveryAction.ROLL_BACK:
                await self._roll_back(name, step)
            case RecoveryAction.CALL_HUMAN:
                await self._incident_manager.call(name, step.why, now)

    async def _kept_back(self, name: str, vetoes: Sequence[Inhibitor]) -> bool:
        """Whether a veto has this step wait. It is asked again at the next tick; the card tells each reason once."""
        watched, why = self._watched[name], await first_reason(vetoes, name)
        # The figures in a reason change all the time.
        if why is not None and (watched.waits is None or watched.waits.code != why.code):
            log.info("%s: recovery waits: %s", name, why)
            await self._incident_manager.note(name, f"waits: {render(why)}")
        watched.waits = why
        return why is not None

    async def _restart(self, name: str, step: RecoveryStep, now: datetime, parts: Sequence[str]) -> None:
        """Restart it; of several units those that are named, one after the other."""
        watched = self._watched[name]
        # Written down before it is done: a restart of opsbot in between must not make the budget forget it.
        await self._store.write(incident_repository.add_recovery, name, now)
        watched.restarts = (*watched.restarts, now)
        named = ", ".join(part for part in parts if part)
        watched.revive = False
        watched.did(f"{named} {RESTARTED}" if named else RESTARTED)
        await self._incident_manager.note(name, f"{step.why}: {named}" if named else step.why)
        watched.judge_anew()
        barred: list[str] = []
        for part in parts:
            try:
                # Writing it down took a moment, too, and so did the unit before. On a host that can hardly breathe
                # systemd's word that somebody stops it comes later than the check that fails because of it.
                if at_it := _at_it((await self._managers[name].state(name, anew=True)).of(part)):
                    await self._incident_manager.note(name, f"{part or name} is not restarted: {at_it}")
                    continue
                state = await self._managers[name].restart(name, part or None)
            except ManagerError as error:
                watched.did_not_help()
                await self._incident_manager.note(name, f"the restart failed: {describe(error)}")
                barred += [describe(error)] if error.barred else []
                continue
            watched.see_run("", state.run)
            watched.see_run(part, state.of(part).run)
        watched.barred = barred[0] if barred and len(barred) == len(parts) else ""
        watched.hurry(self._clock())

    async def _roll_back(self, name: str, step: RecoveryStep) -> None:
        watched = self._watched[name]
        watched.rolled_back = True
        begun = await self._deployer.start(
            DeploymentRequest(
                name, DeploymentKind.ROLLBACK, itself(Origin.RECOVERY), reason=f"{step.why}; restarts did not help"
            )
        )
        if isinstance(begun, Refused):
            await self._incident_manager.note(name, f"no rollback: {begun.text}")
            return
        await self._incident_manager.note(name, f"rolling back to {begun.release_to}: {step.why}")


def _settled(watched: MonitoredService, state: ServiceState) -> list[str]:
    """Of several units only those that are down are dealt with, and of these only what systemd is not at itself."""
    return [part for part in troubled(watched, state) if state.of(part).activity not in UNSETTLED]


def _at_it(state: ServiceState) -> str:
    """Who is dealing with a unit already, in words; "" where nobody is."""
    if let_go(state):
        return "somebody stops it"
    return "its manager is at it" if state.activity in UNSETTLED else ""
