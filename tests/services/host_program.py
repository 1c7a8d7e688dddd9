"""Hosts a Supervisor in a process of its own, for a test to SIGKILL. Arguments: state folder, program, a deed."""

# ruff: noqa: T201 - it speaks to the test that started it

import asyncio
import sys
from datetime import timedelta
from pathlib import Path

from opsbot.config import ManagerKind, Service
from opsbot.services.supervisor import Supervisor


async def main(state: Path, program: Path, deed: str) -> None:
    service = Service(
        "web",
        ManagerKind.PROCESS,
        command=(sys.executable, "-S", str(program)),
        working_directory=str(program.parent),
        stop_timeout=timedelta(seconds=1 if deed != "slow-stop" else 60),
    )
    supervisor = Supervisor({"web": service}, state)
    await supervisor.open()
    if deed != "open":
        started = await supervisor.start("web")
        print(started.pid, flush=True)
    else:
        print((await supervisor.state("web")).pid, flush=True)
    if deed == "slow-stop":
        await asyncio.sleep(0.3)  # what its services write arrives
        print("stopping", flush=True)
        await supervisor.stop("web")
    await asyncio.sleep(600)  # until it is killed


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]))
