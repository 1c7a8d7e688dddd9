"""What the managers say of the services, in the order in which it happened, and what follows from it."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from opsbot.core.incident import IncidentCause, IncidentEventKind, ServiceNotice
from opsbot.core.incident import event as happened
from opsbot.core.message import message
from opsbot.core.model import Incident
from opsbot.core.recovery import AttemptBy
from opsbot.monitoring.incident_manager import IncidentManager
from opsbot.monitoring.monitored_service import MonitoredService
from opsbot.monitoring.recovery_runner import RecoveryRunner
from opsbot.runtime.change_notifier import ChangeNotifier
from opsbot.runtime.tasks import BackgroundTasks
from opsbot.services.port import Happening, ServiceEvent, ServiceManager
from opsbot.store import Store, outbox


class ServiceEventHandler:
    """Handles each death, start and stop from the service's manager, before a check sees it."""

    def __init__(
        self,
        watched: Mapping[str, MonitoredService],
        store: Store,
        feed: ChangeNotifier,
        managers: Iterable[ServiceManager],
        incident_manager: IncidentManager,
        recovery_runner: RecoveryRunner,
        busy: Callable[[str], bool],
        background: BackgroundTasks,
        clock: Callable[[], datetime],
    ) -> None:
        """Take the parts, and listen; what is heard before `open` is kept until then.

        busy: whether a service is being deployed, whose deployment then deals with what happens to it.
        """
        self._watched = watched
        self._store = store
        self._feed = feed
        self._incident_manager = incident_manager
        self._recovery_runner = recovery_runner
        self._background = background
        self._busy = busy
        self._clock = clock
        self._early: list[ServiceEvent] | None = []
        """What the managers said before `open`: a service that died while opsbot was away, for one."""
        for manager in set(managers):
            manager.listen(self._heard)

    async def open(self) -> set[str]:
        """Take what was heard so far, and from now on whatever is heard. Returns the services that were heard of."""
        early, self._early = self._early or [], None
        for event in early:
            await self._happened(event)
        return {event.service for event in early}

    def _heard(self, event: ServiceEvent) -> None:
        if self._early is not None:
            self._early.append(event)
        elif event.service in self._watched:
            self._background.run(self._in_turn(event), f"event:{event.service}")

    async def _in_turn(self, event: ServiceEvent) -> None:
        async with self._watched[event.service].turn:
            await self._happened(event)

    async def _happened(self, event: ServiceEvent) -> None:
        name, watched = event.service, self._watched[event.service]
        self._feed.publish("service")
        if event.asked or not watched.has_release or self._busy(name):
            return
        match event.what:
            case Happening.DIED:
                await self._died(event)
            case Happening.STARTED if watched.incident is not None:
                await self._started(event, watched.incident)
            case Happening.GAVE_UP:
                await self._gave_up(event)
                await self._recovery_runner.act(name)
            case Happening.BARRED:
                if watched.incident is None:
                    cause = message(IncidentCause.CANNOT_START, why=event.state.exit)
                    await self._incident_manager.trouble(name, cause, event.at, event.state)
                await self._recovery_runner.act(name)
            case Happening.STOPPED:
                watched.checks.forget_run(event.part)
                if not watched.troubled_units(event.state):
                    await self._incident_manager.stopped(name)
                stopped = message(ServiceNotice.STOPPED, service=name, unit=event.part)
                key = f"stopped:{name}:{event.at.timestamp()}"
                await self._store.write(outbox.put_notice, key, name, stopped, event.at)
                self._feed.publish("notice")

    async def _started(self, event: ServiceEvent, incident: Incident) -> None:
        """It runs again. By its manager where it had died, else by somebody: only the first is a crash that counts."""
        name, watched = event.service, self._watched[event.service]
        # One that its manager did not start by itself was started by somebody, dead or not.
        crashed = incident.recovery.is_dead and event.state.of(event.part).restarts > 0
        kind = IncidentEventKind.STARTED_BY_MANAGER if crashed else IncidentEventKind.STARTED_OUTSIDE
        await self._incident_manager.timeline.note(
            name,
            happened(kind, event.at, pid=event.state.pid),
            counted=AttemptBy.MANAGER if crashed else None,
            quiet=watched.incidents.flapping.active,
        )
        watched.checks.hurry(self._clock())
        if crashed:
            await self._recovery_runner.started_again(name)

    async def _gave_up(self, event: ServiceEvent) -> None:
        name, end = event.service, event.state.exit
        cause = message(IncidentCause.GAVE_UP, exit=end)
        if self._watched[name].incident is None:
            await self._incident_manager.trouble(name, cause, event.at, event.state)
        else:
            await self._incident_manager.timeline.note(
                name, happened(IncidentEventKind.GAVE_UP, event.at, exit=end), cause=cause
            )

    async def _died(self, event: ServiceEvent) -> None:
        name, watched = event.service, self._watched[event.service]
        watched.checks.forget_run(event.part)
        end = event.state.exit
        cause = message(IncidentCause.PROCESS_DIED, exit=end, unit=event.part)
        again = happened(IncidentEventKind.DIED, event.at, exit=end, unit=event.part)
        if watched.incident is None:
            await self._incident_manager.trouble(name, cause, event.at, event.state)
        elif watched.incidents.flapping.active:
            await self._incident_manager.timeline.note(name, again, quiet=True)
            await self._incident_manager.trouble(name, cause, event.at, event.state)
        else:
            await self._incident_manager.timeline.died(name, again, cause, event.state)
