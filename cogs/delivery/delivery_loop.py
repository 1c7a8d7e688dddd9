"""Base of the ops channel's writers: rounds, waiting times, retries."""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cogs.delivery.channel import OpsChannel
from cogs.delivery.rate_budget import WriteLimits
from opsbot.engine import Engine
from opsbot.runtime.tasks import wait_at_most
from opsbot.runtime.ticks import until_tick

if TYPE_CHECKING:
    from opsbot.runtime.change_notifier import Subscription

log = logging.getLogger(__name__)

OnProblem = Callable[[str, str], None]
"""Receives a subject and its problem that needs a person; "" when it is solved."""


@dataclass(frozen=True, slots=True)
class DeliveryPace:
    """Waiting times in seconds.

    retry_first, retry_most: the first and longest wait while Discord is unavailable. closed: while the channel is not
    writable. look: maximum time between reads of the outbox. card: between two edits of a card, so that a constantly
    changing one does not use up the channel's rate limit. tail: between two edits of a live tail, which ends after
    tail_most. test_first: from startup to the first delivery test, after pending alerts; test_settle: from a change to
    the next test. board: between two edits of the board. board_first: from startup to its first check; board_settle:
    from a change to a check; board_look: between checks that it exists. limits: Discord's rate limits.
    """

    retry_first: float = 0.5
    retry_most: float = 15.0
    closed: float = 60.0
    look: float = 30.0
    card: float = 1.5
    tail: float = 2.0
    tail_most: float = 600.0
    test_first: float = 15.0
    test_settle: float = 5.0
    board: float = 60.0
    board_first: float = 10.0
    board_settle: float = 2.0
    board_look: float = 120.0
    limits: WriteLimits = field(default_factory=WriteLimits)


class DeliveryLoop(ABC):
    """Runs rounds after changes, when nudged, or after a requested wait."""

    def __init__(self, engine: Engine, channel: OpsChannel, pace: DeliveryPace, on_problem: OnProblem) -> None:
        self._engine = engine
        self._channel = channel
        self._pace = pace
        self._on_problem = on_problem
        self._nudged = asyncio.Event()
        self._changes: Subscription | None = None
        self._failures = 0
        self._idle = pace.look
        """Seconds until the next round without changes."""

    def nudge(self) -> None:
        """Start the next round now, because Discord is available again."""
        self._nudged.set()
        if self._changes is not None:
            self._changes.mark(("notice", 0))

    async def run(self) -> None:
        with self._engine.feed.subscribe() as self._changes:
            while True:
                try:
                    wait = await self._round() if self._channel.open else self._pace.look
                except Exception:
                    # Boundary: whatever fails in one round, the next one runs.
                    log.exception("%s failed; it will run again", type(self).__name__)
                    wait = self._backoff()
                await self._rest(wait)

    @abstractmethod
    async def _round(self) -> float | None:
        """Run one round.

        Returns the seconds until the next, or None to wait for a change.
        """

    def _backoff(self) -> float:
        self._failures += 1
        return float(min(self._pace.retry_first * 2 ** min(self._failures - 1, 20), self._pace.retry_most))

    async def _rest(self, wait: float | None) -> None:
        if wait is None:
            if self._changes is not None:
                await self._changes.wait(until_tick(self._idle))
        else:
            await wait_at_most(self._nudged, wait)
        self._nudged.clear()
