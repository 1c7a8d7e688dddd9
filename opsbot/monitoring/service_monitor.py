"""ServiceMonitor: probe, judge, record, act.

Every second `tick` starts the checks that are due (`check_runner`); the service's manager reports a death at once
(`service_events`). Either opens an incident, in the same transaction as its alert (`incident_manager`), and while it is
open the recovery policy decides what to do next (`recovery_runner`). A service that is being deployed is left to its
deployment. A service that fails because one it needs fails is part of that one's incident.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from opsbot.config import Alerts, Service
from opsbot.core.deployment import Deployment, Phase
from opsbot.core.health import CheckHealth, Verdict
from opsbot.core.incident import IncidentCause, IncidentEvent, IncidentEventKind, event
from opsbot.core.inhibitors import Inhibitors, first_reason
from opsbot.core.message import Message, message
from opsbot.core.recovery import RecoveryStep
from opsbot.deploy.deployer import Deployer
from opsbot.monitoring.check_runner import CheckRunner
from opsbot.monitoring.dependency_tracker import DependencyTracker
from opsbot.monitoring.evidence import EvidenceCollector
from opsbot.monitoring.incident_manager import IncidentManager
from opsbot.monitoring.monitored_service import MonitoredService
from opsbot.monitoring.recovery_runner import RecoveryRunner
from opsbot.monitoring.service_events import ServiceEventHandler
from opsbot.monitoring.service_parts import idle
from opsbot.probes import Prober
from opsbot.runtime.change_notifier import ChangeNotifier
from opsbot.runtime.tasks import BackgroundTasks
from opsbot.services.port import Activity, ManagerError, ServiceManager
from opsbot.store import Store, incident_queries, incident_repository, ledger

log = logging.getLogger(__name__)

SIGN_OF_LIFE = timedelta(minutes=1)


class ServiceMonitor:
    """Watches every configured service."""

    def __init__(
        self,
        services: Mapping[str, Service],
        store: Store,
        feed: ChangeNotifier,
        managers: Mapping[str, ServiceManager],
        prober: Prober,
        deployer: Deployer,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        redact: Callable[[str], str] = str,
        alerts: Alerts = Alerts(),  # noqa: B008 - frozen
        vetoes: Inhibitors | None = None,
        *,
        booted_at: datetime | None = None,
    ) -> None:
        """Take the parts, and listen to the managers; nothing is judged before `open`.

        vetoes: asked before recovery does anything. booted_at: when the host was started.
        """
        self._booted_at = booted_at
        self._vetoes = vetoes or Inhibitors()
        self._store = store
        self._managers = managers
        self._deployer = deployer
        self._clock = clock
        self.background = BackgroundTasks(log)
        self._looked_at = now = clock()
        self._watched = {
            name: MonitoredService(
                service,
                {check.name: CheckHealth() for check in service.checks},
                {check.name: now for check in service.checks},
            )
            for name, service in services.items()
        }
        self._alerts = alerts
        self._alive_at: datetime | None = None
        self._family = DependencyTracker(self._watched, deployer.busy)
        evidence_collector = EvidenceCollector(managers, redact)
        self.incident_manager = IncidentManager(
            self._watched, self._family, evidence_collector, store, feed, clock, alerts.flapping
        )
        self._recovery_runner = RecoveryRunner(
            self._watched,
            store,
            managers,
            deployer,
            self.incident_manager,
            self._family,
            clock,
            self._vetoes,
            self.background,
        )
        kept = (self._watched, store, feed)
        acting = (self.incident_manager, self._recovery_runner, deployer.busy)
        self._listener = ServiceEventHandler(*kept, managers.values(), *acting, self.background, clock)
        self._check_runner = CheckRunner(*kept, managers, prober, *acting, redact, alerts.flapping)

    # Beginning and end

    async def open(self) -> None:
        """Remember what the store knows, hear what the managers told since, start what should run and does not."""
        kept = await self._store.read(incident_repository.healths)
        runs = await self._store.read(incident_repository.answered)
        await self.incident_manager.open()
        for name, watched in self._watched.items():
            for check in watched.checks:
                watched.checks[check] = kept.get((name, check), CheckHealth())
            gone = [check for service, check in kept if service == name and check not in watched.checks]
            if gone:
                await self._store.write(incident_repository.forget_health, name, gone)
            watched.answered |= {check: run for (service, check), run in runs.items() if service == name}
            if watched.incident is None and not watched.unwell:
                # Down, and nobody was told: opsbot ended in between. It is judged again, else nobody ever would be.
                for check, health in watched.checks.items():
                    if health.verdict is Verdict.DOWN:
                        watched.checks[check] = CheckHealth(last=health.last)
            elif self.incident_manager.away is not None:
                # What an earlier opsbot saw so long ago may be over: nothing is done before it is seen again.
                for check, health in watched.checks.items():
                    watched.checks[check] = replace(health, streak=0, streak_since=None)
        self._deployer.on_finish(self._deployed)
        for name, watched in self._watched.items():
            live = watched.service.source is None or await self._store.read(ledger.live, name) is not None
            watched.meant_to_run = live
        await self._host_restarted()
        heard_of = await self._listener.open()
        for name in self._watched:
            await self._ensure_running(name)
            if name not in heard_of:
                await self._started_meanwhile(name)

    async def _host_restarted(self) -> None:
        """The host was restarted while opsbot was not running: what could not be started before may start now."""
        last, booted = self.incident_manager.last_alive, self._booted_at
        if last is None or booted is None or booted <= last:
            return
        for name, watched in self._watched.items():
            if watched.incident is not None:
                await self.incident_manager.note(
                    name, event(IncidentEventKind.HOST_RESTARTED, self._clock(), booted=booted)
                )

    async def _started_meanwhile(self, name: str) -> None:
        """Somebody or something started a service in trouble while opsbot was not running: its story says when."""
        watched, away = self._watched[name], self.incident_manager.away
        if watched.incident is None or away is None:
            return
        try:
            state = await self._managers[name].state(name)
        except ManagerError as error:
            log.warning("%s: its state cannot be read: %s", name, error)
            return
        began = self._clock() - away
        if state.activity is Activity.RUNNING and state.started_at is not None and state.started_at > began:
            await self.incident_manager.note(name, event(IncidentEventKind.STARTED_UNSEEN, state.started_at))

    async def close(self) -> None:
        """Stop looking. What is under way is cancelled; the services are left alone. What is known is written down."""
        await self.background.close()
        await self.incident_manager.close()
        found = [(name, check, one) for name, each in self._watched.items() for check, one in each.checks.items()]
        await self._store.write(incident_repository.save_healths, [each for each in found if each[2].last is not None])

    async def _ensure_running(self, name: str) -> None:
        """Start a service that has a release to run, is not stopped on purpose, and does not run.

        One with an incident is recovery's: what that has tried, and given up, is not tried again uncounted.
        """
        if not self._watched[name].meant_to_run or self._watched[name].incident is not None:
            return
        if self._deployer.busy(name):
            return
        try:
            state = await self._managers[name].state(name)
            down = idle(state)
            if down and (why := await first_reason(self._vetoes.spent, name)) is not None:
                await self.incident_manager.trouble(
                    name, message(IncidentCause.START_INHIBITED, why=why), self._clock()
                )
                return
            for part in down:
                log.info("%s does not run: starting it", part or name)
                # `start` would also start those of its units that a person stopped.
                await (self._managers[name].restart(name, part) if part else self._managers[name].start(name))
        except ManagerError as error:
            cause = message(IncidentCause.START_FAILED, why=error.message)
            await self.incident_manager.trouble(name, cause, self._clock())

    # What is known

    def healths(self, service: str) -> Mapping[str, CheckHealth]:
        """Each check of a service, and what is known of it."""
        return self._watched[service].checks

    @property
    def watched(self) -> Mapping[str, MonitoredService]:
        """What is remembered of each service, for those who judge whether it may be restarted. Only to be read."""
        return self._watched

    def waits(self, service: str) -> Message | None:
        """What its recovery waits for; None while it does not."""
        watched = self._watched[service]
        return watched.waits if watched.incident is not None else None

    async def discord_back(self, services: Iterable[str], began: datetime, ended: datetime) -> None:
        """Discord is back: the recovery of those of these services that have an incident begins again."""
        for name in services:
            back = event(IncidentEventKind.DISCORD_BACK, self._clock(), began=began, ended=ended)
            await self.incident_manager.note(name, back)

    async def decision(self, service: str) -> RecoveryStep | None:
        """What recovery would do now about a service; None where it has no incident."""
        return await self._recovery_runner.decision(service)

    def because_of(self, service: str) -> str:
        """The service in whose incident this one is listed as not well; "" where it is in none."""
        under = self._watched[service].under
        return under.root if under is not None else ""

    # Looking

    def idle(self) -> bool:
        """Whether a tick would find nothing to do now."""
        now = self._clock()
        if now < self._looked_at or not self._shows_life(now) or not self.incident_manager.idle:
            return False
        return not any(
            one.pending is not None or one.under is not None or (one.next_due <= now and one.meant_to_run)
            for one in self._watched.values()
        )

    def _shows_life(self, now: datetime) -> bool:
        return self._alive_at is not None and timedelta(0) <= now - self._alive_at < SIGN_OF_LIFE

    async def tick(self) -> None:
        """Start every check that is due, and ask the ladder about services in trouble. Does not wait for the checks."""
        now = self._clock()
        if now < self._looked_at:  # the clock was set back: nobody waits until it has caught up
            for watched in self._watched.values():
                watched.hurry(self._clock())
        self._looked_at = now
        for name, watched in self._watched.items():
            left = watched.next_due > now or not watched.meant_to_run or self._deployer.busy(name)
            if not left and (checks := self._check_runner.due(watched, now)):
                self.background.run(self._check_runner.run(name, checks), f"look:{name}")
            if watched.incident is not None and not (watched.turn.locked() or watched.restarting):
                self.background.run(self._act(name), f"act:{name}")
            if watched.pending is not None or watched.under is not None:
                self._hang_together(name, watched, now)
        await self.incident_manager.tick()
        if not self._shows_life(now):
            self._alive_at = now
            await self._store.write(incident_queries.alive, now)

    async def look(self, services: Iterable[str]) -> None:
        """Run all checks of these services now and wait for their results."""
        await self._check_runner.look(services)

    def _hang_together(self, name: str, watched: MonitoredService, now: datetime) -> None:
        """What waits for the verdict on another, or was listed in an incident that is over, gets its own where due."""
        if watched.turn.locked():
            return
        under = watched.under
        if watched.pending is not None:
            self.background.run(self._settle(name), f"settle:{name}")
        elif under is not None and self._family.is_over(under):
            if under.until is None:
                under.until = now + self._alerts.dependents_grace
                watched.hurry(now)
            elif now >= under.until and watched.down:
                self.background.run(self._settle(name), f"leave:{name}")

    async def _act(self, name: str) -> None:
        async with self._watched[name].turn:
            await self._recovery_runner.act(name)

    async def _settle(self, name: str) -> None:
        watched = self._watched[name]
        async with watched.turn:
            await (
                self.incident_manager.settle(name) if watched.pending is not None else self.incident_manager.leave(name)
            )

    # People's hands

    def touched(self, service: str, actor: str, against: Message | None = None) -> None:
        """A person restarts it: recovery begins again. against: what speaks against it, and they were told."""
        # Not down any more, either: else what they have just started would be restarted at once.
        self._watched[service].judge_anew()
        happened = event(IncidentEventKind.RESTARTED_BY, self._clock(), actor=actor, against=against)
        self.background.run(self._note(service, happened), f"note:{service}")

    async def _note(self, service: str, happened: IncidentEvent) -> None:
        await self.incident_manager.note(service, happened)

    @contextmanager
    def in_hand(self, service: str) -> Iterator[None]:
        """A person is at it: recovery, whose ladder they have set back, neither restarts nor rolls back meanwhile."""
        watched = self._watched[service]
        watched.hands += 1
        try:
            yield
        finally:
            watched.hands -= 1
            watched.hurry(self._clock())

    async def resumed(self, service: str, by: str) -> None:
        """Somebody resumed a service: recovery may try anew."""
        await self.incident_manager.note(service, event(IncidentEventKind.RESUMED_BY, self._clock(), actor=by))

    def _deployed(self, deployment: Deployment) -> None:
        """A deployment ended: what was known of the checks before it says nothing any more."""
        watched = self._watched.get(deployment.service)
        if watched is None:
            return
        if deployment.phase in {Phase.FAILED, Phase.SKIPPED, Phase.REPLACED} and deployment.failed_in not in {
            Phase.SWITCHING,
            Phase.RESTARTING,
            Phase.VERIFYING,
        }:
            return
        watched.meant_to_run = watched.meant_to_run or deployment.phase is Phase.LIVE
        watched.judge_anew()
        watched.answered = {}
        if watched.incident is not None:
            ended = event(
                IncidentEventKind.DEPLOYMENT_ENDED,
                self._clock(),
                deployment=deployment.id,
                kind=str(deployment.kind),
                phase=str(deployment.phase),
            )
            self.background.run(self._note(deployment.service, ended), f"note:{deployment.service}")
        watched.hurry(self._clock())
