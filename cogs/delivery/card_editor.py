"""Keep cards up to date, independently of the sender of alerts.

It edits within Discord's rate limits and always ends with the latest state.
"""

import logging
from dataclasses import replace

from cogs.cards.common import late
from cogs.delivery.channel import AwayError, ClosedError, GoneError, OpsChannel, RefusedMessageError
from cogs.delivery.delivery_loop import DeliveryLoop, DeliveryPace, OnProblem
from cogs.delivery.message_builder import RenderedNotification, build_message, silenced_line
from opsbot.core.model import Notification, NotificationKind
from opsbot.engine import Engine
from opsbot.runtime.ticks import loop_time

log = logging.getLogger(__name__)


class CardEditor(DeliveryLoop):
    """Updates cards whose deployment or incident changed."""

    def __init__(self, engine: Engine, channel: OpsChannel, pace: DeliveryPace, on_problem: OnProblem) -> None:
        super().__init__(engine, channel, pace, on_problem)
        self._digests: dict[int, str] = {}
        self._given_up: dict[int, int] = {}
        self._edited: dict[int, float] = {}

    async def _round(self) -> float | None:
        cards = await self._engine.outbox.stale_cards()
        rests = []
        # Least recently edited first, so that a constantly changing card starves no other.
        for card in sorted(cards, key=lambda each: self._edited.get(each.id, 0.0)):
            rest = self._edited.get(card.id, 0.0) + self._pace.card - loop_time()
            if rest > 0:
                rests.append(rest)
                continue
            try:
                if await self._bring_up_to_date(card):
                    return 0.0
            except AwayError as error:
                wait = max(self._backoff(), error.after)
                log.info("the card of %s waits, Discord is unavailable: %s", card.key, error)
                return wait
            self._failures = 0
        return min(rests, default=None)

    async def _bring_up_to_date(self, card: Notification) -> bool:
        """Update one card.

        Returns whether a request was sent, during which it may have changed again.
        """
        if card.message_id is None or card.channel_id != self._channel.id:
            # The configured channel changed; the old card stays as it is.
            await self._engine.outbox.gone(card)
            return False
        if card.id in self._given_up:
            current = await build_message(self._engine, card)
            if current is not None and current.revision == self._given_up[card.id]:
                return False
        await self._channel.turn_to_edit(card.message_id)
        current = await build_message(self._engine, card)  # read after the wait, so that one edit covers all changes
        if current is None:
            await self._engine.outbox.gone(card)
            return False
        if card.told_at is not None:
            after = await silenced_line(self._engine, card, card.told_at)
            after = after or late((card.told_at - card.at).total_seconds(), "")
            current = replace(current, shown=replace(current.shown, content=current.shown.content + after))
        digest = current.shown.digest()
        if self._digests.get(card.id) != digest:
            if not await self._edit(card, current):
                return True
            self._remember(card.id, digest)
        await self._engine.outbox.edited(card, current.revision)
        return True

    async def _edit(self, card: Notification, current: RenderedNotification) -> bool:
        self._edited[card.id] = loop_time()
        try:
            await self._channel.edit(card.message_id or 0, current.shown)
        except GoneError:
            await self._deleted(card)
            return False
        except ClosedError as error:
            # Repeating forbidden requests gets an IP address banned; retry only after the card changes again.
            log.warning("the card of %s cannot be edited: %s", card.key, error)
            self._given_up[card.id] = current.revision
            return False
        except RefusedMessageError:
            log.exception("Discord rejects the card of %s", card.key)
        self._given_up.pop(card.id, None)
        return True

    async def _deleted(self, card: Notification) -> None:
        """Handle a deleted card.

        That of an open incident or with unseen changes is posted again.
        """
        incident = (
            await self._engine.queries.incident(card.subject or 0) if card.kind is NotificationKind.INCIDENT else None
        )
        counts = card.kind is NotificationKind.WORD  # its update is unread
        if not counts and (incident is None or incident.closed_at is not None):
            log.info("the card of %s was deleted and is no longer updated", card.key)
            await self._engine.outbox.gone(card)
            return
        log.warning("the card of %s was deleted while it is active; posting it again", card.key)
        self._digests.pop(card.id, None)
        await self._engine.outbox.resend(card)

    def _remember(self, number: int, digest: str) -> None:
        self._digests.pop(number, None)
        self._digests[number] = digest
        for old in list(self._digests)[:-100]:
            del self._digests[old]
            self._edited.pop(old, None)
