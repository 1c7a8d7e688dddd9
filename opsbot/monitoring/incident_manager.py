"""Opens incidents with their evidence and ends them; each change is stored together with its message.

An incident's subject is a service, or something of the host (`opsbot.core.subjects`), which has no checks, no recovery
and no dependents. One root cause is one incident: what fails because of it is listed in it.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from opsbot.core.dependencies import AwaitVerdict, CausedBy, DependencyState
from opsbot.core.flapping import FlapPolicy, Flaps
from opsbot.core.incident import IncidentCause, IncidentEvent, IncidentEventKind, Resolution, event
from opsbot.core.message import Message, message
from opsbot.core.model import ADVICE, Dependent, Evidence, Incident
from opsbot.core.subjects import is_host
from opsbot.messages import render
from opsbot.monitoring.dependency_tracker import DependencyTracker
from opsbot.monitoring.evidence import EvidenceCollector
from opsbot.monitoring.flap_detector import FlapDetector
from opsbot.monitoring.incident_state import IncidentState, PendingCause
from opsbot.monitoring.incident_timeline import IncidentTimeline
from opsbot.monitoring.monitored_service import MonitoredService
from opsbot.runtime.change_notifier import ChangeNotifier
from opsbot.services.port import ServiceState
from opsbot.store import Store, incident_queries, incident_repository, ledger

log = logging.getLogger(__name__)

AWAY = timedelta(minutes=2)
"""opsbot's sign of life is written once a minute: a longer silence means that it was away."""


