"""Exactly once, under torture: the process that tells is killed at random points, Discord loses its answers after it
has stored, refuses, resets, cuts the gateway, goes away; meanwhile incidents come and go.

At the end every alert is in the channel once, in order; every line is in its thread once, in order; and what was put
into a digest is told by it and nowhere else. `OPSBOT_TORTURE_ROUNDS` sets how many rounds there are;
`OPSBOT_TORTURE_SEED` repeats the draws of a run.

Most of a round is waiting: for a process, for discord.py's own retries. So the rounds are shared out among channels
that know nothing of each other, each with its own store and its own process.
"""

import asyncio
import os
import random
import signal
from collections import Counter
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from opsbot.core.incident import IncidentEventKind, event
from opsbot.core.message import plain
from opsbot.core.model import NotificationKind
from opsbot.messages import render
from opsbot.store import incident_repository, outbox
from tests.cogs.world import Json, World, open_world, text_of
from tests.delivery.nursery import Nursery

pytestmark = pytest.mark.real_time

ROUNDS = int(os.environ.get("OPSBOT_TORTURE_ROUNDS", "120"))
LANES = 6
SEED = int(os.environ.get("OPSBOT_TORTURE_SEED", "7"))
MANY, ONE, THREADS = r"/channels/\d+/messages$", r"/messages/\d+$", r"/messages/\d+/threads$"


class Torture:
    """A process that tells, its killer, and what happens meanwhile."""

    def __init__(self, world: World, nursery: Nursery, seed: int) -> None:
        self.world = world
        self.nursery = nursery
        self.chance = random.Random(seed)  # noqa: S311 - no secret
        self.child: int | None = None
        self.kills = self.doubts = 0
        self.words = 0
        self.lines: dict[int, list[str]] = {}

    async def start(self) -> None:
        standin = self.world.standin
        self.child = await self.nursery.start(self.world.config.path.parent, standin.api_url, standin.token)

    async def kill(self) -> None:
        if self.child is None:
            return
        assert await self.nursery.kill(self.child) == -signal.SIGKILL, "it did not end by itself"
        self.child = None
        self.kills += 1
        self.doubts += await self.world.store.read(_in_doubt) > 0

    async def happen(self) -> None:
        """Something that is to be told."""
        world, what = self.world, self.chance.random()
        opened = await world.store.read(incident_repository.open_incidents)
        service = self.chance.choice(("api", "worker"))
        if what < 0.3:
            self.words += 1
            await world.engine.announce("api", plain(f"word {self.words}"), level="warning", key=f"w{self.words}")
        elif what < 0.6 and service not in opened:
            incident = await world.incident(service, f"cause {self.chance.random():.9f}")
            self.lines[incident.id] = [render(incident.cause)]
        elif what < 0.8 and service in opened:
            await world.recover(service)
        elif service in opened:
            number = opened[service].id
            text = f"deed {len(self.lines[number])}"
            self.lines[number].append(text)
            note = event(IncidentEventKind.NOTE, world.now(), text=text)
            await world.store.write(incident_repository.add_event, number, note)

    def break_something(self) -> None:
        faults, draw = self.world.standin.faults, self.chance
        path = draw.choice((MANY, MANY, ONE, THREADS))
        after = draw.random() < 0.6
        match draw.randrange(8):
            case 0:
                faults.answer("*", path, reset=True, after_store=after)
            case 1:
                faults.answer("*", path, status=draw.choice((500, 502, 503)), after_store=after)
            case 2:
                faults.delay(path, draw.uniform(0.0, 0.3))
            case 3:
                faults.rate_limit(path, 0.2)
            case 4:
                faults.drop_gateway(resumable=draw.random() < 0.5)
            case 5:
                faults.away(draw.uniform(0.05, 0.3))
            case 6:
                self.world.standin.store._nonces.clear()  # as minutes later: only the history can tell
            case _:
                pass

    async def round(self) -> None:
        if self.child is None:
            await self.start()
        for _ in range(self.chance.randrange(4)):
            await self.happen()
        for _ in range(self.chance.randrange(3)):
            self.break_something()
        await asyncio.sleep(self.chance.uniform(0.0, 0.3))  # a process needs a tenth of a second until it tells
        draw = self.chance.random()
        if draw < 0.5:
            await self.kill_at_work()
        elif draw < 0.8:
            await self.kill()

    async def kill_at_work(self) -> None:
        """Kill it while it sends, most often with the message stored and its answer lost."""
        world = self.world
        if self.chance.random() < 0.7:
            world.standin.faults.answer("POST", MANY, reset=True, after_store=True)
        await self.happen()
        seen = self._sent()
        with suppress(TimeoutError):
            await world.until(lambda: self._sent() > seen, 3)
        await asyncio.sleep(self.chance.choice((0.0, 0.0, self.chance.uniform(0.0, 0.05))))  # killed at a random moment
        await self.kill()
        if self.chance.random() < 0.7:
            world.standin.store._nonces.clear()  # it is started minutes later: only the history can tell

    def _sent(self) -> int:
        return sum(request.method == "POST" and "/messages" in request.path for request in self.world.standin.requests)


