"""Complaint: a restart kills work in flight: a bot is thrown out of the meeting that it records."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from opsbot.core.health import ProbeCode
from opsbot.core.inhibitors import first_reason
from opsbot.core.message import Message, message
from opsbot.messages import render
from opsbot.services.port import Activity
from tests.watch.bot_stage import AIKO, BEN, BOT, BotStage, guild_create, open_stage


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[BotStage]:
    async with open_stage(tmp_path) as opened:
        opened.discord_bots.outage_detector.gateway(up=True)
        yield opened


async def swing(stage: BotStage) -> Message | None:
    return await first_reason(stage.vetoes.swings, "api")


async def test_a_bot_among_people_is_not_replaced(stage: BotStage) -> None:
    stage.company(AIKO, BEN)
    said = await swing(stage)
    assert said is not None
    assert render(said).startswith("in #meeting with 2 people, at the latest 20")


@pytest.mark.parametrize("others", [(), (40, 41)])
async def test_a_bot_alone_or_among_bots_is(stage: BotStage, others: tuple[int, ...]) -> None:
    stage.company(*others, bots=others)
    assert await swing(stage) is None


async def test_a_bot_in_no_channel_is(stage: BotStage) -> None:
    stage.presence_cache.created(guild_create(voices=(AIKO, BEN)))
    assert await swing(stage) is None


async def test_the_wait_is_over_when_the_last_person_leaves(stage: BotStage) -> None:
    stage.company(AIKO)
    assert "1 person" in render(await swing(stage))
    stage.presence_cache.voice({"guild_id": "1", "user_id": str(AIKO), "channel_id": None})
    assert await swing(stage) is None


async def test_people_who_come_later_count(stage: BotStage) -> None:
    stage.company()
    assert await swing(stage) is None
    member = {"user": {"id": str(BEN)}}
    stage.presence_cache.voice({"guild_id": "1", "user_id": str(BEN), "channel_id": "77", "member": member})
    assert "1 person" in render(await swing(stage))


async def test_a_service_that_is_not_well_is_not_spared(stage: BotStage) -> None:
    stage.company(AIKO)
    stage.eyes.failing["http"] = "answered 500"
    await stage.run(16)
    assert await swing(stage) is None
    assert stage.manager.restarts_asked != []


async def test_one_that_flaps_and_works_is_spared(stage: BotStage) -> None:
    stage.company(AIKO)
    for _ in range(4):
        stage.eyes.failing["http"] = "answered 500"
        await stage.run(16)
        stage.eyes.failing.clear()
        await stage.run(16)
    assert stage.watcher._watched["api"].incidents.flapping.active
    assert "1 person" in render(await swing(stage))
    stage.eyes.failing["http"] = "answered 500"
    await stage.run(16)
    assert await swing(stage) is None


async def test_one_that_does_not_run_is_not_waited_for(stage: BotStage) -> None:
    stage.company(AIKO)
    stage.manager.now_state = replace(stage.manager.now_state, activity=Activity.FAILED)
    assert await swing(stage) is None


async def test_while_nothing_is_known_it_is_waited_for_a_minute_only(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        assert "not known yet" in render(await swing(stage))
        stage.clock.pass_by(61)
        # No deployment waits, so the wait would only begin now; what counts is one that has waited.
        assert "not known yet" in render(await swing(stage))
        stage.company()
        assert await swing(stage) is None
        stage.company(AIKO)
        stage.presence_cache.lost()
        assert "not known yet" in render(await swing(stage))
        stage.presence_cache.resumed()
        assert "1 person" in render(await swing(stage))


async def test_one_that_only_takes_too_much_memory_may_finish_its_meeting(stage: BotStage) -> None:
    stage.company(AIKO)
    stage.eyes.failing["process"] = "takes 600 MiB of memory"
    await stage.run(60)
    assert stage.manager.restarts_asked == []
    assert any("recovery waits: in #meeting" in text for text in await stage.deeds())
    await stage.run(1800, step=10)
    assert stage.manager.restarts_asked != []


async def test_a_presence_is_unknown_while_opsbot_is_not_connected(stage: BotStage) -> None:
    look = stage.presence_cache.seen
    assert look(BOT)[0] is None
    stage.presence_cache.created(guild_create(online=(BOT, AIKO)))
    assert look(BOT) == (True, message(ProbeCode.ONLINE, status="online"))
    stage.presence_cache.presence({"guild_id": "1", "user": {"id": str(BOT)}, "status": "idle"})
    assert look(BOT) == (True, message(ProbeCode.ONLINE, status="idle"))
    stage.presence_cache.presence({"guild_id": "1", "user": {"id": str(BOT)}, "status": "offline"})
    assert look(BOT) == (False, message(ProbeCode.OFFLINE))
    stage.presence_cache.lost()
    assert look(BOT)[0] is None
    stage.presence_cache.resumed()
    assert look(BOT)[0] is False
    stage.presence_cache.created(guild_create(online=(BOT,)))
    assert look(BOT)[0] is True
    stage.presence_cache.gone({"id": "1", "unavailable": True})
    assert look(BOT)[0] is None
    stage.presence_cache.resumed()  # the server itself is away still
    assert look(BOT)[0] is None
    stage.presence_cache.refused = why = "the Presence Intent is not enabled"
    assert look(BOT) == (None, message(ProbeCode.PRESENCE_UNAVAILABLE, why=why))


async def test_only_what_a_check_asks_for_is_kept(stage: BotStage) -> None:
    stage.presence_cache.created(guild_create(online=tuple(range(100, 200))))
    assert stage.presence_cache._online == {}
