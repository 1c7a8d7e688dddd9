"""The supervisor keeps the contract of a ServiceManager."""

from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from opsbot.config import ManagerKind, Service
from opsbot.services.backoff import Backoff
from opsbot.services.port import ManagerError
from opsbot.services.supervisor import Supervisor
from tests.services.contract import SLEEPER, ManagerContract, World, command


def service(program: Path) -> Service:
    return Service(
        "web",
        ManagerKind.PROCESS,
        command=command(program),
        working_directory=str(program.parent),
        stop_timeout=timedelta(seconds=5),
    )


def writer(path: Path) -> Callable[[str], None]:
    def write(program: str) -> None:
        path.write_text(program)

    return write


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    program = tmp_path / "web.py"
    program.write_text(SLEEPER)
    backoff = Backoff(step=0.02, most=0.1, crashes=4)
    supervisor = Supervisor({"web": service(program)}, tmp_path / "state", backoff=backoff)
    made = World(supervisor, writer(program))
    supervisor.listen(made.hear)
    await supervisor.open()
    yield made
    try:
        await supervisor.stop("web")
    except ManagerError:
        await supervisor.open()
        await supervisor.stop("web")
    await supervisor.close()


class TestSupervisor(ManagerContract):
    """Every test of the contract, with opsbot's own supervisor."""
