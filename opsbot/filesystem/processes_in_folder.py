"""Which processes work in a folder, or were left over by a killed opsbot."""

import os
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from opsbot.errand.occupied import working_in
from opsbot.host.proc_stat import pids, variable
from opsbot.services.processes import find

MARK = "OPSBOT_PIPELINE"
"""In the environment of every process of a deployment: the state directory of its opsbot."""
_KILL_SECONDS = 3.0


def processes_in(folders: Sequence[Path]) -> Mapping[Path, set[int]]:
    """The processes that work in one of these folders.

    Those of other users are visible to root only (proc_pid_cwd(5)).
    """
    found: dict[Path, set[int]] = {folder: set() for folder in folders}
    for pid, index in working_in([str(folder) for folder in folders]):
        found[folders[index]].add(pid)
    return found


def end_marked(mark: str, name: str = MARK) -> int:
    """Kill the processes that an earlier opsbot marked and left; return how many.

    Blocks for 3 s at most. Processes in uninterruptible sleep may outlive it.
    """
    ended: set[int] = set()
    until = time.monotonic() + _KILL_SECONDS
    while left := {pid for pid in pids() if variable(pid, name) == mark and find(pid)} - {os.getpid()}:
        for pid in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        ended |= left
        if time.monotonic() > until:
            break
        time.sleep(0.02)
    return len(ended)
