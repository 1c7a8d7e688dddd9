"""opsbot dies and comes back: its services are neither orphaned nor doubled, and no line of theirs is."""

import asyncio
import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path

import pytest

from opsbot.config import ManagerKind, Service
from opsbot.core import exits
from opsbot.core.exits import ExitCode
from opsbot.core.message import message
from opsbot.messages import render
from opsbot.services import child, run_record
from opsbot.services.backoff import Backoff
from opsbot.services.port import Activity, Happening, LogQuery, ManagerError, ServiceEvent
from opsbot.services.processes import by_run
from opsbot.services.supervisor import Supervisor
from tests.fixtures.waiting import until
from tests.services.contract import DEAF, SLEEPER, command, gone_within, lives

KILLED = exits.by_signal(signal.SIGKILL)

ROOT = Path(__file__).parents[2]
COUNTER = "import time\nfor n in range(100000):\n    print('n', n, flush=True)\n    time.sleep(0.002)\n"
FAST = Backoff(step=0.02, most=0.1, crashes=4)

Second = Callable[..., AbstractAsyncContextManager[tuple[Supervisor, list[ServiceEvent]]]]


class Killable:
    """An opsbot in a process of its own, as far as its supervisor goes."""

    def __init__(self, state: Path, program: Path) -> None:
        self.state, self.program = state, program
        self.process: subprocess.Popen[str] | None = None

    async def run(self, deed: str = "start") -> int:
        """Start it; the service's pid once it says so."""
        argv = [
            sys.executable,
            str(Path(__file__).with_name("host_program.py")),
            str(self.state),
            str(self.program),
            deed,
        ]
        self.process = await asyncio.to_thread(
            lambda: subprocess.Popen(
                argv, stdout=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}
            )
        )
        return int(await self.line())

    async def line(self) -> str:
        assert self.process is not None
        assert self.process.stdout is not None
        return await asyncio.wait_for(asyncio.to_thread(self.process.stdout.readline), 20)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "web.py"
    path.write_text(SLEEPER)
    return path


@pytest.fixture
def first(tmp_path: Path, program: Path) -> Iterator[Killable]:
    opsbot = Killable(tmp_path / "state", program)
    yield opsbot
    opsbot.kill()
    owner = run_record.owner(tmp_path / "state" / "web")
    child.kill(one for run, found in by_run().items() if run.startswith(owner) for one in found)


def service(program: Path) -> Service:
    return Service(
        "web",
        ManagerKind.PROCESS,
        command=command(program),
        working_directory=str(program.parent),
        stop_timeout=timedelta(seconds=1),
    )


@pytest.fixture
def second(tmp_path: Path, program: Path) -> Second:
    @asynccontextmanager
    async def make(*, resume: bool = True) -> AsyncIterator[tuple[Supervisor, list[ServiceEvent]]]:
        supervisor = Supervisor({"web": service(program)}, tmp_path / "state", backoff=FAST, resume=resume)
        events: list[ServiceEvent] = []
        supervisor.listen(events.append)
        await supervisor.open()
        try:
            yield supervisor, events
        finally:
            with suppress(ManagerError):
                await supervisor.stop("web")
            await supervisor.close()

    return make


async def test_a_killed_opsbot_leaves_its_service_running_and_the_next_one_adopts_it(
    first: Killable, second: Second
) -> None:
    pid = await first.run()
    first.kill()
    assert lives(pid)
    async with second() as (supervisor, events):
        state = await supervisor.state("web")
        assert (state.activity, state.pid) == (Activity.RUNNING, pid)
        assert state.started_at is not None
        assert events == []
        assert (await supervisor.start("web")).pid == pid


