"""Deliver notifications to notifiers other than Discord, in order.

A failing notifier delays only itself. After a long failure its pending notifications are combined into one message, as
are alerts of many services (`opsbot.core.storm`, as in Discord).
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
from opsbot.runtime.tasks import cancel_all
from opsbot.store import Store, deliveries, incident_repository
from opsbot.store.deliveries import Delivery

log = logging.getLogger(__name__)

AT_ONCE = 2
"""Maximum number of concurrent child processes; each uses some 60 MB for a second or two."""
MISSED = 5
"""More pending notifications than this, the oldest older than STALE, are combined into one message."""
STALE = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class RetryPace:
    """Seconds. retry: the first and longest wait after a failure.

    look: maximum time between reads of the store.

    limit: for one message. stop: time left for a running delivery when opsbot stops.
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
    """Figures of one notifier: messages since startup, and its current state."""

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
        """host: this host's name in messages."""
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
        self._settling: set[str] = set()
        """Notifiers whose alerts wait a moment so that more can be combined with them."""

    async def run(self) -> None:
        await self._store.write(deliveries.keep_only, list(self._notifiers))
        async with asyncio.TaskGroup() as group:
            for notifier in self._notifiers.values():
                group.create_task(self._serve(notifier), name=f"notifier {notifier.name}")

    async def _serve(self, notifier: Notifier) -> None:
        failures = 0
        with self._feed.subscribe() as changes:
            while True:
                try:
                    ok = await self.round(notifier.name)
                except Exception:
                    # Boundary: whatever fails in one round, the next one runs.
                    log.exception("the notifier %s failed; it will be retried", notifier.name)
                    ok = False
                if ok:
                    failures = 0
                    is_settling = notifier.name in self._settling
                    await changes.wait(
                        min(storm.SETTLE.total_seconds(), self._pace.look) if is_settling else self._pace.look
                    )
                else:
                    failures += 1
                    await asyncio.sleep(self._backoff(failures))

    def _backoff(self, failures: int) -> float:
        most: float = min(self._pace.retry_first * 2 ** min(failures - 1, 20), self._pace.retry_most)
        return most * random.uniform(0.7, 1.0)  # noqa: S311 - no secret

    async def round(self, name: str) -> bool:
        """Deliver everything pending; returns whether all of it was accepted."""
        notifier, store = self._notifiers[name], self._store
        events = [str(event) for event in notifier.told]
        await store.write(deliveries.enroll, name, events, notifier.services, self._clock())
        await store.write(deliveries.forget_silenced, name)
        self._settling.discard(name)
        while due := await store.read(deliveries.due, name, self._clock()):
            now = self._clock()
            if len(due) > MISSED and now - due[0].since > STALE:
                work = self._deliver(notifier, due)
            else:
                verdict = storm.judge(list(map(_alarm, due)), await self._recently_notified(name, now), now)
                if verdict is storm.StormVerdict.HOLD:
                    self._settling.add(name)
                    return True
                gathered = verdict is storm.StormVerdict.GATHER
                work = self._deliver(notifier, due if gathered else due[:1], storms=gathered)
            if not await self._to_its_end(work):
                return False
        return True

    async def _recently_notified(self, name: str, now: datetime) -> set[str]:
        return await self._store.read(deliveries.recently_notified, name, now - storm.WITHIN)

    async def _to_its_end(self, work: Coroutine[Any, Any, bool]) -> bool:
        """Let a running delivery finish for a moment when stopping.

        Interrupted, it would be sent again.
        """
        delivery = asyncio.create_task(work)
        try:
            return await asyncio.shield(delivery)
        except asyncio.CancelledError:
            await asyncio.wait({delivery}, timeout=self._pace.stop)
            await cancel_all(delivery)
            raise

    async def escalate(self, incident: Incident, names: Sequence[str]) -> None:
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
            outgoing = text_renderer.storm(
                [(each.notice, incident, each.why) for each, incident in about], self._host, again=again
            )
        elif len(about) > 1:
            parts = [(each.notice, incident) for each, incident in about]
            outgoing = text_renderer.digest(parts, self._host, now, again=again)
        else:
            each, incident = about[0]
            outgoing = text_renderer.render_notification(
                each.notice, incident, self._host, now, why=each.why, again=again
            )
        numbers = [each.id for each, _ in about]
        await self._store.write(deliveries.trying, numbers, now)
        sent = await self._send(notifier, outgoing)
        if sent.ok:
            self._sent[notifier.name] += 1
            await self._store.write(deliveries.mark_sent, notifier.name, numbers, self._clock())
            self._feed.publish("notice")  # its recovery may have to be announced
            return True
        self._failed[notifier.name] += 1
        log.warning("the notifier %s failed, the message waits: %s", notifier.name, sent.failure)
        doubt = {each.id: each.doubt or sent.doubt for each, _ in about}
        await self._store.write(deliveries.failed, notifier.name, numbers, sent.failure, self._clock(), doubt=doubt)
        self._feed.publish("notice")
        return False

    async def _incident(self, delivery: Delivery) -> Incident | None:
        subject = delivery.notice.subject
        return None if subject is None else await self._store.read(incident_repository.incident, subject)

    async def _send(self, notifier: Notifier, outgoing: OutgoingMessage) -> SendResult:
        try:
            url = await asyncio.to_thread(notifier.url.read)
        except SecretMissingError as error:
            return SendResult(ok=False, failure=str(error))
        clean = OutgoingMessage(self._redact(outgoing.title), self._redact(outgoing.body), outgoing.type)
        async with self._children:
            sent = await send(url, clean, self._pace.limit)
        return SendResult(
            sent.ok, text_renderer.plain(self._redact(sent.failure).replace(url, "[redacted]"), 500), sent.doubt
        )

    async def trial(self, name: str, by: str) -> SendResult:
        return await self._send(self._notifiers[name], text_renderer.trial(self._host, by))

    async def figures(self) -> tuple[NotifierFigures, ...]:
        waiting = await self._store.read(deliveries.waiting)
        return tuple(
            NotifierFigures(name, self._sent[name], self._failed[name], *waiting.get(name, (0, None)))
            for name in self._notifiers
        )
