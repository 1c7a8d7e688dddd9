"""What opsbot must remember of units over its own end: who stopped one, and what ran before the host was restarted.

`units.json` in the state directory; a file that is missing or damaged is the same as knowing nothing.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Remembered:
    """A unit as it was last known. boot: the host's boot that was in. run: its invocation's id. alive: it ran.

    by_hand: somebody had stopped it. An inactive unit that nobody refers to is unloaded, and systemd then knows nothing
    of its last run any more.
    """

    boot: str = ""
    run: str = ""
    alive: bool = False
    by_hand: bool = False


def load(path: Path) -> dict[str, Remembered]:
    """What is remembered of each unit. Blocks."""
    try:
        kept = json.loads(path.read_text())
        return {str(unit): Remembered(**fields) for unit, fields in kept.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def save(path: Path, units: Mapping[str, Remembered]) -> None:
    """Replace it in one step. Blocks.

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
