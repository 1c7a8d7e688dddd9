"""Text for terminals: untrusted text made harmless, columns that line up, colour where it is wanted."""

import os
import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import TextIO

_COLOURS = {"red": "31", "green": "32", "yellow": "33", "cyan": "36", "dim": "2", "bold": "1"}
_SGR = re.compile(r"(?:\x1b\[|\x9b)[0-9;:]*m")
# C0 and C1 controls (escape sequences begin with one), and the marks that turn the direction of text or break lines.
_UNSAFE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"
)


def _shown(match: "re.Match[str]") -> str:
    code = ord(match[0])
    if match[0] in "\t\n\r\x0b\x0c":
        return " "
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}"  # noqa: PLR2004 - one byte, or two


def plain(text: str) -> str:
    """The text on one line, with nothing in it that a terminal would obey. Colours are dropped, the rest is shown."""
    return _UNSAFE.sub(_shown, _SGR.sub("", text))


def width(text: str) -> int:
    if text.isascii():
        return len(text)
    wide = sum(1 for letter in text if unicodedata.east_asian_width(letter) in "WF")
    return len(text) + wide - sum(1 for letter in text if unicodedata.combining(letter))


def fit(text: str, most: int) -> str:
    """The text in at most so many columns, an ellipsis where some is missing."""
    if width(text) <= most:
        return text
    kept, used = "", 0
    for letter in text:
        used += width(letter)
        if used > most - 1:
            break
        kept += letter
    return kept + "…"


def wants_colour(stream: TextIO) -> bool:
    """Whether colours belong there (https://no-color.org)."""
    return stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


class Paint:
    """Colours words, or leaves them as they are."""

    def __init__(self, *, on: bool) -> None:
        self.on = on

    def __call__(self, text: str, colour: str) -> str:
        """The text in that colour: red, green, yellow, cyan, dim, bold, several of them, or "" for none."""
        if not (self.on and colour and text):
            return text
        return f"\x1b[{';'.join(_COLOURS[each] for each in colour.split())}m{text}\x1b[0m"


Cell = tuple[str, str]
"""A text and its colour."""


def joined(cells: Iterable[Cell], paint: Paint, columns: int) -> str:
    """The cells one after the other, in at most so many columns."""
    parts = []
    for text, colour in cells:
        shown = fit(text, columns) if columns > 0 else ""
        columns -= width(shown)
        parts.append(paint(shown, colour))
    return "".join(parts).rstrip()


def table(rows: Iterable[Sequence[Cell]], paint: Paint, indent: str = "", columns: int = 10_000) -> list[str]:
    """Rows as lines with columns that line up. The texts must be harmless already."""
    rows = list(rows)
    count = max((len(row) for row in rows), default=0)
    widths = [max((width(row[at][0]) for row in rows if at < len(row)), default=0) for at in range(count)]

    def padded(row: Sequence[Cell]) -> Iterator[Cell]:
        yield indent, ""
        for at, (text, colour) in enumerate(row):
            yield text, colour
            yield " " * (widths[at] - width(text) + 2), ""

    return [joined(padded(row), paint, columns) for row in rows]


def terminal_width(default: int = 100) -> int:
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or default
    except (OSError, ValueError):
        return default


def to_stderr(text: str) -> None:
    sys.stdout.flush()
    print(f"opsbot: {text}", file=sys.stderr)
