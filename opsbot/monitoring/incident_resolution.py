"""How an incident ends: when its subject is well; what flaps, when it is calm."""

import logging
from dataclasses import replace
from datetime import datetime, timedelta

from opsbot.core.flapping import Flaps, changed, is_calm
from opsbot.core.incident import IncidentCause, IncidentEventKind, Resolution, event, same_kind
from opsbot.core.message import Message, message
from opsbot.core.model import Incident
from opsbot.formatting import duration
from opsbot.monitoring.incident_state import IncidentState
from opsbot.monitoring.incident_timeline import IncidentTimeline
from opsbot.store import incident_queries, incident_repository

log = logging.getLogger(__name__)

COUNTED = timedelta(seconds=10)
"""How often the count of what flaps is written down, at most."""


class IncidentResolution(IncidentTimeline):
    """IncidentResolution incidents, and counts what flaps."""

    async def end(self, subject: str, resolution: Message, *, surely: bool = False) -> None:
        """It is well again: close the open incident, and tell it.

        What flaps is only counted, until it is calm. surely: it is over whether it flaps or not.
        """
        case = self.case(subject)
        async with case.lock:
            incident = case.incident
            if incident is None:
                return
            if case.flaps.flapping and not surely:
                if not case.well:
                    self._turn(case, well=True)
                return
            now = self._clock()
            flaps = Flaps() if surely else changed(case.flaps, now, self._flapping)
            if flaps.flapping:
                await self._begin_flapping(case, incident, flaps, now)
            else:
                await self._close(case, resolution, flaps)

    def _up_since(self, subject: str) -> datetime | None:
        watched = self._watched.get(subject)
        return None if watched is None else watched.up_since

    async def _close(self, case: IncidentState, resolution: Message, flaps: Flaps) -> None:
        now, up_since = self._clock(), self._up_since(case.subject)
        closed = await self._store.write(incident_repository.close_incident, case.subject, resolution, now, up_since)
        case.incident, case.flaps, case.flaps_written = None, flaps, None
        if closed is not None:
            log.info("%s: incident %d is over after %s", case.subject, closed.id, duration(now - closed.opened_at))
            self._feed.publish("incident", closed.id)
            self._feed.publish("notice")

    # What flaps

    def _turn(self, case: IncidentState, *, well: bool, since: datetime | None = None) -> None:
        """Count one change. since: since when it is down, where it is."""
        now = self._clock()
        if well and case.down_since is not None:
            up_since = min(self._up_since(case.subject) or now, now)
            case.down_for += max(up_since - case.down_since, timedelta(0))
            case.down_since = None
        elif not well and since is not None:
            case.down_since = case.down_since or since
        case.well = well
        case.flaps = changed(case.flaps, now, self._flapping)
        case.flaps_written = case.flaps_written or now

    async def _begin_flapping(self, case: IncidentState, before: Incident, flaps: Flaps, now: datetime) -> None:
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
        opened = await self._store.write(incident_queries.begin_flapping, draft, now, self._up_since(case.subject))
        case.incident, case.flaps, case.well, case.flaps_written = opened, flaps, True, None
        case.down_since, case.down_for = opened.down_since, opened.down_for
        case.causes = set()
        self._family.take(
            case.subject, opened.id, {one.service: (one.cause, one.failed_at) for one in opened.dependents}
        )
        log.warning("%s flaps: %d changes", case.subject, flaps.count)
        self._feed.publish("incident", before.id)
        self._feed.publish("incident", opened.id)
        self._feed.publish("notice")

    async def _otherwise(self, case: IncidentState, cause: Message) -> None:
        """Each thing that goes wrong with what flaps is told once; that it goes up and down is only counted."""
        incident = case.incident
        if incident is None or cause == incident.cause:
            return
        if same_kind(cause) == same_kind(incident.cause):
            await self._the_same_anew(case, incident, cause)
            return
        case.causes.add(same_kind(incident.cause))
        new = same_kind(cause) not in case.causes
        case.causes.add(same_kind(cause))
        happened = event(IncidentEventKind.OTHER_CAUSE, self._clock(), cause=cause)
        watched = self._watched.get(case.subject)
        if watched is not None:
            evidence = await self._evidence_collector.evidence(watched, before=incident.evidence)
            await self.note(case.subject, happened, evidence=evidence, cause=cause, quiet=not new)
        elif new:
            await self.note(case.subject, happened, cause=cause)

    async def _the_same_anew(self, case: IncidentState, incident: Incident, cause: Message) -> None:
        """It fails in the same way as before, and something else was seen: the card says what was seen last."""
        watched = self._watched.get(case.subject)
        evidence = (
            None if watched is None else await self._evidence_collector.evidence(watched, before=incident.evidence)
        )
        found = await self._store.write(
            incident_repository.change_incident, incident.id, evidence=evidence, cause=cause
        )
        self._keep(case, found)

    def turned(self, name: str) -> None:
        """A check that fails and passes by turns turned once more."""
        case = self._watched[name].case
        if case.flaps.flapping and case.incident is not None:
            cause = case.incident.cause
            if cause.code == IncidentCause.CHECK_ALTERNATES:
                self._turn(case, well=case.well)

    @property
    def idle(self) -> bool:
        """Whether nothing is open that a tick would look at."""
        return not self._others and all(one.case.incident is None for one in self._watched.values())

    async def tick(self) -> None:
        """Write down the counts of what flaps, and end what is calm."""
        now = self._clock()
        cases = [*(one.case for one in self._watched.values() if one.case.incident is not None), *self._others.values()]
        for case in cases:
            if not case.flaps.flapping or case.incident is None:
                continue
            if is_calm(case.flaps, now, self._flapping) and self._watched_for(now, self._flapping.calm):
                await self._calm(case)
            elif case.flaps_written is not None and not timedelta(0) <= now - case.flaps_written < COUNTED:
                case.flaps_written = None
                await self._write_flaps(case, case.incident, case.flaps)

    def _watched_for(self, now: datetime, length: timedelta) -> bool:
        """Whether opsbot has seen all of that time: while it was away anything may have changed."""
        return self.back_at is None or not timedelta(0) <= now - self.back_at < length

    async def _write_flaps(self, case: IncidentState, incident: Incident, flaps: Flaps) -> None:
        found = await self._store.write(incident_queries.flap, incident.id, flaps, case.down_since, case.down_for)
        self._keep(case, found)

    async def close(self) -> None:
        """Write down what is only counted so far."""
        for case in [*(one.case for one in self._watched.values()), *self._others.values()]:
            if case.incident is not None and case.flaps_written is not None:
                case.flaps_written = None
                await self._write_flaps(case, case.incident, case.flaps)

    async def _calm(self, case: IncidentState) -> None:
        async with case.lock:
            incident, watched = case.incident, self._watched.get(case.subject)
            if incident is None:
                return
            calm, count = self._flapping.calm, case.flaps.count
            await self._write_flaps(case, incident, Flaps((), None, count, case.flaps.last))
            if case.well and not (watched is not None and watched.down):
                await self._close(case, message(Resolution.CALM, calm=calm, count=count), Flaps())
                return
            case.flaps, case.flaps_written = Flaps(), None
        await self.note(case.subject, event(IncidentEventKind.STAYS_DOWN, self._clock(), calm=calm, count=count))