async def test_the_death_of_an_adopted_service_is_told_at_once_and_how(
    first: Killable, second: Second, caplog: pytest.LogCaptureFixture
) -> None:
    pid = await first.run()
    first.kill()
    async with second() as (_, events):
        os.kill(pid, signal.SIGKILL)
        await until(lambda: len(events) >= 2, 5)
        assert [event.what for event in events] == [Happening.DIED, Happening.STARTED]
        # Reaped already, it is only a kernel from 6.15 on that tells how another's child ended.
        assert events[0].state.exit in (KILLED, exits.UNKNOWN)
        assert f"web died: {render(events[0].state.exit)}" in caplog.text
        told = tuple(int(part) for part in platform.release().split(".")[:2]) >= (6, 15)
        assert not told or events[0].state.exit == KILLED


async def test_an_adopted_service_is_stopped_whole(first: Killable, second: Second) -> None:
    pid = await first.run()
    first.kill()
    async with second() as (supervisor, _):
        await supervisor.stop("web")
        assert not lives(pid)


async def test_a_service_that_died_while_opsbot_was_away_is_told_and_started_again(
    first: Killable, second: Second
) -> None:
    pid = await first.run()
    first.kill()
    os.kill(pid, signal.SIGKILL)
    assert gone_within(pid)
    async with second() as (supervisor, events):
        assert [(event.what, event.asked) for event in events] == [(Happening.DIED, False), (Happening.STARTED, False)]
        assert events[0].state.exit == message(ExitCode.UNSEEN)
        assert (await supervisor.state("web")).activity is Activity.RUNNING


async def test_without_resume_a_dead_service_is_told_and_left(first: Killable, second: Second) -> None:
    pid = await first.run()
    first.kill()
    os.kill(pid, signal.SIGKILL)
    assert gone_within(pid)
    async with second(resume=False) as (supervisor, events):
        assert [event.what for event in events] == [Happening.DIED]
        assert (await supervisor.state("web")).activity is Activity.FAILED


async def test_a_service_stopped_on_purpose_stays_stopped(first: Killable, second: Second) -> None:
    await first.run()
    first.kill()
    async with second() as (supervisor, _):
        await supervisor.stop("web")
    async with second() as (supervisor, events):
        state = await supervisor.state("web")
        assert (state.activity, state.stopped_by_hand) == (Activity.STOPPED, True)
        assert events == []


async def test_a_death_between_the_start_and_the_record_of_it_is_healed(
    first: Killable, second: Second, tmp_path: Path
) -> None:
    pid = await first.run()
    first.kill()
    path = tmp_path / "state" / "web" / "run.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "pid": 0, "ticks": 0, "starting": True, "started_at": ""}))
    async with second() as (supervisor, _):
        state = await supervisor.state("web")
        assert (state.activity, state.pid) == (Activity.RUNNING, pid)


async def test_a_lost_record_loses_no_service(first: Killable, second: Second, tmp_path: Path) -> None:
    pid = await first.run()
    first.kill()
    (tmp_path / "state" / "web" / "run.json").write_text("{ half a rec")
    async with second() as (supervisor, _):
        assert (await supervisor.state("web")).pid == pid


async def test_a_second_process_of_the_service_is_ended_and_the_recorded_one_kept(
    first: Killable, second: Second, tmp_path: Path
) -> None:
    pid = await first.run()
    first.kill()
    owner = await asyncio.to_thread(run_record.owner, tmp_path / "state" / "web")
    double = await asyncio.to_thread(
        lambda: subprocess.Popen(
            [sys.executable, "-S", "-c", "import time; time.sleep(600)"],
            env={"OPSBOT_RUN": f"{owner}-000000000000"},
            start_new_session=True,
        )
    )
    async with second() as (supervisor, _):
        assert (await supervisor.state("web")).pid == pid
        assert lives(pid)
        assert await asyncio.to_thread(double.wait, 5) == -signal.SIGTERM


async def test_a_pid_used_again_by_a_stranger_is_neither_adopted_nor_killed(
    first: Killable, second: Second, tmp_path: Path
) -> None:
    pid = await first.run()
    first.kill()
    os.kill(pid, signal.SIGKILL)
    stranger = await asyncio.to_thread(
        lambda: subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"], start_new_session=True)
    )
    path = tmp_path / "state" / "web" / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "pid": stranger.pid}))
    try:
        async with second() as (supervisor, events):
            assert events[0].what is Happening.DIED
            assert (await supervisor.state("web")).pid != stranger.pid
        assert stranger.poll() is None
    finally:
        stranger.kill()
        await asyncio.to_thread(stranger.wait)


