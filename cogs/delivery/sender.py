"""Send everything in the outbox to the ops channel, in order, each once.

A notification is marked as tried before it is sent and as sent afterwards. One that was tried but not marked as sent is
in doubt: it is searched for by the mark in its footer (a timeline entry by its text) and sent again, with the same
nonce, only if it is missing. Order is kept: while one notification cannot be sent, later ones wait, and an incident's
timeline precedes its resolution. Only timeline entries yield to everything else, because they notify nobody; and
entries of a rate-limited thread wait for the channel and for other threads.

After a long outage with many notifications, incidents that came and went are sent as one digest
(`opsbot.store.digests`). More alerts than anybody reads at once are one message (`opsbot.core.storm`).
"""

import hashlib
import logging
from dataclasses import dataclass, replace
from datetime import timedelta

from cogs.cards.common import late
from cogs.delivery.channel import AwayError, ClosedError, GoneError, OpsChannel, RefusedMessageError
from cogs.delivery.delivery_loop import DeliveryLoop, DeliveryPace, OnProblem
from cogs.delivery.fallback_channel import FallbackChannel
from cogs.delivery.message_builder import RenderedNotification, build_message, mark_of, silenced_line
from cogs.delivery.rate_budget import WritePriority
from cogs.delivery.threads import CardGoneError, Threads
from opsbot.core.model import INCIDENT_KINDS, Incident, Notification, NotificationKind
from opsbot.engine import Engine

__all__ = ["DeliveryPace", "Sender"]

log = logging.getLogger(__name__)

SKEW = timedelta(minutes=10)
"""Tolerated clock skew between this host and Discord when searching for a message."""
SETTLING_SECONDS = 1.0
"""Interval between checks for a storm."""
THREADED = frozenset({NotificationKind.TIMELINE, NotificationKind.RECOVERED})


class AgainError(Exception):
    """Another message has to be sent first; restart the round."""


class BusyError(Exception):
    """The rate limit of this thread is reached."""

    def __init__(self, rest: float) -> None:
        """rest: seconds until the next message is possible."""
        super().__init__(f"the thread is rate-limited for {rest:.1f} s")
        self.rest = rest


@dataclass(frozen=True, slots=True)
class MessageSlot:
    """Destination of a notification: thread None is the ops channel.

    incident: the thread's incident.
    """

    thread: int | None = None
    incident: Incident | None = None
    dropped: str = ""
    """Why it is not sent, or "": the card includes timeline entries without a thread."""


