"""Identifies processes: which are alive, which belong to a run, how one ended.

Pids are reused. A process is identified by its pid, its start time (field 22 of /proc/PID/stat, proc_pid_stat(5), in
clock ticks since the boot) and the boot id. Signals go through a pidfd that is verified after it was opened, so that
none can reach another process.
"""

import os
import signal
import struct
from contextlib import suppress
from dataclasses import dataclass, field
from fcntl import ioctl
from functools import cache
from pathlib import Path

from opsbot.host.proc_stat import DEAD, EXIT_CODE, GROUP, SESSION, STARTED, STATE, pids, stat_of, variable

RUN_VARIABLE = "OPSBOT_RUN"
"""The variable with the id of the run, in the initial environment of all its processes."""

_PIDFD_GET_INFO = 0xC040FF0B
"""_IOWR(0xFF, 11, struct pidfd_info of 64 bytes), linux/pidfd.h."""
_PIDFD_INFO_EXIT = 1 << 3
_PIDFD_INFO_SIZE = 64
_EXIT_CODE = struct.Struct("=i")
_EXIT_CODE_AT = 60


@dataclass(frozen=True, slots=True)
class Process:
    """One process. ticks: its start time in clock ticks since the boot."""

    pid: int
    ticks: int
    group: int = field(default=0, compare=False)
    session: int = field(default=0, compare=False)


@cache
def boot_id() -> str:
    """The id of this boot; "" where /proc/sys is hidden (systemd's ProcSubset=pid)."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def find(pid: int, *, dead: bool = False) -> Process | None:
    """The living process with this pid, or None. A zombie is found only with `dead`."""
    try:
        fields = stat_of(pid)
    except OSError:
        return None
    if not fields or (fields[STATE] in DEAD and not dead):
        return None
    return Process(pid, int(fields[STARTED]), int(fields[GROUP]), int(fields[SESSION]))


def alive(process: Process) -> bool:
    return find(process.pid) == process


def by_run() -> dict[str, list[Process]]:
    """All living processes with a run id, by that id, oldest first."""
    found: dict[str, list[Process]] = {}
    for pid in set(pids()) - {os.getpid()}:
        if (run := variable(pid, RUN_VARIABLE)) and (process := find(pid)) is not None:
            found.setdefault(run, []).append(process)
    for processes in found.values():
        processes.sort(key=lambda process: (process.ticks, process.pid))
    return found


def in_session(leader: Process) -> list[Process]:
    """All living processes in the session of `leader`, which must not be reaped yet."""
    processes = (find(pid) for pid in pids())
    return [process for process in processes if process is not None and process.session == leader.pid]


def open_pidfd(process: Process) -> int | None:
    """A pidfd of exactly this process, closed by the caller; None when it has ended."""
    try:
        fd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return None
    if not alive(process):
        os.close(fd)
        return None
    return fd


def send(process: Process, sign: signal.Signals) -> bool:
    """Send a signal to exactly this process; False if it has ended.

    Raises PermissionError if it runs as another user.
    """
    fd = open_pidfd(process)
    if fd is None:
        return False
    try:
        signal.pidfd_send_signal(fd, sign)
    except ProcessLookupError:
        return False
    finally:
        os.close(fd)
    return True


def exit_status(pidfd: int) -> int | None:
    """The wait(2) status of the process of a readable pidfd; None if unknown.

    This reaps a child. For a process that a previous opsbot started, the kernel reports it since Linux 6.15
    (PIDFD_GET_INFO, once its new parent has reaped it).
    """
    try:
        result = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
    except ChildProcessError:
        return _status_of_reaped(pidfd)
    if result is None:
        return None
    return result.si_status << 8 if result.si_code == os.CLD_EXITED else result.si_status


def _status_of_reaped(pidfd: int) -> int | None:
    info = bytearray(_PIDFD_INFO_SIZE)
    info[:8] = _PIDFD_INFO_EXIT.to_bytes(8, "little")
    with suppress(OSError):
        ioctl(pidfd, _PIDFD_GET_INFO, info)
        if int.from_bytes(info[:8], "little") & _PIDFD_INFO_EXIT:
            (status,) = _EXIT_CODE.unpack_from(info, _EXIT_CODE_AT)
            return int(status)
    return None


def zombie_status(process: Process) -> int | None:
    """The status of a zombie that its new parent has not reaped yet, or None.

    Field 52 of /proc/PID/stat, visible to those who may trace the process.
    """
    try:
        fields = stat_of(process.pid)
    except OSError:
        return None
    if not fields or fields[STATE] not in DEAD or int(fields[STARTED]) != process.ticks:
        return None
    return int(fields[EXIT_CODE])
