"""The channel is told everything in the outbox, in order, each once; and its cards are kept true.

The sender writes a notice down as tried before it sends it and as told after. One found tried but not told is in doubt:
it is looked for in the channel by the mark in its footer, and sent again, with the same nonce, only if it is missing.
Nothing overtakes: while one notice cannot be sent, those after it wait. The editor works beside the sender, so that an
edit never holds up an alarm; it edits no more often than Discord allows and always ends with the last state.
"""

import asyncio
import hashlib
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import discord

from cogs._cards import late
from cogs._channel import AwayError, ClosedError, GoneError, OpsChannel, RefusedMessageError
from cogs._tellings import Telling, mark_of, telling
from cogs._text import moment
from opsbot.core.model import Notice, NoticeKind
from opsbot.engine import Engine
from opsbot.store import mutes, outbox

if TYPE_CHECKING:
    from opsbot.feed import Subscription

log = logging.getLogger(__name__)

WAIT = frozenset({NoticeKind.INCIDENT, NoticeKind.CALL, NoticeKind.RECOVERED})
"""Kinds that wait while their service is silenced."""
OLD = timedelta(minutes=55)
"""Discord counts edits of messages older than an hour apart, and more strictly."""
SKEW = timedelta(minutes=10)
"""How far the clocks of this host and of Discord may differ when a message is looked for."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds. retry: the first and the longest wait while Discord is away. closed: while the channel is.

    look: the outbox is read at least so often. young, old: between two edits in the channel; Discord allows about 5 in
    5 s, and 3 in 6 s of messages older than an hour (error 30046). tail: between two edits of a live tail, which ends
    by itself after tail_most.
    """

    retry_first: float = 0.5
    retry_most: float = 15.0
    closed: float = 60.0
    look: float = 30.0
    young: float = 1.2
    old: float = 5.0
    tail: float = 2.0
    tail_most: float = 600.0


async def silenced_line(engine: Engine, notice: Notice, told_at: datetime) -> str:
    """A line that says until when a silence or a window kept the notice back; "" where none did."""
    if notice.kind not in WAIT:
        return ""
    until = await engine.store.read(mutes.silenced_until, notice.service, notice.at, told_at)
    return "" if until is None else f"\n-# was silenced until {moment(until, 'f')}"


class Rounds(ABC):
    """Does its round again and again: when something changed, when it is nudged, after the wait the round asks for."""

    def __init__(self, engine: Engine, channel: OpsChannel, pace: Pace, on_problem: Callable[[str], None]) -> None:
        """`on_problem` hears what a person has to mend, and "" when it is well again."""
        self._engine = engine
        self._channel = channel
        self._pace = pace
        self._on_problem = on_problem
        self._nudged = asyncio.Event()
        self._changes: Subscription | None = None
        self._failures = 0

    def nudge(self) -> None:
        """Discord is there again: do not wait any longer."""
        self._nudged.set()
        if self._changes is not None:
            self._changes.mark(("notice", 0))

    async def run(self) -> None:
        """Until it is cancelled."""
        with self._engine.feed.subscribe() as self._changes:
            while True:
                try:
                    wait = await self._round() if self._channel.open else self._pace.look
                except Exception:
                    # The edge of this loop: whatever goes wrong with one round, the next one comes.
                    log.exception("%s failed; it goes on", type(self).__name__)
                    wait = self._backoff()
                await self._rest(wait)

    @abstractmethod
    async def _round(self) -> float | None:
        """One round. Seconds until the next, whatever changes meanwhile; None: when something changes."""

    def _backoff(self) -> float:
        self._failures += 1
        return float(min(self._pace.retry_first * 2 ** min(self._failures - 1, 20), self._pace.retry_most))

    async def _rest(self, wait: float | None) -> None:
        if wait is None:
            if self._changes is not None:
                await self._changes.wait(self._pace.look)
        else:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._nudged.wait()
        self._nudged.clear()


