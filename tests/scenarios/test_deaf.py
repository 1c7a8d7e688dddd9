"""A bot that is up and deaf (a complaint that no tool answers): its process runs, its port answers, and in
Discord it is gone. The real check by presence, on the real gateway.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from opsbot.config import Check, CheckKind, Config
from opsbot.core.health import CheckPolicy
from opsbot.core.recovery import RecoveryPolicy
from opsbot.store import outbox
from tests.cogs.world import text_of
from tests.scenarios.watched import BOT, Watched, open_watched

SEEN = Check("seen", CheckKind.PRESENCE, timedelta(seconds=30), policy=CheckPolicy(fall=3, rise=2), user=BOT)
PROCESS = Check("process", CheckKind.PROCESS, timedelta(seconds=5), policy=CheckPolicy(fall=1, rise=1))


def _with_bot(config: Config) -> Config:
    api = replace(
        config.services["api"],
        checks=(PROCESS, SEEN),
        recovery=RecoveryPolicy(backoff=timedelta(minutes=2)),
        startup_grace=timedelta(0),
        discord_bot=True,
        source=None,
    )
    return replace(config, services={"api": api})


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    async with open_watched(tmp_path, changed=_with_bot) as one:
        await one.appears("online")
        await one.run(70)
        assert one.world.posted() == []
        yield one


async def test_row_29_a_bot_that_is_up_and_deaf_is_told_restarted_and_seen_again(watched: Watched) -> None:
    world = watched.world
    await watched.appears("offline")
    await watched.run(100)
    assert world.manager.restarts == ["api"], "though its process runs"
    (card,) = world.posted()
    assert card["content"].startswith("🔴 api is DOWN: Presence check seen: not seen online in the server (")
    assert "restarting (1 of 3)" in text_of(card)
    await watched.appears("online")
    await watched.run(70)
    assert await watched.incident() is None
    await world.standin.wait_for_message(lambda message: message["content"].startswith("🟢 api was down for"))
    (ending,) = (message["content"] for message in world.thread(card) if "recovered after" in message["content"])
    assert "restarted by opsbot" in ending
    assert len(world.posted()) == 1


async def test_row_29_one_that_stays_deaf_is_restarted_a_few_times_and_then_a_human_is_called(watched: Watched) -> None:
    await watched.appears("offline")
    await watched.run(800)
    assert watched.world.manager.restarts == ["api"] * 3
    calls = [message["content"] for message in watched.world.posted() if "🚨" in message["content"]]
    cause = "Presence check seen: not seen online in the server (3 of 3 failed)"
    assert calls == [f"🚨 api needs attention: automatic recovery gave up: 3 restarts did not help ({cause})."]


async def test_row_29_what_opsbot_itself_cannot_see_is_no_trouble_of_the_bots(watched: Watched) -> None:
    world = watched.world
    world.standin.faults.away()
    discord_bots = world.engine.statuses.discord_bots
    assert discord_bots is not None
    presence_cache = discord_bots.presence_cache
    assert presence_cache is not None
    await world.until(lambda: presence_cache.seen(BOT)[0] is None)
    await watched.run(600)
    assert await watched.incident() is None
    assert world.manager.restarts == []
    assert (await world.store.read(outbox.waiting))[0] == 0
