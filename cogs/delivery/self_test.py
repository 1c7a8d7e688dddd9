"""Test alert delivery: post a silent message, edit it, and delete it.

Runs at startup, weekly, and when the channel or its permissions change, so that a deleted channel or lost permission is
noticed before the next alert. The store records the last success.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

import discord

from cogs.cards.rendered import RenderedMessage, say
from cogs.delivery.channel import AwayError, ClosedError, GoneError, OpsChannel, RefusedMessageError
from cogs.delivery.delivery_loop import DeliveryPace, OnProblem
from cogs.delivery.fallback_channel import FallbackChannel
from cogs.delivery.rate_budget import WritePriority
from opsbot.core.discord_permissions import NEEDED, Permission, title
from opsbot.core.model import DeliveryTest
from opsbot.engine import Engine

log = logging.getLogger(__name__)

WEEK = timedelta(days=7)
PROBE = "🔎 opsbot is testing alert delivery. This message will be deleted automatically."


class DeliverySelfTest:
    """Runs the delivery test at startup, weekly and after changes."""

    def __init__(
        self,
        engine: Engine,
        channel: OpsChannel,
        client: Callable[[], discord.Client | None],
        pace: DeliveryPace,
        on_problem: OnProblem,
        fallback: FallbackChannel,
        on_success: Callable[[], None],
    ) -> None:
        """client: returns the logged-in client or None. on_success: called when messages arrive again."""
        self._engine = engine
        self._channel = channel
        self._client = client
        self._pace = pace
        self._on_problem = on_problem
        self._fallback = fallback
        self._on_success = on_success
        self._changed = asyncio.Event()
        self._due: datetime | None = None

    def changed(self) -> None:
        """Schedule a test after a change of the channel or its permissions."""
        self._changed.set()

    async def run(self) -> None:
        await asyncio.sleep(self._pace.test_first)
        while True:
            wait = self._pace.look
            if self._channel.open and (self._due is None or self._engine.clock() >= self._due):
                try:
                    await self.test()
                except AwayError as error:
                    log.info("alert delivery cannot be tested, Discord is unavailable: %s", error)
                    wait = self._pace.retry_most
                except Exception:
                    # Boundary: whatever fails in one test, the next one runs.
                    log.exception("the delivery test failed unexpectedly; it will run again")
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._changed.wait()
                # Changes come in groups: a role is removed, then a channel is closed.
                await asyncio.sleep(self._pace.test_settle)
                self._changed.clear()
                self._due = None

    async def test(self) -> DeliveryTest:
        """Run the test now and store its result.

        Raises:
            AwayError: Discord did not answer, which says nothing about the channel.
        """
        outbox, now = self._engine.outbox, self._engine.clock()
        known = await outbox.delivery_test() or DeliveryTest(self._channel.id, now)
        try:
            if known.probe is not None:
                await self._channel.delete(known.probe)  # left behind by a killed opsbot
            await self._probe(replace(known, tried_at=now, probe=None))
        except (ClosedError, RefusedMessageError, GoneError) as error:
            kept = await outbox.delivery_test() or known
            missing = self._missing()
            failure = f"{error}{f'; missing: {missing}' if missing else ''}"
            result = replace(kept, tried_at=now, failure=failure[:500])
            await outbox.save_delivery_test(result)
            log.warning("alert delivery does not work: %s", result.failure)
            self._on_problem("delivery test", f"alert delivery does not work: {result.failure}")
            await self._fallback.closed(result.failure)
            self._due = now + timedelta(seconds=self._pace.closed * 10)
            return result
        missing = self._missing()
        result = DeliveryTest(self._channel.id, now, now, f"missing: {missing}" if missing else "")
        await outbox.save_delivery_test(result)
        self._on_problem("delivery test", f"opsbot lacks permissions in the ops channel: {missing}" if missing else "")
        await self._fallback.resolved()
        self._on_success()
        log.info("alert delivery works%s", f"; missing: {missing}" if missing else "")
        self._due = now + WEEK
        return result

    async def _probe(self, result: DeliveryTest) -> None:
        nonce = secrets.token_hex(8)
        message = await self._channel.send(say(PROBE), nonce=nonce, reply_to=None, silent=True, rank=WritePriority.TAIL)
        await self._engine.outbox.save_delivery_test(replace(result, probe=message))
        await self._channel.edit(message, RenderedMessage(f"{PROBE} Editing works, too."), WritePriority.TAIL)
        await self._channel.delete(message)

    def _missing(self) -> str:
        """Return the missing permissions by their names in Discord's settings."""
        client = self._client()
        channel = client.get_channel(self._channel.id) if client is not None else None
        if not isinstance(channel, discord.TextChannel) or channel.guild.me is None:
            return ""
        held = Permission(channel.permissions_for(channel.guild.me).value & NEEDED)
        # Pinning the board does not matter for alerts.
        wanted = NEEDED & ~Permission.PIN_MESSAGES
        return ", ".join(title(each) for each in wanted if each not in held)
