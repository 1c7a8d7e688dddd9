"""The running live tails, which exist only in this process.

One ends when it is stopped, at its time limit, when its service is removed, when its message is deleted, and when
opsbot stops; its last edit shows the reason and removes the button. One whose last edit was lost, because opsbot was
killed or Discord was unavailable, is ended by the next press of its button.
"""

import asyncio
from contextlib import suppress

import discord

from cogs.cards.rendered import RenderedMessage, refusal, say
from cogs.cards.text import escape
from cogs.delivery.channel import AwayError, ClosedError, GoneError, OpsChannel, RefusedMessageError
from cogs.delivery.delivery_loop import DeliveryPace
from cogs.delivery.live_tail import LINES, OVER, LiveTail
from opsbot.core.access import Actor
from opsbot.core.deployment import Refused
from opsbot.engine import Engine
from opsbot.services.port import LogQuery

AT_MOST = 3
"""More would leave too few edits for each."""
GOOD_BYE_SECONDS = 3.0
"""For the last edits of all live tails when opsbot stops."""


class LiveTails:
    """Starts and ends live tails: one per service, a few at a time."""

    def __init__(self, engine: Engine, channel: OpsChannel, pace: DeliveryPace) -> None:
        self._engine = engine
        self._channel = channel
        self._pace = pace
        self._tails: dict[str, LiveTail] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    async def begin(self, actor: Actor, service: str, level: str | None, *, this_run: bool) -> RenderedMessage:
        """Start one; returns the answer to the user."""
        lines = await self._engine.logs.tail(actor, service, LogQuery(LINES, level=level, this_run=this_run))
        if isinstance(lines, Refused):
            return refusal(lines)
        if service in self._tails:
            return say(f"{escape(service)} already has a live tail. {self._link(self._tails[service])}")
        if len(self._tails) >= AT_MOST or self._closing:
            return say(f"Limit of {AT_MOST} live tail{'' if AT_MOST == 1 else 's'} reached. Stop one of them first.")
        one = self._tails[service] = LiveTail(self._engine, self._channel, self._pace, service, actor)
        listening = asyncio.create_task(one.listen(lines), name=f"lines of {service}")
        try:
            await one.post()
            keeping = asyncio.create_task(self._keep(one, listening), name=f"tail of {service}")
        except (AwayError, ClosedError, RefusedMessageError) as error:
            return say(f"The live tail cannot be posted in the ops channel: {escape(str(error))}")
        finally:
            if one.message is None:
                listening.cancel()
                del self._tails[service]
        self._tasks.add(keeping)
        keeping.add_done_callback(self._tasks.discard)
        return say(f"Live tail of {escape(service)} started in the ops channel. {self._link(one)}")

    async def _keep(self, one: LiveTail, listening: "asyncio.Task[None]") -> None:
        try:
            await one.run()
        finally:
            listening.cancel()
            del self._tails[one.service]

    def _link(self, one: LiveTail) -> str:
        guild = self._engine.config.discord.guild_id
        return f"https://discord.com/channels/{guild}/{self._channel.id}/{one.message}" if one.message else ""

    def stop(self, service: str, number: str, actor: Actor) -> bool:
        """End a live tail; returns whether it was running."""
        one = self._tails.get(service)
        if one is None or one.number != number:
            return False
        one.end(f"stopped by {escape(actor.name, 60)}")
        return True

    async def remove_button(self, message: discord.Message, service: str) -> None:
        kept = message.content.partition("\n")[2]
        with suppress(AwayError, ClosedError, GoneError, RefusedMessageError):
            await self._channel.edit(message.id, RenderedMessage(f"📜 **{escape(service)}** {OVER}.\n{kept}"))

    async def run(self) -> None:
        """Run until cancelled, then send each last edit while Discord is reachable."""
        try:
            await asyncio.Event().wait()
        finally:
            self._closing = True
            for one in self._tails.values():
                one.end("opsbot is stopping")
            if self._tasks:
                _, late = await asyncio.wait(self._tasks, timeout=GOOD_BYE_SECONDS)
                for task in late:
                    task.cancel()
