"""The journal is read as it is: every trap of it, with real units."""

import asyncio
import json
import os
import pwd
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest

from opsbot.cli.offline import LastKnown
from opsbot.config import Scope
from opsbot.control.endpoints import LOGS
from opsbot.core.manager_codes import ManagerCode
from opsbot.services.journal import Journal
from opsbot.services.port import LogLine, LogQuery, ManagerError
from tests.fixtures.waiting import until

UNITS = Path("/etc/systemd/system")
TOP = Path(__file__).parents[2]
NUMBERS = count(1)
JOURNAL = Journal(Scope.SYSTEM)


def run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def invocation(unit: str) -> str:
    return run("systemctl", "show", "-P", "InvocationID", unit)


class Unit:
    """A unit of the test's own that runs a Python program."""

    def __init__(self, program: str, settings: str = "", name: str | None = None) -> None:
        self.name = name or f"logt-{os.getpid()}-{next(NUMBERS)}.service"
        self.program = Path(f"/opt/{self.name}.py")
        self.program.write_text(program)
        exec_start = f"ExecStart={sys.executable} -u -S {self.program}"
        (UNITS / self.name).write_text(f"[Service]\n{exec_start}\n{settings}\n")
        run("systemctl", "daemon-reload")

    def start(self) -> str:
        """Start it; its invocation."""
        run("systemctl", "start", self.name)
        return invocation(self.name)

    def end(self) -> None:
        subprocess.run(["systemctl", "stop", self.name], capture_output=True, check=False)
        (UNITS / self.name).unlink(missing_ok=True)


@pytest.fixture
def units() -> Iterator[list[Unit]]:
    made: list[Unit] = []
    yield made
    for unit in made:
        unit.end()
    run("systemctl", "daemon-reload")


async def until_said(unit: Unit, text: str) -> list[LogLine]:
    """All its lines, once one of them is this."""
    async with asyncio.timeout(20):
        while True:
            lines = await JOURNAL.lines([unit.name], LogQuery(lines=10_000))
            if any(line.text == text and not line.manager for line in lines):
                return lines
            await asyncio.sleep(0.05)  # between two looks


def own(lines: list[LogLine]) -> list[str]:
    return [line.text for line in lines if not line.manager]


def children() -> set[int]:
    """Children of this process that read the journal or search it."""
    found = set()
    for task in Path("/proc/self/task").iterdir():
        for pid in (task / "children").read_text().split():
            try:
                if Path(f"/proc/{pid}/comm").read_text().strip() in {"journalctl", Path(sys.executable).resolve().name}:
                    found.add(int(pid))
            except OSError:
                continue
    return found


async def test_lines_have_times_levels_and_runs_and_systemds_own_are_told_apart(units: list[Unit]) -> None:
    program = """
import sys, time
print("hello"); print("WARN: odd"); print("<3>by its priority"); print("<7>ERROR in the text")
print('{"level": 50, "msg": "pino"}'); print("\\x1b[33mwarn\\x1b[39m in yellow"); print("done")
time.sleep(600)
"""
    units.append(Unit(program, "Restart=always\nRestartSec=100ms"))
    unit = units[0]
    first = unit.start()
    lines = await until_said(unit, "done")
    said = [(line.text, line.level) for line in lines if not line.manager]
    assert said == [
        ("hello", ""),
        ("WARN: odd", "warning"),
        ("by its priority", "error"),
        ("ERROR in the text", "error"),
        ('{"level": 50, "msg": "pino"}', "error"),
        ("\x1b[33mwarn\x1b[39m in yellow", "warning"),
        ("done", ""),
    ]
    assert {line.run for line in lines} == {first}
    assert {line.part for line in lines} == {""}
    assert all(abs(datetime.now(UTC) - line.at) < timedelta(minutes=1) for line in lines)
    os.kill(int(run("systemctl", "show", "-P", "MainPID", unit.name)), signal.SIGKILL)
    await until(lambda: invocation(unit.name) not in {"", first})
    second = invocation(unit.name)
    async with asyncio.timeout(20):
        while "done" not in own(lines := await JOURNAL.lines([unit.name], LogQuery(this_run=True), [second])):
            await asyncio.sleep(0.05)  # between two looks
    assert own(lines)[0] == "hello"
    assert {line.run for line in lines} == {second}
    everything = await JOURNAL.lines([unit.name], LogQuery(lines=100))
    words = [line for line in everything if line.manager]
    died = next(line for line in words if "Main process exited, code=killed, status=9/KILL" in line.text)
    assert died.level == "warning"
    assert next(line for line in words if "Failed with result 'signal'" in line.text).level == "warning"
    assert any("Scheduled restart job" in line.text for line in words)
    assert [line.at for line in everything] == sorted(line.at for line in everything)


