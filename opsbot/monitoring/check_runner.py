"""Runs the checks of a service, judges what they see, and says what is to be done about it.

Each run is a task by itself, none waits for another, and no check is run while its last run goes on. Most runs end in
`_fold`, which changes a health and finds nothing to do.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from opsbot.config import Check
from opsbot.core.dependencies import FailingCheck, untangle
from opsbot.core.flapping import LOOKS, FlapPolicy, alternates
from opsbot.core.health import CheckHealth, ProbeResult, Verdict, VerdictChange, alternations
from opsbot.core.incident import IncidentCause, IncidentEventKind, check_cause, event
from opsbot.core.message import message, redacted
from opsbot.monitoring.incident_manager import IncidentManager
from opsbot.monitoring.monitored_service import UNSETTLED, MonitoredService, left_alone, meant_to_run
from opsbot.monitoring.recovery_runner import RecoveryRunner
from opsbot.probes import Prober
from opsbot.runtime.change_notifier import ChangeNotifier
from opsbot.services.port import Activity, ManagerError, ServiceManager, ServiceState
from opsbot.store import Store, incident_repository

log = logging.getLogger(__name__)

Reaction = Coroutine[Any, Any, None]


class CheckRunner:
    """Runs the checks of all watched services."""

    def __init__(
        self,
        watched: Mapping[str, MonitoredService],
        store: Store,
        feed: ChangeNotifier,
        managers: Mapping[str, ServiceManager],
        prober: Prober,
        incident_manager: IncidentManager,
        recovery_runner: RecoveryRunner,
        busy: Callable[[str], bool],
        redact: Callable[[str], str],
        flapping: FlapPolicy,
    ) -> None:
        """busy: whether a service is being deployed."""
        self._watched = watched
        self._store = store
        self._feed = feed
        self._managers = managers
        self._prober = prober
        self._incident_manager = incident_manager
        self._recovery_runner = recovery_runner
        self._busy = busy
        self._redact = redact
        self._flapping = flapping

    def take_due(self, watched: MonitoredService, now: datetime) -> list[Check]:
        """Take the checks that are due, but for those whose last run goes on: `run` is to be called with them now."""
        state = watched.incidents
        in_grace = state.under is not None and state.under.until is not None
        return watched.checks.take_due(now, fast=in_grace or (state.incident is not None and not state.flapping.active))

    async def run_all(self, services: Iterable[str]) -> None:
        """Run all checks of these services now and wait for their results."""
        await asyncio.gather(*(self.run(name, self._watched[name].checks.take_all()) for name in services))

    async def run(self, name: str, checks: Sequence[Check]) -> None:
        """Run these checks: at once what needs no waiting, and in one task; the others beside each other."""
        watched = self._watched[name]
        began = watched.checks.forgotten
        try:
            state = await self._managers[name].state(name)
        except BaseException as error:
            watched.checks.ended(checks)
            if not isinstance(error, ManagerError):
                raise
            log.warning("%s: its state cannot be read: %s", name, error)
            return
        work = []
        results = self._prober.together(watched.service, checks, state)
        for check, result in zip(checks, results, strict=True):
            if result is None:
                work.append(self._wait(watched, check, state, began))
            elif watched.checks.forgotten != began:
                watched.checks.ended([check])
            elif (reaction := self._fold(watched, check, state, result)) is not None:
                work.append(self._finish(watched, check, reaction))
            else:
                watched.checks.ended([check])
        if len(work) == 1:
            await work[0]
        elif work:
            await asyncio.gather(*work)

    async def _wait(self, watched: MonitoredService, check: Check, state: ServiceState, began: int) -> None:
        try:
            result = await self._prober.patient(watched.service, check, state)
            if watched.checks.forgotten != began:
                return
            if (reaction := self._fold(watched, check, state, result)) is not None:
                await self._finish(watched, check, reaction)
        finally:
            watched.checks.ended([check])

    async def _finish(self, watched: MonitoredService, check: Check, reaction: Reaction) -> None:
        try:
            async with watched.turn:
                await reaction
        except ManagerError as error:
            log.warning("%s: its state cannot be read: %s", watched.name, error)
        finally:
            reaction.close()  # where the turn never came
            watched.checks.ended([check])

    def _counts(self, watched: MonitoredService, check: Check, state: ServiceState, result: ProbeResult) -> bool:
        """Whether this result may change the verdict: not during a deploy, a start, a stop, or the grace after one."""
        if check.unit:
            state = state.of(check.unit)
        if self._busy(watched.name) or left_alone(state) or state.activity in UNSETTLED:
            return False
        # While a person restarts it, what is known to be down is seen to be so once more: nothing follows from that.
        if (watched.recovery.hands and watched.incident is not None) or not result.known:
            return False
        if result.ok:
            return True
        age = None if state.started_at is None else result.at - state.started_at
        # A start in the future is one by a clock that was set back since: no grace, rather than hours of it.
        young = age is not None and timedelta(0) <= age < watched.service.startup_grace
        return not young or watched.checks.has_passed(check.name, state.run) or state.activity is not Activity.RUNNING

    def _fold(
        self, watched: MonitoredService, check: Check, state: ServiceState, result: ProbeResult
    ) -> Reaction | None:
        """Judge a result. What is to be done about it, where something is: seldom, and most runs end here."""
        before = watched.checks.healths[check.name].last
        if before is None or (before.seen is not result.seen and before.seen != result.seen):
            seen = redacted(result.seen, self._redact)
            if seen is not result.seen:
                result = replace(result, seen=seen)
        if not self._counts(watched, check, state, result):
            watched.checks.see(check, result)
            return None
        run = state.of(check.unit).run if check.unit else state.run
        change, first = watched.checks.judge(check, result, run)
        flapping, affected, health = watched.incidents.flapping, watched.affected, watched.checks.healths[check.name]
        if change is None and result.ok and not affected and (before is None or before.ok) and not first:
            return None
        if before is not None and before.ok is not result.ok and alternates(health.recent, self._flapping):
            if flapping.active:
                self._incident_manager.alternated(watched.name)
            elif change is None and not affected:
                return self._alternates(watched, check, health)
        passed_in = run if first else None
        if change is not None or (result.ok and affected and not (flapping.active and flapping.healthy)):
            return self._react(watched, check, state, result, change, passed_in)
        if first or _may_change(health, check):
            return self._keep(watched, check, passed_in)
        return None

    async def _alternates(self, watched: MonitoredService, check: Check, health: CheckHealth) -> None:
        await self._store.write(incident_repository.save_health, watched.name, check.name, health)
        seen = next((one.seen for one in watched.checks.failing if one.name == check.name), None)
        cause = message(IncidentCause.CHECK_ALTERNATES, check=check.name, kind=str(check.kind), seen=seen)
        await self._incident_manager.alternates(watched.name, cause, alternations(health.recent, LOOKS))

    async def _keep(
        self, watched: MonitoredService, check: Check, passed_in: str | None, *, changed: bool = False
    ) -> None:
        """Write down what a check has seen while its verdict changes or may be about to.

        passed_in: the run in which it passed for the first time just now.
        """
        health = watched.checks.healths[check.name]
        if passed_in is not None:
            await self._store.write(incident_repository.save_answered, watched.name, check.name, passed_in)
        if changed or _may_change(health, check):
            await self._store.write(incident_repository.save_health, watched.name, check.name, health)

    async def _react(
        self,
        watched: MonitoredService,
        check: Check,
        state: ServiceState,
        result: ProbeResult,
        change: VerdictChange | None,
        passed_in: str | None,
    ) -> None:
        await self._keep(watched, check, passed_in, changed=change is not None)
        name, incident = watched.name, watched.incident
        if change is not None:
            log.info("%s: check %s is %s: %s", name, check.name, change.after, result.seen)
            self._feed.publish("service")
            if change.after is Verdict.DOWN:
                await self._down(watched, check, change, result)
            elif (
                incident is not None
                and check.name in incident.recovery.failed_checks
                and not watched.incidents.flapping.active
            ):
                up = event(
                    IncidentEventKind.CHECK_UP, result.at, check=check.name, kind=str(check.kind), seen=result.seen
                )
                await self._incident_manager.timeline.note(name, up)
        if result.ok and watched.affected:
            await self._end_if_recovered(watched, state)

    async def _down(self, watched: MonitoredService, check: Check, change: VerdictChange, result: ProbeResult) -> None:
        """A check is down. The root-most one that fails, too, is the cause."""
        name, incident, seen = watched.name, watched.incident, result.seen
        if incident is None or watched.incidents.flapping.active:
            causes, _ = untangle(watched.checks.failing)
            root = causes[0] if causes else FailingCheck(check.name, check.kind, check.unit, seen)
            health = watched.checks.healths[root.name]
            began = health.streak_since if health.streak < 0 else None
            cause = check_cause(root, *watched.checks.counts(root.name))
            await self._incident_manager.trouble(name, cause, min(change.since, began or change.since))
        else:
            again = check.name in incident.recovery.failed_checks
            down = event(
                IncidentEventKind.CHECK_DOWN,
                result.at,
                check=check.name,
                kind=str(check.kind),
                seen=seen,
                again=again,
            )
            await self._incident_manager.timeline.check_down(name, down, worse=not again)
        await self._recovery_runner.act(name)

    async def _end_if_recovered(self, watched: MonitoredService, state: ServiceState) -> None:
        """It has recovered once every check has passed `rise` times in a row in the present run."""
        running = dict(meant_to_run(state))
        if self._busy(watched.name) or any(part.activity is not Activity.RUNNING for part in running.values()):
            return
        for check in watched.service.checks:
            if state.parts and check.unit and check.unit not in running:
                continue  # a person stopped that unit
            health = watched.checks.healths[check.name]
            if health.verdict is Verdict.DOWN or (health.streak < check.policy.rise and not health.unasked):
                return
        if watched.incidents.under is not None:
            await self._incident_manager.recovered(watched.name)
        elif watched.incident is not None:
            await self._incident_manager.end(watched.name, watched.incident.recovery.resolution)


def _may_change(health: CheckHealth, check: Check) -> bool:
    """Whether the next results may change a verdict, so that what was seen in a row is worth keeping."""
    if abs(health.streak) == 1:
        return True
    return health.verdict is not Verdict.DOWN if health.streak < 0 else health.streak <= check.policy.rise