async def test_a_record_of_another_boot_is_no_process(first: Killable, second: Second, tmp_path: Path) -> None:
    pid = await first.run()
    first.kill()
    path = tmp_path / "state" / "web" / "run.json"
    os.kill(pid, signal.SIGKILL)
    assert gone_within(pid)
    path.write_text(json.dumps({**json.loads(path.read_text()), "boot": "another", "gave_up": True}))
    async with second() as (supervisor, events):
        assert events[0].state.exit == message(ExitCode.HOST_RESTARTED)
        assert (await supervisor.state("web")).activity is Activity.RUNNING


async def test_an_opsbot_killed_while_it_stops_a_service_has_the_stop_finished_by_the_next(
    first: Killable, second: Second, program: Path
) -> None:
    program.write_text(DEAF)
    pid = await first.run("slow-stop")
    assert (await first.line()).strip() == "stopping"
    await asyncio.sleep(0.1)  # the stop is under way
    first.kill()
    assert lives(pid)
    async with second() as (supervisor, _):
        assert not lives(pid)
        assert (await supervisor.state("web")).stopped_by_hand


async def test_a_second_opsbot_on_the_same_state_is_refused(first: Killable, tmp_path: Path) -> None:
    pid = await first.run()
    assert first.process is not None
    other = Supervisor({}, tmp_path / "state")
    with pytest.raises(ManagerError, match=f"manager.supervised-elsewhere.*{first.process.pid}"):
        await other.open()
    assert lives(pid)


async def test_no_line_is_lost_or_doubled_however_often_opsbot_is_killed(
    first: Killable, second: Second, program: Path
) -> None:
    program.write_text(COUNTER)
    pid = await first.run()
    for pause in (0.15, 0.31, 0.07):
        await asyncio.sleep(pause)  # killed at another moment each time
        first.kill()
        await asyncio.sleep(0.1)  # what must not happen would have by then
        assert await first.run("open") == pid
    first.kill()
    async with second() as (supervisor, _):
        await asyncio.sleep(0.2)  # what must not happen would have by then
        await supervisor.stop("web")
        lines = await supervisor.logs("web", LogQuery(lines=10_000))
    numbers = [int(line.text.split()[1]) for line in lines]
    assert len(numbers) > 200
    assert numbers == list(range(len(numbers)))
    assert [line.at for line in lines] == sorted(line.at for line in lines)


async def test_lines_written_after_the_last_note_of_the_position_are_not_doubled(
    first: Killable, second: Second, program: Path, tmp_path: Path
) -> None:
    program.write_text("import time\nprint('once', flush=True)\ntime.sleep(600)\n")
    await first.run()
    first.kill()
    position = tmp_path / "state" / "web" / "position"
    async with second() as (supervisor, _):
        async with asyncio.timeout(20):
            while len(await supervisor.logs("web", LogQuery())) != 1:
                await asyncio.sleep(0.02)  # between two looks
        before = position.read_bytes()
        await supervisor.close()
        # As if the lines had been written and the position not yet.
        (part,) = (tmp_path / "state" / "web" / "log").iterdir()
        with part.open("a") as file:
            file.write("2026-01-01T00:00:00.000Z | once more\n2026-01-01T00:00:0")
        assert position.read_bytes() == before
        await supervisor.open()
        assert [line.text for line in await supervisor.logs("web", LogQuery())] == ["once"]


async def test_a_service_taken_out_of_the_configuration_is_left_running_and_named(
    first: Killable, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pid = await first.run()
    first.kill()
    supervisor = Supervisor({}, tmp_path / "state")
    await supervisor.open()
    await supervisor.close()
    assert lives(pid)
    assert f"web is no longer configured, but still runs as process {pid}" in caplog.text
