"""The casebook: opens incidents with their evidence, keeps their story, closes them; each is told to the channel."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import datetime

from opsbot.core.model import Evidence, Incident, NoticeKind
from opsbot.feed import Feed
from opsbot.services.port import LogQuery, ManagerError, ServiceManager, ServiceState, spoken
from opsbot.store import Store, ledger, outbox, watchbook
from opsbot.watch.watched import Watched
from opsbot.words import duration

log = logging.getLogger(__name__)

LOG_LINES = 15
LOG_SECONDS = 1.0


class Casebook:
    """The incidents of all watched services: at most one open at a time for each."""

    def __init__(
        self,
        watched: Mapping[str, Watched],
        store: Store,
        feed: Feed,
        managers: Mapping[str, ServiceManager],
        clock: Callable[[], datetime],
        redact: Callable[[str], str],
    ) -> None:
        """Take the parts; `watched` is the watcher's own."""
        self._watched = watched
        self._store = store
        self._feed = feed
        self._managers = managers
        self._clock = clock
        self._redact = redact

    async def trouble(self, name: str, cause: str, since: datetime, dead: ServiceState | None = None) -> None:
        """Open an incident. dead: the service as its manager found it dead."""
        watched = self._watched[name]
        async with watched.lock:
            if watched.incident is not None:
                return
            live = await self._store.read(ledger.live, name)
            evidence = await self._evidence(name, dead.exit if dead else "", dead.run if dead else None)
            draft = Incident(0, name, cause, since, evidence, deployment=live.deployment if live else None)
            watched.incident = await self._store.write(watchbook.open_incident, draft)
            watched.forget_tries()
            watched.last_deed = ""
        log.warning("%s: %s", name, cause)
        self._feed.publish("incident", watched.incident.id)
        self._feed.publish("notice")
        watched.hurry(self._clock())

    async def _evidence(self, name: str, exit_text: str = "", run: str | None = None) -> Evidence:
        """What was seen. Its log is that of one run alone, the present one where none is named."""
        watched = self._watched[name]
        failing = tuple(
            (check, health.last.seen)
            for check, health in watched.checks.items()
            if health.last is not None and not health.last.ok
        )
        lines: tuple[str, ...] = ()
        try:
            async with asyncio.timeout(LOG_SECONDS):
                run = run or (await self._managers[name].state(name)).run
                found = await self._managers[name].logs(name, LogQuery(LOG_LINES * 4))
                # The run of several units is all of theirs.
                ours = [line.text for line in spoken([line for line in found if not run or line.run in run])]
                lines = tuple(self._redact(text)[:500] for text in ours[-LOG_LINES:])
        except (ManagerError, TimeoutError) as error:
            log.warning("%s: its log cannot be read for the alert: %s", name, error)
        return Evidence(failing, exit_text, lines)

    async def note(self, name: str, deed: str, *, sign: str = "", worse: bool = False) -> None:
        """Add a deed to the open incident's story. worse: it has grown, so an acknowledgement of it is void."""
        watched = self._watched[name]
        noted = watched.incident
        if noted is None:
            return
        changed = await self._store.write(
            watchbook.change_incident, noted.id, self._clock(), deed=deed, sign=sign, worse=worse
        )
        still_open = watched.incident
        if changed is not None and still_open is not None and still_open.id == changed.id:
            watched.incident = changed
            self._feed.publish("incident", changed.id)
            self._feed.publish("notice")

    async def observe(self, name: str, text: str, sign: str = "") -> None:
        """Add to the open incident's timeline what is no deed: it is not on the card, and ends nothing."""
        noted = self._watched[name].incident
        if noted is not None:
            await self._store.write(watchbook.observe, noted.id, text, self._clock(), sign)
            self._feed.publish("notice")

    async def end(self, name: str, ended_by: str) -> None:
        """Close the open incident, and tell it."""
        watched = self._watched[name]
        async with watched.lock:
            if watched.incident is None:
                return
            closed = await self._store.write(watchbook.close_incident, name, ended_by, self._clock())
            watched.incident, watched.fallen = None, set()
            watched.forget_tries()
            watched.last_deed = ""
        if closed is not None:
            log.info("%s: incident %d is over after %s", name, closed.id, duration(self._clock() - closed.opened_at))
            self._feed.publish("incident", closed.id)
            self._feed.publish("notice")

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
        if watched.incident is None:
            return
        evidence = await self._evidence(name, watched.incident.evidence.exit)
        await self._store.write(watchbook.change_incident, watched.incident.id, now, evidence=evidence)
        await self._store.write(watchbook.call_human, watched.incident.id, why, now)
        log.error("%s: a human is needed: %s", name, why)
        self._feed.publish("incident", watched.incident.id)
        self._feed.publish("notice")

    async def tell(self, service: str, key: str, text: str, now: datetime) -> None:
        """Put a sentence into the ops channel, once a key."""
        body: dict[str, object] = {"text": text, "level": "warning"}
        await self._store.write(outbox.put, key, NoticeKind.WORD, service, now, body=body)
        self._feed.publish("notice")
