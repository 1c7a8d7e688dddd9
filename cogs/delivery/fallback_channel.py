"""When the ops channel cannot be written to: said once in another channel, and in the log as ever."""

import logging
from collections.abc import Callable

import discord

from cogs.cards.rendered import say
from cogs.cards.text import escape
from cogs.delivery.channel import AwayError, ClosedError, GoneError, OpsChannel, RefusedMessageError
from opsbot.engine import Engine
from opsbot.store import channel_state, outbox

log = logging.getLogger(__name__)


class FallbackChannel:
    """Says in whatever channel it can that the ops channel is closed to opsbot. Names no service: others read there."""

    def __init__(self, engine: Engine, channel: OpsChannel, client: Callable[[], discord.Client | None]) -> None:
        """`client` gives the client that is logged in, or None."""
        self._engine = engine
        self._channel = channel
        self._client = client

    async def closed(self, why: str) -> None:
        """The ops channel cannot be written to: say so, once until it is mended."""
        _, told = await self._engine.store.write(channel_state.closed, self._channel.id, self._engine.clock())
        if told:
            return
        waiting, _ = await self._engine.store.read(outbox.waiting)
        wait = {0: "", 1: "One message waits. "}.get(waiting, f"{waiting} messages wait. ")
        text = (
            f"⚠️ opsbot cannot write to its channel <#{self._channel.id}>: {escape(why, 200)}. {wait}Alerts come only "
            "when that is mended: `opsbot doctor` says what is missing."
        )
        for channel in self._others():
            nonce = f"closed-{self._channel.id}"[:25]
            try:
                await self._channel.send(say(text), nonce=nonce, reply_to=None, silent=False, where=channel)
            except (ClosedError, GoneError, RefusedMessageError) as error:
                log.info("nor can it be said in channel %d: %s", channel, error)
            except AwayError as error:
                log.info("it could not be said in channel %d: %s", channel, error)
                return
            else:
                log.warning("that was said in channel %d", channel)
                await self._engine.store.write(channel_state.mark_reported, self._channel.id)
                return

    async def mended(self) -> None:
        """The ops channel can be written to."""
        if await self._engine.store.write(channel_state.opened, self._channel.id):
            log.warning("the ops channel can be written to again")

    def _others(self) -> list[int]:
        """Other text channels it may write to: first those that not everybody sees."""
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
