"""Finds the release that a unit's main process runs in, by its working directory."""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path

from opsbot.config import Service

log = logging.getLogger(__name__)

Prove = Callable[[str, int], Awaitable[Path | None]]
"""Reads the working directory of a process as the service's user; None where that fails."""

_TRIES, _BETWEEN = 10, 0.03
"""Between fork and exec a process still has systemd's working directory."""


async def running_release(
    service: Service, pid: int, started_at: datetime | None, unit_folder: str, prove: Prove | None
) -> Path | None:
    """The release folder that the process works in, or None.

    The directory of another user's process is visible to root and that user only (proc_pid_cwd(5)): then `prove` reads
    it. If that fails, the unit's WorkingDirectory= as it resolves now is used, provided `current` has not been switched
    since the start, because systemd resolves it at the start.
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
        log.info("%s: the working directory of process %d is not readable; using that of its unit", service.name, pid)
        if not await asyncio.to_thread(_switched_before, service.source.directory / "current", started_at):
            return None
        proven = Path(unit_folder.removeprefix("-") or "/")
    return await asyncio.to_thread(_within, proven, releases)


def _switched_before(current: Path, moment: datetime | None) -> bool:
    """Whether the link is unchanged since: replacing it sets its change time."""
    try:
        return moment is not None and current.lstat().st_ctime <= moment.timestamp()
    except OSError:
        return False


def _lives(pid: int) -> bool:
    """Whether the process exists; ProtectProc= may hide it in /proc."""
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
