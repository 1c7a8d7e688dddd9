"""Replaces files: after a crash there is the old or the new content."""

import os
from pathlib import Path


def replace_file(path: Path, text: str, *, lasting: bool = True) -> None:
    """Replace a file by a rename. lasting: it survives a power cut. Blocks."""
    new = path.with_name(path.name + ".new")
    with new.open("w") as file:
        file.write(text)
        if lasting:
            file.flush()
            os.fsync(file.fileno())
    new.replace(path)
    if lasting:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
