"""How an incident ends: when its subject is well; what flaps, when it is calm."""

import logging
from dataclasses import replace
from datetime import datetime, timedelta

from opsbot.core.flapping import BY_TURNS, Flaps, changed, is_calm
from opsbot.core.model import Incident
from opsbot.formatting import duration
from opsbot.monitoring.incident_state import IncidentState, kind_of
from opsbot.monitoring.incident_timeline import IncidentTimeline
from opsbot.store import incident_queries, incident_repository

log = logging.getLogger(__name__)

COUNTED = timedelta(seconds=10)
"""How often the count of what flaps is written down, at most."""


class IncidentResolution(IncidentTimeline):
    """IncidentResolution incidents, and counts what flaps."""

    async def end(self, subject: str, ended_by: str, *, surely: bool = False) -> None:
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
                await self._close(case, ended_by, flaps)

    async def _close(self, case: IncidentState, ended_by: str, flaps: Flaps) -> None:
        now = self._clock()
        closed = await self._store.write(incident_repository.close_incident, case.subject, ended_by, now)
        case.incident, case.flaps, case.flaps_written = None, flaps, None
        self._forget(case.subject)
        if closed is not None:
            log.info("%s: incident %d is over after %s", case.subject, closed.id, duration(now - closed.opened_at))
            self._feed.publish("incident", closed.id)
            self._feed.publish("notice")

    def _forget(self, subject: str) -> None:
        watched = self._watched.get(subject)
        if watched is not None:
            watched.forget_tries()
            watched.forget_deeds()
            watched.fallen = set()

    # What flaps

    def _turn(self, case: IncidentState, *, well: bool) -> None:
        case.well = well
        case.flaps = changed(case.flaps, self._clock(), self._flapping)
        case.flaps_written = case.flaps_written or self._clock()

    async def _begin_flapping(self, case: IncidentState, before: Incident, flaps: Flaps, now: datetime) -> None:
        draft = replace(
            before,
            id=0,
            opened_at=flaps.since or now,
            deeds=(),
            called_at=None,
            flaps=flaps,
            dependents=tuple(one for one in before.dependents if one.well_at is None),
            revision=0,
        )
        opened = await self._store.write(incident_queries.begin_flapping, draft, now)
        case.incident, case.flaps, case.well, case.flaps_written = opened, flaps, True, None
        case.causes = set()
        self._forget(case.subject)
        self._family.take(
            case.subject, opened.id, {one.service: (one.cause, one.failed_at) for one in opened.dependents}
        )
        log.warning("%s flaps: %d changes", case.subject, flaps.count)
        self._feed.publish("incident", before.id)
        self._feed.publish("incident", opened.id)
        self._feed.publish("notice")

    async def _otherwise(self, case: IncidentState, cause: str) -> None:
        """Each thing that goes wrong with what flaps is told once; that it goes up and down is only counted."""
        if case.incident is None:
            return
        case.causes.add(kind_of(case.incident.cause))
        if kind_of(cause) not in case.causes:
            case.causes.add(kind_of(cause))
            await self.observe(case.subject, cause, "🔴")
            if case.subject in self._watched:
                await self.more(case.subject)

    def turned(self, name: str) -> None:
        """A check that fails and passes by turns turned once more."""
        case = self._watched[name].case
        if case.flaps.flapping and case.incident is not None and BY_TURNS in case.incident.cause:
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
            if is_calm(case.flaps, now, self._flapping):
                await self._calm(case)
            elif case.flaps_written is not None and not timedelta(0) <= now - case.flaps_written < COUNTED:
                case.flaps_written = None
                self._keep(case, await self._store.write(incident_queries.flap, case.incident.id, case.flaps))

    async def _calm(self, case: IncidentState) -> None:
        async with case.lock:
            incident, watched = case.incident, self._watched.get(case.subject)
            if incident is None:
                return
            length = duration(self._flapping.calm)
            count = case.flaps.count
            found = await self._store.write(incident_queries.flap, incident.id, Flaps((), None, count, case.flaps.last))
            self._keep(case, found)
            if case.well and not (watched is not None and watched.down):
                await self._close(case, f"calm for {length} after {count} changes", Flaps())
                return
            case.flaps, case.flaps_written = Flaps(), None
        await self.note(case.subject, f"it stays down for {length} now, after {count} changes: no longer flapping")
