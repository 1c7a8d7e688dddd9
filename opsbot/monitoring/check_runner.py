"""Looking: runs the checks of a service, judges what they see, and says what is to be done about it.

Each look is a task by itself, none waits for another, and no check is run while its last run goes on. Most looks end in
`_fold`, which changes a health and finds nothing to do.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from opsbot.config import Check, CheckKind
from opsbot.core.dependencies import pace
from opsbot.core.flapping import LOOKS, FlapPolicy, alternates
from opsbot.core.health import CheckHealth, ProbeResult, Verdict, VerdictChange, alternations, observe
from opsbot.core.incident import IncidentCause, IncidentEventKind, check_cause, event
from opsbot.core.layers import FailingCheck, untangle
from opsbot.core.message import message, redacted
from opsbot.monitoring.incident_manager import IncidentManager
from opsbot.monitoring.monitored_service import MonitoredService
from opsbot.monitoring.recovery_runner import RecoveryRunner
from opsbot.monitoring.service_parts import UNSETTLED, left_alone, meant_to_run
from opsbot.probes import Prober
from opsbot.runtime.change_notifier import ChangeNotifier
from opsbot.services.port import Activity, ManagerError, ServiceManager, ServiceState
from opsbot.store import Store, incident_repository

log = logging.getLogger(__name__)

HURRY = timedelta(seconds=1)
"""How often the checks of a service in trouble are run, where their own interval is longer."""


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
        """Take the parts; `watched` is the watcher's own. busy: whether a service is being deployed."""
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

    def due(self, watched: MonitoredService, now: datetime) -> list[Check]:
        """Take the checks that are due, but for those whose last run goes on: `run` is to be called with them now."""
        due = [check for check in watched.service.checks if watched.due[check.name] <= now]
        due = [check for check in due if check.name not in watched.looking]
        if due:
            self._put_off(watched, due, now)
            watched.looking.update(check.name for check in due)
        return due

    def _put_off(self, watched: MonitoredService, checks: Sequence[Check], now: datetime) -> None:
        """Their next look is an interval from now: a shorter one in trouble, or where others wait for the verdict."""
        awaited = watched.awaited is not None and now < watched.awaited
        left = watched.under is not None and watched.under.until is not None
        in_trouble = watched.incident is not None and not watched.case.flaps.flapping
        for check in checks:
            # A presence comes late: to look at it more often would only count its failures faster.
            last = watched.checks[check.name].last
            slow = check.kind is CheckKind.PRESENCE and not (last is not None and last.ok)
            interval = check.interval
            if (in_trouble or left) and not slow:
                interval = min(interval, HURRY)
            elif awaited and not slow:
                interval = pace(interval, check.policy.fall)
            watched.due[check.name] = now + interval
        watched.next_due = min(watched.due.values())

    async def look(self, services: Iterable[str]) -> None:
        """Run all checks of these services now and wait for their results."""
        work = []
        for name in services:
            watched = self._watched[name]
            idle = [check for check in watched.service.checks if check.name not in watched.looking]
            watched.looking.update(check.name for check in idle)
            work.append(self.run(name, idle))
        await asyncio.gather(*work)

    async def run(self, name: str, checks: Sequence[Check]) -> None:
        """Run these checks: at once what needs no waiting, and in one task; the others beside each other."""
        watched = self._watched[name]
        try:
            state = await self._managers[name].state(name)
        except BaseException as error:
            watched.looking.difference_update(check.name for check in checks)
            if not isinstance(error, ManagerError):
                raise
            log.warning("%s: its state cannot be read: %s", name, error)
            return
        work = []
        results = self._prober.together(watched.service, checks, state)
        for check, result in zip(checks, results, strict=True):
            if result is None:
                work.append(self._wait(watched, check, state))
            elif (reaction := self._fold(watched, check, state, result)) is not None:
                work.append(self._finish(watched, check, reaction))
            else:
                watched.looking.discard(check.name)
        if len(work) == 1:
            await work[0]
        elif work:
            await asyncio.gather(*work)

    async def _wait(self, watched: MonitoredService, check: Check, state: ServiceState) -> None:
        try:
            result = await self._prober.patient(watched.service, check, state)
            if (reaction := self._fold(watched, check, state, result)) is not None:
                await self._finish(watched, check, reaction)
        finally:
            watched.looking.discard(check.name)

    async def _finish(self, watched: MonitoredService, check: Check, reaction: Coroutine[Any, Any, None]) -> None:
        try:
            async with watched.turn:
                await reaction
        except ManagerError as error:
            log.warning("%s: its state cannot be read: %s", watched.service.name, error)
        finally:
            watched.looking.discard(check.name)

    def _counts(self, watched: MonitoredService, check: Check, state: ServiceState, result: ProbeResult) -> bool:
        """Whether this result may change the verdict: not during a deploy, a start, a stop, or the grace after one."""
        if check.unit:
            state = state.of(check.unit)
        if self._busy(watched.service.name) or left_alone(state) or state.activity in UNSETTLED:
            return False
        if not result.known:
            return False
        if result.ok:
            return True
        age = None if state.started_at is None else result.at - state.started_at
        # A start in the future is one by a clock that was set back since: no grace, rather than hours of it.
        young = age is not None and timedelta(0) <= age < watched.service.startup_grace
        answered = check.name in watched.answered and watched.answered[check.name] == state.run
        return not young or answered or state.activity is not Activity.RUNNING

    def _fold(
        self, watched: MonitoredService, check: Check, state: ServiceState, result: ProbeResult
    ) -> Coroutine[Any, Any, None] | None:
        """Judge a result. What is to be done about it, where something is: seldom, and most looks end here."""
        known = watched.checks[check.name]
        before = known.last
        if before is None or (before.seen is not result.seen and before.seen != result.seen):
            seen = redacted(result.seen, self._redact)
            if seen is not result.seen:
                result = replace(result, seen=seen)
        if not self._counts(watched, check, state, result):
            watched.checks[check.name] = replace(known, last=result)
            return None
        run = state.of(check.unit).run if check.unit else state.run
        passed = result.ok and (check.name not in watched.answered or watched.answered[check.name] != run)
        if passed:
            watched.answered[check.name] = run
        health, change = observe(known, result, check.policy)
        watched.checks[check.name] = health
        watched.seen_well = watched.seen_well or result.ok
        if change is None and result.ok and not watched.unwell and (before is None or before.ok) and not passed:
            return None
        flapping = watched.case.flaps.flapping
        if before is not None and before.ok is not result.ok and alternates(health.recent, self._flapping):
            if flapping:
                self._incident_manager.turned(watched.service.name)
            elif change is None and not watched.unwell:
                return self._alternates(watched, check, health)
        if change is not None or (result.ok and watched.unwell and not (flapping and watched.case.well)):
            return self._react(watched, check, state, result, change, passed=passed)
        if passed or _may_change(health, check):
            return self._keep(watched, check, run, passed=passed)
        return None

    async def _alternates(self, watched: MonitoredService, check: Check, health: CheckHealth) -> None:
        await self._store.write(incident_repository.save_health, watched.service.name, check.name, health)
        seen = next((one.seen for one in watched.failing if one.name == check.name), None)
        cause = message(IncidentCause.CHECK_ALTERNATES, check=check.name, kind=str(check.kind), seen=seen)
        await self._incident_manager.alternates(watched.service.name, cause, alternations(health.recent, LOOKS))

    async def _keep(
        self, watched: MonitoredService, check: Check, run: str | None, *, passed: bool, changed: bool = False
    ) -> None:
        """Write down what a check has seen while its verdict changes or may be about to.

        passed: it did for the first time in this run.
        """
        name, health = watched.service.name, watched.checks[check.name]
        if passed and run is not None:
            await self._store.write(incident_repository.save_answered, name, check.name, run)
        if changed or _may_change(health, check):
            await self._store.write(incident_repository.save_health, name, check.name, health)

    async def _react(
        self,
        watched: MonitoredService,
        check: Check,
        state: ServiceState,
        result: ProbeResult,
        change: VerdictChange | None,
        *,
        passed: bool,
    ) -> None:
        name, incident = watched.service.name, watched.incident
        run = state.of(check.unit).run if check.unit else state.run
        await self._keep(watched, check, run, passed=passed, changed=change is not None)
        if change is not None:
            log.info("%s: check %s is %s: %s", name, check.name, change.after, result.seen)
            self._feed.publish("service")
            if change.after is Verdict.DOWN:
                await self._down(name, check, change, result)
            elif incident is not None and check.name in incident.recovery.failed_checks:
                up = event(
                    IncidentEventKind.CHECK_UP,
                    result.at,
                    check=check.name,
                    kind=str(check.kind),
                    seen=result.seen,
                )
                if not watched.case.flaps.flapping:
                    await self._incident_manager.note(name, up)
        if result.ok and watched.unwell:
            await self._maybe_well(name, state)

    async def _down(self, name: str, check: Check, change: VerdictChange, result: ProbeResult) -> None:
        """A check is down. What it hangs below, and fails too, names the cause."""
        watched = self._watched[name]
        incident, seen = watched.incident, result.seen
        if incident is None or watched.case.flaps.flapping:
            causes, _ = untangle(watched.failing)
            root = causes[0] if causes else FailingCheck(check.name, check.kind, check.unit, seen)
            began = watched.checks[root.name].streak_since if watched.checks[root.name].streak < 0 else None
            cause = check_cause(root, *watched.counts(root.name))
            await self._incident_manager.trouble(name, cause, min(change.since, began or change.since))
        else:
            known = {*incident.recovery.failed_checks, *(each for each, _ in incident.evidence.checks)}
            again = check.name in known
            down = event(
                IncidentEventKind.CHECK_DOWN,
                result.at,
                check=check.name,
                kind=str(check.kind),
                seen=seen,
                again=again,
            )
            await self._incident_manager.check_down(name, down, worse=not again)
        await self._recovery_runner.act(name)

    async def _maybe_well(self, name: str, state: ServiceState) -> None:
        """It is well again once every check has been well `rise` times in a row in the present run."""
        watched = self._watched[name]
        running = dict(meant_to_run(state))
        if self._busy(name) or any(part.activity is not Activity.RUNNING for part in running.values()):
            return
        for check in watched.service.checks:
            if state.parts and check.unit and check.unit not in running:
                continue  # a person stopped that unit
            health = watched.checks[check.name]
            if health.verdict is Verdict.DOWN or (health.streak < check.policy.rise and not health.unasked):
                return
        if watched.under is not None:
            await self._incident_manager.well(name)
            return
        incident = watched.incident
        if incident is not None:
            await self._incident_manager.end(name, incident.recovery.resolution)


def _may_change(health: CheckHealth, check: Check) -> bool:
    """Whether the next results may change a verdict, so that what was seen in a row is worth keeping."""
    if abs(health.streak) == 1:
        return True
    return health.verdict is not Verdict.DOWN if health.streak < 0 else health.streak <= check.policy.rise