async def test_bytes_colours_and_long_lines_are_kept(units: list[Unit]) -> None:
    program = r"""
import os, socket, sys, time
out = sys.stdout.buffer
out.write(b"\xff\xfe no utf-8\n" + b"\x1b[31mred\x1b[0m\n" + b"y" * 5000 + b"\n" + b"z" * 60000 + b"\n")
out.write("雪 schön\n".encode()); out.flush()
time.sleep(0.5)  # another socket, another queue
native = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
native.connect("/run/systemd/journal/socket")
def send(message, more=b""):
    native.send(b"PRIORITY=4\nMESSAGE\n" + len(message).to_bytes(8, "little") + message + b"\n" + more)
send(b"first of two\nsecond of two")
send(b"n" * 100000)
time.sleep(0.3)
print("done")
time.sleep(600)
"""
    units.append(Unit(program))
    units[0].start()
    lines = await until_said(units[0], "done")
    told = own(lines)
    assert told[:3] == ["\ufffd\ufffd no utf-8", "\x1b[31mred\x1b[0m", "y" * 5000]
    assert told[3].endswith("z…"), "journald splits what is longer than 48 KiB; the first piece says that it goes on"
    assert told[3][:-1] + told[4] == "z" * 60000
    assert "雪 schön" in told
    at = told.index("first of two")
    assert told[at + 1] == "second of two"
    assert next(line for line in lines if line.text == "second of two").level == "warning"
    long = next(text for text in told if text.startswith("nnn"))
    assert long.endswith(" … (cut)")
    assert len(long) < 70_000


async def test_it_can_be_asked_for_a_level_a_pattern_and_a_time(units: list[Unit]) -> None:
    program = (
        "import time\nfor n in range(300): print('line', n)\nprint('ERROR: all wrong')\nprint('done')\ntime.sleep(600)"
    )
    units.append(Unit(program))
    unit = units[0].name
    units[0].start()
    await until_said(units[0], "done")

    async def ask(query: LogQuery) -> list[str]:
        return own(await JOURNAL.lines([unit], query))

    assert await ask(LogQuery(lines=3)) == ["line 299", "ERROR: all wrong", "done"]
    assert await ask(LogQuery(level="error")) == ["ERROR: all wrong"]
    assert await ask(LogQuery(grep="Line 1$")) == ["line 1"]
    assert await ask(LogQuery(grep="LINE 10", lines=3)) == ["line 107", "line 108", "line 109"]
    assert await ask(LogQuery(grep="all wrong", level="warning")) == ["ERROR: all wrong"]
    assert await ask(LogQuery(grep="no such words")) == []
    assert await ask(LogQuery(since=datetime.now(UTC) + timedelta(minutes=1))) == []
    assert len(await ask(LogQuery(1000, since=datetime.now(UTC) - timedelta(minutes=1)))) == 302
    assert await ask(LogQuery(this_run=True)) == [], "no run is known"
    for wrong in (LogQuery(grep="("), LogQuery(level="loud")):
        with pytest.raises(ManagerError):
            await ask(wrong)


async def test_nobody_can_put_words_into_systemds_mouth(units: list[Unit]) -> None:
    victim = Unit("import time\nprint('mine')\ntime.sleep(600)")
    units.append(victim)
    victim.start()
    await until_said(victim, "mine")
    forger = f"""
import socket, time
native = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
native.connect("/run/systemd/journal/socket")
native.send(b"MESSAGE=forged\\nUNIT={victim.name}\\nOBJECT_SYSTEMD_UNIT={victim.name}\\n_PID=1\\nPRIORITY=3\\n")
time.sleep(0.2)
print("sent")
time.sleep(600)
"""
    units.append(Unit(forger))
    units[1].start()
    await until_said(units[1], "sent")
    lines = await JOURNAL.lines([victim.name], LogQuery())
    assert "forged" not in [line.text for line in lines]
    assert "forged" in own(await JOURNAL.lines([units[1].name], LogQuery()))


async def test_units_of_one_service_are_merged_in_time_each_line_with_its_unit(units: list[Unit]) -> None:
    program = "import time\nfor n in range(5):\n    print('n', n)\n    time.sleep(0.05)\ntime.sleep(600)"
    units += [Unit(program), Unit(program)]
    names = [unit.name for unit in units]
    runs = [unit.start() for unit in units]
    for unit in units:
        await until_said(unit, "n 4")
    lines = await JOURNAL.lines(names, LogQuery(this_run=True), runs)
    assert [line.at for line in lines] == sorted(line.at for line in lines)
    for name, run_id in zip(names, runs, strict=True):
        mine = [line for line in lines if line.part == name]
        assert [line.text for line in mine if not line.manager] == [f"n {n}" for n in range(5)]
        assert {line.run for line in mine} == {run_id}
        assert any(line.manager for line in mine)


