"""Which release a unit's main process runs in: proven by its working directory, as far as that may be seen."""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from opsbot.config import Service

log = logging.getLogger(__name__)

Prove = Callable[[str, int], Awaitable[Path | None]]
"""The working directory of a service's process, seen with that service's own rights; None where it cannot be had."""

_TRIES, _BETWEEN = 10, 0.03
"""Between its fork and its exec a process still stands in systemd's directory."""


async def running_release(service: Service, pid: int, unit_folder: str, prove: Prove | None) -> Path | None:
    """The release folder that the process works in; None where that is not known, or it works in none.

    Another user's process shows its directory to root and that user only (proc_pid_cwd(5)): `prove` is asked then.
    Where it cannot tell either, the unit's WorkingDirectory= as it resolves now is taken: systemd resolves it at the
    start, which is what is being looked at.
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
        proven = Path(unit_folder.removeprefix("-") or "/")
    return await asyncio.to_thread(_within, proven, releases)


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
