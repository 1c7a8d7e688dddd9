"""Check free space and free inodes of a file system."""

import os
from pathlib import Path

from opsbot.doctor.findings import Finding, Subject
from opsbot.formatting import size

LEAST, LITTLE = 64 * 1024**2, 512 * 1024**2
FEW = 0.02
"""Fraction of all inodes. A deploy of a Node.js service creates 12,000 files."""


def room(about: Subject, path: Path) -> Finding:
    """Check for free space. The path must exist. Blocks."""
    figures = os.statvfs(path)
    free = figures.f_bavail * figures.f_frsize
    text = f"{size(free)} free at {path}"
    fix = f"Free some space: du -xh --max-depth=2 {path} | sort -h | tail; journalctl --vacuum-size=200M"
    if free < LEAST:
        return about.fail("free space", text, fix)
    if figures.f_files and figures.f_favail < figures.f_files * FEW:
        return about.fail("free space", f"{figures.f_favail} inodes left at {path}", fix)
    if free < LITTLE:
        return about.warn("free space", text, fix)
    return about.passed("free space", text)
