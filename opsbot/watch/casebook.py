"""The casebook: opens incidents with their evidence, keeps their story, closes them; each is told to the channel.

An incident's subject is a service, or something of the host (`opsbot.core.subjects`): those have no ladder, no checks
and nothing below them. One root cause is one incident: what fails because of it is listed in it. What comes and goes
again and again is one incident, too.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from opsbot.core.dependencies import Part, Wait
from opsbot.core.flapping import BY_TURNS, FlapPolicy, Flaps, changed, is_calm
from opsbot.core.layers import cause_of, is_checks, untangle
from opsbot.core.model import Deed, Dependent, Evidence, Incident, NoticeKind
from opsbot.core.subjects import is_host
from opsbot.feed import Feed
from opsbot.services.port import ServiceState
from opsbot.store import Store, incidents, ledger, outbox, watchbook
from opsbot.watch.case import Case, Pending
from opsbot.watch.family import Family
from opsbot.watch.watched import Watched
from opsbot.watch.witness import Witness, checks_of
from opsbot.words import duration

log = logging.getLogger(__name__)

COUNTED = timedelta(seconds=10)
"""How often the count of what flaps is written down, at most."""
AWAY = timedelta(minutes=2)
"""opsbot's sign of life is written once a minute: a longer silence means that it was away."""


