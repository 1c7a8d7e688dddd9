"""Complaint: Discord has an outage, and the watcher restarts healthy bots again and again."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from opsbot.config import Check, CheckKind
from opsbot.core.exits import ExitCode
from opsbot.core.health import CheckPolicy
from opsbot.core.inhibitors import first_reason
from opsbot.core.message import message
from opsbot.core.model import NotificationKind
from opsbot.messages import render
from opsbot.services.port import Activity, Happening
from opsbot.store import discord_history
from tests.watch.bot_stage import SERVICE, BotStage, open_stage

EXIT_1 = message(ExitCode.STATUS, status=1)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[BotStage]:
    async with open_stage(tmp_path) as opened:
        opened.discord_bots.outage_detector.gateway(up=True)
        yield opened


async def goes_away(stage: BotStage) -> None:
    stage.discord_bots.outage_detector.gateway(up=False)
    stage.discord_bots.outage_detector.rest(ok=False)
    await stage.run(12)
    assert stage.discord_bots.outage_detector.away is not None


async def test_a_bot_that_fails_for_want_of_discord_is_left_running(stage: BotStage) -> None:
    await goes_away(stage)
    stage.eyes.failing["http"] = "answered 503"
    await stage.run(1800)
    assert stage.manager.restarts_asked == []
    assert [notice.kind for notice in await stage.notices()] == [NotificationKind.INCIDENT]  # no call either
    (waits,) = await stage.deeds()
    assert waits.startswith("waits: Discord is away since ")
    assert render(stage.watcher.waits("api")).startswith("Discord is away since")


async def test_after_the_outage_it_gets_a_while_and_then_recovery_goes_on(stage: BotStage) -> None:
    await goes_away(stage)
    stage.eyes.failing["http"] = "answered 503"
    await stage.run(300)
    stage.discord_bots.outage_detector.gateway(up=True)
    back = stage.clock()
    await stage.run(100)
    assert stage.discord_bots.outage_detector.away is None
    assert stage.manager.restarts_asked == []
    deeds = await stage.deeds()
    assert any(text.startswith("Discord is back since ") for text in deeds)
    assert "to recover by itself" in render(stage.watcher.waits("api"))
    await stage.run(60)
    assert stage.manager.restarts_asked
    assert stage.manager.restarts_asked[0] - back >= timedelta(minutes=2)


async def test_one_that_comes_back_by_itself_was_never_restarted(stage: BotStage) -> None:
    await goes_away(stage)
    stage.eyes.failing["http"] = "answered 503"
    await stage.run(300)
    stage.discord_bots.outage_detector.gateway(up=True)
    await stage.run(20)
    stage.eyes.failing.clear()
    await stage.run(10)
    assert await stage.incident() is None
    assert stage.manager.restarts_asked == []


async def test_one_that_died_is_started_again_but_ever_more_seldom(stage: BotStage) -> None:
    await goes_away(stage)
    dead = replace(
        stage.manager.now_state,
        activity=Activity.FAILED,
        pid=None,
        exit=EXIT_1,
        revivable=True,
    )
    for _ in range(3600):
        if stage.manager.now_state.activity is Activity.RUNNING:  # it dies of Discord's absence at once
            stage.manager.happens(Happening.STARTED, stage.manager.now_state, asked=True)
            await stage.settle()
            died = replace(dead, run=stage.manager.now_state.run)
            stage.manager.happens(Happening.DIED, died)
        await stage.run(1)
    # Three tries of the ladder, with 30 s, 1 and 2 min between them, then it waits for Discord: no call, no rollback.
    assert len(stage.manager.restarts_asked) == 3
    gaps = [b - a for a, b in zip(stage.manager.restarts_asked, stage.manager.restarts_asked[1:], strict=False)]
    assert gaps == sorted(gaps)
    assert gaps[0] >= timedelta(seconds=30)
    assert NotificationKind.CALL not in [notice.kind for notice in await stage.notices()]
    stage.discord_bots.outage_detector.gateway(up=True)
    await stage.run(15)
    assert len(stage.manager.restarts_asked) == 4


async def test_what_discord_does_not_explain_is_recovered_all_the_same(tmp_path: Path) -> None:
    checks = (*SERVICE.checks, Check("tcp", CheckKind.TCP, timedelta(seconds=5), policy=CheckPolicy(fall=2, rise=1)))
    async with open_stage(tmp_path, replace(SERVICE, checks=checks)) as stage:
        stage.discord_bots.outage_detector.gateway(up=True)
        await stage.run(200)
        await goes_away(stage)
        stage.eyes.failing["tcp"] = "connection refused"
        await stage.run(60)
        assert len(stage.manager.restarts_asked) >= 1


async def test_a_reconnection_is_no_outage(stage: BotStage) -> None:
    stage.discord_bots.outage_detector.gateway(up=False)
    await stage.run(30)
    assert stage.discord_bots.outage_detector.away is None
    stage.discord_bots.outage_detector.gateway(up=True)
    stage.eyes.failing["http"] = "answered 503"
    await stage.run(20)
    assert len(stage.manager.restarts_asked) == 1


async def test_one_that_fails_at_once_waits_until_it_is_known_whether_discord_is_away(stage: BotStage) -> None:
    stage.discord_bots.outage_detector.gateway(up=False)
    stage.eyes.failing["http"] = "answered 503"
    await stage.run(50)
    assert stage.discord_bots.outage_detector.away is None
    assert stage.manager.restarts_asked == []
    assert render(stage.watcher.waits("api")).startswith("opsbot lost its connection to Discord, too, at ")
    await stage.run(60)
    assert render(stage.watcher.waits("api")).startswith("Discord is away since ")
    assert stage.manager.restarts_asked == []


async def test_one_that_fails_in_a_reconnection_waits_only_for_that(stage: BotStage) -> None:
    stage.discord_bots.outage_detector.gateway(up=False)
    stage.eyes.failing["http"] = "answered 503"
    await stage.run(30)
    assert stage.manager.restarts_asked == []
    stage.discord_bots.outage_detector.gateway(up=True)
    await stage.run(2)
    assert len(stage.manager.restarts_asked) == 1


async def test_a_refused_token_of_opsbots_own_excuses_no_bot(stage: BotStage) -> None:
    stage.discord_bots.outage_detector.gateway(up=False, refused=True)
    stage.eyes.failing["http"] = "answered 503"
    await stage.run(120)
    assert stage.discord_bots.outage_detector.away is None
    assert stage.manager.restarts_asked != []


async def test_an_outage_outlives_opsbot_and_is_kept(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        stage.discord_bots.outage_detector.gateway(up=True)
        await goes_away(stage)
        began, clock = stage.discord_bots.outage_detector.away, stage.clock
    async with open_stage(tmp_path, clock=clock) as stage:
        assert stage.discord_bots.outage_detector.away == began
        await stage.run(30)
        assert stage.discord_bots.outage_detector.away == began
        stage.discord_bots.outage_detector.gateway(up=True)
        await stage.run(30)
        assert stage.discord_bots.outage_detector.away is None
        (outage,) = await stage.store.read(discord_history.outages, began or clock())
        assert outage.began == began
        assert outage.ended is not None


async def test_no_release_is_replaced_while_discord_is_away(stage: BotStage) -> None:
    stage.company()
    assert await first_reason(stage.vetoes.swings, "api") is None
    await goes_away(stage)
    assert "Discord is away since" in render(await first_reason(stage.vetoes.swings, "api"))


async def test_a_service_that_is_no_bot_is_restarted_as_ever(tmp_path: Path) -> None:
    async with open_stage(tmp_path, replace(SERVICE, discord_bot=False)) as stage:
        stage.discord_bots.outage_detector.gateway(up=False)
        stage.discord_bots.outage_detector.rest(ok=False)
        stage.eyes.failing["http"] = "answered 503"
        await stage.run(60)
        assert stage.manager.restarts_asked != []
