"""Untrusted text made harmless: commit messages, log lines, branch names, what people typed.

After `escape` a text can ping nobody, opens no link and no formatting, and is one line. After `fence` it stays inside
its code block. Control characters, ANSI colours, zero-width characters and direction overrides are gone in both.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime

from opsbot.formatting import clip

ZWSP = "\u200b"
"""Ours alone: `clean` removes it from what others wrote; then it breaks up what Discord would read as its syntax."""

_ANSI = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # colours, cursor moves
    r"|(?:\x1b\]|\x9d)[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"  # titles, hyperlinks
    r"|\x1b[PX^_][^\x1b]*(?:\x1b\\)?"  # strings
    r"|\x1b[ -/]*[0-~]?"
)
_PILED_MARKS = re.compile(
    r"([\u0300-\u036f\u0489\u1ab0-\u1aff\u20d0-\u20ff]{2})[\u0300-\u036f\u0489\u1ab0-\u1aff\u20d0-\u20ff]+"
)
_REMOVED = frozenset({"Cf", "Cs", "Cn", "Co"})
_MARKUP = re.compile(r"[\\*_~|`\[\]<>]")
_LINE_START = re.compile(r"^(?:[#+-]|\d+(?=[.)]))")
_MENTION = re.compile(r"<[@#]|@(?:everyone|here)", re.IGNORECASE)
_EVERYBODY = re.compile(r"@(?=everyone|here)", re.IGNORECASE)
_TIMES = re.compile(r"(<t:\d{1,11}:[tTdDfFR]>)")
_TICKS = re.compile(r"`{2,}")


def clean(text: str) -> str:
    """The text without anything that does not print; each line break and tab becomes one space."""
    plain = _ANSI.sub("", text)
    if not plain.isprintable():
        plain = "".join(
            char if char.isprintable() else ("" if unicodedata.category(char) in _REMOVED else " ") for char in plain
        )
    return _PILED_MARKS.sub(r"\1", plain)


def one_line(text: str, most: int = 300) -> str:
    """Cleaned, on one line, clipped; for places that know no markup (choices, titles of files)."""
    return clip(" ".join(clean(text).split()), most)


def escape(text: str, most: int = 300) -> str:
    """Cleaned, on one line, clipped to so many characters of the original, and shown as it is written."""
    line = _MARKUP.sub(r"\\\g<0>", one_line(text, most))
    # The server looks for mentions in the raw text: the backslash alone would not stop it. Any other @ pings nobody,
    # and is left: it stands in names of units (`app@1.service`), which people copy from here into a shell.
    line = _EVERYBODY.sub("@" + ZWSP, line.replace("<", "<" + ZWSP).replace("://", ":/" + ZWSP + "/"))
    return ZWSP + line if _LINE_START.match(line) else line


def escape_keeping_times(text: str, most: int = 300) -> str:
    """Escaped like any other text, but for Discord's timestamps, which only ever show a time."""
    parts = _TIMES.split(one_line(text, most))
    return "".join(part if index % 2 else _piece(part) for index, part in enumerate(parts))


def _piece(text: str) -> str:
    before, after = " " * text.startswith(" "), " " * (text.endswith(" ") and len(text) > 1)
    return f"{before}{escape(text, len(text) + 1)}{after}"


def code(text: str, most: int = 80) -> str:
    return f"`{_defused(one_line(text, most).replace('`', 'ˋ')) or '?'}`"


def _defused(text: str) -> str:
    """Clients show no mention within code, but the server looks for them there, too."""
    return _MENTION.sub(lambda found: found[0][0] + ZWSP + found[0][1:], text)


def log_line(text: str, most: int = 400) -> str:
    """A line for a code block or a file, its tabs as spaces."""
    return clip(clean(text.expandtabs(4)).rstrip(), most)


def fence(lines: Sequence[str], most: int) -> str:
    """The last of these lines that fit into `most` characters, as a code block; nothing where there is none."""
    kept: list[str] = []
    left = most - len("```\n\n```")
    for line in reversed(lines):
        shown = _defused(_TICKS.sub(lambda ticks: ZWSP.join(ticks[0]), log_line(line)))
        if len(shown) + 1 > left:
            break
        left -= len(shown) + 1
        kept.append(shown)
    text = "\n".join(reversed(kept)).strip("\n")
    return f"```\n{text}\n```" if text.strip() else ""


def moment(at: datetime, style: str = "R") -> str:
    """A Discord timestamp: R "5 minutes ago", t "14:05", f date and time. It ages by itself in the client."""
    return f"<t:{int(at.timestamp())}:{style}>"


def fit(lines: Iterable[str], most: int) -> str:
    """As many whole lines as fit; the last says when some are missing."""
    kept: list[str] = []
    left = most
    for line in lines:
        if len(line) + 1 > left - 2:
            kept.append("…")
            break
        left -= len(line) + 1
        kept.append(line)
    return "\n".join(kept)
