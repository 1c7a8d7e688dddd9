"""What the daemon tells the service manager that started it, on a real socket."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.fixtures.notify_socket import Ear, open_ear
from tests.fixtures.whole import Whole, open_whole


@asynccontextmanager
async def told(folder: Path, soak: str = "1s", **environment: str) -> AsyncIterator[tuple[Whole, Ear]]:
    """A daemon that is not started yet, and who listens."""
    with open_ear(folder) as ear:
        async with open_whole(folder, start=False, soak=soak) as whole:
            whole.environment |= {"NOTIFY_SOCKET": str(ear.path), **environment}
            yield whole, ear


def states(ear: Ear) -> list[str]:
    """What was told of states, in order."""
    lines = [line for told in ear.listen() for line in told.split("\n")]
    return [line for line in lines if line.partition("=")[0] in {"READY", "RELOADING", "STOPPING"}]


async def test_it_is_ready_while_discord_is_away_says_how_that_stands_and_that_it_stops(tmp_path: Path) -> None:
    async with told(tmp_path) as (whole, ear):
        whole.standin.faults.away()
        whole.start()
        await ear.until(lambda ear: "READY=1" in ear.listen())
        await whole.serves("1")
        await ear.until(lambda ear: "Discord not connected yet" in ear.status)
        whole.standin.faults.back()
        await ear.until(lambda ear: ear.status == "1 service healthy; Discord connected")
        assert await whole.stop() == 0
        assert states(ear) == ["READY=1", "STOPPING=1"]
        assert not [line for line in ear.listen() if line.startswith("WATCHDOG")], "nobody waits for it"


async def test_what_happens_is_in_the_status(tmp_path: Path) -> None:
    async with told(tmp_path, soak="3s") as (whole, ear):
        whole.start()
        await ear.until(lambda ear: "1 deploying: web" in ear.status)
        await whole.said("web runs")
        await ear.until(lambda ear: "deploying" not in ear.status)
        await asyncio.to_thread(whole.cli, "hold", "web")
        await ear.until(lambda ear: "deploys of 1 paused" in ear.status)
        await asyncio.to_thread(whole.cli, "silence", "web")
        await ear.until(lambda ear: "deploys of 1 paused; 1 silenced" in ear.status)
        await asyncio.to_thread(whole.cli, "resume", "web")
        await ear.until(lambda ear: ear.status == "1 service healthy; Discord connected")


async def test_the_watchdog_is_fed(tmp_path: Path) -> None:
    async with told(tmp_path, WATCHDOG_USEC="1000000") as (whole, ear):
        whole.start()
        await ear.until(lambda ear: ear.listen().count("WATCHDOG=1") > 5)
        assert whole.process is not None
        whole.process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(0.5)  # what was sent before arrives
        fed = ear.listen().count("WATCHDOG=1")
        await asyncio.sleep(2)  # what must not happen would have by then
        assert ear.listen().count("WATCHDOG=1") == fed, "no thread goes on without the rest"
        whole.process.send_signal(signal.SIGCONT)
        await ear.until(lambda ear: ear.listen().count("WATCHDOG=1") > fed)


async def test_a_watchdog_that_waits_for_another_process_is_not_fed(tmp_path: Path) -> None:
    async with told(tmp_path, WATCHDOG_USEC="200000", WATCHDOG_PID="1") as (whole, ear):
        whole.start()
        await whole.said("web runs")
        assert "WATCHDOG=1" not in ear.listen()


async def test_a_reload_begins_and_ends_and_is_ready_while_it_waits(tmp_path: Path) -> None:
    async with told(tmp_path, soak="4s") as (whole, ear):
        whole.start()
        await whole.serves("1")
        text = await asyncio.to_thread(whole.config.path.read_text)
        await asyncio.to_thread(whole.config.path.write_text, text.replace('poll = "5s"', 'poll = "6s"'))
        assert whole.process is not None
        whole.process.send_signal(signal.SIGHUP)
        await ear.until(lambda ear: "waiting for the deployment of web" in ear.status)
        assert states(ear) == ["READY=1", "RELOADING=1", "READY=1"]
        await whole.said("reloaded")
        await ear.until(lambda ear: len(states(ear)) == 5)
        assert states(ear)[3:] == ["RELOADING=1", "READY=1"]
        await ear.until(lambda ear: ear.status == "1 service healthy; Discord connected")
        whole.process.send_signal(signal.SIGHUP)
        await whole.said("nothing changed")
        assert states(ear)[5:] == ["RELOADING=1", "READY=1"]
