"""`python -I -m opsbot.errand.occupied FOLDER...`: print the indices of folders in use.

A folder is in use if a process of this user works in it: only its own user can see that (proc_pid_cwd(5)).
"""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress


def working_in(folders: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield each other process that works in one of the folders, with the folder's index."""
    paths = [os.path.realpath(folder) for folder in folders]
    for pid in filter(str.isdecimal, os.listdir("/proc")):  # noqa: PTH208 - names only
        with suppress(OSError):
            cwd = os.readlink(f"/proc/{pid}/cwd")  # noqa: PTH115 - importing pathlib takes longer than all of this
            for index, path in enumerate(paths):
                if (cwd == path or cwd.startswith(f"{path}/")) and int(pid) != os.getpid():
                    yield int(pid), index


if __name__ == "__main__":
    print(*sorted({index for _, index in working_in(sys.argv[1:])}))  # noqa: T201 - the result
