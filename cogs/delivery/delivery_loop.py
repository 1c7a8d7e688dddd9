"""What the sender and the editor of the ops channel have in common: rounds, waits, and their pace."""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cogs.delivery.channel import OpsChannel
from cogs.delivery.rate_budget import Limits
from opsbot.engine import Engine
from opsbot.runtime.ticks import until_tick

if TYPE_CHECKING:
    from opsbot.runtime.change_notifier import Subscription

log = logging.getLogger(__name__)

OnProblem = Callable[[str, str], None]
"""Hears about what there is a problem that a person has to mend, and which; "" when it is well again."""


@dataclass(frozen=True, slots=True)
class DeliveryPace:
    """Seconds. retry: the first and the longest wait while Discord is away. closed: while the channel is.

    look: the outbox is read at least so often. card: between two edits of the same card, so that one that changes all
    the time does not use up what Discord allows in the channel. tail: between two edits of a live tail, which ends by
    itself after tail_most. proof_first: from the start to the first proof of the alert path, which lets alarms go
    first; proof_settle: from a change to the next. board: between two edits of the board. board_first: from the start
    to the first look at it; board_settle: from a change to a look. board_look: so often is looked whether it is there.
    limits: what Discord takes.
    """

    retry_first: float = 0.5
    retry_most: float = 15.0
    closed: float = 60.0
    look: float = 30.0
    card: float = 1.5
    tail: float = 2.0
    tail_most: float = 600.0
    proof_first: float = 15.0
    proof_settle: float = 5.0
    board: float = 60.0
    board_first: float = 10.0
    board_settle: float = 2.0
    board_look: float = 120.0
    limits: Limits = field(default_factory=Limits)


class DeliveryLoop(ABC):
    """Does its round again and again: when something changed, when it is nudged, after the wait the round asks for."""

    def __init__(self, engine: Engine, channel: OpsChannel, pace: DeliveryPace, on_problem: OnProblem) -> None:
        """Take the parts."""
        self._engine = engine
        self._channel = channel
        self._pace = pace
        self._on_problem = on_problem
        self._nudged = asyncio.Event()
        self._changes: Subscription | None = None
        self._failures = 0
        self._idle = pace.look
        """Seconds until the next round where nothing changes."""

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
                await self._changes.wait(until_tick(self._idle))
        else:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._nudged.wait()
        self._nudged.clear()
