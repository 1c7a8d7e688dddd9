"""A service's memory is that of all its processes, and a limit on it is a check like any other."""

import subprocess
import sys
from collections.abc import Iterator
from typing import IO

import pytest

from opsbot.config import Check, CheckKind, ManagerKind, Service
from opsbot.core.health import ProbeResult
from opsbot.messages import render
from opsbot.probes import Prober
from opsbot.probes.memory import resident
from opsbot.services.port import Activity, ServiceState

MIB = 1 << 20
SERVICE = Service("web", ManagerKind.PROCESS, working_directory="/")
PARENT = """
import subprocess, sys, threading
child = "import sys; hoard = bytearray(b'x') * (64 << 20); print('ready', flush=True); sys.stdin.read()"
def fork():
    subprocess.Popen([sys.executable, "-S", "-c", child]).wait()
# From a thread: the kernel lists the child with the thread that made it.
threading.Thread(target=fork).start()
"""


@pytest.fixture
def family() -> Iterator[subprocess.Popen[bytes]]:
    """A small process with a child of 64 MiB; both end with their standard input."""
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    assert _stream(process.stdout).readline() == b"ready\n"
    yield process
    _stream(process.stdin).close()
    process.wait(10)
    _stream(process.stdout).close()


def _stream(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream


async def look(pid: int, memory_max: int) -> ProbeResult:
    prober = Prober()
    try:
        check = Check("process", CheckKind.PROCESS, memory_max=memory_max)
        return await prober.probe(SERVICE, check, ServiceState(Activity.RUNNING, pid, "r"))
    finally:
        prober.close()


def test_what_a_process_and_its_children_take_is_summed(family: subprocess.Popen[bytes]) -> None:
    assert resident(family.pid) > 64 * MIB


async def test_a_child_s_memory_counts(family: subprocess.Popen[bytes]) -> None:
    result = await look(family.pid, 64 * MIB)
    assert not result.ok
    assert "more than 64.0 MiB" in render(result.seen)


async def test_below_its_limit_a_process_is_well_and_its_memory_shown(family: subprocess.Popen[bytes]) -> None:
    result = await look(family.pid, 1024 * MIB)
    assert result.ok
    assert "MiB of memory" in render(result.seen)


def test_a_process_that_is_gone_takes_nothing() -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    assert resident(process.pid) == 0
