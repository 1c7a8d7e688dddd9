"""Monit, as a baseline: watches what it is told to, as a child process of its own."""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks._bed import end

CONFIG = """\
set daemon {cycle}
set log {folder}/monit.log
set pidfile {folder}/monit.pid
set idfile {folder}/monit.id
set statefile {folder}/monit.state
{checks}
"""


def available() -> bool:
    """Whether it is installed."""
    return shutil.which("monit") is not None


@asynccontextmanager
async def open_monit(folder: Path, checks: str, cycle: int) -> AsyncIterator[int]:
    """Run it in the foreground with a cycle of so many seconds; its pid."""
    folder.mkdir()
    file = folder / "monitrc"
    file.write_text(CONFIG.format(cycle=cycle, folder=folder, checks=checks))
    file.chmod(0o600)  # it refuses any other
    process = subprocess.Popen(
        ["monit", "-I", "-c", str(file)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        await asyncio.sleep(0.5)
        if process.poll() is not None:
            raise RuntimeError(f"monit ended with status {process.returncode}: see monit -t on {checks[:300]}")
        yield process.pid
    finally:
        await asyncio.to_thread(end, process)
