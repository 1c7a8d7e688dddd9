"""The dashboard: fits its terminal, obeys nothing it shows, and leaves the terminal as it was."""

import asyncio
import fcntl
import os
import pty
import signal
import struct
import sys
import termios
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Self

import pytest

from opsbot.cli.monitor import draw
from opsbot.cli.show import Screen
from opsbot.cli.terminal import Paint, width
from opsbot.control.client import Client
from opsbot.control.endpoints import DEPLOY, MONITOR, SILENCE
from opsbot.control.shapes import Snapshot
from opsbot.core.health import CheckHealth, ProbeResult, Verdict
from opsbot.core.message import plain
from opsbot.core.model import Evidence, Incident
from opsbot.host.figures import Disk
from opsbot.store import incident_repository
from tests.cli.conftest import Opsbot
from tests.cli.world import World, now
from tests.fixtures.waiting import until

HOSTILE = "[bold red]boo[/] \x1b[2J\x1b]0;pwned\x07 音声会議の録音を直す"


async def trouble(here: World) -> Snapshot:
    """A snapshot with everything in it that can be."""
    bad = ProbeResult(False, plain(f"answered 500 {HOSTILE}"), now())
    here.watching.checks["api"]["web"] = CheckHealth(Verdict.DOWN, now() - timedelta(minutes=5), -3, now(), bad)
    incident = Incident(0, "api", plain(f"web answered 500 {HOSTILE}"), now(), Evidence())
    await here.store.write(incident_repository.open_incident, incident)
    here.deploying.title = HOSTILE
    here.deploying.pause = 0.02
    client = Client(here.socket)
    await asyncio.to_thread(client.ask, DEPLOY, service="api")
    await asyncio.sleep(0.07)  # changes come one after the other, while it is drawn
    await asyncio.to_thread(client.ask, SILENCE, service="api", reason=HOSTILE.replace("\x1b", "").replace("\x07", ""))
    return await asyncio.to_thread(client.ask, MONITOR)


def drawn(snapshot: Snapshot, columns: int, rows: int | None) -> list[str]:
    return draw(snapshot, Screen(Paint(on=False), now(), columns), rows)


async def test_a_disk_is_as_full_as_df_says(daemon: World) -> None:
    snapshot = await trouble(daemon)
    figures = replace(snapshot.host.figures, disks=(Disk(Path("/"), 252 << 30, 28 << 30, 84 << 30),))
    snapshot = replace(snapshot, host=replace(snapshot.host, figures=figures))
    assert any("25 %, 84.0 GiB free" in line for line in drawn(snapshot, 200, 60))


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (100, 30), (200, 60), (60, 16)])
async def test_it_fits_and_obeys_nothing(daemon: World, columns: int, rows: int) -> None:
    lines = drawn(await trouble(daemon), columns, rows)
    assert len(lines) <= rows
    assert max(map(width, lines)) <= columns
    text = "\n".join(lines)
    assert "\x1b" not in text
    assert "\x07" not in text
    for word in ("testhost", "api", "web", "down", "services", "checks", "deploys", "alerts"):
        assert word in text


async def test_it_shows_what_is_out_of_the_ordinary(daemon: World) -> None:
    text = "\n".join(drawn(await trouble(daemon), 200, None))
    assert "answered 500 [bold red]boo[/]" in text
    assert "incident 1 for" in text
    assert "silenced by" in text
    assert "Discord ● 41 ms" in text
    assert "fetching" in text


async def test_many_checks_leave_room_for_the_rest_and_those_in_trouble_come_first(daemon: World) -> None:
    snapshot = await trouble(daemon)
    service = snapshot.services[0]
    many = [replace(service.checks[1], name=f"check-{n}") for n in range(80)]
    crowded = replace(service, checks=[*many, service.checks[0]])
    lines = drawn(replace(snapshot, services=[crowded]), 80, 24)
    assert len(lines) <= 24
    at = next(n for n, line in enumerate(lines) if line.startswith("checks ("))
    assert "down" in lines[at + 1]
    assert any(line.startswith("alerts") for line in lines)


async def test_where_the_output_is_no_terminal_it_is_printed_once(daemon: World, opsbot: Opsbot) -> None:
    ended = await opsbot("monitor")
    assert (ended.code, ended.err) == (0, "")
    assert "testhost" in ended.out
    assert "\x1b" not in ended.out
    daemon.services.states["api"] = replace(daemon.services.states["api"], pid=None)


class OnTerminal:
    """`opsbot monitor` on a terminal of its own."""

    def __init__(self, config: Path) -> None:
        self.config = config
        self.said = b""

    async def __aenter__(self) -> Self:
        self.ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
        self.before = termios.tcgetattr(theirs)
        self.theirs = theirs
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "opsbot", "monitor", "-c", str(self.config)),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=os.environ | {"TERM": "xterm-256color"},
        )
        asyncio.get_running_loop().add_reader(self.ours, self._read)
        return self

    def _read(self) -> None:
        self.said += os.read(self.ours, 65536)

    async def until(self, text: bytes) -> None:
        await until(lambda: text in self.said, 15)

    async def __aexit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self.ours)
        with suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()
        os.close(self.ours)
        os.close(self.theirs)


@pytest.mark.parametrize("how", ["q", "ctrl-c", "terminate"])
async def test_it_ends_at_once_and_leaves_the_terminal_as_it_was(daemon: World, how: str) -> None:
    async with OnTerminal(daemon.config.path) as here:
        await here.until(b"alerts")
        assert b"\x1b[?1049h" in here.said, "on the alternate screen"
        if how == "q":
            os.write(here.ours, b"q")
        else:
            here.process.send_signal(signal.SIGINT if how == "ctrl-c" else signal.SIGTERM)
        async with asyncio.timeout(5):
            assert await here.process.wait() == 0
        await here.until(b"\x1b[?1049l")
        assert b"\x1b[?25h" in here.said, "the cursor is back"
        assert termios.tcgetattr(here.theirs) == here.before
        assert b"Traceback" not in here.said


async def test_it_goes_on_when_the_daemon_goes_and_says_so(daemon: World) -> None:
    async with OnTerminal(daemon.config.path) as here:
        await here.until(b"Discord")
        await daemon.control.close()
        await here.until(b"the daemon is not running")
        os.write(here.ours, b"q")
        async with asyncio.timeout(5):
            await here.process.wait()