class Sender(DeliveryLoop):
    """Sends unsent notifications."""

    def __init__(
        self,
        engine: Engine,
        channel: OpsChannel,
        pace: DeliveryPace,
        on_problem: OnProblem,
        threads: Threads,
        fallback: FallbackChannel,
    ) -> None:
        """Store the parts; delays of messages are measured from now at the earliest."""
        super().__init__(engine, channel, pace, on_problem)
        self._outbox = engine.outbox
        self._threads = threads
        self._fallback = fallback
        self._started = self._reachable_since = engine.clock()
        self._away = True
        self._closed = False

    async def _round(self) -> float | None:
        try:
            await self._gather_digest()
            settling = await self._outbox.settling_incidents()
            notices = await self._outbox.pending()
        except (AwayError, ClosedError) as error:
            return await self._failed(None, error)
        if not notices and not self._closed:
            self._reached()  # connected, and nothing waits
        self._idle, sent = self._pace.look if not settling else min(self._pace.look, SETTLING_SECONDS), False
        full: set[int | None] = set()
        for notice in notices:
            if notice.kind in INCIDENT_KINDS and notice.subject in settling:
                continue
            if notice.kind in THREADED and notice.subject in full:
                continue  # an earlier entry of its thread is still waiting
            if notice.kind not in THREADED and self._channel.rest_to_send(None, WritePriority.ALARM) > 0:
                await self._channel.turn_to_send()
                return 0.0  # new notifications may change the order
            try:
                await self._in_turn(notice)
            except AgainError:
                return 0.0
            except BusyError as busy:
                self._idle = min(self._idle, busy.rest)
                full.add(notice.subject)
                continue
            except (AwayError, ClosedError) as error:
                return await self._failed(notice, error)
            self._reached()
            if self._failures or not sent:
                self._failures, sent = 0, True
                self._on_problem("channel", "")
                await self._fallback.resolved()
            if notice.kind is NotificationKind.TIMELINE:
                return 0.0  # entries yield to a new alert
        return 0.0 if sent else None

    async def _gather_digest(self) -> None:
        """Combine old notifications; not before Discord answers, to include what ends during its outage."""
        if await self._outbox.is_digest_due():
            await self._channel.reach()
            await self._outbox.gather_digest()

    def _reached(self) -> None:
        """What comes from now on and is late is not late because of Discord."""
        if self._away or self._closed:
            self._away = self._closed = False
            self._reachable_since = self._engine.clock()

    async def _failed(self, notice: Notification | None, error: AwayError | ClosedError) -> float:
        key = notice.key if notice is not None else "digest"
        if notice is not None:
            await self._outbox.failed(notice, str(error))
        if isinstance(error, AwayError):
            self._away = True
            wait = max(self._backoff(), error.after)
            log.warning("notification %s waits, Discord is unavailable: %s; retrying in %.1f s", key, error, wait)
            return wait
        self._closed = True
        self._on_problem("channel", f"the ops channel {self._channel.id} is not writable: {error}")
        log.warning("notification %s waits, the ops channel is not writable: %s", key, error)
        await self._fallback.closed(str(error))
        return self._pace.closed

    async def _in_turn(self, notice: Notification) -> None:
        """Deliver a notification; an incident's timeline precedes its resolution."""
        if notice.kind is NotificationKind.RECOVERED:
            for line in await self._outbox.lines(notice.subject or 0):
                await self._deliver(line)
        await self._deliver(notice)

    async def _deliver(self, notice: Notification) -> None:
        found = await build_message(self._engine, notice)
        if found is None or await self._is_announced_and_resolved(notice):
            await self._outbox.drop(notice, "its cause is over or deleted")
            return
        place = await self._place(notice)
        if place.dropped:
            await self._outbox.drop(notice, place.dropped)
            return
        if notice.tries:
            message = await self._find(notice, found, place)
            if message is not None:
                return
        if place.thread is not None and (rest := self._channel.rest_to_send(place.thread, WritePriority.LINE)) > 0:
            raise BusyError(rest)
        if not await self._outbox.trying(notice):
            return
        shown = replace(found.shown, content=found.shown.content + await self._late(notice))
        await self._send(notice, replace(found, shown=shown), place)

    async def _is_announced_and_resolved(self, notice: Notification) -> bool:
        """Whether this is the card of a resolved incident that a storm announced: it needs no card."""
        is_card = notice.kind is NotificationKind.INCIDENT and notice.storm is not None
        if not is_card or notice.tries or notice.body.get("anew"):
            return False
        incident = await self._engine.queries.incident(notice.subject or 0)
        return incident is not None and incident.closed_at is not None

    # Destination

    async def _place(self, notice: Notification) -> MessageSlot:
        if notice.kind not in THREADED:
            return MessageSlot()
        line = notice.kind is NotificationKind.TIMELINE
        incident = await self._engine.queries.incident(notice.subject or 0)
        card = await self._outbox.card(NotificationKind.INCIDENT, notice.subject or 0)
        if incident is None or card is None or card.told_at is None or card.digest is not None:
            return MessageSlot(dropped="its card was never sent" if line else "")
        if card.channel_id != self._channel.id:
            return MessageSlot(dropped="its card is in another channel" if line else "")
        try:
            thread = await self._threads.of(incident, card)
        except CardGoneError:
            if incident.closed_at is None:
                await self._outbox.resend(card)
                raise AgainError from None
            thread = None
        if thread is None:
            return MessageSlot(dropped="it has no thread" if line else "")
        return MessageSlot(thread, incident)

    async def _find(self, notice: Notification, found: RenderedNotification, place: MessageSlot) -> int | None:
        """Find the message of a notification in doubt, which then counts as sent."""
        channel, after = self._channel, notice.at - SKEW
        if notice.kind is NotificationKind.TIMELINE:
            known = await self._outbox.messages(place.thread or 0)
            line = found.shown.content
            message = await channel.find("", after, where=place.thread, line=line, but=known)
        else:
            message = await channel.find(mark_of(notice), after, where=place.thread)
        where = place.thread
        if message is None and place.thread is not None and notice.kind is not NotificationKind.TIMELINE:
            # Tried before the thread existed, so it was sent to the channel.
            message, where = await channel.find(mark_of(notice), after), None
        if message is not None:
            # It shows the state at the time of sending; revision -1 makes the editor update it.
            await self._outbox.sent(notice, where or channel.id, message, -1)
        return message

    # Sending

    async def _send(self, notice: Notification, found: RenderedNotification, place: MessageSlot) -> None:
        try:
            message = await self._post(notice, found, place.thread)
        except GoneError:
            if place.incident is not None:
                await self._threads.deleted(place.incident)
            raise AgainError from None
        except ClosedError as error:
            if place.thread is None or place.incident is None:
                raise
            await self._threads.shut(place.incident, place.thread, str(error))
            if notice.kind is NotificationKind.TIMELINE:
                await self._outbox.drop(notice, f"its thread is locked: {error}")
                return
            place = MessageSlot()
            message = await self._post(notice, found, None)
        if message is not None:
            await self._outbox.sent(notice, place.thread or self._channel.id, message, found.revision)

    async def _post(self, notice: Notification, found: RenderedNotification, where: int | None) -> int | None:
        if found.role is not None:
            self._on_problem("escalation", self._channel.why_no_ping(found.role))
        again = notice.body.get("anew", "")
        nonce = hashlib.sha256(f"{notice.id} {notice.key} {notice.at.timestamp()}{again}".encode()).hexdigest()[:24]
        shown = found.shown
        reply_to = found.reply_to if where is None else None
        # Followers of a thread are notified; in the channel a resolution notifies nobody.
        silent = found.silent and (where is None or notice.kind is NotificationKind.TIMELINE)
        rank = WritePriority.ALARM if where is None else WritePriority.LINE
        try:
            return await self._channel.send(
                shown, nonce=nonce, reply_to=reply_to, silent=silent, where=where, role=found.role, rank=rank
            )
        except RefusedMessageError as error:
            log.exception("Discord rejects notification %s; sending its text only", notice.key)
            reason = str(error)
        try:
            return await self._channel.send(
                shown.plainly(), nonce=nonce, reply_to=None, silent=silent, where=where, role=found.role, rank=rank
            )
        except RefusedMessageError as error:
            log.exception("Discord rejects the text of notification %s, too; giving up", notice.key)
            await self._outbox.drop(notice, f"Discord rejects it: {reason}; {error}")
            return None

    async def _late(self, notice: Notification) -> str:
        if notice.body.get("anew"):
            return "\n-# posted again: the previous message was deleted"
        if notice.kind is NotificationKind.DIGEST:
            return ""
        if notice.storm is not None and notice.kind is NotificationKind.INCIDENT:
            return "\n-# already announced in a combined message"
        now = self._engine.clock()
        silenced = await silenced_line(self._engine, notice, now)
        if silenced:
            return silenced
        why = ""
        if notice.at < self._started:
            why = "opsbot was not running"
        elif self._closed:
            why = "the channel was not writable"
        elif self._away or notice.at < self._reachable_since or notice.tries:
            why = "Discord was away"
        return late((now - notice.at).total_seconds(), why)
