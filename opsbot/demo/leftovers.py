"""The demo's folder: locked while the demo runs, and removed afterwards.

A killed demo cannot clean up. The kernel releases its lock, so the next demo recognises the abandoned folder and
removes it.
"""

import asyncio
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from opsbot.filesystem.processes_in_folder import end_marked
from opsbot.services.child import kill, relatives
from opsbot.services.processes import Process
from opsbot.services.run_record import owner

MARK = "OPSBOT_DEMO"
"""In the daemon's environment: the demo's folder."""
PREFIX = "opsbot-demo-"
LOCK = "demo.lock"
JUST_MADE_SECONDS = 5.0
"""A folder younger than this may not have been locked yet."""
END_SECONDS = 5.0


@asynccontextmanager
async def own_folder() -> AsyncIterator[Path]:
    """Create a folder for this demo and remove those of dead ones.

    It is removed at the end with its processes.

    Raises:
        OSError: it cannot be created.
    """
    await asyncio.to_thread(_clear_dead)
    folder, lock = await asyncio.to_thread(_made)
    try:
        yield folder
    finally:
        await asyncio.to_thread(_clear, folder)
        if lock is not None:
            os.close(lock)


def _made() -> tuple[Path, int | None]:
    folder = Path(tempfile.mkdtemp(prefix=PREFIX)).resolve()
    return folder, _taken(folder / LOCK)


def _taken(file: Path) -> int | None:
    """The lock's descriptor, to be kept open; None if another process holds it."""
    lock = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def _clear_dead() -> None:
    for folder in Path(tempfile.gettempdir()).resolve().glob(f"{PREFIX}*"):
        with suppress(OSError):  # another user's, or already removed
            stat = folder.lstat()
            if stat.st_uid != os.getuid() or time.time() - stat.st_ctime < JUST_MADE_SECONDS:
                continue
            lock = _taken(folder / LOCK)
            if lock is not None:
                _clear(folder)
                os.close(lock)


def _clear(folder: Path) -> None:
    """Kill every process that belongs to this folder, then remove it. Blocks."""
    end_marked(str(folder), MARK)
    until = time.monotonic() + END_SECONDS
    state = folder / "state"
    while left := _services(state / "services"):
        kill(left)
        if time.monotonic() > until:
            break
        time.sleep(0.02)
    end_marked(str(state))
    shutil.rmtree(folder, ignore_errors=True)


def _services(directory: Path) -> set[Process]:
    if not directory.is_dir():
        return set()
    return {process for each in directory.iterdir() if each.is_dir() for process in relatives(owner(each), None)}
