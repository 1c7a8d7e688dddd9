"""The poll over the real pipeline and a real, supervised service."""

import asyncio
from pathlib import Path

import pytest

from opsbot.core.deployment import Phase
from opsbot.deploy.poll import Poller
from opsbot.store import ledger
from tests.fixtures.sample import Remote, make_service
from tests.fixtures.stage import Stage, clock, open_stage
from tests.fixtures.waiting import until


async def ended(stage: Stage) -> list[tuple[str, str]]:
    """Commit and end of every deployment, oldest first, once none is under way."""
    await until(lambda: not stage.deployer.busy("web"), 60)
    found = await stage.store.read(ledger.deployments, "web")
    return [(each.commit_to or "", str(each.phase)) for each in reversed(found)]


@pytest.mark.parametrize("pushes", [3])
async def test_pushes_while_a_deploy_runs_are_one_deploy_of_the_newest(
    tmp_path: Path, remote: Remote, port: int, pushes: int
) -> None:
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port)) as stage:
        poller = Poller(stage.config, stage.store, stage.feed, stage.deployer, clock)
        first = remote.head()
        assert (await poller.poll("web")).outcome == "deploying"
        newest = ""
        for number in range(pushes):
            newest = remote.version(f"next-{number}")
            assert (await poller.poll("web")).outcome == "later"
        await ended(stage)
        async with asyncio.timeout(60):
            while [one.finished for one in await stage.store.read(ledger.deployments, "web")] != [True, True]:
                await asyncio.sleep(0.02)  # the one that follows begins by itself, a moment later
        assert await ended(stage) == [(first, Phase.LIVE), (newest, Phase.LIVE)]
        await stage.assert_well(f"next-{pushes - 1}")
        assert (await poller.poll("web")).outcome == "no-news"
        await poller.close()


async def test_a_commit_that_fails_is_not_tried_again_and_the_next_one_is(
    tmp_path: Path, remote: Remote, port: int
) -> None:
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port)) as stage:
        poller = Poller(stage.config, stage.store, stage.feed, stage.deployer, clock)
        await poller.poll("web")
        await ended(stage)
        bad = remote.version("bad", exits=3)
        assert (await poller.poll("web")).outcome == "deploying"
        assert (await ended(stage))[-1] == (bad, Phase.UNDONE)
        await stage.assert_well("1")
        assert [(await poller.poll("web")).outcome for _ in range(3)] == ["no-news"] * 3
        good = remote.version("2")
        assert (await poller.poll("web")).outcome == "deploying"
        assert (await ended(stage))[-1] == (good, Phase.LIVE)
        await stage.assert_well("2")
        await stage.roll_back()
        assert [(await poller.poll("web")).outcome for _ in range(3)] == ["no-news"] * 3
        await stage.assert_well("1")
        await poller.close()
