"""The story of an incident while it is open: what is done about it, what is seen of it, whom it calls for."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from opsbot.core.flapping import FlapPolicy
from opsbot.core.incident import IncidentEvent, check_cause
from opsbot.core.layers import untangle
from opsbot.core.message import Message
from opsbot.core.model import Evidence, Incident
from opsbot.core.recovery import AttemptBy
from opsbot.messages import render
from opsbot.monitoring.dependency_tracker import DependencyTracker
from opsbot.monitoring.evidence import EvidenceCollector
from opsbot.monitoring.incident_state import IncidentState
from opsbot.monitoring.monitored_service import MonitoredService
from opsbot.runtime.change_notifier import ChangeNotifier
from opsbot.services.port import ServiceState
from opsbot.store import Store, incident_repository

log = logging.getLogger(__name__)


class IncidentTimeline:
    """Remembers each subject's trouble, and writes down what becomes of it."""

    def __init__(
        self,
        watched: Mapping[str, MonitoredService],
        family: DependencyTracker,
        evidence_collector: EvidenceCollector,
        store: Store,
        feed: ChangeNotifier,
        clock: Callable[[], datetime],
        flapping: FlapPolicy,
    ) -> None:
        """Take the parts; `watched` is the watcher's own."""
        self._watched = watched
        self._family = family
        self._evidence_collector = evidence_collector
        self._store = store
        self._feed = feed
        self._clock = clock
        self._flapping = flapping
        self._others: dict[str, IncidentState] = {}
        self._deciding = asyncio.Lock()
        """Whose trouble something is, is settled and written down in one go."""
        self.last_alive: datetime | None = None
        """When the opsbot before this one was last known to run."""
        self.away: timedelta | None = None
        """How long opsbot was not running before this start, where that is known."""
        self.back_at: datetime | None = None
        """Since when it runs again after that."""

    def case(self, subject: str) -> IncidentState:
        """What is remembered of a subject's trouble."""
        if subject in self._watched:
            return self._watched[subject].case
        return self._others.setdefault(subject, IncidentState(subject))

    def _keep(self, case: IncidentState, incident: Incident | None) -> None:
        """An incident as it is now in the store."""
        if incident is None:
            return
        if case.incident is not None and case.incident.id == incident.id:
            case.incident = incident
        self._feed.publish("incident", incident.id)

    # Its story

    async def note(
        self,
        subject: str,
        happened: IncidentEvent,
        *,
        worse: bool = False,
        evidence: Evidence | None = None,
        cause: Message | None = None,
        counted: AttemptBy | None = None,
        quiet: bool = False,
    ) -> bool:
        """Add an event to the open incident, see `incident_repository.add_event`; False where none is open."""
        case = self.case(subject)
        noted = case.incident
        if noted is None:
            return False
        changed = await self._store.write(
            incident_repository.add_event,
            noted.id,
            happened,
            evidence=evidence,
            cause=cause,
            worse=worse,
            counted=counted,
            quiet=quiet,
        )
        self._keep(case, changed)
        if not quiet:
            self._feed.publish("notice")
        return changed is not None

    async def check_down(self, name: str, happened: IncidentEvent, *, worse: bool) -> None:
        """A check of a service with an incident is down: the evidence has it, and what is root-most is the cause."""
        watched = self._watched[name]
        incident = watched.incident
        if incident is None:
            return
        evidence = await self._evidence_collector.evidence(watched, before=incident.evidence)
        await self.note(name, happened, worse=worse, evidence=evidence, cause=cause_now(watched))

    async def died(self, name: str, happened: IncidentEvent, cause: Message, dead: ServiceState) -> None:
        """Its process died once more: that is the cause now, and its last lines are the evidence."""
        watched = self._watched[name]
        incident = watched.incident
        if incident is None:
            return
        evidence = await self._evidence_collector.evidence(watched, dead, incident.evidence)
        await self.note(name, happened, evidence=evidence, cause=cause)

    async def call(self, name: str, why: Message, now: datetime, *, inhibited: bool = False) -> None:
        """Recovery gave up: escalate, with what is seen now. inhibited: until an inhibitor is lifted."""
        watched = self._watched[name]
        incident = watched.incident
        if incident is None:
            return
        evidence = await self._evidence_collector.evidence(watched, before=incident.evidence)
        found = await self._store.write(
            incident_repository.escalate, incident.id, why, now, evidence, inhibited=inhibited
        )
        self._keep(watched.case, found)
        if found is not None:
            log.error("%s needs attention: %s", name, render(why))
        self._feed.publish("notice")


def cause_now(watched: MonitoredService) -> Message | None:
    """What is wrong with a service by its checks; None where its process is dead, or none fails."""
    incident = watched.incident
    causes, _ = untangle(watched.failing)
    if not causes or (incident is not None and incident.recovery.is_dead):
        return None
    return check_cause(causes[0], *watched.counts(causes[0].name))
