"""Services whose checks the test decides, watched by a clock the test moves; and the real channel, on the stand-in."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from opsbot.bot.run import run_bot
from opsbot.config import Alerts, Service
from opsbot.core.windows import Window
from opsbot.engine import Engine
from opsbot.standin import Person, Standin
from opsbot.standin.state import ROLE_IDS
from opsbot.store import outbox
from tests.cogs.world import BRISK, DEADLINE, LIMIT_SECONDS, LOOK, QUICK, Json, config_for, text_of, until_nothing_due
from tests.fixtures.waiting import until
from tests.watch.herd import Herd, open_herd

if TYPE_CHECKING:
    from opsbot.deploy.deployer import Deployer

ENDED = ("recovered after", "is stable again after")
THREAD_STARTER = 21
"""The type of the message that Discord itself puts at the top of a thread made from a message."""


def is_board(message: Json) -> bool:
    return text_of(message).endswith("· #board")


@dataclass
class Scene:
    """A herd and its channel."""

    herd: Herd
    standin: Standin
    folder: Path
    board: bool = False
    bot: asyncio.Task[None] | None = None
    people: dict[str, int] = field(default_factory=dict)

    async def start(self) -> None:
        """The bot logs in and begins to tell."""
        logging.getLogger("discord").setLevel(logging.CRITICAL)
        herd = self.herd
        config = replace(config_for(self.folder, self.standin.api_url), services=herd.services)
        config = replace(config, windows=tuple(herd.planned))
        config = replace(config, discord=replace(config.discord, board=self.board))
        yard = cast("Deployer", herd.yard)
        engine = Engine(
            *(config, herd.store, herd.feed, herd.managers, yard, herd.watcher, herd.clock), inhibitors=herd.vetoes
        )
        self.bot = asyncio.create_task(
            run_bot(engine, config, self.standin.token, pace=QUICK, channel_pace=BRISK), name="bot"
        )
        await self.standin.wait_connected()

    async def end(self) -> None:
        """As a dead process would: nothing finished."""
        if self.bot is not None:
            self.bot.cancel()
            await asyncio.gather(self.bot, return_exceptions=True)
            self.bot = None

    async def again(self, away: int = 0) -> None:
        """opsbot is killed and started anew after so many seconds."""
        await self.end()
        await self.herd.again(away)
        await self.start()

    async def run(self, seconds: int, each: Callable[[int], None] = lambda _: None, step: int = 1) -> None:
        """Let so many seconds pass, and the channel catch up.

        The clock of the herd stands still while something is due: it would run ahead of the real bot, and what that
        sends would be late.
        """
        for number in range(0, seconds, step):
            await self.herd.run(step, lambda _, number=number: each(number), step)  # type: ignore[misc]
            await until_nothing_due(self.herd.store, self.herd.feed, self.herd.clock)
        await self.told()

    async def run_until(self, at: int, step: int = 60) -> None:
        """Let time pass until that second of Unix time, with a tick every `step`."""
        left = at - int(self.herd.clock().timestamp())
        await self.run(left - left % step, step=step)
        await self.run(left % step)

    async def told(self, seconds: float = 60.0) -> None:
        """Until everything that is due is said, and every card is true."""
        with self.herd.feed.subscribe() as changes:
            async with asyncio.timeout(seconds):
                while not await self._caught_up():
                    await changes.wait(LOOK)

    async def _caught_up(self) -> bool:
        due = await self.herd.store.read(outbox.pending, self.herd.clock(), 1)
        stale = await self.herd.store.read(outbox.stale_cards)
        return not due and not stale

    def person(self, rank: str = "operator") -> Person:
        """Somebody of that rank."""
        if rank not in self.people:
            self.people[rank] = self.standin.add_member(rank, [ROLE_IDS[rank]])
        return self.standin.member(self.people[rank])

    async def says(self, command: str, /, rank: str = "operator", **options: Any) -> str:
        """What opsbot answers somebody who runs a command."""
        await until(lambda: self.standin.commands, 10)
        return text_of(await (await self.person(rank).run(command, **options)).final())

    def posted(self) -> list[Json]:
        return self.standin.messages(self.standin.ops_channel_id)

    def contents(self) -> list[str]:
        return [message["content"] for message in self.posted()]

    def text(self, number: int) -> str:
        return text_of(self.posted()[number])

    def the_board(self) -> Json:
        """The one board."""
        (board,) = (message for message in self.posted() if is_board(message))
        return board

    async def board_says(self, words: str) -> None:
        """Let time pass until its sentence does."""
        await self._board_until(lambda board: words in board["content"], words)

    async def board_forgets(self, words: str) -> None:
        """Let time pass until it is nowhere on it."""
        await self._board_until(lambda board: words not in text_of(board), f"nothing of {words}")

    async def _board_until(self, true: Callable[[Json], bool], what: str) -> None:
        for _ in range(60):
            await self.run(5)
            found = [message for message in self.posted() if is_board(message)]
            if len(found) == 1 and true(found[0]):
                return
            await asyncio.sleep(0.1)  # the board is edited in real time
        raise AssertionError(f"the board does not say {what!r}: {[text_of(one) for one in found]}")

    def card(self, incident: int) -> Json:
        """The one card of an incident."""
        (card,) = (message for message in self.posted() if text_of(message).endswith(f"· #i{incident}"))
        return card

    def thread(self, incident: int) -> list[str]:
        """What the thread of an incident says, oldest first."""
        said = self.standin.messages(int(self.card(incident)["id"]))
        return [text_of(message) for message in said if message["type"] != THREAD_STARTER]

    def ending(self, incident: int) -> str:
        """The message of an incident's end: told once, in its thread and not in the channel, and its card is green."""
        (ending,) = (text for text in self.thread(incident) if any(end in text for end in ENDED))
        assert not any(end in text for text in self.contents() for end in ENDED)
        assert self.card(incident)["content"].startswith("🟢 ")
        return ending

    def requests(self, method: str) -> int:
        return sum(each.method == method and "/channels/" in each.path for each in self.standin.requests)


@asynccontextmanager
async def open_scene(
    folder: Path,
    services: Iterable[Service],
    alerts: Alerts = Alerts(),  # noqa: B008
    *,
    board: bool = False,
    windows: Sequence[Window] = (),
    at: datetime | None = None,
) -> AsyncIterator[Scene]:
    """All of it; every service is well. board: whether there is one. at: when it begins."""
    async with (
        open_herd(folder, services, alerts, windows, at) as herd,
        Standin(
            limit_seconds=LIMIT_SECONDS, interaction_deadline=DEADLINE, clock=lambda: herd.clock().timestamp()
        ) as standin,
    ):
        scene = Scene(herd, standin, folder, board)
        await scene.start()
        try:
            yield scene
        finally:
            await scene.end()
