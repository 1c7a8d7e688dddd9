"""A bot sits in a voice channel with people, and a deploy would throw it out: it waits, says so, and can be hurried.

A real repository, the real pipeline and a real process; Discord's gateway says who sits where.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from opsbot.config import Config, Drain
from opsbot.core.access import Origin
from tests.cogs.world import Json, buttons_of, text_of
from tests.fixtures.sample import Remote, make_service
from tests.scenarios.watched import BOT, Watched, open_watched, version_at

LIMIT = timedelta(minutes=30)


@dataclass
class Meeting:
    """Version 1 runs, and the bot sits in #meeting with two people."""

    watched: Watched
    remote: Remote
    port: int
    room: int

    async def version(self) -> str:
        return await version_at(self.port)

    async def asks(self) -> None:
        await (await self.watched.world.person("deployer").run("deploy", service="web")).final()

    async def waits(self, number: int, people: str = "2 people") -> Json:
        """The card of a deployment, once it says what it waits for."""
        return await self.watched.card_says(f"· #d{number}", f"in #meeting with {people}, at the latest <t:")

    async def runs(self, number: int, version: str) -> None:
        card = await self.watched.card_says(f"· #d{number}", "web runs")
        assert "Now" not in buttons_of(card)
        assert await self.version() == version

    def leaves(self, *ranks: str) -> None:
        for rank in ranks:
            self.watched.world.standin.set_voice(self.watched.world.people[rank], None)

    async def company(self, people: int) -> None:
        """opsbot has heard that so many people are there."""
        presence_cache = self.watched.presence_cache

        def heard() -> bool:
            found = presence_cache.company(BOT)
            return (found.people if found else 0) == people

        await self.watched.world.until(heard)


@asynccontextmanager
async def open_meeting(folder: Path, remote: Remote, port: int) -> AsyncIterator[Meeting]:
    def with_web(config: Config) -> Config:
        web = make_service(folder, remote.url, port, soak=0.1)
        return replace(config, services={"web": replace(web, discord_bot=True, drain=Drain(BOT, limit=LIMIT))})

    async with open_watched(folder, changed=with_web, supervised=True) as watched:
        room = watched.world.standin.add_voice_channel("meeting")
        meeting = Meeting(watched, remote, port, room)
        await meeting.asks()
        await meeting.runs(1, "1")
        for one in (BOT, watched.world.people["viewer"], watched.world.people["admin"]):
            watched.world.standin.set_voice(one, room)
        await meeting.company(2)
        yield meeting


async def test_item_3_a_deploy_waits_for_the_meeting_says_so_and_now_ends_the_wait(
    tmp_path: Path, remote: Remote, port: int
) -> None:
    async with open_meeting(tmp_path, remote, port) as meeting:
        watched = meeting.watched
        remote.version("2")
        await meeting.asks()
        card = await meeting.waits(2)
        assert "Now" in buttons_of(card)
        assert "waiting" in card["content"]
        status = await (await watched.world.person("viewer").run("status", service="web")).final()
        assert "Waits: in #meeting with 2 people" in text_of(status)
        await watched.run(60)
        assert await meeting.version() == "1", "nothing live has changed"
        refused = await watched.world.person("operator").click(card, "Now")
        assert "may not use now" in text_of(await refused.final())
        await (await watched.world.person("deployer").click(card, "Now")).final()
        await meeting.runs(2, "2")
        await watched.card_says("· #d2", "ended by deployer")
        assert len([m for m in watched.world.posted() if text_of(m).endswith("· #d2")]) == 1, "one card, edited"


async def test_item_3_it_goes_on_by_itself_when_the_last_person_has_left(
    tmp_path: Path, remote: Remote, port: int
) -> None:
    async with open_meeting(tmp_path, remote, port) as meeting:
        watched = meeting.watched
        remote.version("2")
        assert watched.world.engine.poller is not None
        await watched.world.engine.poller.poll("web", Origin.POLL)
        await meeting.waits(2)
        meeting.leaves("viewer")
        await meeting.waits(2, "1 person")
        await watched.run(30)
        assert await meeting.version() == "1"
        meeting.leaves("admin")
        await meeting.runs(2, "2")
        await watched.card_says("· #d2", "nothing speaks against it any more")


async def test_item_3_no_meeting_keeps_a_deploy_back_beyond_the_limit(
    tmp_path: Path, remote: Remote, port: int
) -> None:
    async with open_meeting(tmp_path, remote, port) as meeting:
        watched = meeting.watched
        remote.version("2")
        await meeting.asks()
        await meeting.waits(2)
        began = watched.world.now()
        await watched.run(int(LIMIT.total_seconds()) - 60, step=20)
        await meeting.waits(2)
        assert await meeting.version() == "1"
        await watched.run(60, step=20)
        await meeting.runs(2, "2")
        assert watched.world.now() - began < LIMIT + timedelta(minutes=5)
        assert watched.presence_cache.company(BOT) is not None, "they sit there still"


async def test_a_newer_commit_that_cannot_be_installed_does_not_cost_the_one_that_waits_its_turn(
    tmp_path: Path, remote: Remote, port: int
) -> None:
    async with open_meeting(tmp_path, remote, port) as meeting:
        watched = meeting.watched
        assert watched.world.engine.poller is not None
        remote.version("2")
        await watched.world.engine.poller.poll("web", Origin.POLL)
        await meeting.waits(2)
        bad = remote.failing_install()
        await watched.world.engine.poller.poll("web", Origin.POLL)
        told = await watched.world.standin.wait_for_message(
            lambda m: "❌" in m["content"] and "#d" not in text_of(m) and bad[:7] in m["content"], 20
        )
        assert "nothing live was changed. Deployment 2, which was ready before it, waits on." in told["content"]
        assert "Now" in buttons_of(await meeting.waits(2))
        assert await meeting.version() == "1"
        meeting.leaves("viewer", "admin")
        await meeting.runs(2, "2")
