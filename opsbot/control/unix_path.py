"""Unix sockets whose path may be long: the kernel takes 107 bytes, a state directory may have more."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MOST = 107
"""Bytes in `sun_path` of unix(7), without its closing zero."""


@contextmanager
def reachable(path: Path) -> Iterator[str]:
    """A name for this socket that the kernel takes, good inside the `with`.

    Where the path is too long it leads by way of its open directory.

    Raises:
        OSError: the directory is not there, or may not be entered.
    """
    if len(os.fsencode(path)) <= MOST:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
