"""The process table of proc(5): pids, states, and initial environments.

Avoids pathlib, which takes three to ten times as long: all processes of a host are read like this.
"""

import os

STATE, PARENT, GROUP, SESSION = 0, 1, 2, 3
"""Indices of the fields of `stat_of`. Times are in clock ticks, the resident memory in pages."""
USER_TIME, SYSTEM_TIME, THREADS, STARTED, RESIDENT, EXIT_CODE = 11, 12, 17, 19, 21, 49
DEAD = frozenset({b"Z", b"X", b"x"})
"""States of a process that has ended."""
_PIECE = 64 * 1024


def pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]  # noqa: PTH208 - names alone


def stat_of(pid: int) -> list[bytes]:
    """Return the fields of /proc/PID/stat, proc_pid_stat(5), after the name.

    Raises:
        OSError: the process is gone or not visible.
    """
    text = _read(f"/proc/{pid}/stat")
    return text[text.rfind(b")") + 2 :].split()


def variable(pid: int, name: str) -> str | None:
    """Return a variable of a process's initial environment; None if not readable."""
    try:
        environ = b"\0" + _read(f"/proc/{pid}/environ")
    except OSError:
        return None
    start = f"\0{name}=".encode()
    at = environ.find(start)
    return None if at < 0 else environ[at + len(start) :].split(b"\0", 1)[0].decode(errors="replace")


def _read(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        content = piece = os.read(fd, _PIECE)
        while len(piece) == _PIECE:
            content += (piece := os.read(fd, _PIECE))
        return content
    finally:
        os.close(fd)