class Casebook:
    """The incidents of all subjects: at most one open at a time for each."""

    def __init__(
        self,
        watched: Mapping[str, Watched],
        family: Family,
        witness: Witness,
        store: Store,
        feed: Feed,
        clock: Callable[[], datetime],
        flapping: FlapPolicy,
    ) -> None:
        """Take the parts; `watched` is the watcher's own."""
        self._watched = watched
        self._family = family
        self._witness = witness
        self._store = store
        self._feed = feed
        self._clock = clock
        self._flapping = flapping
        self._others: dict[str, Case] = {}
        self._deciding = asyncio.Lock()
        """Whose trouble something is, is settled and written down in one go."""
        self.away: timedelta | None = None
        """How long opsbot was not running before this start, where that is known."""

    def case(self, subject: str) -> Case:
        """What is remembered of a subject's trouble."""
        if subject in self._watched:
            return self._watched[subject].case
        return self._others.setdefault(subject, Case(subject))

    # Beginning

    async def open(self) -> None:
        """Remember the incidents that are open, and how often each subject changed of late."""
        now = self._clock()
        last = await self._store.read(incidents.last_alive)
        if last is not None and now - last > AWAY:
            self.away = now - last
        found = await self._store.read(watchbook.open_incidents)
        for subject, incident in found.items():
            if subject not in self._watched and not is_host(subject):
                await self._store.write(watchbook.close_incident, subject, "it is not configured any more", now)
                continue
            case = self.case(subject)
            case.incident, case.flaps = incident, incident.flaps if incident.flaps.flapping else Flaps()
            for one in incident.dependents:
                if one.well_at is None and one.service not in found:
                    self._family.take(subject, incident.id, {one.service: (one.cause, one.failed_at)})
        for name in self._watched:
            case = self.case(name)
            if not case.flaps.flapping:
                changes = await self._store.read(incidents.changes, name, now - self._flapping.window)
                case.flaps = Flaps(changes[-self._flapping.changes + 1 :], last=changes[-1] if changes else None)

    # Trouble

    async def trouble(
        self,
        subject: str,
        cause: str,
        since: datetime,
        dead: ServiceState | None = None,
        evidence: Evidence | None = None,
    ) -> None:
        """A subject is not well: open an incident, or list it in that of the service it needs.

        dead: the service as its manager found it dead. evidence: what was seen, for a subject that is no service.
        Where it has an incident already nothing is done, but that one more change of what flaps is counted.
        """
        case, watched = self.case(subject), self._watched.get(subject)
        async with case.lock:
            if case.incident is not None:
                if case.flaps.flapping and case.well:
                    self._turn(case, well=False)
                return
            if watched is None:
                await self._open(case, cause, since, evidence or Evidence())
                return
            in_grace = watched.under is not None and self._family.is_over(watched.under)
            if watched.pending is None and not in_grace:
                await self._attribute(watched, Pending(cause, since, self._clock(), dead))

    async def settle(self, name: str) -> None:
        """Ask again whose trouble it is, of a service that waits for the verdict on those it needs."""
        watched = self._watched[name]
        async with watched.case.lock:
            if watched.pending is not None:
                await self._attribute(watched, watched.pending)

    async def _attribute(self, watched: Watched, pending: Pending) -> None:
        name, now = watched.service.name, self._clock()
        match self._family.whose(name, pending.asked, now):
            case Wait(on):
                self._family.wait(watched, pending, on, now)
            case Part(root) if await self._list(root, watched, pending):
                return
            case _:
                evidence = await self._witness.evidence(watched, pending.dead)
                await self._open(watched.case, pending.cause, pending.since, evidence, pending)

    async def _list(self, root: str, watched: Watched, pending: Pending) -> bool:
        """Put a service into the open incident of the one that is to blame; False where that one is over meanwhile."""
        name = watched.service.name
        async with self._deciding:
            incident = self.case(root).incident
            if incident is None:
                return False
            one = Dependent(name, pending.cause, pending.since)
            listed = await self._store.write(watchbook.put_dependents, incident.id, [one])
            self._family.take(root, incident.id, {name: (pending.cause, pending.since)})
            self._keep(self.case(root), listed)
        log.warning("%s: %s, because of %s", name, pending.cause, root)
        return True

    def _keep(self, case: Case, incident: Incident | None) -> None:
        """An incident as it is now in the store."""
        if incident is None:
            return
        if case.incident is not None and case.incident.id == incident.id:
            case.incident = incident
        self._feed.publish("incident", incident.id)

    async def _open(
        self, case: Case, cause: str, since: datetime, evidence: Evidence, pending: Pending | None = None
    ) -> None:
        subject, watched = case.subject, self._watched.get(case.subject)
        live = await self._store.read(ledger.live, subject)
        deeds: tuple[Deed, ...] = ()
        if watched is not None and not watched.seen_well and self.away is not None:
            text = f"opsbot was not running for {duration(self.away)} before it saw this: it may have begun then"
            deeds = (Deed(self._clock(), text),)
        async with self._deciding:
            now = self._clock()
            if pending is not None and watched is not None:
                whose = self._family.whose(subject, pending.asked, now)
                if isinstance(whose, Part) and self.case(whose.root).incident is not None:
                    # The root was opened while the evidence was gathered.
                    watched.pending = pending
                    return
                watched.pending = watched.under = None
            case.flaps = case.flaps if case.flaps.flapping else changed(case.flaps, since, self._flapping)
            case.well, case.flaps_written = False, None
            draft = Incident(
                0,
                subject,
                cause,
                case.flaps.since or since,
                evidence,
                deeds,
                deployment=live.deployment if live else None,
                flaps=case.flaps if case.flaps.flapping else Flaps(),
            )
            # What died while opsbot was away is told late from then on; what a check sees, from when it is judged.
            noticed = since if pending is not None and pending.dead is not None else now
            await self._write(case, draft, now, noticed)
        if watched is not None:
            watched.forget_tries()
            watched.last_deed = ""
            watched.hurry(self._clock())
        log.warning("%s: %s", subject, cause)
        self._feed.publish("notice")

    async def _write(self, case: Case, draft: Incident, now: datetime, noticed: datetime) -> None:
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
            watchbook.open_incident, replace(draft, dependents=tuple(waiting)), now, fold, noticed
        )
        case.incident = opened
        self._family.take(subject, opened.id, {one.service: (one.cause, one.failed_at) for one in opened.dependents})
        self._feed.publish("incident", opened.id)

    async def more(self, name: str) -> None:
        """Another check of a service in trouble is down: the evidence has it, and what is root-most names the cause."""
        watched = self._watched[name]
        incident = watched.incident
        if incident is None:
            return
        evidence, cause = checks_of(watched, incident.evidence), None
        causes, _ = untangle(watched.failing)
        if causes and is_checks(incident.cause):
            cause = cause_of(causes[0])
        found = await self._store.write(
            watchbook.change_incident, incident.id, self._clock(), evidence=evidence, cause=cause
        )
        self._keep(watched.case, found)

    # Its story

    async def note(self, subject: str, deed: str, at: datetime | None = None) -> None:
        """Add a deed to the open incident's story. at: when it was done, where not now."""
        case = self.case(subject)
        noted = case.incident
        if noted is not None:
            self._keep(
                case, await self._store.write(watchbook.change_incident, noted.id, at or self._clock(), deed=deed)
            )

    async def afresh(self, service: str, deed: str) -> None:
        """A person took a hand in it: recovery begins anew, and may call again."""
        watched = self._watched[service]
        watched.forget_tries()
        if watched.incident is not None:
            await self._store.write(watchbook.uncall, watched.incident.id)
            await self.note(service, deed)

    async def call(self, name: str, why: str, now: datetime) -> None:
        """Call for a human, with what is seen now."""
        watched = self._watched[name]
        watched.called = True
        incident = watched.incident
        if incident is None:
            return
        evidence = await self._witness.evidence(watched, exit_text=incident.evidence.exit)
        await self._store.write(watchbook.change_incident, incident.id, now, evidence=evidence)
        await self._store.write(watchbook.call_human, incident.id, why, now)
        log.error("%s: a human is needed: %s", name, why)
        self._feed.publish("incident", incident.id)
        self._feed.publish("notice")

    async def tell(self, service: str, key: str, text: str, now: datetime) -> None:
        """Put a sentence into the ops channel, once a key."""
        body: dict[str, object] = {"text": text, "level": "warning"}
        await self._store.write(outbox.put, key, NoticeKind.WORD, service, now, body=body)
        self._feed.publish("notice")

    # Its end

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

    async def _close(self, case: Case, ended_by: str, flaps: Flaps) -> None:
        now = self._clock()
        closed = await self._store.write(watchbook.close_incident, case.subject, ended_by, now)
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
            watched.last_deed = ""

    async def well(self, name: str) -> None:
        """A service that is listed in another's incident is well again: that one says so."""
        watched = self._watched[name]
        async with watched.case.lock:
            under = watched.under
            if under is None or under.well:
                return
            under.well = True
            one = Dependent(name, under.cause, under.failed_at, self._clock())
            found = await self._store.write(watchbook.put_dependents, under.incident, [one])
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
            text = f"{under.cause}; {under.root} is well again since"
            await self._attribute(watched, Pending(text, under.failed_at, self._clock()))

    # What flaps

    def _turn(self, case: Case, *, well: bool) -> None:
        case.well = well
        case.flaps = changed(case.flaps, self._clock(), self._flapping)
        case.flaps_written = case.flaps_written or self._clock()

    async def _begin_flapping(self, case: Case, before: Incident, flaps: Flaps, now: datetime) -> None:
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
        opened = await self._store.write(incidents.begin_flapping, draft, now)
        case.incident, case.flaps, case.well, case.flaps_written = opened, flaps, True, None
        self._forget(case.subject)
        self._family.take(
            case.subject, opened.id, {one.service: (one.cause, one.failed_at) for one in opened.dependents}
        )
        log.warning("%s flaps: %d changes", case.subject, flaps.count)
        self._feed.publish("incident", before.id)
        self._feed.publish("incident", opened.id)
        self._feed.publish("notice")

    async def alternates(self, name: str, cause: str, count: int) -> None:
        """A check fails and passes by turns, and would never be down: the service flaps."""
        watched = self._watched[name]
        case, now = watched.case, self._clock()
        async with case.lock:
            if watched.unwell or watched.pending is not None:
                return
            match self._family.whose(name, now, now):
                case Wait(_):
                    return  # it is asked again at its next look
                case Part(root):
                    await self._list(root, watched, Pending(cause, now, now))
                case _:
                    evidence = await self._witness.evidence(watched)
                    case.flaps = Flaps((), now, count, now)
                    await self._open(case, cause, now, evidence)
                    case.well = True

    def turned(self, name: str) -> None:
        """A check that fails and passes by turns turned once more."""
        case = self._watched[name].case
        if case.flaps.flapping and case.incident is not None and BY_TURNS in case.incident.cause:
            self._turn(case, well=case.well)

    async def tick(self) -> None:
        """Write down the counts of what flaps, and end what is calm."""
        now = self._clock()
        cases = [*(one.case for one in self._watched.values()), *self._others.values()]
        for case in cases:
            if not case.flaps.flapping or case.incident is None:
                continue
            if is_calm(case.flaps, now, self._flapping):
                await self._calm(case)
            elif case.flaps_written is not None and not timedelta(0) <= now - case.flaps_written < COUNTED:
                case.flaps_written = None
                self._keep(case, await self._store.write(incidents.flap, case.incident.id, case.flaps))

    async def _calm(self, case: Case) -> None:
        async with case.lock:
            incident, watched = case.incident, self._watched.get(case.subject)
            if incident is None:
                return
            length = duration(self._flapping.calm)
            count = case.flaps.count
            found = await self._store.write(incidents.flap, incident.id, Flaps((), None, count, case.flaps.last))
            self._keep(case, found)
            if case.well and not (watched is not None and watched.down):
                await self._close(case, f"calm for {length} after {count} changes", Flaps())
                return
            case.flaps, case.flaps_written = Flaps(), None
        await self.note(case.subject, f"it stays down for {length} now, after {count} changes: no longer flapping")