async def test_lines_that_journald_suppressed_are_told(units: list[Unit]) -> None:
    program = "import time\nfor n in range(200): print('line', n)\ntime.sleep(1.5)\nprint('after')\ntime.sleep(600)"
    units.append(Unit(program, "LogRateLimitIntervalSec=1s\nLogRateLimitBurst=1"))
    units[0].start()
    lines = await until_said(units[0], "after")
    suppressed = next(line for line in lines if line.text.startswith("Suppressed "))
    assert suppressed.manager
    assert f"messages from {units[0].name}" in suppressed.text
    assert len(own(lines)) < 200


# Following


async def take(lines: AsyncIterator[LogLine], texts: list[str]) -> None:
    async with aclosing(lines):  # type: ignore[type-var]
        async for line in lines:
            if not line.manager:
                texts.append(line.text)  # noqa: PERF401 - as they come


async def test_the_first_lines_of_a_unit_that_never_wrote_any_are_followed(units: list[Unit]) -> None:
    units.append(Unit("import time\nfor n in range(20): print('n', n)\ntime.sleep(600)"))
    texts: list[str] = []
    task = asyncio.create_task(take(JOURNAL.follow([units[0].name]), texts))
    await until(children)
    units[0].start()
    await until(lambda: len(texts) == 20)
    assert texts == [f"n {n}" for n in range(20)]
    task.cancel()
    await asyncio.wait([task])
    await until(lambda: not children())


async def test_following_goes_on_over_a_rotation_and_the_end_of_its_child(units: list[Unit]) -> None:
    units.append(Unit("import time\nfor n in range(100):\n    print('n', n)\n    time.sleep(0.05)\ntime.sleep(600)"))
    texts: list[str] = []
    task = asyncio.create_task(take(JOURNAL.follow([units[0].name]), texts))
    await until(children)
    units[0].start()
    await until(lambda: len(texts) >= 10)
    await asyncio.to_thread(run, "journalctl", "--rotate")
    await until(lambda: len(texts) >= 30)
    for pid in children():
        os.kill(pid, signal.SIGKILL)
    await until(lambda: len(texts) == 100, 30)
    assert texts == [f"n {n}" for n in range(100)], "none is missing, none comes twice"
    task.cancel()
    await asyncio.wait([task])


async def test_only_what_is_written_from_now_on_is_followed_and_a_slow_reader_misses_nothing(units: list[Unit]) -> None:
    units.append(Unit("import time\nprint('old')\ntime.sleep(2)\nfor n in range(3000): print('n', n)\ntime.sleep(600)"))
    units[0].start()
    await until_said(units[0], "old")
    following = JOURNAL.follow([units[0].name])
    await until_said(units[0], "n 2999")
    texts = []
    async with aclosing(following):  # type: ignore[type-var]
        async for line in following:
            texts.append(line.text)
            if len(texts) == 10:
                await asyncio.sleep(0.5)  # a reader that is slow
            if line.text == "n 2999":
                break
    assert [text for text in texts if text.startswith("n ")] == [f"n {n}" for n in range(3000)]
    assert "old" not in texts
    assert not children()


async def test_a_hostile_pattern_ends_in_time_and_when_it_is_given_up_at_once(units: list[Unit]) -> None:
    units.append(Unit("import time\nprint('a' * 200)\nprint('done')\ntime.sleep(600)"))
    units[0].start()
    await until_said(units[0], "done")
    hostile = LogQuery(grep="(a|a)*b")
    task = asyncio.create_task(JOURNAL.lines([units[0].name], hostile))
    await asyncio.sleep(0.3)  # the search is under way
    task.cancel()
    await asyncio.wait([task])
    await until(lambda: not children(), 8)
    with pytest.raises(ManagerError):
        await asyncio.wait_for(JOURNAL.lines([units[0].name], hostile), 30)
    await until(lambda: not children())


# Who stopped it


async def test_a_stop_is_told_from_an_end_by_itself(units: list[Unit]) -> None:
    units.append(Unit("import time\ntime.sleep(600)"))
    # Long enough for its run to be read: an ended unit that nobody refers to is unloaded, and forgets it.
    units.append(Unit("import time\nprint('bye', flush=True)\ntime.sleep(3)"))
    stopped, ended = units
    run_of_stopped = stopped.start()
    assert not await JOURNAL.was_stopped(stopped.name, run_of_stopped)
    run("systemctl", "stop", stopped.name)
    run_of_ended = ended.start()
    await until_said(ended, "bye")
    await until(lambda: run("systemctl", "show", "-P", "ActiveState", ended.name) == "inactive")
    run("journalctl", "--sync")
    assert await JOURNAL.was_stopped(stopped.name, run_of_stopped)
    assert run_of_ended
    assert not await JOURNAL.was_stopped(ended.name, run_of_ended)
    assert not await JOURNAL.was_stopped(ended.name, run_of_stopped)


