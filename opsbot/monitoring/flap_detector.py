"""Flapping: what fails and recovers again and again is one incident, in which it is only counted until it is calm."""

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from opsbot.core.flapping import FlapPolicy, Flaps, changed, is_calm
from opsbot.core.incident import IncidentCause, IncidentEventKind, Resolution, event, same_kind
from opsbot.core.message import Message, Param, message
from opsbot.core.model import Incident
from opsbot.monitoring.incident_state import FlapState, IncidentState
from opsbot.monitoring.incident_timeline import IncidentTimeline
from opsbot.runtime.change_notifier import ChangeNotifier
from opsbot.store import Store, incident_queries, incident_repository

log = logging.getLogger(__name__)

COUNTED = timedelta(seconds=10)
"""How often the count of what flaps is written down, at most."""


class FlapDetector:
    """Counts how often each subject changes."""

    def __init__(
        self,
        timeline: IncidentTimeline,
        store: Store,
        feed: ChangeNotifier,
        clock: Callable[[], datetime],
        policy: FlapPolicy,
        busy: Callable[[str], bool],
    ) -> None:
        """Nothing is known before `restore`. busy: whether a service is being deployed."""
        self._timeline = timeline
        self._store = store
        self._feed = feed
        self._clock = clock
        self._policy = policy
        self._busy = busy
        self._deployed_at: dict[str, datetime] = {}
        """When the last deployment of a service ended, during which its failures are not changes."""
        self.back_at: datetime | None = None
        """Since when opsbot runs again, where it was away before."""

    async def restore(self) -> None:
        """Remember what flaps, and how often each subject changed of late."""
        for state in self._timeline.with_incident():
            incident = state.incident
            if incident is not None and incident.flaps.flapping:
                state.flapping = FlapState(
                    incident.flaps,
                    incident.down_since is None,
                    incident.down_since,
                    incident.down_for,
                    _causes(incident),
                )
        changes = await self._store.read(incident_queries.changes, self._clock() - self._policy.window)
        for subject, times in changes.items():
            flapping = self._timeline.of(subject).flapping
            if not flapping.active:
                flapping.flaps = Flaps(times[-self._policy.changes + 1 :], last=times[-1])

    def alternates(self, state: IncidentState, count: int) -> None:
        """A check passes and fails by turns: the subject flaps from now on. count: so often it has changed."""
        now = self._clock()
        state.flapping.flaps = Flaps((), now, count, now)

    def opening(self, state: IncidentState, cause: Message, since: datetime, *, healthy: bool) -> Flaps:
        """An incident is about to be opened; what it is to keep of it."""
        flaps = state.flapping.flaps
        if not flaps.flapping:
            flaps = changed(flaps, since, self._policy)
        state.flapping = FlapState(flaps, healthy, causes={same_kind(cause)})
        return flaps

    def closing(self, state: IncidentState) -> Flaps:
        """What is known of the changes if the open incident is closed now."""
        return changed(state.flapping.flaps, self._clock(), self._policy)

    def count(self, state: IncidentState, *, healthy: bool, since: datetime | None = None) -> None:
        """Count one change. since: since when it is down, where it is."""
        now, flapping = self._clock(), state.flapping
        if healthy and flapping.down_since is not None:
            up_since = min(self._timeline.up_since(state.subject) or now, now)
            flapping.down_for += max(up_since - flapping.down_since, timedelta(0))
            flapping.down_since = None
        elif not healthy and since is not None:
            flapping.down_since = flapping.down_since or since
        flapping.healthy = healthy
        flapping.flaps = changed(flapping.flaps, now, self._policy)
        flapping.written_at = flapping.written_at or now

    def count_alternation(self, state: IncidentState) -> None:
        """A check that fails and passes by turns did so once more."""
        incident = state.incident
        if state.flapping.active and incident is not None and incident.cause.code == IncidentCause.CHECK_ALTERNATES:
            self.count(state, healthy=state.flapping.healthy)

    async def begin(self, state: IncidentState, before: Incident, flaps: Flaps) -> None:
        """It recovered once more, and flaps: that is an incident for itself."""
        now = self._clock()
        draft = replace(
            before,
            id=0,
            opened_at=flaps.since or now,
            events=(event(IncidentEventKind.FLAPPING, now, count=flaps.count, since=flaps.since),),
            called_at=None,
            down_since=None,
            down_for=timedelta(0),
            flaps=flaps,
            dependents=tuple(one for one in before.dependents if one.well_at is None),
            revision=0,
        )
        up_since = self._timeline.up_since(state.subject)
        opened = await self._store.write(incident_queries.begin_flapping, draft, now, up_since)
        state.flapping = FlapState(flaps)
        log.warning("%s flaps: %d changes", state.subject, flaps.count)
        self._feed.publish("incident", before.id)
        self._timeline.opened(state, opened)

    async def failed(self, state: IncidentState, cause: Message) -> None:
        """Each thing that goes wrong with what flaps is reported once; that it goes up and down is only counted."""
        incident, causes = state.incident, state.flapping.causes
        if incident is None or cause == incident.cause:
            return
        if same_kind(cause) == same_kind(incident.cause):
            # It fails in the same way, and something else was seen: the card says what was seen last.
            evidence = await self._timeline.evidence(state.subject)
            changed_to = await self._store.write(
                incident_repository.change_incident, incident.id, evidence=evidence, cause=cause
            )
            self._timeline.keep(state, changed_to)
            return
        causes.add(same_kind(incident.cause))
        new = same_kind(cause) not in causes
        causes.add(same_kind(cause))
        happened = event(IncidentEventKind.OTHER_CAUSE, self._clock(), cause=cause)
        evidence = await self._timeline.evidence(state.subject)
        if new or evidence is not None:
            await self._timeline.note(state.subject, happened, evidence=evidence, cause=cause, quiet=not new)

    async def tick(self) -> None:
        """Write down the counts of what flaps, and end what is calm."""
        now = self._clock()
        for state in list(self._timeline.with_incident()):
            flapping = state.flapping
            if not flapping.active:
                continue
            if is_calm(flapping.flaps, now, self._policy) and self._seen_for(state.subject, self._policy.calm, now):
                await self._calm(state)
            elif flapping.written_at is not None and not timedelta(0) <= now - flapping.written_at < COUNTED:
                await self._write(state, flapping.flaps)

    def _seen_for(self, subject: str, length: timedelta, now: datetime) -> bool:
        """Whether all changes of that time were seen: not while opsbot was away, nor during a deployment."""
        begins = [at for at in (self.back_at, self._deployed_at.get(subject)) if at is not None]
        return not self._busy(subject) and not any(timedelta(0) <= now - at < length for at in begins)

    def deployed(self, subject: str) -> None:
        """A deployment of it ended."""
        self._deployed_at[subject] = self._clock()

    async def close(self) -> None:
        """Write down what is only counted so far."""
        for state in list(self._timeline.with_incident()):
            if state.flapping.written_at is not None:
                await self._write(state, state.flapping.flaps)

    async def _write(self, state: IncidentState, flaps: Flaps) -> None:
        if state.incident is None:
            return
        flapping = state.flapping
        flapping.written_at = None
        found = await self._store.write(
            incident_queries.flap, state.incident.id, flaps, flapping.down_since, flapping.down_for
        )
        self._timeline.keep(state, found)

    async def _calm(self, state: IncidentState) -> None:
        async with state.lock:
            incident, flapping = state.incident, state.flapping
            if incident is None:
                return
            calm, count = self._policy.calm, flapping.flaps.count
            await self._write(state, Flaps((), None, count, flapping.flaps.last))
            if flapping.healthy and not self._timeline.is_down(state.subject):
                await self._timeline.close(state, message(Resolution.CALM, calm=calm, count=count), Flaps())
                return
            flapping.flaps, flapping.written_at = Flaps(), None
        await self._timeline.note(
            state.subject, event(IncidentEventKind.STAYS_DOWN, self._clock(), calm=calm, count=count)
        )


def _causes(incident: Incident) -> set[tuple[str, Param]]:
    """The kinds of causes that were reported of an incident."""
    found = [each.params.get("cause") for each in incident.events]
    return {same_kind(each) for each in (incident.cause, *found) if isinstance(each, Message)}
