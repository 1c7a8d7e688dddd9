"""The line of each key of a TOML document: tomli reads the values and forgets where they were.

Only documents that tomli has accepted are given to this scanner, so it needs no error messages: it follows strings,
arrays and inline tables just far enough to know where each begins and ends. Its paths are tomli's: a string for each
key, an integer for each place in an array.
"""

import re
from bisect import bisect_right
from collections.abc import Mapping

import tomli

Path = tuple[str | int, ...]

_BLANK = re.compile(r"[ \t]*")
_BLANK_LINES = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_KEY_PART = re.compile(r"""[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'""")
_STRING = re.compile(
    r'''"""(?:[^"\\]|\\.|"{1,2}(?!"))*"{3,5}'''
    r"""|'''(?:[^']|'{1,2}(?!'))*'{3,5}"""
    r'''|"(?:[^"\\\n]|\\.)*"'''
    r"""|'[^'\n]*'""",
    re.DOTALL,
)
_CLOSING = {"[": "]", "{": "}"}
_SCALAR = re.compile(r"[^,\]}#\n]+")


def key_lines(text: str) -> Mapping[Path, int]:
    """The line (from 1) of every table, key and array element of a document that tomli accepts.

    A table has the line of its header; where it has none, that of the first key that makes it.
    """
    return _Scanner(text.replace("\r\n", "\n")).scan()


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self._lines: dict[Path, int] = {}
        self._implied: set[Path] = set()
        self._lengths: dict[Path, int] = {}

    def scan(self) -> Mapping[Path, int]:
        table: Path = ()
        while True:
            self._skip(_BLANK_LINES)
            if self._at >= len(self._text):
                return self._lines
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._key_and_value(table)

    def _skip(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        if match is None:
            # A pattern that must match did not: the document is not what tomli accepts. Going on would never end.
            raise ValueError(f"line {self._line()}: not TOML")
        self._at = match.end()
        return match[0]

    def _line(self) -> int:
        return bisect_right(self._starts, self._at)

    def _key(self) -> list[str]:
        parts = []
        while True:
            self._skip(_BLANK)
            raw = self._skip(_KEY_PART)
            parts.append(tomli.loads(f"key = {raw}")["key"] if raw[0] in "\"'" else raw)
            self._skip(_BLANK)
            if self._text[self._at] != ".":
                return parts
            self._at += 1

    def _header(self) -> Path:
        line = self._line()
        brackets = 2 if self._text.startswith("[[", self._at) else 1
        self._at += brackets
        *above, last = self._key()
        self._at += brackets
        path = (*self._walk((), above, line), last)
        if brackets == 1:
            self._note(path, line)
            return path
        length = self._lengths.get(path, 0)
        if length == 0:
            self._note(path, line)
        self._lengths[path] = length + 1
        self._note((*path, length), line)
        return (*path, length)

    def _walk(self, path: Path, parts: list[str], line: int) -> Path:
        """The path reached from `path`, into arrays by their last element; what is new on the way is noted."""
        for part in parts:
            path = (*path, part)
            if path not in self._lines:
                self._lines[path] = line
                self._implied.add(path)
            if path in self._lengths:
                path = (*path, self._lengths[path] - 1)
        return path

    def _note(self, path: Path, line: int) -> None:
        if path not in self._lines or path in self._implied:
            self._lines[path] = line
            self._implied.discard(path)

    def _key_and_value(self, table: Path) -> None:
        line = self._line()
        *above, last = self._key()
        self._at += 1  # the equals sign
        path = (*self._walk(table, above, line), last)
        self._note(path, line)
        self._value(path)

    def _value(self, path: Path) -> None:
        self._skip(_BLANK)
        first = self._text[self._at]
        if first in "\"'":
            self._skip(_STRING)
        elif first in _CLOSING:
            self._at += 1
            self._elements(path, _CLOSING[first])
        else:
            self._skip(_SCALAR)

    def _elements(self, path: Path, closing: str) -> None:
        """What an array or an inline table contains, and its end."""
        index = 0
        while True:
            self._skip(_BLANK_LINES)
            first = self._text[self._at]
            if first in {closing, ","}:
                self._at += 1
                if first == closing:
                    return
            elif closing == "}":
                self._key_and_value(path)
            else:
                self._note((*path, index), self._line())
                self._value((*path, index))
                index += 1
