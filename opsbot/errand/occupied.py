"""`python -I -m opsbot.errand.occupied FOLDER...`: print the folders in use.

A folder is in use if a process of this user works in it.

The working directory of a process is visible only to its own user (proc_pid_cwd(5)).
"""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress


def occupied(folders: Sequence[str]) -> list[int]:
    """Return the indices, from 0, of folders that a process works in."""
    places = [os.path.realpath(folder) for folder in folders]
    found = set()
    for pid in filter(str.isdecimal, os.listdir("/proc")):  # noqa: PTH208 - names only
        with suppress(OSError):
            cwd = os.readlink(f"/proc/{pid}/cwd")  # noqa: PTH115 - importing pathlib takes longer than all of this
            found |= {number for number, place in enumerate(places) if cwd == place or cwd.startswith(f"{place}/")}
    return sorted(found)


if __name__ == "__main__":
    print(*occupied(sys.argv[1:]))  # noqa: T201 - the result
