"""Which processes work in a folder, or were left over by a killed opsbot."""

import os
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from opsbot.host.proc_stat import pids, variable
from opsbot.services.processes import find

MARK = "OPSBOT_PIPELINE"
"""In the environment of every process of a deployment: the state directory of the opsbot that began it."""


def processes_in(folders: Sequence[Path]) -> Mapping[Path, set[int]]:
    """The processes whose working directory is in one of these folders.

    Another user's processes are not seen by an opsbot without root's rights (proc_pid_cwd(5)).
    """
    found: dict[Path, set[int]] = {folder: set() for folder in folders}
    roots = [(os.path.realpath(folder), folder) for folder in folders]
    for pid in set(pids()) - {os.getpid()}:
        with suppress(OSError):
            cwd = os.readlink(f"/proc/{pid}/cwd")  # noqa: PTH115 - fast
            for root, folder in roots:
                if cwd == root or cwd.startswith(root + "/"):
                    found[folder].add(pid)
    return found


def marked(mark: str, name: str = MARK) -> set[int]:
    return {pid for pid in pids() if variable(pid, name) == mark} - {os.getpid()}


def end_marked(mark: str, patience: float = 3.0, name: str = MARK) -> int:
    """Kill the processes that an earlier opsbot marked and left; return how many.

    Blocks up to `patience` seconds. Processes in uninterruptible sleep may outlive it.
    """
    ended: set[int] = set()
    until = time.monotonic() + patience
    while left := {pid for pid in marked(mark, name) if find(pid) is not None}:
        for pid in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        ended |= left
        if time.monotonic() > until:
            break
        time.sleep(0.02)
    return len(ended)
