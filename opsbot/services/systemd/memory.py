"""What opsbot remembers of units across restarts: whether somebody stopped one, and what ran before a reboot.

Kept in `units.json` in the state directory; a missing or damaged file counts as empty.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Remembered:
    """A unit as last known. boot: the boot id. run: the invocation id. alive: it ran. by_hand: somebody had stopped it.

    systemd unloads an inactive unit that nothing refers to, and forgets its last run.
    """

    boot: str = ""
    run: str = ""
    alive: bool = False
    by_hand: bool = False


def load(path: Path) -> dict[str, Remembered]:
    """Read the file. Blocks."""
    try:
        kept = json.loads(path.read_text())
        return {str(unit): Remembered(**fields) for unit, fields in kept.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def save(path: Path, units: Mapping[str, Remembered]) -> None:
    """Replace the file atomically. Blocks.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".json.new")
    with new.open("w") as file:
        json.dump({unit: asdict(kept) for unit, kept in units.items()}, file)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
