"""The table of processes, proc(5): which there are, how each stands, and the environment it was started with.

Not by pathlib, which takes three to ten times as long: all processes of a host are read like this. What is read blocks
for microseconds.
"""

import os

STATE, PARENT, GROUP, SESSION = 0, 1, 2, 3
"""Places of the fields in what `stat_of` gives; the times are in clock ticks, the resident memory in pages."""
USER_TIME, SYSTEM_TIME, THREADS, STARTED, RESIDENT, EXIT_CODE = 11, 12, 17, 19, 21, 49
DEAD = frozenset({b"Z", b"X", b"x"})
"""States of a process that has ended."""
_LONGEST = 4096
_PIECE = 64 * 1024


def pids() -> list[int]:
    """All processes that may be seen."""
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]  # noqa: PTH208 - names alone


def stat_of(pid: int) -> list[bytes]:
    """The fields of /proc/PID/stat, proc_pid_stat(5), from the third on.

    The second, its name in parentheses, may hold anything, parentheses too, and is left out.

    Raises:
        OSError: the process is gone or not visible.
    """
    file = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    try:
        text = os.read(file, _LONGEST)
    finally:
        os.close(file)
    return text[text.rfind(b")") + 2 :].split()


def variable(pid: int, name: str) -> str | None:
    """A variable of the environment the process was started with; None where there is none or it may not be read."""
    environ = b"\0" + _read(f"/proc/{pid}/environ")
    start = f"\0{name}=".encode()
    at = environ.find(start)
    return None if at < 0 else environ[at + len(start) :].split(b"\0", 1)[0].decode(errors="replace")


def _read(path: str) -> bytes:
    """All of a file, "" where it may not be read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        content = b""
        while piece := os.read(fd, _PIECE):
            content += piece
    except OSError:
        return b""
    finally:
        os.close(fd)
    return content
