"""Report an unwritable ops channel once in another channel, and in the log."""

import logging
from collections.abc import Callable

import discord

from cogs.cards.rendered import say
from cogs.cards.text import escape
from cogs.delivery.channel import AwayError, ClosedError, GoneError, OpsChannel, RefusedMessageError
from opsbot.engine import Engine

log = logging.getLogger(__name__)


class FallbackChannel:
    """Reports in any writable channel that the ops channel is not.

    Names no service, since others read it.
    """

    def __init__(self, engine: Engine, channel: OpsChannel, client: Callable[[], discord.Client | None]) -> None:
        """client: returns the logged-in client or None."""
        self._engine = engine
        self._channel = channel
        self._client = client

    async def closed(self, why: str) -> None:
        """Report that the ops channel is not writable, once until it is."""
        if await self._engine.outbox.closed():
            return
        waiting = await self._engine.outbox.waiting()
        wait = {0: "", 1: "One message is waiting. "}.get(waiting, f"{waiting} messages are waiting. ")
        text = (
            f"⚠️ opsbot cannot write to its channel <#{self._channel.id}>: {escape(why, 200)}. {wait}No alerts "
            "arrive until this is fixed; `opsbot doctor` lists what is missing."
        )
        for channel in self._others():
            nonce = f"closed-{self._channel.id}"[:25]
            try:
                await self._channel.send(say(text), nonce=nonce, reply_to=None, silent=False, where=channel)
            except (ClosedError, GoneError, RefusedMessageError) as error:
                log.info("reporting it in channel %d is not possible: %s", channel, error)
            except AwayError as error:
                log.info("reporting it in channel %d failed: %s", channel, error)
                return
            else:
                log.warning("reported it in channel %d", channel)
                await self._engine.outbox.closure_reported()
                return

    async def resolved(self) -> None:
        if await self._engine.outbox.opened():
            log.warning("the ops channel is writable again")

    def _others(self) -> list[int]:
        """List other writable text channels, those not visible to everybody first."""
        client = self._client()
        guild = client.get_guild(self._engine.config.discord.guild_id) if client is not None else None
        if guild is None or guild.me is None:
            return []
        fitting = []
        for channel in guild.text_channels:
            mine = channel.permissions_for(guild.me)
            if channel.id != self._channel.id and mine.view_channel and mine.send_messages:
                fitting.append((channel.permissions_for(guild.default_role).view_channel, channel.position, channel.id))
        return [number for _, _, number in sorted(fitting)][:3]
