"""A systemd to measure with: the laboratory of the tests (tests/lab), booted for one benchmark and ended after it."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks import Row, Scale, skipped

INSIDE = Path(__file__).parent.parent / "tests" / "lab" / "inside"
RUNTIME = Path("/run/systemd/system")
"""Units of this boot only (systemd.unit(5))."""


def inside() -> bool:
    """Whether this process is in a laboratory."""
    return "OPSBOT_LAB" in os.environ


async def run_inside(module: str, scale: Scale) -> list[Row]:
    """The rows of a module, measured in a laboratory of its own; one that says why where none can be had."""
    process = await asyncio.create_subprocess_exec(
        *(str(INSIDE), sys.executable, "-m", "benchmarks", "--json", *(["--quick"] if scale.quick else []), module),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    said = (await process.communicate())[0].decode()
    before, bracket, rows = said.partition("[\n")
    if process.returncode != 0:
        raise RuntimeError(f"{module} failed in the laboratory:\n{said}")
    if not bracket:
        return [skipped(module, before.strip().rpartition(": ")[2])]
    return [Row(**fields) for fields in json.loads(bracket + rows)]


async def systemctl(*words: str) -> str:
    """Run it; what it printed."""
    process = await asyncio.create_subprocess_exec("systemctl", *words, stdout=asyncio.subprocess.PIPE)
    said = (await process.communicate())[0].decode()
    if process.returncode != 0:
        raise RuntimeError(f"systemctl {' '.join(words)} ended with status {process.returncode}: {said}")
    return said.strip()


async def main_pid(unit: str) -> int:
    """The main process of a unit."""
    return int(await systemctl("show", "--value", "-p", "MainPID", unit))


@asynccontextmanager
async def units(texts: Mapping[str, str], *started: str) -> AsyncIterator[None]:
    """Write units, start those that are named or else all, and stop and remove all of them at the end."""
    RUNTIME.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (RUNTIME / name).write_text(text)
    try:
        await systemctl("daemon-reload")
        await systemctl("start", *(started or texts))
        yield
    finally:
        await systemctl("stop", *(name for name in texts if "@." not in name), *started)
        for name in texts:
            (RUNTIME / name).unlink()
        await systemctl("daemon-reload")
