"""`python -I -m opsbot.errand.moved FOLDER BEFORE`: adapt a copied virtualenv.

FOLDER is the copy, BEFORE the original, both in a release.
"""

import sys
from pathlib import Path

REWRITTEN_MOST = 1024 * 1024
_PATTERNS = (
    *("pyvenv.cfg", "bin/*", "lib/python*/site-packages/*.pth", "lib/python*/site-packages/__editable__*"),
    "lib/python*/site-packages/*.dist-info/direct_url.json",
)


def move_environment(folder: Path, before: Path) -> None:
    """Rewrite paths in a copied virtualenv: in scripts, .pth files, pyvenv.cfg."""
    if not (folder / "pyvenv.cfg").is_file():
        return
    # The release's path, not only the environment's: an editable install refers to the source next to it.
    old, new = (_release_path(path) for path in (before, folder))
    for path in (found for pattern in _PATTERNS for found in folder.glob(pattern)):
        if path.is_symlink() or not path.is_file() or path.stat().st_size > REWRITTEN_MOST:
            continue
        content = path.read_bytes()
        if old in content:
            path.write_bytes(content.replace(old, new))


def _release_path(path: Path) -> bytes:
    parts = path.parts
    at = len(parts) - 1 - parts[::-1].index("releases")
    return str(Path(*parts[: at + 2])).encode()


if __name__ == "__main__":
    move_environment(Path(sys.argv[1]), Path(sys.argv[2]))
