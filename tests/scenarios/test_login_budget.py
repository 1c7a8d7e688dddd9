"""Discord resets the token of a bot that logs in a thousand times in a day: opsbot, who restarts it, stops before.

The bot is a real process, and each of its starts counts. So that ten are the half, its token is allowed twenty logins.
"""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from opsbot.config import Config
from opsbot.core.recovery import RecoveryPolicy
from tests.cogs.world import Json, text_of
from tests.scenarios.test_deaf import PROCESS, SEEN
from tests.scenarios.watched import Watched, open_watched

LADDER = RecoveryPolicy(attempts=50, backoff=timedelta(seconds=1), budget=1000, roll_back=False)


def _with_process(config: Config) -> Config:
    api = replace(
        config.services["api"],
        command=("sleep", "3600"),
        source=None,
        checks=(PROCESS, replace(SEEN, interval=timedelta(seconds=5))),
        recovery=LADDER,
        startup_grace=timedelta(0),
        discord_bot=True,
        login_limit=20,
    )
    return replace(config, services={"api": api})


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    async with open_watched(tmp_path, changed=_with_process, supervised=True) as one:
        await one.appears("online")
        await one.run(40)
        yield one


def the_card(watched: Watched) -> Json:
    (card,) = (message for message in watched.world.posted() if text_of(message).endswith("· #i1"))
    return card


def restarts(watched: Watched) -> list[int]:
    """When opsbot restarted it, as its thread says."""
    lines = [message["content"] for message in watched.world.thread(the_card(watched))]
    return [int(found[1]) for line in lines if (found := re.search(r"<t:(\d+):T> restart \d+ of 50", line))]


async def test_item_1_restarts_slow_down_from_a_fifth_of_the_logins_and_end_at_the_half(watched: Watched) -> None:
    world = watched.world
    operator = world.person("operator")
    for _ in range(3):
        await (await operator.run("restart", service="api")).final()
        await watched.run(5)
    status = await (await operator.run("status", service="api")).final()
    assert "Started 4 times in 24 hours; Discord allows 20 logins" in text_of(status), "people's restarts count, too"
    await watched.appears("offline")
    await watched.run(20)
    assert restarts(watched) == []
    low = r"its logins run low \(4 of 20 in 24 hours\); it may be started <t:\d+:R>"
    assert re.search(f"waits: {low}", text_of(the_card(watched)))
    status = await (await operator.run("status", service="api")).final()
    assert re.search(f"Waits: {low}", text_of(status))
    await watched.run(3600, step=5)
    at = restarts(watched)
    gaps = [after - before for before, after in pairwise(at)]
    assert len(at) == 6, "to the tenth start, and no further"
    for gap, least in zip(gaps, (60, 120, 240, 480, 960), strict=True):
        assert least <= gap <= least + 40, gaps
    card = text_of(the_card(watched))
    assert "A human is needed" in card
    assert "opsbot does not start it any more, because half of its logins are spent: 10 starts in 24 hours" in card
    assert "nothing by itself, until somebody restarts or resumes it" in card
    (call,) = (text for text in map(text_of, world.posted()) if text.startswith("🚨"))
    assert call.startswith("🚨 A human is needed for api: opsbot does not start it any more")
    assert "Discord allows 20 logins, then it resets the bot's token" in call
    before = await watched.pid()
    obeyed = await (await operator.run("restart", service="api")).final()
    assert "⚠️ opsbot itself would not have: opsbot does not start it any more" in text_of(obeyed)
    assert await watched.pid() != before, "a person is told, and obeyed"
