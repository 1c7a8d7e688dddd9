"""What every ServiceManager must do, whoever keeps the service running. Not collected by itself.

A test module for one manager subclasses `ManagerContract` (named `Test...`) and gives a fixture `world` that yields a
`World`: a manager that is open, and one service "web" that is not running. Its program is the one asked for through
`World.program`, from its next start on.

`PortContract` is the part that does not need real processes: the fake manager of the tests keeps it, too.
"""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from opsbot.core import exits
from opsbot.core.exits import ExitCode
from opsbot.core.message import message
from opsbot.services.port import (
    Activity,
    Happening,
    LogLine,
    LogQuery,
    ManagerError,
    ServiceEvent,
    ServiceManager,
    ServiceState,
)

SLEEPER = "import time\nprint('up', flush=True)\ntime.sleep(600)\n"
DEAF = """
import signal, time
signal.signal(signal.SIGTERM, lambda *_: print("asked to stop", flush=True))
print("deaf", flush=True)
time.sleep(600)
"""
POLITE = """
import signal, sys, time
def bye(*_):
    print("bye", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, bye)
print("up", flush=True)
time.sleep(600)
"""
PARENT = """
import subprocess, sys, time
child = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]
here = subprocess.Popen(child)
away = subprocess.Popen(child, start_new_session=True)
print("children", here.pid, away.pid, flush=True)
time.sleep(600)
"""
TALKER = """
import sys, time
for n in range(20):
    print("line", n, flush=True)
print("WARN: a bit odd", file=sys.stderr, flush=True)
print("ERROR: all wrong", file=sys.stderr, flush=True)
print("done", flush=True)
time.sleep(600)
"""
EXITS_LATE = "import sys, time; time.sleep(0.7); sys.exit(3)"
EXITS_AT_ONCE = "import sys; sys.exit(1)"
SECOND = "import time\nprint('second', flush=True)\ntime.sleep(600)"
COUNTER = "import time\nfor n in range(600):\n    print('n', n, flush=True)\n    time.sleep(0.05)"


