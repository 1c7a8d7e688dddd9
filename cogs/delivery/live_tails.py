"""The live tails there are. They live in this process alone.

One ends when it is stopped, after its time, when its service is removed, when its message is deleted, and when opsbot
stops; its last edit says why and takes the button away. One that opsbot could not say good-bye to, because it was
killed or Discord was away, is ended by the next press of its button.
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
"""More at once would leave each too few edits."""
GOOD_BYE_SECONDS = 3.0
"""For all tails together, when opsbot stops."""


class LiveTails:
    """Begins and ends them: one a service, a few at once."""

    def __init__(self, engine: Engine, channel: OpsChannel, pace: DeliveryPace) -> None:
        """None runs yet."""
        self._engine = engine
        self._channel = channel
        self._pace = pace
        self._tails: dict[str, LiveTail] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    async def begin(self, actor: Actor, service: str, level: str | None, *, this_run: bool) -> RenderedMessage:
        """Begin one; what is said to the one who asked."""
        lines = await self._engine.logs.tail(actor, service, LogQuery(LINES, level=level, this_run=this_run))
        if isinstance(lines, Refused):
            return refusal(lines)
        if service in self._tails:
            return say(f"{escape(service)} has a tail already. {self._link(self._tails[service])}")
        if len(self._tails) >= AT_MOST or self._closing:
            return say(f"{AT_MOST} tails run already, and more Discord does not bear. Stop one of them first.")
        one = self._tails[service] = LiveTail(self._engine, self._channel, self._pace, service, actor)
        listening = asyncio.create_task(one.listen(lines), name=f"lines of {service}")
        try:
            await one.post()
            keeping = asyncio.create_task(self._keep(one, listening), name=f"tail of {service}")
        except (AwayError, ClosedError, RefusedMessageError) as error:
            return say(f"The tail cannot be put into the ops channel: {escape(str(error))}")
        finally:
            if one.message is None:
                listening.cancel()
                del self._tails[service]
        self._tasks.add(keeping)
        keeping.add_done_callback(self._tasks.discard)
        return say(f"The last lines of {escape(service)} are shown in the ops channel as they come. {self._link(one)}")

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
        """Let it end; whether there is this very one."""
        one = self._tails.get(service)
        if one is None or one.number != number:
            return False
        one.end(f"stopped by {escape(actor.name, 60)}")
        return True

    async def bury(self, message: discord.Message, service: str) -> None:
        """Take the button from the message of a tail that is no more."""
        kept = message.content.partition("\n")[2]
        with suppress(AwayError, ClosedError, GoneError, RefusedMessageError):
            await self._channel.edit(message.id, RenderedMessage(f"📜 **{escape(service)}** {OVER}.\n{kept}"))

    async def run(self) -> None:
        """Until it is cancelled; then each says good-bye, while Discord can still be reached."""
        try:
            await asyncio.Event().wait()
        finally:
            self._closing = True
            for one in self._tails.values():
                one.end("opsbot stops")
            if self._tasks:
                _, late = await asyncio.wait(self._tasks, timeout=GOOD_BYE_SECONDS)
                for task in late:
                    task.cancel()