# Who may read


def read_as(user: str, scope: Scope, unit: str, groups: list[str]) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.systemd.journal_as", scope, unit],
        user=user,
        group=pwd.getpwnam(user).pw_gid,
        extra_groups=groups,
        cwd=TOP,
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, object] = json.loads(done.stdout)
    return found


async def test_who_lacks_the_right_is_told_which_group_gives_it(units: list[Unit]) -> None:
    units.append(Unit("import time\nprint('secret things')\ntime.sleep(600)"))
    run_id = units[0].start()
    await until_said(units[0], "secret things")
    assert read_as("nobody", Scope.SYSTEM, units[0].name, []) == {"error": str(ManagerCode.JOURNAL_FORBIDDEN)}
    found = read_as("nobody", Scope.SYSTEM, units[0].name, ["systemd-journal"])
    assert ["secret things", False, run_id] in found["lines"]  # type: ignore[operator]


async def test_the_lines_of_a_system_users_own_units_are_found() -> None:
    run("useradd", "--system", "--create-home", "logt")
    uid = pwd.getpwnam("logt").pw_uid
    assert uid < 1000
    runtime = Path(f"/run/user/{uid}")
    runtime.mkdir(parents=True)
    os.chown(runtime, uid, pwd.getpwnam("logt").pw_gid)
    runtime.chmod(0o700)
    # What logind would do, which the laboratory does not have.
    fake = Path(f"/run/systemd/system/user-runtime-dir@{uid}.service")
    fake.write_text("[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n")
    folder = Path("/etc/systemd/user")
    program = f"{sys.executable} -u -S -c \"print('from a user'); raise SystemExit(3)\""
    (folder / "logt-own.service").write_text(f"[Service]\nExecStart={program}\n")
    run("systemctl", "daemon-reload")
    run("systemctl", "start", f"user@{uid}.service")
    try:
        env = ["env", f"XDG_RUNTIME_DIR=/run/user/{uid}"]
        run("runuser", "-u", "logt", "--", *env, "systemctl", "--user", "start", "logt-own.service")
        async with asyncio.timeout(20):
            while True:
                found = read_as("logt", Scope.USER, "logt-own.service", ["systemd-journal"])
                lines: list[tuple[str, bool, str]] = [tuple(line) for line in found["lines"]]  # type: ignore[attr-defined]
                if any("status=3" in text for text, _, _ in lines):
                    break
                await asyncio.sleep(0.1)  # between two looks
        assert any(text == "from a user" and not manager for text, manager, _ in lines)
        assert any("Main process exited" in text and manager for text, manager, _ in lines)
        assert len({run_id for _, _, run_id in lines}) == 1
        assert read_as("logt", Scope.USER, "logt-own.service", []) == {"error": str(ManagerCode.JOURNAL_FORBIDDEN)}
    finally:
        run("systemctl", "stop", f"user@{uid}.service")
        (folder / "logt-own.service").unlink()
        fake.unlink()


# Without a daemon

CONFIG = """
[discord]
token_env = "LOGT_TOKEN"
guild_id = 100000000000000001
ops_channel_id = 100000000000000002

[roles]
admin = [100000000000000003]

[state]
directory = "{state}"

[services.web]
manager = "systemd"
unit = "{unit}"
"""


async def test_without_a_daemon_the_command_line_reads_the_journal_itself(units: list[Unit], tmp_path: Path) -> None:
    units.append(Unit("import time\nprint('up')\ntime.sleep(600)"))
    first = units[0].start()
    await until_said(units[0], "up")
    run("systemctl", "restart", units[0].name)
    second = invocation(units[0].name)
    async with asyncio.timeout(20):
        while "up" not in own(await JOURNAL.lines([units[0].name], LogQuery(this_run=True), [second])):
            await asyncio.sleep(0.05)  # between two looks
    config = tmp_path / "config.toml"
    config.write_text(CONFIG.format(state=tmp_path, unit=units[0].name))
    known = await asyncio.to_thread(LastKnown, config)
    every = await asyncio.to_thread(known.answer, LOGS, {"lines": 100})
    assert [line.run for line in every.lines if line.text == "up"] == [first, second]
    present = await asyncio.to_thread(known.answer, LOGS, {"lines": 100, "this_run": True})
    assert {line.run for line in present.lines} == {second}
