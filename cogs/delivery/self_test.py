"""The alert path is proven: a silent message is posted in the ops channel, edited and deleted.

At the start, weekly, and whenever the channel or what opsbot may do in it changes. So a deleted channel or a lost
permission is known before the alarm that would have gone there. The store keeps when it last went well.
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
from opsbot.store import channel_state

log = logging.getLogger(__name__)

WEEK = timedelta(days=7)
PROBE = "🔎 opsbot tries whether alerts arrive here. This message goes away by itself."


class DeliverySelfTest:
    """Proves the path of alerts, again and again."""

    def __init__(
        self,
        engine: Engine,
        channel: OpsChannel,
        client: Callable[[], discord.Client | None],
        pace: DeliveryPace,
        on_problem: OnProblem,
        elsewhere: FallbackChannel,
        on_proven: Callable[[], None],
    ) -> None:
        """`client` gives the client that is logged in, or None. on_proven: messages arrive: none need wait for long."""
        self._engine = engine
        self._channel = channel
        self._client = client
        self._pace = pace
        self._on_problem = on_problem
        self._elsewhere = elsewhere
        self._on_proven = on_proven
        self._changed = asyncio.Event()
        self._due: datetime | None = None

    def changed(self) -> None:
        """The channel, or what opsbot may do there, has changed: it is to be proven anew."""
        self._changed.set()

    async def run(self) -> None:
        """Until it is cancelled."""
        await asyncio.sleep(self._pace.proof_first)
        while True:
            wait = self._pace.look
            if self._channel.open and (self._due is None or self._engine.clock() >= self._due):
                try:
                    await self.prove()
                except AwayError as error:
                    log.info("the alert path cannot be proven, Discord is away: %s", error)
                    wait = self._pace.retry_most
                except Exception:
                    # The edge of this loop: whatever goes wrong with one try, the next one comes.
                    log.exception("the alert path could not be proven; it is tried again")
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._changed.wait()
                # Changes come in groups: a role is taken, then a channel is closed.
                await asyncio.sleep(self._pace.proof_settle)
                self._changed.clear()
                self._due = None

    async def prove(self) -> DeliveryTest:
        """Try it now, and keep what came of it.

        Raises:
            AwayError: Discord did not answer: that says nothing about the channel.
        """
        store, now = self._engine.store, self._engine.clock()
        before = await store.read(channel_state.delivery_test, self._channel.id)
        known = before or DeliveryTest(self._channel.id, now)
        try:
            if known.probe is not None:
                await self._channel.delete(known.probe)  # opsbot died before it could
            await self._probe(replace(known, tried_at=now, probe=None))
        except (ClosedError, RefusedMessageError, GoneError) as error:
            kept = await store.read(channel_state.delivery_test, self._channel.id) or known
            missing = self._missing()
            failure = f"{error}{f'; missing: {missing}' if missing else ''}"
            proof = replace(kept, tried_at=now, failure=failure[:500])
            await store.write(channel_state.save_delivery_test, proof)
            log.warning("the alert path does not work: %s", proof.failure)
            self._on_problem("proof", f"the alert path does not work: {proof.failure}")
            await self._elsewhere.closed(proof.failure)
            self._due = now + timedelta(seconds=self._pace.closed * 10)
            return proof
        missing = self._missing()
        proof = DeliveryTest(self._channel.id, now, now, f"missing: {missing}" if missing else "")
        await store.write(channel_state.save_delivery_test, proof)
        self._on_problem("proof", f"in the ops channel opsbot lacks: {missing}" if missing else "")
        await self._elsewhere.mended()
        self._on_proven()
        log.info("the alert path is proven%s", f"; missing: {missing}" if missing else "")
        self._due = now + WEEK
        return proof

    async def _probe(self, proof: DeliveryTest) -> None:
        nonce = secrets.token_hex(8)
        message = await self._channel.send(say(PROBE), nonce=nonce, reply_to=None, silent=True, rank=WritePriority.TAIL)
        await self._engine.store.write(channel_state.save_delivery_test, replace(proof, probe=message))
        await self._channel.edit(message, RenderedMessage(f"{PROBE} It can be edited, too."), WritePriority.TAIL)
        await self._channel.delete(message)

    def _missing(self) -> str:
        """The permissions opsbot lacks in the channel, by the names Discord's settings give them."""
        client = self._client()
        channel = client.get_channel(self._channel.id) if client is not None else None
        if not isinstance(channel, discord.TextChannel) or channel.guild.me is None:
            return ""
        held = Permission(channel.permissions_for(channel.guild.me).value & NEEDED)
        # Whether the board is pinned has nothing to do with alerts.
        wanted = NEEDED & ~Permission.PIN_MESSAGES
        return ", ".join(title(each) for each in wanted if each not in held)
