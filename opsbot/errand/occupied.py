"""`python -I -m opsbot.errand.occupied FOLDER...`: which of these folders a process of this user works in, by number.

Another user's processes do not show where they work (proc_pid_cwd(5)), so that user looks.
"""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress


def occupied(folders: Sequence[str]) -> list[int]:
    """The numbers, from 0, of those that a process works in."""
    places = [os.path.realpath(folder) for folder in folders]
    found = set()
    for pid in filter(str.isdecimal, os.listdir("/proc")):  # noqa: PTH208 - names only
        with suppress(OSError):
            cwd = os.readlink(f"/proc/{pid}/cwd")  # noqa: PTH115 - pathlib takes longer to import than all of this
            found |= {number for number, place in enumerate(places) if cwd == place or cwd.startswith(f"{place}/")}
    return sorted(found)


if __name__ == "__main__":
    print(*occupied(sys.argv[1:]))  # noqa: T201 - its answer
