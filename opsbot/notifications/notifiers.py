"""Notifiers: tells each notifier beside Discord what it is to be told, in order, each by itself.

One that takes nothing holds up nobody but itself. After a long absence what it missed comes as one message; so does
what happens to many services at once (`opsbot.core.storm`, as in Discord).
"""

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from opsbot.config import Notifier, SecretMissingError
from opsbot.core import storm
from opsbot.core.model import Incident
from opsbot.notifications import text_renderer
from opsbot.notifications.apprise_sender import OutgoingMessage, SendResult, send
from opsbot.runtime.change_notifier import ChangeNotifier
from opsbot.store import Store, deliveries, incident_repository
from opsbot.store.deliveries import Delivery

log = logging.getLogger(__name__)

AT_ONCE = 2
"""So many children at a time: each takes some 60 MB for a second or two."""
MISSED = 5
"""More than so many, the oldest older than STALE: they come as one message."""
STALE = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class RetryPace:
    """Seconds. retry: the first and the longest wait after a failure. look: the store is read at least so often.

    limit: for one message. stop: what a stop leaves to the one that is being handed over.
    """

    retry_first: float = 5.0
    retry_most: float = 300.0
    look: float = 30.0
    limit: float = 45.0
    stop: float = 5.0


def _alarm(each: Delivery) -> storm.StormAlert:
    return storm.StormAlert(each.notice.id, each.notice.subject or 0, each.notice.service, each.since)


@dataclass(frozen=True, slots=True)
class NotifierFigures:
    """One notifier, for the figures: messages since the start, and how it stands."""

    name: str
    sent: int
    failed: int
    waiting: int = 0
    failing_since: datetime | None = None


