"""A bot that is up and deaf (a complaint that no tool answers): its process runs, its port answers, and in
Discord it is gone. The real check by presence, on the real gateway.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from opsbot.config import Check, CheckKind, Config
from opsbot.core.health import Policy
from opsbot.core.model import Incident
from opsbot.core.recovery import Ladder
from opsbot.standin.state import Intent
from opsbot.store import outbox, watchbook
from tests.cogs.world import World, open_world, text_of

BOT = 100000000000000105  # the first member after the five of the world
SEEN = Check("seen", CheckKind.PRESENCE, timedelta(seconds=30), policy=Policy(fall=3, rise=2), user=BOT)
PROCESS = Check("process", CheckKind.PROCESS, timedelta(seconds=5), policy=Policy(fall=1, rise=1))


def _with_bot(config: Config) -> Config:
    api = replace(
        config.services["api"],
        checks=(PROCESS, SEEN),
        recovery=Ladder(backoff=timedelta(minutes=2)),
        startup_grace=timedelta(0),
        discord_bot=True,
    )
    return replace(config, services={"api": api})


@dataclass
class Watched:
    """A world whose bot is looked at, by a clock that the test moves."""

    world: World

    async def run(self, seconds: int) -> None:
        watcher, aware = self.world.engine.watcher, self.world.engine.aware
        assert aware is not None
        for _ in range(seconds):
            self.world.parts.shift += timedelta(seconds=1)
            await aware.tick()
            await watcher.tick()
            await self.world.until(lambda: not watcher._tasks)
        await self.world.all_told()

    async def appears(self, status: str) -> None:
        """The gateway says so, and opsbot has heard it."""
        self.world.standin.set_presence(BOT, status)
        aware = self.world.engine.aware
        assert aware is not None
        assert aware.sightings is not None
        sightings, online = aware.sightings, status != "offline"
        await self.world.until(lambda: sightings.look(BOT)[0] is online)

    async def incident(self) -> Incident | None:
        return (await self.world.store.read(watchbook.open_incidents)).get("api")


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    async with open_world(tmp_path, changed=_with_bot, privileged_intents=Intent.PRESENCES) as world:
        assert world.standin.add_bot("recorder") == BOT
        world.standin.set_presence(BOT, "online")
        await world.live("api", "r1")
        await world.start()
        await world.engine.watcher.open()
        one = Watched(world)
        await one.appears("online")
        await one.run(70)
        assert world.posted() == []
        yield one


async def test_row_29_a_bot_that_is_up_and_deaf_is_told_restarted_and_seen_again(watched: Watched) -> None:
    world = watched.world
    await watched.appears("offline")
    await watched.run(100)
    assert world.manager.restarts == ["api"], "though its process runs"
    (card,) = world.posted()
    assert card["content"].startswith("🔴 api is not well: check seen: not seen online in the server.")
    assert "restart 1 of 3" in text_of(card)
    await watched.appears("online")
    await watched.run(70)
    assert await watched.incident() is None
    await world.standin.wait_for_message(lambda message: message["content"].startswith("🟢 api was not well for"))
    (ending,) = (message["content"] for message in world.thread(card) if "is well again after" in message["content"])
    assert "restarted by opsbot" in ending
    assert len(world.posted()) == 1


async def test_row_29_one_that_stays_deaf_is_restarted_a_few_times_and_then_a_human_is_called(watched: Watched) -> None:
    await watched.appears("offline")
    await watched.run(800)
    assert watched.world.manager.restarts == ["api"] * 3
    calls = [message["content"] for message in watched.world.posted() if "🚨" in message["content"]]
    assert calls == [
        "🚨 A human is needed for api: 3 restarts did not help (check seen: not seen online in the server)."
    ]


async def test_row_29_what_opsbot_itself_cannot_see_is_no_trouble_of_the_bots(watched: Watched) -> None:
    world = watched.world
    world.standin.faults.away()
    aware = world.engine.aware
    assert aware is not None
    sightings = aware.sightings
    assert sightings is not None
    await world.until(lambda: sightings.look(BOT)[0] is None)
    await watched.run(600)
    assert await watched.incident() is None
    assert world.manager.restarts == []
    assert (await world.store.read(outbox.waiting))[0] == 0
