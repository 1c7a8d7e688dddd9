"""The status board: one message that is edited as the status changes.

There is exactly one. The store records the intention to post it, and then its message; a board in doubt is searched for
by its mark among the pins and in the history. If deleted, it is posted again; if the channel changed or the board is
switched off, it is deleted. Edits are at least a minute apart, happen only after changes, and yield to alerts.
"""

import asyncio
import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from cogs.cards.board_card import MARK, Look, board, steady
from cogs.cards.rendered import RenderedMessage
from cogs.delivery import pins
from cogs.delivery.channel import AwayError, ClosedError, GoneError, NotOursError, OpsChannel, RefusedMessageError
from cogs.delivery.delivery_loop import DeliveryLoop, DeliveryPace, OnProblem
from cogs.delivery.rate_budget import WritePriority
from opsbot.core.model import Board
from opsbot.engine import Engine
from opsbot.engine.status import Overview
from opsbot.runtime.ticks import loop_time

log = logging.getLogger(__name__)

SKEW = timedelta(minutes=10)
"""Tolerated clock skew between this host and Discord when searching for a message."""
EPOCH = datetime(2015, 1, 1, tzinfo=UTC)
"""Earlier than any Discord message; also replaces the time of change when comparing two states."""
ALARM_SECONDS = 1.0
"""Interval between checks for waiting alerts."""
WAITING_SECONDS = 5.0
"""Check interval while an edit waits; the board shows when its content last changed."""


class StatusBoard(DeliveryLoop):
    """Maintains the status board."""

    def __init__(self, engine: Engine, channel: OpsChannel, pace: DeliveryPace, on_problem: OnProblem) -> None:
        super().__init__(engine, channel, pace, on_problem)
        self._begun = False
        self._checked = -1e9
        self._cannot_pin = ""
        self._figures: dict[str, int] = {}
        self._seen = ""
        self._changed: datetime | None = None
        """Time of the last change that the board does not show yet."""

    def nudge(self) -> None:
        """Check the board after an outage, which hides deletions."""
        self._checked = -1e9
        super().nudge()

    def permitted(self) -> None:
        """Check the board after opsbot's permissions in the channel changed."""
        if self._cannot_pin:
            self._cannot_pin = ""
            self.nudge()

    async def _round(self) -> float | None:
        # Changes come in groups, and alerts go first.
        await asyncio.sleep(self._pace.board_settle if self._begun else self._pace.board_first)
        self._begun = True
        try:
            wait = await self._look_after()
        except AwayError as error:
            wait = max(self._backoff(), error.after)
            log.info("the board waits, Discord is unavailable: %s; retrying in %.1f s", error, wait)
            return wait
        except ClosedError as error:
            log.info("the board waits, the ops channel is not writable: %s", error)
            return self._pace.closed
        self._failures = 0
        return wait

    async def _look_after(self) -> float | None:
        ours = None
        for known in await self._engine.board.known():
            if known.channel == self._channel.id and self._engine.config.discord.board:
                ours = known
            else:
                await self._take_away(known)
        if not self._engine.config.discord.board:
            return None
        if await self._engine.board.alert_waiting():
            return ALARM_SECONDS
        seen = await self._engine.statuses.overview()
        self._figures = steady(seen.gauges, self._figures)
        digest = self._shown(seen, EPOCH).digest()
        if ours is None or ours.message is None:
            return await self._post(ours, seen, digest)
        try:
            return await self._keep_true(ours, ours.message, seen, digest)
        except (GoneError, NotOursError) as error:
            log.info("the board was deleted or belongs to another bot; posting it again: %s", error)
            await self._engine.board.forget(ours.channel)
            return 0.0

    def _shown(self, seen: Overview, changed: datetime) -> RenderedMessage:
        guild = self._engine.config.discord.guild_id
        at = f"https://discord.com/channels/{guild}/{self._channel.id}"
        look = Look(self._engine.host, lambda message: f"{at}/{message}", self._figures)
        return board(seen, look, changed)

    # Posting

    async def _post(self, ours: Board | None, seen: Overview, digest: str) -> float:
        now = self._engine.clock()
        found, is_pinned = await self._find(ours)
        ours = ours or Board(self._channel.id, now, now, now)
        if found is not None:
            # It shows the state at the time of sending.
            await self._engine.board.keep(replace(ours, message=found, pinned=is_pinned, shown=""))
            return 0.0
        await self._engine.board.keep(ours)
        nonce = f"board{ours.tried_at.timestamp():.6f}"[:25]
        try:
            message = await self._channel.send(
                self._shown(seen, now), nonce=nonce, reply_to=None, silent=True, rank=WritePriority.CARD
            )
        except RefusedMessageError:
            log.exception("Discord rejects the board")
            return self._pace.closed
        self._changed = None
        posted = replace(ours, message=message, shown=digest, changed_at=now, edited_at=self._engine.clock())
        await self._engine.board.keep(posted)
        return 0.0

    async def _find(self, ours: Board | None) -> tuple[int | None, bool]:
        """Find an existing board that the store does not know, and whether it is pinned.

        Without a row the store may have replaced a damaged one.
        """
        pinned = await pins.pinned(self._channel, MARK)
        for other in pinned[1:]:
            await self._channel.delete(other)
        if pinned:
            return pinned[0], True
        after = EPOCH if ours is None else ours.tried_at - SKEW
        return await self._channel.find(MARK, after), False

    # Existing board

    async def _keep_true(self, ours: Board, message: int, seen: Overview, digest: str) -> float | None:
        if loop_time() - self._checked > self._pace.board_look:
            await self._check(message)
        if not ours.pinned and not self._cannot_pin:
            ours = await self._pin(ours, message)
        if ours.shown == digest:
            self._changed = None
            return None
        now = self._engine.clock()
        if self._changed is None or digest != self._seen:
            self._seen, self._changed = digest, now
        # A clock that was set back must not extend the wait.
        left = min(self._pace.board - (now - ours.edited_at).total_seconds(), self._pace.board)
        if left > 0:
            return min(left, self._pace.look, WAITING_SECONDS)
        tried = replace(ours, edited_at=now)
        await self._engine.board.keep(tried)
        shown = self._shown(seen, self._changed)
        try:
            await self._channel.edit(message, shown, WritePriority.TAIL)
        except RefusedMessageError:
            log.exception("Discord rejects an edit of the board")
        await self._engine.board.keep(replace(tried, shown=digest, changed_at=self._changed))
        self._changed = None
        return None

    async def _check(self, message: int) -> None:
        """Check that it still exists; opsbot receives no events for deletions."""
        try:
            await pins.still_there(self._channel, message)
        except (ClosedError, RefusedMessageError) as error:
            log.info("cannot check whether the board still exists: %s", error)
        self._checked = loop_time()

    async def _pin(self, ours: Board, message: int) -> Board:
        try:
            await pins.pin(self._channel, message)
        except (ClosedError, RefusedMessageError) as error:
            self._cannot_pin = str(error)
            log.warning("the board is not pinned, grant Pin Messages in the ops channel: %s", error)
            return ours
        done = replace(ours, pinned=True)
        await self._engine.board.keep(done)
        return done

    async def _take_away(self, old: Board) -> None:
        """Delete a board of another channel, or one that is switched off."""
        message = old.message
        if message is None:
            message = await self._channel.find(MARK, old.tried_at - SKEW, where=old.channel)
        if message is not None:
            try:
                await self._channel.delete(message, where=old.channel)
            except (ClosedError, RefusedMessageError) as error:
                log.warning("the board in channel %d was not deleted: %s", old.channel, error)
        await self._engine.board.forget(old.channel)
