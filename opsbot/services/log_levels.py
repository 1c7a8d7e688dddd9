"""Reads the level of a log line from its text."""

import json
import re

from opsbot.core.manager_codes import ManagerCode
from opsbot.core.message import message
from opsbot.services.port import ManagerError

_WORDS = {
    "error": "fatal critical crit panic emerg emergency alert error err exception traceback",
    "warning": "warning warn",
    "info": "info notice",
    "debug": "debug trace verbose silly",
}
_LEVEL_OF = {word: level for level, words in _WORDS.items() for word in words.split()}
_WORD = re.compile(
    # The end of an exception's name is enough: TypeError, DeprecationWarning.
    r"(?:(?<![a-z0-9])(?:" + "|".join(_LEVEL_OF) + r")|error|exception|warning)(?![a-z0-9])"
)
_LOOK_AT = 300
_NUMBERS = ((50, "error"), (40, "warning"), (30, "info"), (0, "debug"))
"""pino's and bunyan's numbers."""
LEVELS = ("debug", "info", "warning", "error")


def level_of(text: str) -> str:
    """error, warning, info or debug; "" where the line names no level."""
    if text.startswith("{"):
        level = _of_json(text)
        if level is not None:
            return level
    match = _WORD.search(text[:_LOOK_AT].lower())
    return "" if match is None else _LEVEL_OF[match[0]]


def _of_json(text: str) -> str | None:
    try:
        entry = json.loads(text)
    except (ValueError, RecursionError):
        return None
    for key in ("level", "severity", "lvl", "levelname"):
        value = entry.get(key) if isinstance(entry, dict) else None
        if isinstance(value, str):
            return _LEVEL_OF.get(value.lower(), "")
        if isinstance(value, int | float):
            return next((level for least, level in _NUMBERS if value >= least), "debug")
    return None


def at_least(level: str, wanted: str) -> bool:
    """Whether a level, "" counting as info, is at least as severe as `wanted`."""
    return LEVELS.index(level or "info") >= LEVELS.index(wanted)


def checked_level(level: str | None) -> str | None:
    """Return the level of a query; raise ManagerError if there is no such level."""
    if level is not None and level not in LEVELS:
        raise ManagerError(message(ManagerCode.UNKNOWN_LEVEL, level=level, levels=LEVELS))
    return level
