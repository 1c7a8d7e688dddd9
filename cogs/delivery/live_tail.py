"""One live tail: a message with a service's latest log lines.

Discord limits edits per channel (`cogs.delivery.rate_budget`), and cards take precedence. An edit shows all lines since
the previous one, so that none is lost while an edit waits.
"""

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import timedelta

from cogs.cards.log_cards import tail
from cogs.cards.rendered import RenderedMessage
from cogs.cards.text import escape, moment
from cogs.delivery.channel import AwayError, ClosedError, GoneError, OpsChannel, RefusedMessageError
from cogs.delivery.delivery_loop import DeliveryPace
from cogs.delivery.rate_budget import WritePriority
from opsbot.core.access import Actor
from opsbot.engine import Engine
from opsbot.messages import describe
from opsbot.runtime.tasks import wait_at_most
from opsbot.runtime.ticks import loop_time
from opsbot.services.port import LogLine, ManagerError

log = logging.getLogger(__name__)

LINES = 20
TRIES = 3
LOOK_SECONDS = 5.0
FIRST_LINE_SECONDS = 0.5
OVER = "· this live tail has ended"


class LiveTail:
    """Shows the lines received by `listen` while `run` is running."""

    def __init__(self, engine: Engine, channel: OpsChannel, pace: DeliveryPace, service: str, actor: Actor) -> None:
        self.number = secrets.token_hex(4)
        self.service = service
        self.message: int | None = None
        self._engine = engine
        self._channel = channel
        self._pace = pace
        self._by = actor.name
        self._lines: deque[LogLine] = deque(maxlen=LINES)
        self._count = 0
        self._changed = asyncio.Event()
        self._why = ""
        self._shown = ""
        self._gone = False
        """Whether its message can no longer be edited."""
        self._ends = engine.clock() + timedelta(seconds=pace.tail_most)
        self._until = loop_time() + pace.tail_most
        self._edited = loop_time()

    def end(self, why: str) -> None:
        """End it for this reason; the first reason counts."""
        self._why = self._why or why
        self._changed.set()

    def render(self) -> RenderedMessage:
        if self._why:
            return tail(self.service, self._lines, f"{OVER}: {self._why}. It showed {self._count} lines.", None)
        heading = f"· live until {moment(self._ends, 't')}, for {escape(self._by, 60)}"
        return tail(self.service, self._lines, heading, self.number)

    async def post(self) -> None:
        """Post its message with the lines received so far.

        Raises:
            AwayError, ClosedError, RefusedMessageError: see `OpsChannel.send`.
        """
        await wait_at_most(self._changed, FIRST_LINE_SECONDS)
        for left in reversed(range(TRIES)):
            first = self.render()
            try:
                nonce = f"tail{self.number}"
                self.message = await self._channel.send(
                    first, nonce=nonce, reply_to=None, silent=True, rank=WritePriority.TAIL
                )
            except AwayError:
                if not left:
                    raise
                await asyncio.sleep(self._pace.retry_first)
            else:
                self._shown = first.digest()
                return

    async def listen(self, lines: AsyncIterator[LogLine]) -> None:
        try:
            async with aclosing(lines):  # type: ignore[type-var]
                async for line in lines:
                    self._lines.append(line)
                    self._count += 1
                    self._changed.set()
            self.end("the log has ended")
        except ManagerError as error:
            self.end(f"following the log failed: {escape(describe(error))}")
        except Exception:
            # Boundary of this task: report it in the channel and log the traceback.
            log.exception("the live tail of %s failed", self.service)
            self.end("internal error; see opsbot's log")

    async def run(self) -> None:
        """Update the message until the end, and a last time after it."""
        while not self._over():
            await self._wait()
            now = self.render()
            if self._over() or now.digest() == self._shown:
                continue
            if await self._edit(now, WritePriority.TAIL):
                self._shown = now.digest()
            else:
                self._changed.set()
        for _ in range(TRIES):
            if self._gone or await self._edit(self.render()):
                return
            await asyncio.sleep(self._pace.retry_first)

    def _over(self) -> bool:
        return bool(self._why)

    async def _wait(self) -> None:
        """Wait until there are new lines and an edit is possible, or until the end."""
        await wait_at_most(self._changed, min(LOOK_SECONDS, max(self._until - loop_time(), 0.0)))
        while not self._why and (rest := self._due() - loop_time()) > 0:
            self._changed.clear()
            await wait_at_most(self._changed, rest)
        self._changed.clear()
        if loop_time() >= self._until:
            self.end("its time limit was reached")
        elif self.service not in self._engine.config.services:
            self.end("the service is no longer configured")

    def _due(self) -> float:
        rest = self._channel.rest_to_edit(self.message or 0, WritePriority.TAIL)
        return max(self._edited + self._pace.tail, loop_time() + rest)

    async def _edit(self, shown: RenderedMessage, rank: WritePriority = WritePriority.CARD) -> bool:
        """Edit the message; returns whether no retry is needed."""
        self._edited = loop_time()
        try:
            await self._channel.edit(self.message or 0, shown, rank)
        except AwayError as error:
            log.info("the live tail of %s waits, Discord is unavailable: %s", self.service, error)
            return False
        except (GoneError, ClosedError) as error:
            log.info("the live tail of %s ends, its message cannot be edited: %s", self.service, error)
            self._gone = True
            self.end("its message cannot be edited")
        except RefusedMessageError:
            log.exception("Discord rejects an edit of the live tail of %s", self.service)
        return True