def _number(message: Json) -> str:
    return text_of(message).rsplit("#", 1)[-1].split("\n")[0]


def _rows(db: Any) -> list[Any]:
    return [outbox.notice(row) for row in db.execute("SELECT * FROM notices ORDER BY id")]


def _in_doubt(db: Any) -> int:
    (count,) = db.execute(
        "SELECT count(*) FROM notices WHERE tries > 0 AND told_at IS NULL AND dropped IS NULL"
    ).fetchone()
    return int(count)


async def _endure(folder: Path, nursery: Nursery, seed: int, rounds: int) -> Torture:
    """The rounds of one channel, and what must be true after them."""
    folder.mkdir()
    # Faults answer 429 here; Discord's own limits would only let each round take seconds.
    async with open_world(folder, rate_limits=False) as world:
        torture = Torture(world, nursery, seed)
        try:
            for _ in range(rounds):
                await torture.round()
            world.standin.faults.clear()
            world.standin.faults.back()
            for service in await world.store.read(incident_repository.open_incidents):
                await world.recover(service)
            if torture.child is None:
                await torture.start()
            await world.all_told(60 + rounds)
            await asyncio.sleep(0.3)  # what must not happen would have by then
        finally:
            await torture.kill()
        await _each_once_and_in_order(torture)
    return torture


@pytest.mark.timeout(120 + 6 * ROUNDS)
async def test_every_alert_is_told_once_and_in_order_whatever_is_killed_lost_or_refused(tmp_path: Path) -> None:
    async with Nursery() as nursery, asyncio.TaskGroup() as lanes:
        tasks = [
            lanes.create_task(_endure(tmp_path / str(lane), nursery, SEED * 1000 + lane, -(-ROUNDS // LANES)))
            for lane in range(LANES)
        ]
    tortured = [task.result() for task in tasks]
    assert sum(one.kills for one in tortured) >= ROUNDS // 2
    assert sum(one.doubts for one in tortured) >= ROUNDS // 10, "killed with a message in doubt"


async def _each_once_and_in_order(torture: Torture) -> None:
    world = torture.world
    rows = await world.store.read(_rows)
    assert not [row.key for row in rows if row.told_at is None and not row.dropped]

    posted = world.posted()
    marks = [_number(message) for message in posted]
    assert [mark for mark, times in Counter(marks).items() if times > 1] == []
    cards = {f"i{row.subject}": row.id for row in rows if row.kind is NotificationKind.INCIDENT}
    told = [cards.get(mark, int(mark[1:]) if mark[0] == "n" else 0) for mark in marks]
    assert told == sorted(told), "in the order in which it happened"
    words = [message["content"].split("word ")[1].split("\n")[0] for message in posted if "word " in message["content"]]
    assert words == [str(number + 1) for number in range(torture.words)]

    for number, lines in torture.lines.items():
        card = next(message for message in posted if _number(message) == f"i{number}")
        thread = [message["content"].split("\n")[0] for message in world.thread(card)[1:]]
        said = [text.split("> ")[-1] for text in thread if "recovered after" not in text]
        assert said == lines, f"the thread of incident {number}"
        ends = [index for index, text in enumerate(thread) if "recovered after" in text]
        assert ends == [len(thread) - 1], f"the end of incident {number} is there once, and last"


async def test_an_outage_between_two_kills_ends_in_digests_that_tell_each_thing_once(tmp_path: Path) -> None:
    async with Nursery() as nursery, open_world(tmp_path, rate_limits=False) as world:
        await _outage_between_kills(world, nursery)


async def _outage_between_kills(world: World, nursery: Nursery) -> None:
    world.standin.faults.away()
    for number in range(14):
        await world.incident(cause=f"cause-{number:02d}")
        await world.recover()
        await world.engine.announce("api", plain(f"word-{number:02d}"), level="warning", key=f"w{number}")
    await world.store.write(_older, timedelta(minutes=20))
    torture = Torture(world, nursery, SEED)
    world.standin.faults.back()
    try:
        for _ in range(max(3, ROUNDS // 10)):
            world.standin.faults.answer("POST", MANY, reset=True, after_store=torture.chance.random() < 0.7)
            await torture.start()
            await world.until(lambda: world.standin.connected, 20)
            await asyncio.sleep(torture.chance.uniform(0.0, 0.2))  # killed at a random moment
            await torture.kill()
            world.standin.store._nonces.clear()
    finally:
        await torture.kill()
    world.standin.faults.clear()
    await world.start()
    await world.all_told(30)
    everything = "\n".join(text_of(message) for message in world.posted())
    for number in range(14):
        assert everything.count(f"cause-{number:02d}") == 1
        assert everything.count(f"word-{number:02d}") == 1


def _older(db: Any, age: timedelta) -> None:
    """All of it happened that much earlier."""
    seconds = age.total_seconds()
    db.execute("UPDATE notices SET at = at - ?", (seconds,))
    db.execute("UPDATE incidents SET opened_at = opened_at - ?, closed_at = closed_at - ?", (seconds, seconds))
