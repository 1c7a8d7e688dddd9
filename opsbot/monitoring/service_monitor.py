"""ServiceMonitor: probe, judge, record, act.

Every second `tick` starts the checks that are due (`check_runner`); the service's manager reports a death at once
(`service_events`). Either opens an incident, in the same transaction as its alert (`incident_manager`), and while it is
open the recovery policy decides what to do next (`recovery_runner`). A service that is being deployed is left to its
deployment. A service that fails because one it needs fails is part of that one's incident.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime, timedelta

from opsbot.config import Alerts, Service
from opsbot.core.deployment import Deployment, Phase
from opsbot.core.health import CheckHealth
from opsbot.core.incident import IncidentCause, IncidentEventKind, event
from opsbot.core.inhibitors import Inhibitors, first_reason
from opsbot.core.message import Message, message
from opsbot.deploy.deployer import Deployer
from opsbot.monitoring.check_runner import CheckRunner
from opsbot.monitoring.dependency_tracker import DependencyTracker
from opsbot.monitoring.evidence import EvidenceCollector
from opsbot.monitoring.incident_manager import IncidentManager
from opsbot.monitoring.incident_state import IncidentState
from opsbot.monitoring.monitored_service import MonitoredService, meant_to_run
from opsbot.monitoring.recovery_runner import RecoveryRunner
from opsbot.monitoring.service_checks import ServiceChecks
from opsbot.monitoring.service_events import ServiceEventHandler
from opsbot.probes import Prober
from opsbot.runtime.change_notifier import ChangeNotifier
from opsbot.runtime.tasks import BackgroundTasks
from opsbot.runtime.ticks import utc_now
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
        clock: Callable[[], datetime] = utc_now,
        redact: Callable[[str], str] = str,
        alerts: Alerts = Alerts(),  # noqa: B008 - frozen
        inhibitors: Inhibitors | None = None,
        *,
        booted_at: datetime | None = None,
    ) -> None:
        """Listens to the managers; nothing is judged before `open`.

        inhibitors: asked before recovery does anything. booted_at: when the host was started.
        """
        self._booted_at = booted_at
        self._inhibitors = inhibitors or Inhibitors()
        self._store = store
        self._managers = managers
        self._deployer = deployer
        self._clock = clock
        self.background = BackgroundTasks(log)
        self._ticked_at = now = clock()
        self._watched = {
            name: MonitoredService(service, ServiceChecks(service, now), IncidentState(name))
            for name, service in services.items()
        }
        self._alive_at: datetime | None = None
        dependencies = DependencyTracker(self._watched, deployer.busy)
        self.incident_manager = IncidentManager(
            self._watched,
            dependencies,
            EvidenceCollector(managers, redact),
            store,
            feed,
            clock,
            alerts.flapping,
            alerts.dependents_grace,
        )
        self._note = self.incident_manager.timeline.note
        self._recovery_runner = RecoveryRunner(
            self._watched,
            store,
            managers,
            deployer,
            self.incident_manager.timeline,
            dependencies,
            clock,
            self._inhibitors,
            self.background,
        )
        kept = (self._watched, store, feed)
        acting = (self.incident_manager, self._recovery_runner, deployer.busy)
        self._service_events = ServiceEventHandler(*kept, managers.values(), *acting, self.background, clock)
        self._check_runner = CheckRunner(*kept, managers, prober, *acting, redact, alerts.flapping)
        self.by_hand = self._recovery_runner.by_hand
        self.decision = self._recovery_runner.decision
        self.look = self._check_runner.run_all

    # Beginning and end

    async def open(self) -> None:
        """Remember what the store knows, hear what the managers said since, start what should run and does not."""
        await self.incident_manager.open()
        await self._restore_checks()
        self._deployer.on_finish(self._deployed)
        for name, watched in self._watched.items():
            live = watched.service.source is None or await self._store.read(ledger.live, name) is not None
            watched.has_release = live
        await self._host_restarted()
        heard_of = await self._service_events.open()
        for name in self._watched:
            await self._ensure_running(name)
            if name not in heard_of:
                await self._started_meanwhile(name)

    async def _restore_checks(self) -> None:
        kept = await self._store.read(incident_repository.healths)
        runs = await self._store.read(incident_repository.answered)
        for name, watched in self._watched.items():
            healths = {check: health for (service, check), health in kept.items() if service == name}
            gone = [check for check in healths if check not in watched.checks.healths]
            if gone:
                await self._store.write(incident_repository.forget_health, name, gone)
            watched.checks.restore(
                healths,
                {check: run for (service, check), run in runs.items() if service == name},
                # Down, and nobody was notified: opsbot ended in between.
                judge_again=not watched.affected,
                # What an earlier opsbot saw so long ago may be over: nothing is done before it is seen again.
                seen_long_ago=watched.affected and self.incident_manager.away is not None,
            )

    async def _host_restarted(self) -> None:
        """The host was restarted while opsbot was not running: what could not be started before may start now."""
        last, booted = self.incident_manager.last_alive, self._booted_at
        if last is None or booted is None or booted <= last:
            return
        for name, watched in self._watched.items():
            if watched.incident is not None:
                await self._note(name, event(IncidentEventKind.HOST_RESTARTED, self._clock(), booted=booted))

    async def _started_meanwhile(self, name: str) -> None:
        """A service with an incident was started while opsbot was not running: its timeline says when."""
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
            await self._note(name, event(IncidentEventKind.STARTED_UNSEEN, state.started_at))

    async def close(self) -> None:
        """Stop. What is under way is cancelled; the services are left alone. What is known is written down."""
        await self.background.close()
        await self.incident_manager.close()
        found = [
            (name, check, one) for name, each in self._watched.items() for check, one in each.checks.healths.items()
        ]
        await self._store.write(incident_repository.save_healths, [each for each in found if each[2].last is not None])

    async def _ensure_running(self, name: str) -> None:
        """Start a service that has a release to run, is not stopped on purpose, and does not run.

        One with an incident is recovery's: what that has tried, and given up, is not tried again uncounted.
        """
        if not self._watched[name].has_release or self._watched[name].incident is not None:
            return
        if self._deployer.busy(name):
            return
        try:
            state = await self._managers[name].state(name)
            # The units that nobody has stopped and that do not run all the same, as after a start of the host.
            down = [unit for unit, part in meant_to_run(state) if part.activity is Activity.STOPPED]
            if down and (why := await first_reason(self._inhibitors.spent, name)) is not None:
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
        return self._watched[service].checks.healths

    @property
    def watched(self) -> Mapping[str, MonitoredService]:
        """What is known of each service, for those who judge whether it may be restarted. Only to be read."""
        return self._watched

    def waits(self, service: str) -> Message | None:
        """What its recovery waits for; None while it does not."""
        watched = self._watched[service]
        return watched.recovery.waits if watched.incident is not None else None

    async def discord_back(self, services: Iterable[str], began: datetime, ended: datetime) -> None:
        """Discord is back: the recovery of those of these services that have an incident begins again."""
        for name in services:
            back = event(IncidentEventKind.DISCORD_BACK, self._clock(), began=began, ended=ended)
            await self._note(name, back)

    def because_of(self, service: str) -> str:
        """The service in whose incident this one is listed as down; "" where it is in none."""
        under = self._watched[service].incidents.under
        return under.root if under is not None else ""

    # Watching

    def idle(self) -> bool:
        """Whether a tick would find nothing to do now."""
        now = self._clock()
        if now < self._ticked_at or not self._shows_life(now) or not self.incident_manager.idle:
            return False
        return not any(
            one.incidents.pending is not None
            or one.incidents.under is not None
            or (one.checks.next_due <= now and one.has_release)
            for one in self._watched.values()
        )

    def _shows_life(self, now: datetime) -> bool:
        return self._alive_at is not None and timedelta(0) <= now - self._alive_at < SIGN_OF_LIFE

    async def tick(self) -> None:
        """Start every check that is due, and the next step about services with an incident. Does not wait for them."""
        now = self._clock()
        if now < self._ticked_at:  # the clock was set back: nobody waits until it has caught up
            for watched in self._watched.values():
                watched.checks.hurry(now)
        self._ticked_at = now
        for name, watched in self._watched.items():
            left = watched.checks.next_due > now or not watched.has_release or self._deployer.busy(name)
            if not left and (checks := self._check_runner.take_due(watched, now)):
                self.background.run(self._check_runner.run(name, checks), f"check:{name}")
            if watched.turn.locked():
                continue
            if watched.incident is not None and not watched.recovery.busy:
                self.background.run(self._in_turn(watched, self._recovery_runner.act), f"act:{name}")
            if self.incident_manager.has_to_settle(name, now):
                self.background.run(self._in_turn(watched, self.incident_manager.settle), f"settle:{name}")
        await self.incident_manager.tick()
        if not self._shows_life(now):
            self._alive_at = now
            await self._store.write(incident_queries.alive, now)

    async def _in_turn(self, watched: MonitoredService, work: Callable[[str], Awaitable[None]]) -> None:
        async with watched.turn:
            await work(watched.name)

    # What people do

    def touched(self, service: str, actor: str, against: Message | None = None) -> None:
        """A person restarts it: recovery begins again. against: the advice against it that they were given."""
        # Not down any more, either: else what they have just started would be restarted at once.
        self._watched[service].checks.judge_again()
        happened = event(IncidentEventKind.RESTARTED_BY, self._clock(), actor=actor, against=against)
        self.background.run(self._note(service, happened), f"note:{service}")

    async def resumed(self, service: str, by: str) -> None:
        """Somebody resumed a service: recovery may try again."""
        await self._note(service, event(IncidentEventKind.RESUMED_BY, self._clock(), actor=by))

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
        watched.has_release = watched.has_release or deployment.phase is Phase.LIVE
        watched.checks.judge_again(deployed=True)
        self.incident_manager.deployed(deployment.service)
        if watched.incident is not None:
            ended = event(
                IncidentEventKind.DEPLOYMENT_ENDED,
                self._clock(),
                deployment=deployment.id,
                kind=str(deployment.kind),
                phase=str(deployment.phase),
            )
            self.background.run(self._note(deployment.service, ended), f"note:{deployment.service}")
        watched.checks.hurry(self._clock())
