"""What opsbot remembers of units across restarts.

Kept in `units.json` in the state directory; a missing or damaged file counts as empty.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from opsbot.runtime.atomic_file import replace_file


@dataclass(frozen=True, slots=True)
class Remembered:
    """A unit as last known.

    boot: the boot id. run: the invocation id. alive: it ran. by_hand: somebody had stopped it. systemd unloads an
    inactive unit that nothing refers to, and forgets its last run.
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
    """Replace the file. Blocks. Raises OSError if it cannot be written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, json.dumps({unit: asdict(kept) for unit, kept in units.items()}))