class IncidentManager:
    """The incidents of all subjects: at most one open at a time for each."""

    def __init__(
        self,
        watched: Mapping[str, MonitoredService],
        dependencies: DependencyTracker,
        evidence_collector: EvidenceCollector,
        store: Store,
        feed: ChangeNotifier,
        clock: Callable[[], datetime],
        flapping: FlapPolicy,
        dependents_grace: timedelta = timedelta(0),
    ) -> None:
        """dependents_grace: how long a dependent may stay down after the end of the incident it was listed in."""
        self._watched = watched
        self._dependencies = dependencies
        self._evidence_collector = evidence_collector
        self._store = store
        self._clock = clock
        self._grace = dependents_grace
        self.timeline = IncidentTimeline(watched, evidence_collector, store, feed, clock)
        self._flaps = FlapDetector(self.timeline, store, feed, clock, flapping, dependencies.busy)
        self._deciding = asyncio.Lock()
        """Which service is to blame is decided and recorded by one at a time."""
        self.last_alive: datetime | None = None
        """When the opsbot before this one was last known to run."""
        self.away: timedelta | None = None
        """How long opsbot was not running before this start, where that is known."""

    def deployed(self, service: str) -> None:
        """A deployment of a service ended, which changed what runs."""
        self._flaps.deployed(service)

    async def open(self) -> None:
        """Remember the incidents that are open, and how often each subject changed of late."""
        now = self._clock()
        last = self.last_alive = await self._store.read(incident_queries.last_alive)
        if last is not None and now - last > AWAY:
            self.away = now - last
            self._flaps.back_at = now
        found = await self._store.read(incident_repository.open_incidents)
        for subject, incident in found.items():
            if subject not in self._watched and not is_host(subject):
                gone = message(Resolution.NOT_CONFIGURED)
                await self._store.write(incident_repository.close_incident, subject, gone, now)
                continue
            self.timeline.of(subject).incident = incident
            below = [one for one in incident.dependents if one.well_at is None and one.service not in found]
            self.timeline.list_under(subject, incident.id, below)
        await self._flaps.restore()

    async def tick(self) -> None:
        """Write down the counts of what flaps, and end what is calm."""
        await self._flaps.tick()

    async def close(self) -> None:
        """Write down what is only counted so far."""
        await self._flaps.close()

    @property
    def idle(self) -> bool:
        """Whether nothing is open that a tick would look at."""
        return next(self.timeline.with_incident(), None) is None

    async def trouble(
        self,
        subject: str,
        cause: Message,
        since: datetime,
        dead: ServiceState | None = None,
        evidence: Evidence | None = None,
    ) -> None:
        """A subject is down: open an incident, or list it in that of the service it needs.

        dead: the service as its manager found it dead. evidence: what was seen, for a subject that is no service.
        Where it has an incident already nothing is done, but of what flaps one more change is counted, and another
        cause than before is reported.
        """
        state, watched = self.timeline.of(subject), self._watched.get(subject)
        async with state.lock:
            if state.incident is not None:
                if state.flapping.active:
                    if state.flapping.healthy:
                        self._flaps.count(state, healthy=False, since=since)
                    await self._flaps.failed(state, cause)
            elif watched is None:
                await self._open(state, cause, since, evidence or Evidence())
            elif state.pending is None and not self._in_grace(state):
                await self._attribute(watched, PendingCause(cause, since, self._clock(), dead))

    def _in_grace(self, state: IncidentState) -> bool:
        """Whether the incident it was listed in is over, and it may recover from that still."""
        return state.under is not None and self._dependencies.is_over(state.under)

    def has_to_settle(self, name: str, now: datetime) -> bool:
        """Whether `settle` is due: it waits for a verdict, or stayed down after the incident it was listed in."""
        watched = self._watched[name]
        state = watched.incidents
        if state.pending is not None:
            return True
        if state.under is None or not self._in_grace(state):
            return False
        if state.under.until is None:
            state.under.until = now + self._grace
            watched.checks.hurry(now)
            return False
        return now >= state.under.until and bool(watched.checks.down())

    async def settle(self, name: str) -> None:
        """Ask again who is to blame that a service is down."""
        watched = self._watched[name]
        state = watched.incidents
        async with state.lock:
            if state.pending is not None:
                await self._attribute(watched, state.pending)
            elif state.under is not None and self._in_grace(state):
                cause = message(IncidentCause.AFTER_DEPENDENCY, cause=state.under.cause, root=state.under.root)
                await self._attribute(watched, PendingCause(cause, state.under.failed_at, self._clock()))

    async def _attribute(self, watched: MonitoredService, pending: PendingCause) -> None:
        now = self._clock()
        match self._dependencies.attribute(watched.name, pending.asked, now):
            case AwaitVerdict(on):
                watched.incidents.pending = pending
                for other in on:
                    unseen = self._dependencies.state(other, pending.asked) is DependencyState.UNSEEN
                    self._watched[other].checks.wait_for_verdict(now, unseen=unseen)
            case CausedBy(root) if await self._list(root, watched, pending):
                return
            case _:
                evidence = await self._evidence_collector.evidence(watched, pending.dead)
                await self._open(watched.incidents, pending.cause, pending.since, evidence, pending)

    async def _list(self, root: str, watched: MonitoredService, pending: PendingCause) -> bool:
        """Put a service into the open incident of the one that is to blame; False where that one is over meanwhile."""
        async with self._deciding:
            incident = self.timeline.of(root).incident
            if incident is None:
                return False
            one = Dependent(watched.name, pending.cause, pending.since)
            listed = await self._store.write(incident_repository.put_dependents, incident.id, [one])
            self.timeline.list_under(root, incident.id, [one])
            self.timeline.keep(self.timeline.of(root), listed)
        log.warning("%s: %s, because of %s", watched.name, render(pending.cause), root)
        return True

    async def _open(
        self,
        state: IncidentState,
        cause: Message,
        since: datetime,
        evidence: Evidence,
        pending: PendingCause | None = None,
        *,
        down: bool = True,
    ) -> None:
        """down: it is; else it only fails and passes by turns."""
        subject, watched = state.subject, self._watched.get(state.subject)
        live = await self._store.read(ledger.live, subject)
        events: tuple[IncidentEvent, ...] = (_opening(cause, since, evidence, watched),)
        if watched is not None and not watched.checks.passed and self.away is not None:
            events = (*events, event(IncidentEventKind.UNSEEN_BEFORE, self._clock(), away=self.away))
        async with self._deciding:
            now = self._clock()
            if pending is not None:
                blamed = self._dependencies.attribute(subject, pending.asked, now)
                if isinstance(blamed, CausedBy) and self.timeline.of(blamed.root).incident is not None:
                    # The root was opened while the evidence was gathered.
                    state.pending = pending
                    return
                state.pending = state.under = None
            flaps = self._flaps.opening(state, cause, since, healthy=not down)
            draft = Incident(
                0,
                subject,
                cause,
                flaps.since or since,
                evidence,
                events,
                deployment=live.deployment if live else None,
                flaps=flaps if flaps.flapping else Flaps(),
                down_since=since if down else None,
            )
            # What died while opsbot was away is reported late from then on; what a check sees, from when it is judged.
            noticed = since if pending is not None and pending.dead is not None else now
            await self._write(state, draft, now, noticed)
        if watched is not None:
            watched.checks.hurry(self._clock())
        log.warning("%s: %s", subject, render(cause))

    async def _write(self, state: IncidentState, draft: Incident, now: datetime, noticed: datetime) -> None:
        """Open the incident, with all that fails below its subject in it."""
        below = {name: self._watched[name].incidents for name in self._dependencies.below(state.subject)}
        fold = [name for name, one in below.items() if one.incident is not None]
        waiting = [
            Dependent(name, one.pending.cause, one.pending.since)
            for name, one in below.items()
            if one.pending is not None
        ]
        opened = await self._store.write(
            incident_repository.open_incident, replace(draft, dependents=tuple(waiting)), now, fold, noticed
        )
        self.timeline.opened(state, opened)

    async def alternates(self, name: str, cause: Message, count: int) -> None:
        """A check fails and passes by turns, and would never be down: the service flaps."""
        watched, now = self._watched[name], self._clock()
        state = watched.incidents
        async with state.lock:
            if state.affected or state.pending is not None:
                return
            match self._dependencies.attribute(name, now, now):
                case AwaitVerdict(_):
                    return  # it is asked again at its next result
                case CausedBy(root):
                    await self._list(root, watched, PendingCause(cause, now, now))
                case _:
                    evidence = await self._evidence_collector.evidence(watched)
                    self._flaps.alternates(state, count)
                    await self._open(state, cause, now, evidence, down=False)

    def alternated(self, name: str) -> None:
        """A check of what flaps failed or passed once more."""
        self._flaps.count_alternation(self._watched[name].incidents)

    async def recovered(self, name: str) -> None:
        """A service that is listed in another's incident has recovered: that one says so."""
        state = self._watched[name].incidents
        async with state.lock:
            under = state.under
            if under is None or under.recovered:
                return
            under.recovered = True
            one = Dependent(name, under.cause, under.failed_at, self._clock())
            found = await self._store.write(incident_repository.put_dependents, under.incident, [one])
            self.timeline.keep(self.timeline.of(under.root), found)
            if state.under is under:
                state.under = None

    async def stopped(self, name: str) -> None:
        """A person stopped a service: its incident is over, whether it flaps or not."""
        state = self._watched[name].incidents
        state.pending = state.under = None
        async with state.lock:
            if state.incident is not None:
                await self.timeline.close(state, message(Resolution.STOPPED), Flaps())

    async def end(self, subject: str, resolution: Message) -> None:
        """It has recovered: close the open incident. What flaps is only counted, until it is calm."""
        state = self.timeline.of(subject)
        async with state.lock:
            incident = state.incident
            if incident is None:
                return
            if state.flapping.active:
                if not state.flapping.healthy:
                    self._flaps.count(state, healthy=True)
                return
            flaps = self._flaps.closing(state)
            if flaps.flapping:
                await self._flaps.begin(state, incident, flaps)
            else:
                await self.timeline.close(state, resolution, flaps)


def _opening(cause: Message, since: datetime, evidence: Evidence, watched: MonitoredService | None) -> IncidentEvent:
    """The first event. Its `checks` are known to be down: should one of them be so again, that is nothing new."""
    down = [] if watched is None else [check.name for check in watched.checks.down()]
    known = tuple(dict.fromkeys([*down, *(name for name, _ in evidence.checks if name != ADVICE)]))
    return event(IncidentEventKind.OPENED, since, cause=cause, checks=known)
