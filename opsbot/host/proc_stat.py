"""Read /proc/PID/stat, proc_pid_stat(5)."""

import os

DEAD = frozenset({b"Z", b"X", b"x"})
"""States of a process that has ended."""
_LONGEST = 4096


def stat_of(pid: int) -> list[bytes]:
    """Return the fields from the third on: 0 is the state, 19 the start time.

    The start time is in clock ticks since boot.

    The second field, the name in parentheses, may contain anything and is skipped. Blocks for microseconds; pathlib
    would
    take three times as long, and this is called for all processes.

    Raises:
        OSError: the process is gone or not visible.
    """
    file = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    try:
        text = os.read(file, _LONGEST)
    finally:
        os.close(file)
    return text[text.rfind(b")") + 2 :].split()
