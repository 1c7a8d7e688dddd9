"""Services of a world that are looked at by a clock which the test moves, and the Discord bot that one of them is.

All of it is real but for Discord: the stand-in's gateway tells who is online and who sits in which voice channel.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from opsbot.core.access import Origin
from opsbot.core.model import Incident
from opsbot.monitoring.discord_bots import DiscordBots
from opsbot.monitoring.presence_cache import PresenceCache
from opsbot.standin.state import Intent
from opsbot.store import incident_repository
from tests.cogs.world import Json, World, open_world, text_of, until_nothing_due
from tests.fixtures.stage import get
from tests.fixtures.waiting import idle

BOT = 100000000000000105  # the first member after the five of the world


@dataclass
class Watched:
    """A world whose services are looked at."""

    world: World

    @property
    def discord_bots(self) -> DiscordBots:
        assert self.world.engine.statuses.discord_bots is not None
        return self.world.engine.statuses.discord_bots

    @property
    def presence_cache(self) -> PresenceCache:
        assert self.discord_bots.presence_cache is not None
        return self.discord_bots.presence_cache

    async def pass_by(self, seconds: int, step: int = 1, *, told: bool = False) -> None:
        """So many seconds pass, with a look at each step. told: the clock waits while something is to be said."""
        world = self.world
        watcher, windows, poller = world.engine.watcher, world.parts.windows, world.engine.poller
        assert windows is not None
        for _ in range(0, seconds, step):
            world.parts.shift += timedelta(seconds=step)
            for service in await windows.tick():
                if poller is not None:
                    poller.wake(service, Origin.POLL)
            if world.engine.statuses.discord_bots is not None:
                await world.engine.statuses.discord_bots.tick()
            await watcher.tick()
            await idle(watcher.background)
            if told:
                await until_nothing_due(world.store, world.feed, world.now)

    async def run(self, seconds: int, step: int = 1) -> None:
        """The same, and all of it is told, and every card is true."""
        await self.pass_by(seconds, step, told=True)
        await self.world.all_told()
        await self.world.cards_true()

    async def appears(self, status: str) -> None:
        """The gateway says so, and opsbot has heard it."""
        self.world.standin.set_presence(BOT, status)
        online = status != "offline"
        await self.world.until(lambda: self.presence_cache.seen(BOT)[0] is online)

    async def incident(self, service: str = "api") -> Incident | None:
        return (await self.world.store.read(incident_repository.open_incidents)).get(service)

    async def pid(self, service: str = "api") -> int | None:
        return (await self.world.engine.managers[service].state(service)).pid

    async def card_says(self, mark: str, words: str, seconds: float = 20.0) -> Json:
        """The card with that mark, once it says so."""
        return await self.world.standin.wait_for_message(
            lambda message: text_of(message).endswith(mark) and words in text_of(message), seconds
        )


async def version_at(port: int) -> str:
    """The version of the sample service that answers there."""
    return str((await asyncio.to_thread(get, f"http://127.0.0.1:{port}/health"))["version"])


@asynccontextmanager
async def open_watched(folder: Path, **options: Any) -> AsyncIterator[Watched]:
    """A world whose bot is online, with every part of opsbot opened. options: of `open_world`."""
    async with open_world(folder, privileged_intents=Intent.PRESENCES, **options) as world:
        assert world.standin.add_bot("recorder") == BOT
        world.standin.set_presence(BOT, "online")
        await world.start()
        watched, discord_bots, windows = Watched(world), world.engine.statuses.discord_bots, world.parts.windows
        assert windows is not None
        await windows.open()
        if discord_bots is not None:
            await discord_bots.open()
        await world.engine.watcher.open()
        try:
            if discord_bots is not None and discord_bots.presence_cache is not None:
                await world.until(lambda: watched.presence_cache.lost_at is None)
            yield watched
        finally:
            if discord_bots is not None:
                await discord_bots.close()
