"""Processes as the kernel names them: who is alive, who belongs to a run, how one ended.

A pid alone says nothing: it is used again. A process is meant by its pid, the time it started (field 22 of
/proc/PID/stat, proc_pid_stat(5), in clock ticks since the boot) and the boot that counted them. Signals go through a
pidfd that was checked after it was opened, so none can reach a stranger.
"""

import ctypes
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
"""Every process of a run carries the run's id in this variable of its first environment."""

_PIDFD_GET_INFO = 0xC040FF0B
"""_IOWR(0xFF, 11, struct pidfd_info of 64 bytes), linux/pidfd.h."""
_PIDFD_INFO_EXIT = 1 << 3
_PIDFD_INFO_SIZE = 64
_EXIT_CODE = struct.Struct("=i")
_EXIT_CODE_AT = 60


@dataclass(frozen=True, slots=True)
class Process:
    """One process, for ever. `ticks`: when it started, in clock ticks since the boot."""

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
    """The living process with this pid, if there is one; a zombie is not alive, and found only if `dead`."""
    try:
        fields = stat_of(pid)
    except OSError:
        return None
    if not fields or (fields[STATE] in DEAD and not dead):
        return None
    return Process(pid, int(fields[STARTED]), int(fields[GROUP]), int(fields[SESSION]))


def alive(process: Process) -> bool:
    """Whether this very process still lives."""
    found = find(process.pid)
    return found == process


def by_run() -> dict[str, list[Process]]:
    """Every living process of ours that carries a run's id, by that id, oldest first."""
    found: dict[str, list[Process]] = {}
    me = os.getpid()
    for pid in pids():
        if pid == me or not (run := variable(pid, RUN_VARIABLE)):
            continue
        process = find(pid)
        if process is not None:
            found.setdefault(run, []).append(process)
    for processes in found.values():
        processes.sort(key=lambda process: (process.ticks, process.pid))
    return found


def in_session(leader: Process) -> list[Process]:
    """Every living process of the session that `leader`, which must be alive or not yet reaped, leads."""
    processes = (find(pid) for pid in pids())
    return [process for process in processes if process is not None and process.session == leader.pid]


def open_pidfd(process: Process) -> int | None:
    """A pidfd of this very process, to be closed by the caller; None when it is gone."""
    try:
        fd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return None
    found = find(process.pid)
    if found != process:
        os.close(fd)
        return None
    return fd


def send(process: Process, sign: signal.Signals) -> bool:
    """Send a signal to this very process; False when it is gone.

    Raises:
        PermissionError: it runs as another user.
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
    """How the process behind a readable pidfd ended: its status as wait(2) gives it, None where nobody can tell.

    A child of ours is reaped by this. Of a process that an earlier opsbot started, the kernel tells it from Linux 6.15
    on (PIDFD_GET_INFO, once its new parent has reaped it).
    """
    try:
        result = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
    except ChildProcessError:
        return _told_by_kernel(pidfd)
    if result is None:
        return None
    return result.si_status << 8 if result.si_code == os.CLD_EXITED else result.si_status


def _told_by_kernel(pidfd: int) -> int | None:
    info = bytearray(_PIDFD_INFO_SIZE)
    info[:8] = _PIDFD_INFO_EXIT.to_bytes(8, "little")
    with suppress(OSError):
        ioctl(pidfd, _PIDFD_GET_INFO, info)
        if int.from_bytes(info[:8], "little") & _PIDFD_INFO_EXIT:
            (status,) = _EXIT_CODE.unpack_from(info, _EXIT_CODE_AT)
            return int(status)
    return None


def zombie_status(process: Process) -> int | None:
    """How a process ended that its new parent has not reaped yet, None when it is no zombie (any more).

    Field 52 of /proc/PID/stat, shown to who might trace the process.
    """
    try:
        fields = stat_of(process.pid)
    except OSError:
        return None
    if not fields or fields[STATE] not in DEAD or int(fields[STARTED]) != process.ticks:
        return None
    return int(fields[EXIT_CODE])


def exit_words(status: int | None) -> str:
    """An exit as people say it: "exit status 1", "killed by SIGKILL"."""
    if status is None:
        return "ended, how is not known"
    if os.WIFEXITED(status):
        return f"exit status {os.WEXITSTATUS(status)}"
    number = os.WTERMSIG(status)
    try:
        return f"killed by {signal.Signals(number).name}"
    except ValueError:
        return f"killed by signal {number}"


_libc = ctypes.CDLL(None, use_errno=True)
_PUNCH_HOLE_KEEP_SIZE = 0x02 | 0x01


def punch(fd: int, length: int) -> bool:
    """Give the first `length` bytes of a file back to the file system, its size unchanged (fallocate(2)).

    False where the file system cannot.
    """
    call = _libc.fallocate
    call.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return bool(call(fd, _PUNCH_HOLE_KEEP_SIZE, 0, length) == 0)