def lives(pid: int) -> bool:
    """Whether there is such a process, and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def kill(pid: int) -> None:
    """End it with SIGKILL."""
    os.kill(pid, signal.SIGKILL)


@dataclass(slots=True)
class World:
    """A manager, its one service "web", and what it told."""

    manager: ServiceManager
    program: Callable[[str], None]
    """Write the Python program that the service runs from its next start on."""
    lives: Callable[[int], bool] = lives
    kill: Callable[[int], None] = kill
    events: list[ServiceEvent] = field(default_factory=list)
    heard: asyncio.Event = field(default_factory=asyncio.Event)

    def hear(self, event: ServiceEvent) -> None:
        """The listener: every world gives it to its manager."""
        self.events.append(event)
        self.heard.set()

    async def happens(self, what: Happening, count: int = 1, within: float = 10.0) -> ServiceEvent:
        """Wait until something has happened so many times."""
        async with asyncio.timeout(within):
            while len(found := [event for event in self.events if event.what is what]) < count:
                self.heard.clear()
                await self.heard.wait()
        return found[count - 1]

    async def written(self, query: LogQuery) -> list[LogLine]:
        """What the service itself wrote, without what its manager said of it."""
        return [line for line in await self.manager.logs("web", query) if not line.manager]

    async def says(self, text: str, within: float = 5.0) -> str:
        """Wait until the service, in its present run, has written a line that begins so."""
        async with asyncio.timeout(within):
            while True:
                for line in await self.written(LogQuery(this_run=True)):
                    if line.text.startswith(text):
                        return line.text
                await asyncio.sleep(0.02)  # between two looks


def command(program: Path) -> tuple[str, ...]:
    """How the service runs its program."""
    return (sys.executable, "-S", str(program))


def gone_within(pid: int, seconds: float = 2.0) -> bool:
    until = time.monotonic() + seconds
    while lives(pid) and time.monotonic() < until:
        time.sleep(0.01)  # between two looks
    return not lives(pid)


class PortContract:
    """What can be asked of one that keeps no real processes, too."""

    async def test_a_service_never_started_is_stopped(self, world: World) -> None:
        state = await world.manager.state("web")
        assert state.activity is Activity.STOPPED
        assert state.pid is None
        assert world.events == []

    async def test_a_start_gives_a_running_process(self, world: World) -> None:
        state = await world.manager.start("web")
        assert state.activity is Activity.RUNNING
        assert state.pid is not None
        assert world.lives(state.pid)
        assert state.run
        assert state.started_at is not None
        assert abs(datetime.now(UTC) - state.started_at) < timedelta(seconds=5)
        assert await world.manager.state("web") == state
        assert (await world.happens(Happening.STARTED)).asked

    async def test_a_start_of_what_runs_changes_nothing(self, world: World) -> None:
        first = await world.manager.start("web")
        assert await world.manager.start("web") == first

    async def test_a_stop_is_on_purpose_and_leaves_no_process(self, world: World) -> None:
        pid = (await world.manager.start("web")).pid
        state = await world.manager.stop("web")
        assert state.activity is Activity.STOPPED
        assert state.stopped_by_hand
        assert pid is not None
        assert not world.lives(pid)
        event = await world.happens(Happening.STOPPED)
        assert event.asked
        assert not [event for event in world.events if event.what is Happening.DIED]

    async def test_a_stop_of_what_is_stopped_is_no_error(self, world: World) -> None:
        assert (await world.manager.stop("web")).activity is Activity.STOPPED

    async def test_a_start_clears_the_mark_of_a_stop(self, world: World) -> None:
        await world.manager.start("web")
        await world.manager.stop("web")
        assert not (await world.manager.start("web")).stopped_by_hand

    async def test_a_restart_gives_another_process_and_another_run(self, world: World) -> None:
        before = await world.manager.start("web")
        after = await world.manager.restart("web")
        assert after.activity is Activity.RUNNING
        assert after.pid != before.pid
        assert after.run != before.run
        assert before.pid is not None
        assert not world.lives(before.pid)
        assert not after.stopped_by_hand
        assert (await world.happens(Happening.STARTED, 2)).asked
        assert not [event for event in world.events if event.what is Happening.DIED]

    async def test_a_restart_of_what_is_stopped_starts_it(self, world: World) -> None:
        assert (await world.manager.restart("web")).activity is Activity.RUNNING

    async def test_a_killed_service_is_told_at_once_and_started_again(self, world: World) -> None:
        before = await world.manager.start("web")
        assert before.pid is not None
        await world.says("up")
        world.kill(before.pid)
        event = await world.happens(Happening.DIED)
        assert not event.asked
        assert event.state.exit == exits.by_signal(signal.SIGKILL)
        assert event.state.pid is None
        again = await world.happens(Happening.STARTED, 2)
        assert not again.asked
        assert again.state.pid != before.pid
        assert again.state.restarts == 1
        assert again.state.activity is Activity.RUNNING

    async def test_an_exit_is_told_with_its_status(self, world: World) -> None:
        world.program(EXITS_LATE)
        await world.manager.start("web")
        assert (await world.happens(Happening.DIED)).state.exit == message(ExitCode.STATUS, status=3)

    async def test_one_that_dies_again_and_again_is_given_up(self, world: World) -> None:
        world.program(EXITS_AT_ONCE)
        with contextlib.suppress(ManagerError):
            await world.manager.start("web")
        event = await world.happens(Happening.GAVE_UP, within=20.0)
        assert event.state.activity is Activity.FAILED
        count = len(world.events)
        await asyncio.sleep(0.5)  # what must not happen would have by then
        assert len(world.events) == count
        world.program(SLEEPER)
        state = await world.manager.start("web")
        assert state.activity is Activity.RUNNING
        assert state.restarts == 0

    async def test_orders_given_at_once_are_carried_out_one_after_the_other(self, world: World) -> None:
        await world.manager.start("web")
        states: list[ServiceState] = await asyncio.gather(*(world.manager.restart("web") for _ in range(3)))
        assert len({state.run for state in states}) == 3
        pids = [state.pid for state in states if state.pid is not None]
        assert [pid for pid in pids if world.lives(pid)] == [(await world.manager.state("web")).pid]

    async def test_an_unknown_service_is_an_error(self, world: World) -> None:
        with pytest.raises(ManagerError):
            await world.manager.state("nothing")

    async def test_the_log_has_its_last_lines_with_times_and_levels(self, world: World) -> None:
        world.program(TALKER)
        state = await world.manager.start("web")
        await world.says("done")
        lines = await world.written(LogQuery(lines=5))
        assert [line.text for line in lines] == ["line 18", "line 19", "WARN: a bit odd", "ERROR: all wrong", "done"]
        assert [line.level for line in lines] == ["", "", "warning", "error", ""]
        assert {line.run for line in lines} == {state.run}
        assert all(abs(datetime.now(UTC) - line.at) < timedelta(seconds=10) for line in lines)

    async def test_the_log_can_be_asked_for_a_level_a_pattern_and_a_time(self, world: World) -> None:
        world.program(TALKER)
        await world.manager.start("web")
        await world.says("done")

        async def ask(query: LogQuery) -> list[str]:
            return [line.text for line in await world.written(query)]

        assert await ask(LogQuery(level="error")) == ["ERROR: all wrong"]
        assert await ask(LogQuery(level="warning")) == ["WARN: a bit odd", "ERROR: all wrong"]
        assert await ask(LogQuery(grep="Line 1$")) == ["line 1"]
        assert await ask(LogQuery(grep="all wrong")) == ["ERROR: all wrong"]
        assert await ask(LogQuery(since=datetime.now(UTC) + timedelta(minutes=1))) == []
        assert len(await ask(LogQuery(since=datetime.now(UTC) - timedelta(minutes=1)))) == 23
        with pytest.raises(ManagerError):
            await ask(LogQuery(grep="("))

    async def test_the_log_can_be_asked_for_this_run_only(self, world: World) -> None:
        await world.manager.start("web")
        await world.says("up")
        world.program(SECOND)
        await world.manager.restart("web")
        await world.says("second")
        assert [line.text for line in await world.written(LogQuery(this_run=True))] == ["second"]
        assert [line.text for line in await world.written(LogQuery())] == ["up", "second"]

    async def test_lines_are_followed_as_they_are_written(self, world: World) -> None:
        world.program(COUNTER)
        await world.manager.start("web")
        seen: list[str] = []
        async with asyncio.timeout(5):
            async for line in world.manager.follow("web"):
                if line.manager:
                    continue
                seen.append(line.text)
                if len(seen) == 5:
                    break
        numbers = [int(text.split()[1]) for text in seen]
        assert numbers == list(range(numbers[0], numbers[0] + 5))

    async def test_closing_leaves_the_service_running(self, world: World) -> None:
        pid = (await world.manager.start("web")).pid
        await world.manager.close()
        assert pid is not None
        assert world.lives(pid)
        await world.manager.open()
        state = await world.manager.state("web")
        assert state.activity is Activity.RUNNING
        assert state.pid == pid


class ManagerContract(PortContract):
    """All of it."""

    async def test_a_service_deaf_to_sigterm_is_stopped_after_its_time(self, world: World) -> None:
        world.program(DEAF)
        pid = (await world.manager.start("web")).pid
        await world.says("deaf")
        state = await world.manager.stop("web")
        assert (await world.written(LogQuery()))[-1].text == "asked to stop", "it had time to say that"
        assert state.activity is Activity.STOPPED
        assert pid is not None
        assert not lives(pid)

    async def test_a_polite_service_has_time_for_its_last_words(self, world: World) -> None:
        world.program(POLITE)
        await world.manager.start("web")
        await world.says("up")
        await world.manager.stop("web")
        assert (await world.written(LogQuery()))[-1].text == "bye"

    async def test_a_frozen_service_is_stopped(self, world: World) -> None:
        pid = (await world.manager.start("web")).pid
        assert pid is not None
        await world.says("up")
        os.kill(pid, signal.SIGSTOP)
        await world.manager.stop("web")
        assert not lives(pid)

    async def test_a_stop_takes_the_children_too_those_that_left_the_group_among_them(self, world: World) -> None:
        world.program(PARENT)
        await world.manager.start("web")
        pids = [int(word) for word in (await world.says("children")).split()[1:]]
        assert all(map(lives, pids))
        await world.manager.stop("web")
        assert not any(map(lives, pids))

    async def test_what_a_dead_service_leaves_behind_is_gone_before_it_is_started_again(self, world: World) -> None:
        world.program(PARENT)
        pid = (await world.manager.start("web")).pid
        pids = [int(word) for word in (await world.says("children")).split()[1:]]
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await world.happens(Happening.STARTED, 2)
        assert not any(map(lives, pids))

    async def test_a_hostile_pattern_holds_nothing_up(self, world: World) -> None:
        world.program("import time\nprint('a' * 200, flush=True)\ntime.sleep(600)")
        await world.manager.start("web")
        await world.says("aaa")
        search = asyncio.create_task(world.manager.logs("web", LogQuery(grep="(a|a)*b")))
        await world.says("aaa")
        assert not search.done(), "another is answered while it goes on"
        with pytest.raises(ManagerError):
            await search