class Notifiers:
    """All configured notifiers."""

    def __init__(
        self,
        notifiers: Mapping[str, Notifier],
        store: Store,
        feed: ChangeNotifier,
        clock: Callable[[], datetime],
        host: str,
        redact: Callable[[str], str] = str,
        pace: RetryPace = RetryPace(),
    ) -> None:
        """Take the parts. host: what this host is called in messages."""
        self._notifiers = dict(notifiers)
        self._store = store
        self._feed = feed
        self._clock = clock
        self._host = host
        self._redact = redact
        self._pace = pace
        self._children = asyncio.Semaphore(AT_ONCE)
        self._sent = dict.fromkeys(notifiers, 0)
        self._failed = dict.fromkeys(notifiers, 0)
        self._held: set[str] = set()
        """Those that are told in a moment: more may come, and be one message with it."""

    async def run(self) -> None:
        """Until cancelled."""
        await self._store.write(deliveries.keep_only, list(self._notifiers))
        async with asyncio.TaskGroup() as group:
            for notifier in self._notifiers.values():
                group.create_task(self._serve(notifier), name=f"notifier {notifier.name}")

    async def _serve(self, notifier: Notifier) -> None:
        failures = 0
        with self._feed.subscribe() as changes:
            while True:
                try:
                    well = await self.round(notifier.name)
                except Exception:
                    # The edge of this loop: whatever goes wrong with one round, the next one comes.
                    log.exception("the notifier %s failed; it goes on", notifier.name)
                    well = False
                if well:
                    failures = 0
                    held = notifier.name in self._held
                    await changes.wait(min(storm.SETTLE.total_seconds(), self._pace.look) if held else self._pace.look)
                else:
                    failures += 1
                    await asyncio.sleep(self._backoff(failures))

    def _backoff(self, failures: int) -> float:
        most: float = min(self._pace.retry_first * 2 ** min(failures - 1, 20), self._pace.retry_most)
        return most * random.uniform(0.7, 1.0)  # noqa: S311 - no secret

    async def round(self, name: str) -> bool:
        """Hand over all that is due; whether all of it was taken."""
        notifier, store = self._notifiers[name], self._store
        told = [str(event) for event in notifier.told]
        await store.write(deliveries.enroll, name, told, notifier.services, self._clock())
        await store.write(deliveries.forget_silenced, name)
        self._held.discard(name)
        while due := await store.read(deliveries.due, name, self._clock()):
            now = self._clock()
            if len(due) > MISSED and now - due[0].since > STALE:
                work = self._deliver(notifier, due)
            else:
                verdict = storm.judge(list(map(_alarm, due)), await self._lately(name, now), now)
                if verdict is storm.StormVerdict.HOLD:
                    self._held.add(name)
                    return True
                gathered = verdict is storm.StormVerdict.GATHER
                work = self._deliver(notifier, due if gathered else due[:1], storms=gathered)
            if not await self._to_its_end(work):
                return False
        return True

    async def _lately(self, name: str, now: datetime) -> set[str]:
        return await self._store.read(deliveries.recently_notified, name, now - storm.WITHIN)

    async def _to_its_end(self, work: Coroutine[Any, Any, bool]) -> bool:
        """A stop waits a moment for what is being handed over: cut short, it would have to come again."""
        delivery = asyncio.create_task(work)
        try:
            return await asyncio.shield(delivery)
        except asyncio.CancelledError:
            await asyncio.wait({delivery}, timeout=self._pace.stop)
            delivery.cancel()
            await asyncio.gather(delivery, return_exceptions=True)
            raise

    async def escalate(self, incident: Incident, names: Sequence[str]) -> None:
        """Tell these notifiers, whatever else they are for, that nobody has acknowledged the incident."""
        await self._store.write(deliveries.escalation(names), incident.id, self._clock())
        self._feed.publish("notice")

    async def _deliver(self, notifier: Notifier, due: list[Delivery], *, storms: bool = False) -> bool:
        about = [(each, await self._incident(each)) for each in due]
        for each, incident in about:
            if each.why and incident is not None and incident.closed_at is not None:
                await self._store.write(deliveries.drop, each.id, "it was over before it was escalated")
        about = [(each, incident) for each, incident in about if not (each.why and incident and incident.closed_at)]
        if not about:
            return True
        again = any(each.doubt for each, _ in about)
        now = self._clock()
        if len(about) > 1 and storms:
            letter = text_renderer.storm(
                [(each.notice, incident, each.why) for each, incident in about], self._host, again=again
            )
        elif len(about) > 1:
            told = [(each.notice, incident) for each, incident in about]
            letter = text_renderer.digest(told, self._host, now, again=again)
        else:
            each, incident = about[0]
            letter = text_renderer.render_notification(
                each.notice, incident, self._host, now, why=each.why, again=again
            )
        numbers = [each.id for each, _ in about]
        await self._store.write(deliveries.trying, numbers, now)
        sent = await self._send(notifier, letter)
        if sent.ok:
            self._sent[notifier.name] += 1
            await self._store.write(deliveries.mark_sent, notifier.name, numbers, self._clock())
            self._feed.publish("notice")  # that it works again may have to be told
            return True
        self._failed[notifier.name] += 1
        log.warning("the notifier %s did not take a message, it waits: %s", notifier.name, sent.failure)
        doubt = {each.id: each.doubt or sent.doubt for each, _ in about}
        await self._store.write(deliveries.failed, notifier.name, numbers, sent.failure, self._clock(), doubt=doubt)
        self._feed.publish("notice")
        return False

    async def _incident(self, delivery: Delivery) -> Incident | None:
        subject = delivery.notice.subject
        return None if subject is None else await self._store.read(incident_repository.incident, subject)

    async def _send(self, notifier: Notifier, letter: OutgoingMessage) -> SendResult:
        try:
            url = await asyncio.to_thread(notifier.url.read)
        except SecretMissingError as error:
            return SendResult(ok=False, failure=str(error))
        clean = OutgoingMessage(self._redact(letter.title), self._redact(letter.body), letter.type)
        async with self._children:
            sent = await send(url, clean, self._pace.limit)
        return SendResult(
            sent.ok, text_renderer.plain(self._redact(sent.failure).replace(url, "[redacted]"), 500), sent.doubt
        )

    async def trial(self, name: str, by: str) -> SendResult:
        """Send a message that only tries the way; what came of it."""
        return await self._send(self._notifiers[name], text_renderer.trial(self._host, by))

    async def figures(self) -> tuple[NotifierFigures, ...]:
        """How each stands."""
        waiting = await self._store.read(deliveries.waiting)
        return tuple(
            NotifierFigures(name, self._sent[name], self._failed[name], *waiting.get(name, (0, None)))
            for name in self._notifiers
        )
