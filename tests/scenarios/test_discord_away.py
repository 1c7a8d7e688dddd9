"""Discord has an outage: a tool of this kind restarts healthy bots again and again, and floods the channel afterwards.

opsbot's own gateway and its requests fail, too, so it knows; the bots and the other services answer over real HTTP.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from aiohttp import web

from opsbot.bot.link import Link
from opsbot.config import Check, CheckKind, Config, Service
from opsbot.core.health import CheckPolicy
from tests.cogs.world import Json, text_of
from tests.scenarios.watched import Watched, open_watched

OTHERS = tuple(f"site{number}" for number in range(12))


@dataclass
class Answers:
    """Answers for every service; 200 where nothing else is said."""

    statuses: dict[str, int] = field(default_factory=dict)
    port: int = 0

    async def get(self, request: web.Request) -> web.Response:
        return web.Response(status=self.statuses.get(request.match_info["service"], 200))


@asynccontextmanager
async def answering() -> AsyncIterator[Answers]:
    answers, app = Answers(), web.Application()
    app.router.add_get("/{service}", answers.get)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    answers.port = runner.addresses[0][1]
    try:
        yield answers
    finally:
        await runner.cleanup()


@asynccontextmanager
async def open_outage(folder: Path) -> AsyncIterator[tuple[Watched, Answers]]:
    """Two bots and twelve other services, all well; Discord is there still."""
    async with answering() as answers:

        def changed(config: Config) -> Config:
            def service(name: str, *, bot: bool = False) -> Service:
                url = f"http://127.0.0.1:{answers.port}/{name}"
                check = Check("http", CheckKind.HTTP, timedelta(seconds=5), policy=CheckPolicy(fall=2, rise=1), url=url)
                plain = replace(config.services["api"], name=name, source=None, startup_grace=timedelta(0))
                return replace(plain, checks=(check,), discord_bot=bot)

            names = {name: service(name) for name in OTHERS}
            return replace(config, services={name: service(name, bot=True) for name in ("api", "music")} | names)

        async with open_watched(folder, changed=changed) as watched:
            await watched.run(20)
            assert watched.world.posted() == []
            yield watched, answers


async def test_item_4_in_an_outage_of_discord_no_bot_is_restarted_and_all_is_told_in_one_digest(tmp_path: Path) -> None:
    async with open_outage(tmp_path) as (watched, answers):
        world = watched.world
        world.standin.faults.away()
        await world.until(lambda: world.link is Link.AWAY)
        answers.statuses |= {"api": 503, "music": 503}
        await watched.pass_by(60)
        for name in OTHERS:
            answers.statuses[name] = 500
            await watched.pass_by(15)
            del answers.statuses[name]
            await watched.pass_by(10)
        await watched.pass_by(600, step=5)
        assert watched.discord_bots.outage_detector.away is not None
        assert not {"api", "music"} & set(world.manager.restarts), "they run, and fail only what Discord explains"
        assert set(world.manager.restarts) == set(OTHERS), "what is no bot is recovered as ever"
        assert world.posted() == []

        world.standin.faults.back()
        await world.until(lambda: world.link is Link.CONNECTED)
        await world.all_told(30)
        posted = world.posted()
        digest = posted.pop(next(n for n, message in enumerate(posted) if "came and went" in message["content"]))
        assert f"{len(OTHERS)} incidents came and went" in digest["content"]
        for name in OTHERS:
            assert text_of(digest).count(f"**{name}**") == 1
        assert sorted(_begin(message) for message in posted) == ["🔴 api is not well", "🔴 music is not well"]
        assert len(world.posted()) == 3, "no flood, and no call for a human"
        assert "waits: Discord is away since <t:" in text_of(posted[0])

        del answers.statuses["music"]
        await watched.run(30)
        assert not {"api", "music"} & set(world.manager.restarts)
        assert "to recover by itself" in text_of(await watched.card_says("· #i1", "Discord is back since <t:"))
        await watched.run(150)
        restarted = [name for name in world.manager.restarts if name not in OTHERS]
        assert restarted, "recovery goes on"
        assert set(restarted) == {"api"}, "the other one came back by itself"
        del answers.statuses["api"]
        await watched.run(20)
        for mark in ("· #i1", "· #i2"):
            assert (await watched.card_says(mark, "was not well for"))["content"].startswith("🟢")


def _begin(message: Json) -> str:
    return str(message["content"]).split(":", maxsplit=1)[0]
