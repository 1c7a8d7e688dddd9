"""The manager that other tests stand on keeps the contract of a ServiceManager, as far as that needs no processes."""

import asyncio
import signal
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from opsbot.core.exits import ExitCode, by_signal
from opsbot.core.message import message
from opsbot.services.port import Activity, Happening
from tests.fixtures.fake_manager import FakeManager
from tests.services.contract import (
    COUNTER,
    EXITS_AT_ONCE,
    EXITS_LATE,
    SECOND,
    SLEEPER,
    TALKER,
    PortContract,
    World,
)

TALKS = [*(f"line {number}" for number in range(20)), "WARN: a bit odd", "ERROR: all wrong", "done"]
LINES = {SLEEPER: ["up"], SECOND: ["second"], TALKER: TALKS}
FALLS = 4


class Actor:
    """Has the fake do what the programs of the contract do."""

    def __init__(self, manager: FakeManager) -> None:
        self.manager = manager
        self.program = SLEEPER
        self.tasks: set[asyncio.Task[None]] = set()

    def begins(self, service: str) -> None:
        task = asyncio.create_task(self.acts(service, self.program))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def acts(self, service: str, program: str) -> None:
        for text in LINES.get(program, []):
            self.manager.writes(service, text)
        if program == COUNTER:
            for number in range(600):
                self.manager.writes(service, f"n {number}")
                await asyncio.sleep(0)
        elif program == EXITS_LATE:
            self.manager.dies(service, message(ExitCode.STATUS, status=3))
        elif program == EXITS_AT_ONCE:
            self.manager.dies(service, message(ExitCode.STATUS, status=1))
            if self.manager.states[service].restarts < FALLS:
                self.manager.starts_again(service)
            else:
                self.manager.gives_up(service)

    def plays(self, program: str) -> None:
        self.program = program

    def lives(self, pid: int) -> bool:
        return any(one.pid == pid and one.activity is Activity.RUNNING for one in self.manager.states.values())

    def kill(self, pid: int) -> None:
        assert self.lives(pid)
        self.manager.dies("web", by_signal(signal.SIGKILL))
        self.manager.starts_again("web")


@pytest.fixture
async def world() -> AsyncIterator[World]:
    manager = FakeManager(lambda: datetime.now(UTC), ["web"])
    actor = Actor(manager)
    manager.begins = actor.begins
    made = World(manager, actor.plays, actor.lives, actor.kill)
    manager.listen(made.hear)
    await manager.open()
    yield made
    await manager.close()
    for task in actor.tasks:
        task.cancel()


class TestFake(PortContract):
    """Every test that needs no real process."""

    async def test_what_it_did_not_do_is_told_by_nobody(self, world: World) -> None:
        await world.manager.start("web")
        assert [event.what for event in world.events] == [Happening.STARTED]
