"""Names and paths of systemd on D-Bus."""

import re

SYSTEMD = "org.freedesktop.systemd1"
ROOT = "/org/freedesktop/systemd1"
MANAGER = f"{SYSTEMD}.Manager"
UNIT = f"{SYSTEMD}.Unit"
SERVICE = f"{SYSTEMD}.Service"
PROPERTIES = "org.freedesktop.DBus.Properties"
NO_JOB = "/"
"""The path of a unit's `Job` while it has none."""
_UNITS = f"{ROOT}/unit/"
_LETTER, _LETTER_OR_DIGIT = re.compile("[A-Za-z]"), re.compile("[A-Za-z0-9]")


def unit_path(unit: str) -> str:
    """The object path of a unit; other bytes are `_xx` (sd_bus_path_encode(3))."""
    first, *rest = unit.encode()
    label = (chr(first) if _LETTER.match(chr(first)) else f"_{first:02x}") + "".join(
        chr(byte) if _LETTER_OR_DIGIT.match(chr(byte)) else f"_{byte:02x}" for byte in rest
    )
    return _UNITS + label


def unit_of(path: str) -> str | None:
    """The unit of an object path; None for a path of something else."""
    if not path.startswith(_UNITS):
        return None
    return re.sub(r"_([0-9a-f]{2})", lambda found: chr(int(found[1], 16)), path[len(_UNITS) :])
