"""What the card of a failed deployment offers works: /resume lifts the block of its commit, which is tried again."""

from dataclasses import replace
from pathlib import Path

from opsbot.config import Config
from opsbot.core.access import Origin
from opsbot.core.deployment import Phase
from opsbot.store import ledger
from tests.fixtures.sample import Remote, make_service
from tests.scenarios.watched import open_watched, version_at


async def test_resume_lifts_the_block_of_a_commit_that_was_rolled_back_and_tries_it_again(
    tmp_path: Path, remote: Remote, port: int
) -> None:
    def with_web(config: Config) -> Config:
        return replace(config, services={"web": make_service(tmp_path, remote.url, port, soak=0.1, verify_timeout=1)})

    async with open_watched(tmp_path, changed=with_web, supervised=True) as watched:
        world, poller = watched.world, watched.world.engine.poller
        assert poller is not None
        await poller.poll("web", Origin.POLL)
        await watched.card_says("· #d1", "web runs")
        bad = remote.version("bad", status=500)
        await poller.poll("web", Origin.POLL)
        card = await watched.card_says("· #d2", "rolled back to")
        assert f"`{bad[:7]}` is blocked since it failed" in card["embeds"][0]["description"]
        assert "/resume lifts this" in card["embeds"][0]["description"]
        assert (await poller.poll("web", Origin.POLL)).outcome == "no-news"
        answer = await (await world.person("deployer").run("resume", service="web")).final()
        assert answer["content"] == f"▶️ web was resumed. `{bad[:7]}` may be deployed automatically again."
        await watched.card_says("· #d3", "rolled back to")
        again = await world.store.read(ledger.deployment, 3)
        assert again is not None
        assert (again.commit_to, again.phase, again.actor.automatic) == (bad, Phase.UNDONE, True)
        assert await version_at(port) == "1"
