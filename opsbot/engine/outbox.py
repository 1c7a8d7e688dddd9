"""The outbox of the ops channel and what is known of the channel, for the writers of the channel.

No rank is required: only opsbot itself writes there. Names and guarantees are those of `opsbot.store.outbox`.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from opsbot.core.incident import IncidentEventKind, event
from opsbot.core.model import WAKING_KINDS, DeliveryTest, Incident, Notification, NotificationKind
from opsbot.core.storm import StormVerdict
from opsbot.runtime.change_notifier import ChangeNotifier
from opsbot.store import Store, channel_state, digests, mutes, outbox, storms

DIGEST_OVER = 10
"""Maximum number of old notifications that are sent individually."""
OLD = timedelta(minutes=5)


class Outbox:
    """Notifications for the ops channel: which are due, and what became of each."""

    def __init__(self, store: Store, feed: ChangeNotifier, clock: Callable[[], datetime], channel: int) -> None:
        """channel: the id of the ops channel."""
        self._store = store
        self._feed = feed
        self._clock = clock
        self._channel = channel

    # What is due

    async def pending(self) -> list[Notification]:
        return await self._store.read(outbox.pending, self._clock())

    async def waiting(self) -> int:
        """Count unsent notifications, silenced ones included."""
        return (await self._store.read(outbox.waiting))[0]

    async def lines(self, incident: int) -> list[Notification]:
        return await self._store.read(outbox.lines, incident)

    async def is_digest_due(self) -> bool:
        """Whether so many old notifications are concluded that they are sent as one message."""
        now = self._clock()
        return await self._store.read(digests.spooled, now - OLD, now) > DIGEST_OVER

    async def gather_digest(self) -> None:
        now = self._clock()
        await self._store.write(digests.gather, now - OLD, now)

    async def settling_incidents(self) -> frozenset[int]:
        """Combine simultaneous alerts into a storm; return the incidents whose alerts wait for more."""
        now = self._clock()
        if await self._store.read(storms.passing, now):
            await self._store.write(storms.release, now)
            await self._store.write(storms.gather, now)
        verdict, alerts = await self._store.read(storms.assess, now)
        return frozenset(alert.incident for alert in alerts) if verdict is StormVerdict.HOLD else frozenset()

    async def silenced_until(self, notice: Notification, sent_at: datetime) -> datetime | None:
        """Return the end of the last silence or window that delayed it, None if none did."""
        if notice.kind not in WAKING_KINDS:
            return None
        return await self._store.read(mutes.silenced_until, notice.service, notice.at, sent_at)

    # What became of it

    async def trying(self, notice: Notification) -> bool:
        """Mark it as being sent; False if it was sent or dropped meanwhile."""
        return await self._store.write(outbox.trying, notice.id, self._clock())

    async def failed(self, notice: Notification, why: str) -> None:
        await self._store.write(outbox.failed, notice.id, why[:300])

    async def drop(self, notice: Notification, why: str) -> None:
        """Drop one that is obsolete or that Discord will never accept."""
        await self._store.write(outbox.drop, notice.id, why[:500])

    async def sent(self, notice: Notification, channel: int, message: int, revision: int) -> None:
        """Mark it as sent; revision: what the message shows of its subject, -1 if unknown."""
        await self._store.write(
            outbox.mark_sent, notice.id, self._clock(), channel=channel, message=message, shown=revision
        )
        # The subject may have changed during sending; let the editor check.
        self._feed.publish("sent", notice.id)

    async def resend(self, card: Notification) -> None:
        await self._store.write(outbox.resend, card.id)
        self._feed.publish("notice")

    # Cards

    async def stale_cards(self) -> list[Notification]:
        return await self._store.read(outbox.stale_cards, 200)

    async def edited(self, card: Notification, revision: int) -> None:
        """Record what a card shows now; that of a storm which is over is not edited again."""
        await self._store.write(outbox.mark_shown, card.id, revision)
        if card.kind is NotificationKind.STORM:
            await self._store.write(storms.settle, card.id)

    async def gone(self, card: Notification) -> None:
        await self._store.write(outbox.gone, card.id)

    async def card(self, kind: NotificationKind, subject: int) -> Notification | None:
        return await self._store.read(outbox.card, kind, subject)

    async def messages(self, channel: int) -> set[int]:
        return await self._store.read(outbox.messages, channel)

    async def members(self, digest: Notification) -> list[Notification]:
        return await self._store.read(digests.members, digest.id)

    async def open_in_storm(self, storm: int) -> int:
        return await self._store.read(storms.count_open, storm)

    # Threads

    async def thread(self, incident: int) -> int | None:
        return await self._store.read(channel_state.thread, incident)

    async def keep_thread(self, incident: int, thread: int, card: int) -> None:
        await self._store.write(channel_state.keep_thread, incident, thread, card)
        self._feed.publish("incident", incident)

    async def replace_thread(self, incident: Incident) -> None:
        """Forget a deleted thread; the incident's timeline says so in the next one."""
        await self._store.write(channel_state.forget_thread, incident.id)
        replaced = event(IncidentEventKind.THREAD_REPLACED, self._clock())
        await self._store.write(outbox.line, incident.id, incident.service, replaced)

    # The channel

    async def closed(self) -> bool:
        """Record that the channel is not writable; returns whether that was reported elsewhere."""
        return (await self._store.write(channel_state.closed, self._channel, self._clock()))[1]

    async def closure_reported(self) -> None:
        await self._store.write(channel_state.mark_reported, self._channel)

    async def opened(self) -> bool:
        """Record that the channel is writable; returns whether it was not before."""
        return await self._store.write(channel_state.opened, self._channel)

    async def delivery_test(self) -> DeliveryTest | None:
        return await self._store.read(channel_state.delivery_test, self._channel)

    async def save_delivery_test(self, result: DeliveryTest) -> None:
        await self._store.write(channel_state.save_delivery_test, result)
