"""Complaint: a crash loop logs a bot in more than a thousand times in a day, and Discord resets its token."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from opsbot.config import ManagerKind
from opsbot.core.login_budget import LoginThreshold
from opsbot.core.model import NotificationKind
from opsbot.messages import render
from opsbot.services.port import Activity, Happening, ServiceState
from opsbot.store import discord_history
from tests.fixtures.said import said, told
from tests.watch.bot_stage import SERVICE, BotStage, open_stage


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[BotStage]:
    async with open_stage(tmp_path) as opened:
        opened.discord_bots.outage_detector.gateway(up=True)
        yield opened


async def spend(stage: BotStage, starts: int) -> None:
    """So many starts until now, all but the last of them some hours ago."""
    present = LoginThreshold(stage.manager.now_state.run or "", 0)
    at = stage.clock() - timedelta(hours=2)
    await stage.store.write(
        discord_history.record_runs, "api", {"": LoginThreshold("long-ago", starts - 2)}, at - timedelta(hours=1)
    )
    await stage.store.write(discord_history.record_runs, "api", {"": present}, at)
    assert await count(stage) == starts


async def count(stage: BotStage) -> int:
    return (await stage.discord_bots.logins.starts("api")).count


async def test_every_start_is_counted_whoever_made_it(stage: BotStage) -> None:
    assert await count(stage) == 1  # the one that is running
    await stage.dies_and_is_started_by_systemd(5)
    await stage.manager.restart("api")
    stage.manager.happens(Happening.STARTED, stage.manager.now_state, asked=True)
    await stage.settle()
    starts = await stage.discord_bots.logins.starts("api")
    assert (starts.count, starts.by_manager) == (7, 5)
    await stage.run(180)
    assert await count(stage) == 7


async def test_starts_between_two_looks_are_counted_by_systemds_own_count(stage: BotStage) -> None:
    stage.manager.now_state = replace(stage.manager.now_state, run="another", restarts=40)
    await stage.run(61)
    assert await count(stage) == 41


async def test_starts_while_opsbot_was_away_are_counted(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        await stage.dies_and_is_started_by_systemd(3)
        clock = stage.clock
    async with open_stage(tmp_path, clock=clock) as stage:
        assert await count(stage) == 5  # its puppet is another run
        stage.manager.now_state = replace(stage.manager.now_state, run="much-later", restarts=50)
    async with open_stage(tmp_path, clock=clock) as stage:
        stage.manager.now_state = replace(stage.manager.now_state, run="much-later", restarts=50)
        await stage.discord_bots.logins.count()
        before = await count(stage)
        await stage.discord_bots.logins.count()
        assert await count(stage) == before


async def test_what_was_started_a_day_ago_counts_no_more(stage: BotStage) -> None:
    await stage.dies_and_is_started_by_systemd(10)
    stage.clock.pass_by(24 * 3600 + 60)
    assert await count(stage) == 0
    await stage.store.write(discord_history.prune, stage.clock() + timedelta(days=2), stage.clock())
    assert (await stage.store.read(discord_history.starts_after, "api", stage.clock() - timedelta(days=9))) == 0


async def test_from_a_fifth_on_restarts_keep_a_growing_distance(stage: BotStage) -> None:
    await spend(stage, 350)
    stage.eyes.failing["http"] = "answered 503"
    await stage.run(12)
    # The last start was hours ago: the first restart comes at once, the second not after 10 s but after 4 min.
    assert len(stage.manager.restarts_asked) == 1
    stage.manager.happens(Happening.STARTED, stage.manager.now_state, asked=True)
    await stage.run(120)
    assert len(stage.manager.restarts_asked) == 1
    (waits,) = [text for text in await stage.deeds() if text.startswith("recovery waits")]
    assert "its logins run low (351 of 1000 in 24 hours); it may be started " in waits
    assert render(stage.watcher.waits("api")) in waits
    await stage.run(120)
    assert len(stage.manager.restarts_asked) == 2
    assert stage.manager.restarts_asked[1] - stage.manager.restarts_asked[0] == timedelta(minutes=4)


async def test_at_the_half_restarts_stop_and_a_human_is_called_with_the_figures(stage: BotStage) -> None:
    await spend(stage, 512)
    stage.eyes.failing["http"] = "answered 503"
    await stage.run(600)
    assert stage.manager.restarts_asked == []
    (call,) = [notice for notice in await stage.notices() if notice.kind is NotificationKind.CALL]
    why = told(call)
    assert "512 starts in 24 hours" in why
    assert "Discord allows 1000 logins, then it resets the bot's token" in why


async def test_recovery_goes_on_when_the_budget_has_room_again(stage: BotStage) -> None:
    await spend(stage, 512)
    stage.eyes.failing["http"] = "answered 503"
    await stage.run(60)
    await stage.run(23 * 3600, step=60)
    assert len(stage.manager.restarts_asked) >= 1
    assert any("recovery resumed" in text for text in await stage.deeds())


async def test_a_person_is_obeyed_and_told(stage: BotStage) -> None:
    await spend(stage, 512)
    assert "half of its logins are spent" in render(await stage.vetoes.advice("api"))


async def test_systemd_burning_the_budget_is_said_once_for_each_threshold(stage: BotStage) -> None:
    await stage.dies_and_is_started_by_systemd(520, every=2)
    words = [notice for notice in await stage.notices() if notice.kind is NotificationKind.WORD]
    warnings = [notice for notice in words if "again and again" in render(notice.said)]
    assert [notice.body["level"] for notice in warnings] == ["warning", "error"]
    assert "RestartSec=" in render(warnings[0].said)
    assert "of them by the service manager itself; Discord allows" in render(warnings[0].said)
    # It is never stopped for that.
    assert stage.manager.now_state.activity is Activity.RUNNING


async def test_one_that_does_not_run_is_not_started_by_opsbots_own_start(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        await spend(stage, 600)
        clock = stage.clock
        stage.manager.now_state = ServiceState(Activity.STOPPED, run="run-1")
        await stage.watcher._ensure_running("api")
        assert stage.manager.starts_asked == 0
        incident = await stage.incident()
        assert incident is not None
        assert "half of its logins are spent" in said(incident.cause)
        assert clock is stage.clock


async def test_what_opsbot_supervises_itself_is_held_back_likewise(tmp_path: Path) -> None:
    own = replace(SERVICE, manager=ManagerKind.PROCESS, units=(), command=("./bot",))
    async with open_stage(tmp_path, own) as stage:
        assert await stage.discord_bots.start("api") is None
        await spend(stage, 512)
        assert "half of its logins are spent" in render(await stage.discord_bots.start("api"))
        stage.manager.happens(Happening.DIED, replace(stage.manager.now_state, activity=Activity.RETRYING, pid=None))
        await stage.run(5)
        assert any("half of its logins" in text for text in await stage.deeds())


async def test_a_service_that_is_no_bot_has_no_budget(tmp_path: Path) -> None:
    async with open_stage(tmp_path, replace(SERVICE, discord_bot=False, drain=None)) as stage:
        await stage.dies_and_is_started_by_systemd(30)
        assert await count(stage) == 0
        assert await stage.discord_bots.start("api") is None
