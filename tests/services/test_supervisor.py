"""What the supervisor does beyond the contract: releases, the environment, delays, what goes wrong at a start."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from opsbot.config import ManagerKind, Service, Source
from opsbot.messages import describe, render
from opsbot.services.backoff import Backoff
from opsbot.services.port import Activity, Happening, LogQuery, ManagerError, ServiceEvent
from opsbot.services.supervisor import Supervisor
from tests.services.contract import DEAF, SLEEPER, World, command, lives

TELL = "import json, os, time\nprint(json.dumps([os.getcwd(), dict(os.environ)]), flush=True)\ntime.sleep(600)\n"


@asynccontextmanager
async def supervised(service: Service, state: Path, backoff: Backoff | None = None) -> AsyncIterator[World]:
    supervisor = Supervisor({service.name: service}, state, backoff=backoff)
    world = World(supervisor, lambda _: None)
    supervisor.listen(world.hear)
    await supervisor.open()
    try:
        yield world
    finally:
        await supervisor.stop(service.name)
        await supervisor.close()


def plain(tmp_path: Path, program: str) -> Service:
    path = tmp_path / "web.py"
    path.write_text(program)
    return Service(
        "web",
        ManagerKind.PROCESS,
        command=command(path),
        working_directory=str(tmp_path),
        stop_timeout=timedelta(seconds=1),
    )


def released(tmp_path: Path, *names: str) -> Service:
    for name in names:
        folder = tmp_path / "srv" / "releases" / name / "app"
        folder.mkdir(parents=True)
        (folder / "web.py").write_text(TELL)
        runner = folder / "run"
        runner.write_text(f"#!/bin/sh\nexec {sys.executable} -S web.py\n")
        runner.chmod(0o755)
    (tmp_path / "srv" / "current").symlink_to(Path("releases") / names[0])
    return Service(
        "web",
        ManagerKind.PROCESS,
        command=("./run",),
        working_directory="app",
        source=Source("unused", tmp_path / "srv"),
        stop_timeout=timedelta(seconds=1),
    )


async def told(world: World) -> tuple[str, dict[str, str]]:
    await world.says("[")
    lines = await world.manager.logs("web", LogQuery(this_run=True))
    folder, environment = json.loads(lines[-1].text)
    return folder, environment


async def test_a_process_keeps_its_release_when_the_link_is_switched_and_a_restart_takes_the_new_one(
    tmp_path: Path,
) -> None:
    service = released(tmp_path, "one", "two")
    current = tmp_path / "srv" / "current"
    releases = tmp_path / "srv" / "releases"
    async with supervised(service, tmp_path / "state") as world:
        state = await world.manager.start("web")
        assert state.release == releases / "one"
        assert (await told(world))[0] == str(releases / "one" / "app")
        current.unlink()
        current.symlink_to(Path("releases") / "two")
        assert (await world.manager.state("web")).release == releases / "one"
        assert (await world.manager.restart("web")).release == releases / "two"
        folder, environment = await told(world)
        assert folder == str(releases / "two" / "app")
        assert environment["OPSBOT_RELEASE"] == str(releases / "two")


async def test_a_service_gets_a_small_environment_of_its_own_and_none_of_opsbots_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPSBOT_DISCORD_TOKEN", "very secret")
    file = tmp_path / "web.env"
    file.write_text('# settings\nA=1\nB="two words"\nC=from file\n')
    service = replace(plain(tmp_path, TELL), environment_file=file, environment={"C": "from config"})
    async with supervised(service, tmp_path / "state") as world:
        state = await world.manager.start("web")
        _, environment = await told(world)
    assert "OPSBOT_DISCORD_TOKEN" not in environment
    assert (environment["A"], environment["B"], environment["C"]) == ("1", "two words", "from config")
    assert environment["OPSBOT_SERVICE"] == "web"
    assert environment["OPSBOT_RUN"] == state.run
    allowed = {"PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "LC_CTYPE"}
    assert environment.keys() <= allowed | {"A", "B", "C", "OPSBOT_SERVICE", "OPSBOT_RUN", "OPSBOT_RELEASE"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"command": ("no-such-program-anywhere",)}, "No such file"),
        ({"command": ("./not-here",)}, "No such file"),
        ({"working_directory": "/no/such/folder"}, "/no/such/folder does not exist"),
        ({"environment_file": Path("/no/such.env")}, "/no/such.env cannot be read"),
        ({"command": ("with\0nul",)}, "cannot be started"),
    ],
)
async def test_what_cannot_be_started_says_why(tmp_path: Path, changes: dict[str, object], words: str) -> None:
    service = replace(plain(tmp_path, SLEEPER), **changes)  # type: ignore[arg-type]
    async with supervised(service, tmp_path / "state") as world:
        with pytest.raises(ManagerError) as refused:
            await world.manager.start("web")
        assert words in describe(refused.value)
        state = await world.manager.state("web")
        assert state.activity is Activity.FAILED
        assert words in render(state.exit)


async def test_a_service_without_a_release_says_that_one_must_be_deployed(tmp_path: Path) -> None:
    service = replace(plain(tmp_path, SLEEPER), working_directory=".", source=Source("unused", tmp_path / "none"))
    async with supervised(service, tmp_path / "state") as world:
        with pytest.raises(ManagerError, match="no-release"):
            await world.manager.start("web")


async def test_the_delay_before_a_new_start_grows_and_the_first_is_none(tmp_path: Path) -> None:
    backoff = Backoff(step=0.2, most=0.5, crashes=5)
    async with supervised(plain(tmp_path, "raise SystemExit(1)"), tmp_path / "state", backoff) as world:
        await world.manager.start("web")
        await world.happens(Happening.GAVE_UP)
    died = [event.at for event in world.events if event.what is Happening.DIED]
    started = [event.at for event in world.events if event.what is Happening.STARTED]
    waits = [(start - death).total_seconds() for death, start in zip(died, started[1:], strict=False)]
    assert len(waits) == 4
    assert waits[0] < 0.19
    assert 0.2 <= waits[1] < 0.4 <= waits[2]
    assert 0.5 <= waits[3] < 0.8
    assert [event.state.restarts for event in world.events if event.what is Happening.STARTED] == [0, 1, 2, 3, 4]


def test_the_delays_are_those_promised() -> None:
    backoff = Backoff()
    assert [backoff.delay(deaths) for deaths in range(1, 10)] == [0, 1, 2, 4, 8, 16, 32, 60, 60]


async def test_a_run_that_went_well_for_a_while_is_no_step_towards_giving_up(tmp_path: Path) -> None:
    backoff = Backoff(step=0.01, most=0.01, quick=0.05, well=0.05, crashes=2)
    program = "import time; time.sleep(0.15)"
    async with supervised(plain(tmp_path, program), tmp_path / "state", backoff) as world:
        await world.manager.start("web")
        await world.happens(Happening.DIED, 4)
        assert not [event for event in world.events if event.what is Happening.GAVE_UP]


async def test_an_order_given_while_a_new_start_waits_is_carried_out_at_once(tmp_path: Path) -> None:
    backoff = Backoff(first=30.0)
    async with supervised(plain(tmp_path, SLEEPER), tmp_path / "state", backoff) as world:
        pid = (await world.manager.start("web")).pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        event = await world.happens(Happening.DIED)
        assert event.state.activity is Activity.RETRYING
        state = await world.manager.restart("web")
        assert state.activity is Activity.RUNNING
        assert state.pid is not None
        os.kill(state.pid, signal.SIGKILL)
        await world.happens(Happening.DIED, 2)
        assert (await world.manager.stop("web")).activity is Activity.STOPPED


async def test_a_death_is_noticed_without_a_timer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with supervised(plain(tmp_path, SLEEPER), tmp_path / "state", Backoff(step=0.01, crashes=50)) as world:
        await world.manager.start("web")
        pid = (await world.manager.state("web")).pid
        assert pid is not None
        loop = asyncio.get_running_loop()
        now = loop.time()
        monkeypatch.setattr(loop, "time", lambda: now)  # no timer ends
        os.kill(pid, signal.SIGKILL)
        await world.happens(Happening.DIED)
        monkeypatch.undo()


async def test_an_order_is_finished_though_who_gave_it_went_away(tmp_path: Path) -> None:
    async with supervised(plain(tmp_path, SLEEPER), tmp_path / "state") as world:
        pid = (await world.manager.start("web")).pid
        order = asyncio.create_task(world.manager.restart("web"))
        await asyncio.sleep(0.005)  # the order is under way
        order.cancel()
        await world.happens(Happening.STARTED, 2)
        state = await world.manager.state("web")
        assert state.activity is Activity.RUNNING
        assert state.pid != pid


async def test_a_listener_that_fails_stops_nothing(tmp_path: Path) -> None:
    def fail(event: ServiceEvent) -> None:
        raise RuntimeError(event.what)

    async with supervised(plain(tmp_path, SLEEPER), tmp_path / "state") as world:
        world.manager.listen(fail)
        state = await world.manager.start("web")
        assert state.activity is Activity.RUNNING


async def test_a_zombie_does_not_pass_for_a_running_service(tmp_path: Path) -> None:
    # Nobody else reaps it: the supervisor itself must.
    async with supervised(plain(tmp_path, SLEEPER), tmp_path / "state", Backoff(first=30.0)) as world:
        pid = (await world.manager.start("web")).pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await world.happens(Happening.DIED)
        assert not lives(pid)
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_a_record_that_cannot_be_written_keeps_no_service_down(tmp_path: Path) -> None:
    async with supervised(plain(tmp_path, SLEEPER), tmp_path / "state") as world:
        pid = (await world.manager.start("web")).pid
        (tmp_path / "state" / "web" / "run.json.new").mkdir()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        event = await world.happens(Happening.STARTED, 2)
        assert event.state.activity is Activity.RUNNING


async def test_what_is_read_of_the_spool_is_given_back_to_the_disk(tmp_path: Path) -> None:
    program = "import time\nfor n in range(40000):\n    print('x' * 99)\nprint('done', flush=True)\ntime.sleep(600)"
    service = replace(plain(tmp_path, program), log_size=1024 * 1024)
    async with supervised(service, tmp_path / "state") as world:
        await world.manager.start("web")
        await world.says("done", within=20)
        (spool,) = (tmp_path / "state" / "web").glob("*.out")
        stat = spool.stat()
        assert stat.st_size > 4_000_000
        assert stat.st_blocks * 512 < 1_000_000
        log = tmp_path / "state" / "web" / "log"
        assert sum(part.stat().st_size for part in log.iterdir()) < 1_300_000


async def test_a_spool_is_removed_when_the_next_run_begins(tmp_path: Path) -> None:
    async with supervised(plain(tmp_path, SLEEPER), tmp_path / "state") as world:
        for _ in range(3):
            state = await world.manager.restart("web")
        assert [path.name for path in (tmp_path / "state" / "web").glob("*.out")] == [f"{state.run}.out"]


async def test_an_idle_supervisor_sleeps(tmp_path: Path) -> None:
    async with supervised(plain(tmp_path, SLEEPER), tmp_path / "state") as world:
        await world.manager.start("web")
        await world.says("up")
        await asyncio.sleep(0.3)  # its start is over
        before = time.process_time()
        await asyncio.sleep(1)  # what must not happen would have by then
        assert time.process_time() - before < 0.3, "it waits for events, and does not look again and again"


async def test_waiting_for_the_last_process_of_several_takes_no_cpu(tmp_path: Path) -> None:
    program = "import subprocess\nsubprocess.Popen(['sleep', '600'])\n" + DEAF
    async with supervised(plain(tmp_path, program), tmp_path / "state") as world:
        await world.manager.start("web")
        await world.says("deaf")
        before = time.process_time()
        await world.manager.stop("web")  # the child ends at once, its parent at the stop timeout
        assert time.process_time() - before < 0.3, "it waits for events, and does not look again and again"