class Sender(Rounds):
    """Sends what is untold."""

    def __init__(self, engine: Engine, channel: OpsChannel, pace: Pace, on_problem: Callable[[str], None]) -> None:
        """Everything sent from now on is measured against now for being late."""
        super().__init__(engine, channel, pace, on_problem)
        self._started = self._reachable_since = engine.clock()
        self._away = True

    async def _round(self) -> float | None:
        notices = await self._engine.store.read(outbox.untold, self._engine.clock())
        for notice in notices:
            try:
                await self._deliver(notice)
            except AwayError as error:
                self._away = True
                wait = max(self._backoff(), error.after)
                log.warning("notice %s waits, Discord is away: %s; again in %.1f s", notice.key, error, wait)
                await self._engine.store.write(outbox.failed, notice.id, str(error)[:300])
                return wait
            except ClosedError as error:
                self._on_problem(f"the ops channel {self._channel.id} cannot be written to: {error}")
                log.warning("notice %s waits: the ops channel cannot be written to: %s", notice.key, error)
                await self._engine.store.write(outbox.failed, notice.id, str(error)[:300])
                return self._pace.closed
            if self._away:
                self._away, self._reachable_since = False, self._engine.clock()
            if self._failures or notice is notices[0]:
                self._failures = 0
                self._on_problem("")
        return 0.0 if notices else None

    async def _deliver(self, notice: Notice) -> None:
        found = await telling(self._engine, notice)
        store, clock = self._engine.store, self._engine.clock
        if found is None:
            await store.write(outbox.drop, notice.id, "what it told of is forgotten")
            return
        if notice.tries:
            message = await self._channel.find(mark_of(notice), notice.at - SKEW)
            if message is not None:
                # It shows what was known when it was sent: revision -1 has the editor bring it up to date.
                await self._told(notice, message, -1)
                return
        if not await store.write(outbox.trying, notice.id, clock()):
            return
        shown = replace(found.shown, content=found.shown.content + await self._late(notice))
        message = await self._send(notice, replace(found, shown=shown))
        if message is not None:
            await self._told(notice, message, found.revision)

    async def _send(self, notice: Notice, found: Telling) -> int | None:
        nonce = hashlib.sha256(f"{notice.id} {notice.key} {notice.at.timestamp()}".encode()).hexdigest()[:24]
        shown = found.shown
        try:
            return await self._channel.send(shown, nonce=nonce, reply_to=found.reply_to, silent=found.silent)
        except RefusedMessageError as error:
            log.exception("Discord refuses notice %s; its sentence alone is sent", notice.key)
            reason = str(error)
        try:
            return await self._channel.send(shown.plainly(), nonce=nonce, reply_to=None, silent=found.silent)
        except RefusedMessageError as error:
            log.exception("Discord refuses the sentence of notice %s, too: it is given up", notice.key)
            await self._engine.store.write(outbox.drop, notice.id, f"Discord refuses it: {reason}; {error}"[:500])
            return None

    async def _told(self, notice: Notice, message: int, revision: int) -> None:
        await self._engine.store.write(
            outbox.told, notice.id, self._engine.clock(), channel=self._channel.id, message=message, shown=revision
        )
        # The subject may have moved on while it was sent: the editor is to look.
        self._engine.feed.publish("told", notice.id)

    async def _late(self, notice: Notice) -> str:
        now = self._engine.clock()
        silenced = await silenced_line(self._engine, notice, now)
        if silenced:
            return silenced
        why = ""
        if notice.at < self._started:
            why = "opsbot was not running"
        elif self._away or notice.at < self._reachable_since or notice.tries:
            why = "Discord was away"
        return late((now - notice.at).total_seconds(), why)


class Editor(Rounds):
    """Brings cards up to date whose deployment or incident has moved on."""

    def __init__(self, engine: Engine, channel: OpsChannel, pace: Pace, on_problem: Callable[[str], None]) -> None:
        """Nothing was edited yet."""
        super().__init__(engine, channel, pace, on_problem)
        self._digests: dict[int, str] = {}
        self._given_up: dict[int, int] = {}
        self._edited: dict[int, float] = {}
        self._last = self._last_old = -1e9

    async def _round(self) -> float | None:
        cards = await self._engine.store.read(outbox.stale_cards, 200)
        # Whoever was edited longest ago comes first: a card that changes all the time starves no other.
        for card in sorted(cards, key=lambda each: self._edited.get(each.id, 0.0)):
            try:
                if await self._bring_up_to_date(card):
                    return 0.0
            except AwayError as error:
                wait = max(self._backoff(), error.after)
                log.info("the card of %s waits, Discord is away: %s", card.key, error)
                return wait
            self._failures = 0
        return None

    async def _bring_up_to_date(self, card: Notice) -> bool:
        """Whether a request was made: then there may be something newer to show already."""
        if card.message_id is None or card.channel_id != self._channel.id:
            # The configured channel is another now: the old card is left as it is.
            await self._engine.store.write(outbox.gone, card.id)
            return False
        if card.id in self._given_up:
            current = await telling(self._engine, card)
            if current is not None and current.revision == self._given_up[card.id]:
                return False
        await self._pace_for(card.message_id)
        current = await telling(self._engine, card)  # read after the wait: what came meanwhile is shown in one go
        if current is None:
            await self._engine.store.write(outbox.gone, card.id)
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
        await self._engine.store.write(outbox.shown, card.id, current.revision)
        return True

    async def _edit(self, card: Notice, current: Telling) -> bool:
        message = card.message_id or 0
        self._last = self._edited[card.id] = time.monotonic()
        if self._is_old(message):
            self._last_old = self._last
        try:
            await self._channel.edit(message, current.shown)
        except GoneError:
            log.info("the card of %s was deleted; it is not edited any more", card.key)
            await self._engine.store.write(outbox.gone, card.id)
            return False
        except ClosedError as error:
            # Asking again and again for what is forbidden gets an address banned: not before the card changes again.
            log.warning("the card of %s cannot be edited: %s", card.key, error)
            self._given_up[card.id] = current.revision
            return False
        except RefusedMessageError:
            log.exception("Discord refuses the card of %s", card.key)
        self._given_up.pop(card.id, None)
        return True

    def _remember(self, number: int, digest: str) -> None:
        self._digests.pop(number, None)
        self._digests[number] = digest
        for old in list(self._digests)[:-100]:
            del self._digests[old]
            self._edited.pop(old, None)

    def _is_old(self, message: int) -> bool:
        return self._engine.clock() - discord.utils.snowflake_time(message) > OLD

    async def _pace_for(self, message: int) -> None:
        due = self._last + self._pace.young
        if self._is_old(message):
            due = max(due, self._last_old + self._pace.old)
        await asyncio.sleep(max(0.0, due - time.monotonic()))
