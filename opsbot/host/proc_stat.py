"""/proc/PID/stat, proc_pid_stat(5): how a process stands, in one short read."""

import os

DEAD = frozenset({b"Z", b"X", b"x"})
"""States of a process that has ended."""
_LONGEST = 4096


def stat_of(pid: int) -> list[bytes]:
    """The fields from the third on: 0 is the state, 19 when it started, in clock ticks since the boot.

    The second, its name in parentheses, may hold anything, parentheses too, and is left out. Blocks for microseconds:
    not by pathlib, which takes thrice as long, as all processes are read like this.

    Raises:
        OSError: it is gone, or may not be seen.
    """
    file = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    try:
        text = os.read(file, _LONGEST)
    finally:
        os.close(file)
    return text[text.rfind(b")") + 2 :].split()
