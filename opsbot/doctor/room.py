"""Free space and free inodes of the file system a path lies on."""

import os
from pathlib import Path

from opsbot.doctor.findings import Area, Finding, fail, warn, well
from opsbot.formatting import size

LEAST, LITTLE = 64 * 1024**2, 512 * 1024**2
FEW = 0.02
"""Of all inodes: a deploy of a Node.js service makes 12 000 files."""


def room(area: Area, path: Path, service: str = "") -> Finding:
    """Whether there is room for more. The path must be there. Blocks."""
    figures = os.statvfs(path)
    free = figures.f_bavail * figures.f_frsize
    text = f"{size(free)} free at {path}"
    mend = f"Make room: du -xh --max-depth=2 {path} | sort -h | tail; journalctl --vacuum-size=200M"
    if free < LEAST:
        return fail(area, "free space", text, mend, service)
    if figures.f_files and figures.f_favail < figures.f_files * FEW:
        return fail(area, "free space", f"{figures.f_favail} inodes left at {path}", mend, service)
    if free < LITTLE:
        return warn(area, "free space", text, mend, service)
    return well(area, "free space", text, service)
