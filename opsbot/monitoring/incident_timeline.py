"""The open incidents and what happens in them: each change is stored together with its message."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime

from opsbot.core.dependencies import untangle
from opsbot.core.flapping import Flaps
from opsbot.core.incident import IncidentEvent, check_cause
from opsbot.core.message import Message
from opsbot.core.model import Dependent, Evidence, Incident
from opsbot.core.recovery import AttemptBy
from opsbot.formatting import duration
from opsbot.messages import render
from opsbot.monitoring.evidence import EvidenceCollector
from opsbot.monitoring.incident_state import FlapState, IncidentState, ListedUnder
from opsbot.monitoring.monitored_service import MonitoredService
from opsbot.runtime.change_notifier import ChangeNotifier
from opsbot.services.port import ServiceState
from opsbot.store import Store, incident_repository

log = logging.getLogger(__name__)


class IncidentTimeline:
    """Keeps the state of each subject, adds events to its open incident, and closes it."""

    def __init__(
        self,
        watched: Mapping[str, MonitoredService],
        evidence_collector: EvidenceCollector,
        store: Store,
        feed: ChangeNotifier,
        clock: Callable[[], datetime],
    ) -> None:
        """watched: the services; other subjects are added when they are asked about."""
        self._watched = watched
        self._evidence_collector = evidence_collector
        self._store = store
        self._feed = feed
        self._clock = clock
        self._others: dict[str, IncidentState] = {}

    def of(self, subject: str) -> IncidentState:
        if subject in self._watched:
            return self._watched[subject].incidents
        return self._others.setdefault(subject, IncidentState(subject))

    def with_incident(self) -> Iterator[IncidentState]:
        for state in (*(one.incidents for one in self._watched.values()), *self._others.values()):
            if state.incident is not None:
                yield state

    def up_since(self, subject: str) -> datetime | None:
        """Since when all checks of a service pass; None where they do not, or it is none."""
        watched = self._watched.get(subject)
        return None if watched is None else watched.checks.up_since

    def is_down(self, subject: str) -> bool:
        """Whether a check of a service is down."""
        return subject in self._watched and bool(self._watched[subject].checks.down())

    def keep(self, state: IncidentState, incident: Incident | None) -> None:
        """Take an incident as it is now in the store."""
        if incident is None:
            return
        if state.incident is not None and state.incident.id == incident.id:
            state.incident = incident
        self._feed.publish("incident", incident.id)

    def opened(self, state: IncidentState, incident: Incident) -> None:
        """Take an incident that was opened, with those that are listed in it."""
        state.incident = incident
        state.flapping.down_since, state.flapping.down_for = incident.down_since, incident.down_for
        self.list_under(state.subject, incident.id, incident.dependents)
        self._feed.publish("incident", incident.id)
        self._feed.publish("notice")

    def list_under(self, root: str, incident: int, dependents: Iterable[Dependent]) -> None:
        """List these in the root's incident; they have no separate one."""
        for one in dependents:
            if one.service in self._watched:
                state = self._watched[one.service].incidents
                state.pending, state.under = None, ListedUnder(root, incident, one.cause, one.failed_at)
                state.incident, state.flapping.flaps = None, Flaps()

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
        state = self.of(subject)
        if state.incident is None:
            return False
        changed = await self._store.write(
            incident_repository.add_event,
            state.incident.id,
            happened,
            evidence=evidence,
            cause=cause,
            worse=worse,
            counted=counted,
            quiet=quiet,
        )
        self.keep(state, changed)
        if not quiet:
            self._feed.publish("notice")
        return changed is not None

    async def check_down(self, name: str, happened: IncidentEvent, *, worse: bool) -> None:
        """A check of a service with an incident is down: the evidence has it, and what is root-most is the cause."""
        evidence = await self.evidence(name)
        if evidence is not None:
            await self.note(name, happened, worse=worse, evidence=evidence, cause=_cause_now(self._watched[name]))

    async def died(self, name: str, happened: IncidentEvent, cause: Message, dead: ServiceState) -> None:
        """Its process died once more: that is the cause now, and its last lines are the evidence."""
        await self.note(name, happened, evidence=await self.evidence(name, dead), cause=cause)

    async def escalate(self, name: str, why: Message, *, inhibited: bool = False) -> None:
        """Recovery gave up: escalate, with what is seen now. inhibited: until an inhibitor is lifted."""
        state, evidence = self.of(name), await self.evidence(name)
        if state.incident is None or evidence is None:
            return
        found = await self._store.write(
            incident_repository.escalate, state.incident.id, why, self._clock(), evidence, inhibited=inhibited
        )
        self.keep(state, found)
        if found is not None:
            log.error("%s needs attention: %s", name, render(why))
        self._feed.publish("notice")

    async def evidence(self, name: str, dead: ServiceState | None = None) -> Evidence | None:
        """What is seen now of a subject with an incident; None for one that is no service, or has none."""
        incident, watched = self.of(name).incident, self._watched.get(name)
        if incident is None or watched is None:
            return None
        return await self._evidence_collector.evidence(watched, dead, incident.evidence)

    async def close(self, state: IncidentState, resolution: Message, flaps: Flaps) -> None:
        """Close the open incident. flaps: what is known of its subject's changes from then on."""
        now, up_since = self._clock(), self.up_since(state.subject)
        closed = await self._store.write(incident_repository.close_incident, state.subject, resolution, now, up_since)
        state.incident, state.flapping = None, FlapState(flaps)
        if closed is not None:
            log.info("%s: incident %d is over after %s", state.subject, closed.id, duration(now - closed.opened_at))
            self._feed.publish("incident", closed.id)
            self._feed.publish("notice")


def _cause_now(watched: MonitoredService) -> Message | None:
    """What is wrong with a service by its checks; None where its process is dead, or none fails."""
    incident = watched.incident
    causes, _ = untangle(watched.checks.failing)
    if not causes or (incident is not None and incident.recovery.is_dead):
        return None
    return check_cause(causes[0], *watched.checks.counts(causes[0].name))
