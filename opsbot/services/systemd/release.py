"""Which release a unit's main process runs in: proven by its working directory, as far as that may be seen."""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path

from opsbot.config import Service

log = logging.getLogger(__name__)

Prove = Callable[[str, int], Awaitable[Path | None]]
"""The working directory of a service's process, seen with that service's own rights; None where it cannot be had."""

_TRIES, _BETWEEN = 10, 0.03
"""Between its fork and its exec a process still stands in systemd's directory."""


async def running_release(
    service: Service, pid: int, started_at: datetime | None, unit_folder: str, prove: Prove | None
) -> Path | None:
    """The release folder that the process works in; None where that is not known, or it works in none.

    Another user's process shows its directory to root and that user only (proc_pid_cwd(5)): `prove` is asked then.
    Where it cannot tell either, the unit's WorkingDirectory= as it resolves now is taken, for systemd resolves it at
    the start: but only where `current` has not been switched since that start. A process from before the switch still
    runs the release from before it.
    """
    if service.source is None:
        return None
    releases = service.source.directory / "releases"
    for _ in range(_TRIES):
        try:
            folder = Path(await asyncio.to_thread(os.readlink, f"/proc/{pid}/cwd"))
        except OSError:
            if not _lives(pid):
                return None
            break
        found = await asyncio.to_thread(_within, folder, releases)
        if found is not None:
            return found
        await asyncio.sleep(_BETWEEN)
    else:
        return None
    proven = await prove(service.name, pid) if prove is not None else None
    if proven is None:
        log.info("%s: whose directory process %d works in may not be seen; its unit's is taken", service.name, pid)
        if not await asyncio.to_thread(_switched_before, service.source.directory / "current", started_at):
            return None
        proven = Path(unit_folder.removeprefix("-") or "/")
    return await asyncio.to_thread(_within, proven, releases)


def _switched_before(current: Path, moment: datetime | None) -> bool:
    """Whether the link is as it was then. Its change time is set by the rename that puts it in its place."""
    try:
        return moment is not None and current.lstat().st_ctime <= moment.timestamp()
    except OSError:
        return False


def _lives(pid: int) -> bool:
    """Whether there is such a process: with ProtectProc= in opsbot's unit, /proc hides those of other users."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it is another user's
    return True


def _within(folder: Path, releases: Path) -> Path | None:
    """The release that a folder lies in."""
    try:
        real, root = folder.resolve(), releases.resolve()
    except (OSError, RuntimeError):
        return None
    return root / real.relative_to(root).parts[0] if real != root and real.is_relative_to(root) else None
