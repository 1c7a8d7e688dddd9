"""The story of an incident while it is open: what is done about it, what is seen of it, whom it calls for."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from opsbot.core.flapping import FlapPolicy
from opsbot.core.layers import cause_of, is_checks, untangle
from opsbot.core.model import Incident, NotificationKind
from opsbot.messages import render
from opsbot.monitoring.dependency_tracker import DependencyTracker
from opsbot.monitoring.evidence import EvidenceCollector, checks_of
from opsbot.monitoring.incident_state import IncidentState
from opsbot.monitoring.monitored_service import MonitoredService
from opsbot.runtime.change_notifier import ChangeNotifier
from opsbot.store import Store, incident_repository, outbox

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
        self.away: timedelta | None = None
        """How long opsbot was not running before this start, where that is known."""

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

    async def more(self, name: str) -> None:
        """Another check of a service in trouble is down: the evidence has it, and what is root-most names the cause."""
        watched = self._watched[name]
        incident = watched.incident
        if incident is None:
            return
        evidence, cause = checks_of(watched, incident.evidence), None
        causes, _ = untangle(watched.failing)
        if causes and is_checks(incident.cause):
            cause = cause_of(causes[0], render)
        found = await self._store.write(
            incident_repository.change_incident, incident.id, self._clock(), evidence=evidence, cause=cause
        )
        self._keep(watched.case, found)

    # Its story

    async def note(
        self, subject: str, deed: str, at: datetime | None = None, *, sign: str = "", worse: bool = False
    ) -> None:
        """Add a deed to the open incident's story.

        at: when it was done, where not now. sign: an emoji for its timeline. worse: it has grown, so that an
        acknowledgement of it is void.
        """
        case = self.case(subject)
        noted = case.incident
        if noted is not None:
            moment = at or self._clock()
            changed = await self._store.write(
                incident_repository.change_incident, noted.id, moment, deed=deed, sign=sign, worse=worse
            )
            self._keep(case, changed)
            self._feed.publish("notice")

    async def observe(self, subject: str, text: str, sign: str = "", *, worse: bool = False) -> None:
        """Add to the open incident's timeline what is no deed: it is not on the card, and ends nothing."""
        noted = self.case(subject).incident
        if noted is not None:
            await self._store.write(incident_repository.observe, noted.id, text, self._clock(), sign, worse=worse)
            self._feed.publish("notice")

    async def afresh(self, service: str, deed: str) -> None:
        """A person took a hand in it: recovery begins anew, and may call again."""
        watched = self._watched[service]
        watched.forget_tries()
        if watched.incident is not None:
            await self._store.write(incident_repository.uncall, watched.incident.id)
            await self.note(service, deed)

    async def call(self, name: str, why: str, now: datetime) -> None:
        """Call for a human, with what is seen now."""
        watched = self._watched[name]
        watched.called = True
        watched.did_not_help()
        incident = watched.incident
        if incident is None:
            return
        evidence = await self._evidence_collector.evidence(watched, exit_text=incident.evidence.exit)
        await self._store.write(incident_repository.change_incident, incident.id, now, evidence=evidence)
        await self._store.write(incident_repository.call_human, incident.id, why, now)
        log.error("%s: a human is needed: %s", name, why)
        self._feed.publish("incident", incident.id)
        self._feed.publish("notice")

    async def tell(self, service: str, key: str, text: str, now: datetime) -> None:
        """Put a sentence into the ops channel, once a key."""
        body: dict[str, object] = {"text": text, "level": "warning"}
        await self._store.write(outbox.put, key, NotificationKind.WORD, service, now, body=body)
        self._feed.publish("notice")
