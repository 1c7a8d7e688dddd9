"""The casebook: opens incidents with their evidence, keeps their story, closes them; each is told to the channel.

An incident's subject is a service, or something of the host (`opsbot.core.subjects`): those have no ladder, no checks
and nothing below them. One root cause is one incident: what fails because of it is listed in it. What comes and goes
again and again is one incident, too.
"""

import logging
from dataclasses import replace
from datetime import datetime, timedelta

from opsbot.core.dependencies import AwaitVerdict, CausedBy
from opsbot.core.flapping import Flaps, changed
from opsbot.core.incident import IncidentCause, IncidentEvent, IncidentEventKind, Resolution, event, same_kind
from opsbot.core.message import Message, Param, message
from opsbot.core.model import ADVICE, Dependent, Evidence, Incident
from opsbot.core.subjects import is_host
from opsbot.messages import render
from opsbot.monitoring.incident_resolution import IncidentResolution
from opsbot.monitoring.incident_state import IncidentState, PendingCause
from opsbot.monitoring.monitored_service import MonitoredService, is_down
from opsbot.services.port import ServiceState
from opsbot.store import incident_queries, incident_repository, ledger

log = logging.getLogger(__name__)

AWAY = timedelta(minutes=2)
"""opsbot's sign of life is written once a minute: a longer silence means that it was away."""


class IncidentManager(IncidentResolution):
    """The incidents of all subjects: at most one open at a time for each."""

    # Beginning

    async def open(self) -> None:
        """Remember the incidents that are open, and how often each subject changed of late."""
        now = self._clock()
        last = self.last_alive = await self._store.read(incident_queries.last_alive)
        if last is not None and now - last > AWAY:
            self.away, self.back_at = now - last, now
        found = await self._store.read(incident_repository.open_incidents)
        for subject, incident in found.items():
            if subject not in self._watched and not is_host(subject):
                await self._store.write(
                    incident_repository.close_incident, subject, message(Resolution.NOT_CONFIGURED), now
                )
                continue
            case = self.case(subject)
            case.incident, case.flaps = incident, incident.flaps if incident.flaps.flapping else Flaps()
            if incident.flaps.flapping:
                case.well, case.causes = incident.down_since is None, _causes(incident)
                case.down_since, case.down_for = incident.down_since, incident.down_for
            for one in incident.dependents:
                if one.well_at is None and one.service not in found:
                    self._family.take(subject, incident.id, {one.service: (one.cause, one.failed_at)})
        changes = await self._store.read(incident_queries.changes, now - self._flapping.window)
        for subject, times in changes.items():
            case = self.case(subject)
            if not case.flaps.flapping:
                case.flaps = Flaps(times[-self._flapping.changes + 1 :], last=times[-1])

    # Trouble

    async def trouble(
        self,
        subject: str,
        cause: Message,
        since: datetime,
        dead: ServiceState | None = None,
        evidence: Evidence | None = None,
    ) -> None:
        """A subject is not well: open an incident, or list it in that of the service it needs.

        dead: the service as its manager found it dead. evidence: what was seen, for a subject that is no service.
        Where it has an incident already nothing is done, but of what flaps one more change is counted, and what goes
        wrong otherwise than before is told.
        """
        case, watched = self.case(subject), self._watched.get(subject)
        async with case.lock:
            if case.incident is not None:
                if case.flaps.flapping:
                    if case.well:
                        self._turn(case, well=False, since=since)
                    await self._otherwise(case, cause)
                return
            if watched is None:
                await self._open(case, cause, since, evidence or Evidence())
                return
            in_grace = watched.under is not None and self._family.is_over(watched.under)
            if watched.pending is None and not in_grace:
                await self._attribute(watched, PendingCause(cause, since, self._clock(), dead))

    async def settle(self, name: str) -> None:
        """Ask again whose trouble it is, of a service that waits for the verdict on those it needs."""
        watched = self._watched[name]
        async with watched.case.lock:
            if watched.pending is not None:
                await self._attribute(watched, watched.pending)

    async def _attribute(self, watched: MonitoredService, pending: PendingCause) -> None:
        name, now = watched.service.name, self._clock()
        match self._family.whose(name, pending.asked, now):
            case AwaitVerdict(on):
                self._family.wait(watched, pending, on, now)
            case CausedBy(root) if await self._list(root, watched, pending):
                return
            case _:
                evidence = await self._evidence_collector.evidence(watched, pending.dead)
                await self._open(watched.case, pending.cause, pending.since, evidence, pending)

    async def _list(self, root: str, watched: MonitoredService, pending: PendingCause) -> bool:
        """Put a service into the open incident of the one that is to blame; False where that one is over meanwhile."""
        name = watched.service.name
        async with self._deciding:
            incident = self.case(root).incident
            if incident is None:
                return False
            one = Dependent(name, pending.cause, pending.since)
            listed = await self._store.write(incident_repository.put_dependents, incident.id, [one])
            self._family.take(root, incident.id, {name: (pending.cause, pending.since)})
            self._keep(self.case(root), listed)
        log.warning("%s: %s, because of %s", name, render(pending.cause), root)
        return True

    async def _open(
        self,
        case: IncidentState,
        cause: Message,
        since: datetime,
        evidence: Evidence,
        pending: PendingCause | None = None,
        *,
        down: bool = True,
    ) -> None:
        """down: it is; else it only fails and passes by turns."""
        subject, watched = case.subject, self._watched.get(case.subject)
        live = await self._store.read(ledger.live, subject)
        events: tuple[IncidentEvent, ...] = (_opening(cause, since, evidence, watched),)
        if watched is not None and not watched.seen_well and self.away is not None:
            events = (*events, event(IncidentEventKind.UNSEEN_BEFORE, self._clock(), away=self.away))
        async with self._deciding:
            now = self._clock()
            if pending is not None and watched is not None:
                whose = self._family.whose(subject, pending.asked, now)
                if isinstance(whose, CausedBy) and self.case(whose.root).incident is not None:
                    # The root was opened while the evidence was gathered.
                    watched.pending = pending
                    return
                watched.pending = watched.under = None
            case.flaps = case.flaps if case.flaps.flapping else changed(case.flaps, since, self._flapping)
            case.well, case.flaps_written = False, None
            case.causes = {same_kind(cause)}
            draft = Incident(
                0,
                subject,
                cause,
                case.flaps.since or since,
                evidence,
                events,
                deployment=live.deployment if live else None,
                flaps=case.flaps if case.flaps.flapping else Flaps(),
                down_since=since if down else None,
            )
            # What died while opsbot was away is told late from then on; what a check sees, from when it is judged.
            noticed = since if pending is not None and pending.dead is not None else now
            await self._write(case, draft, now, noticed)
        if watched is not None:
            watched.hurry(self._clock())
        log.warning("%s: %s", subject, render(cause))
        self._feed.publish("notice")

    async def _write(self, case: IncidentState, draft: Incident, now: datetime, noticed: datetime) -> None:
        """Open the incident, with all that fails below its subject in it."""
        subject = case.subject
        below = {name: self._watched[name] for name in self._family.below(subject)}
        fold = [name for name, one in below.items() if one.incident is not None]
        waiting = [
            Dependent(name, one.pending.cause, one.pending.since)
            for name, one in below.items()
            if one.pending is not None
        ]
        opened = await self._store.write(
            incident_repository.open_incident, replace(draft, dependents=tuple(waiting)), now, fold, noticed
        )
        case.incident, case.down_since, case.down_for = opened, opened.down_since, opened.down_for
        self._family.take(subject, opened.id, {one.service: (one.cause, one.failed_at) for one in opened.dependents})
        self._feed.publish("incident", opened.id)

    async def well(self, name: str) -> None:
        """A service that is listed in another's incident is well again: that one says so."""
        watched = self._watched[name]
        async with watched.case.lock:
            under = watched.under
            if under is None or under.well:
                return
            under.well = True
            one = Dependent(name, under.cause, under.failed_at, self._clock())
            found = await self._store.write(incident_repository.put_dependents, under.incident, [one])
            self._keep(self.case(under.root), found)
            if watched.under is under:
                watched.under = None

    async def leave(self, name: str) -> None:
        """What it hung below is over, and it is still down: the trouble is its own from here on."""
        watched = self._watched[name]
        async with watched.case.lock:
            under = watched.under
            if under is None or not self._family.is_over(under):
                return
            cause = message(IncidentCause.AFTER_DEPENDENCY, cause=under.cause, root=under.root)
            await self._attribute(watched, PendingCause(cause, under.failed_at, self._clock()))

    async def alternates(self, name: str, cause: Message, count: int) -> None:
        """A check fails and passes by turns, and would never be down: the service flaps."""
        watched = self._watched[name]
        case, now = watched.case, self._clock()
        async with case.lock:
            if watched.unwell or watched.pending is not None:
                return
            match self._family.whose(name, now, now):
                case AwaitVerdict(_):
                    return  # it is asked again at its next look
                case CausedBy(root):
                    await self._list(root, watched, PendingCause(cause, now, now))
                case _:
                    evidence = await self._evidence_collector.evidence(watched)
                    case.flaps = Flaps((), now, count, now)
                    await self._open(case, cause, now, evidence, down=False)
                    case.well = True


def _opening(cause: Message, since: datetime, evidence: Evidence, watched: MonitoredService | None) -> IncidentEvent:
    """The first event. Its `checks` are known to be down: should one of them be so again, that is nothing new."""
    down = [] if watched is None else [name for name, health in watched.checks.items() if is_down(health)]
    known = tuple(dict.fromkeys([*down, *(name for name, _ in evidence.checks if name != ADVICE)]))
    return event(IncidentEventKind.OPENED, since, cause=cause, checks=known)


def _causes(incident: Incident) -> set[tuple[str, Param]]:
    """The kinds of causes that were told of an incident."""
    found = [each.params.get("cause") for each in incident.events]
    return {same_kind(each) for each in (incident.cause, *found) if isinstance(each, Message)}
