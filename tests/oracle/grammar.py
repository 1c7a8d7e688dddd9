"""Sentences with holes: what a text claims is found by the one rule that fits all of it.

A rule is a text with holes, `{count:n}` takes what fits the kind `n`, and with parts that may be missing, `[[ more]]`.
Kinds are either values (a number, a time, a commit) or tables of rules themselves (a cause, an exit): what fits one of
a table's rules fits the hole, and becomes a claim of its own. What no rule fits is a sentence that nobody has said how
to prove.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

_HOLE = re.compile(r"\{(\w+):(\w+)\}")
_PARTS = re.compile(r"(\{\w+:\w+\}|\[\[|\]\])")
_OPTIONAL = {"[[": "(?:", "]]": ")?"}
_LENGTH = r"(?:\d+(?:\.\d+)? (?:ms|s|m|h|d|min))"
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
VALUES: Mapping[str, str] = {
    "t": r"<t:\d+:[tTdDfFR]>",
    "stamp": r"(?:\d{4}-\d\d-\d\d )?\d\d:\d\d(?::\d\d)?(?: UTC)?",
    "length": _LENGTH + r"(?: " + _LENGTH + r")?",
    "n": r"\d+",
    "sha": r"`[0-9a-f]{7,40}`",
    "hex": r"[0-9a-f]{7,40}",
    "release": r"\d{8}T\d{6}Z-[0-9a-f]{10}(?:-\d+)?",
    "who": r"[A-Z][a-z]+|opsbot itself|opsbot",
    "word": r"[\w-]+",
    "checks": r"`\w+`(?:, `\w+`)*",
    "size": r"[\d.]+ [KMG]?i?B",
    "text": r".+",
    "link": r"<[@#]\d+>|https://\S+",
}


@dataclass(frozen=True)
class Claim:
    """A text, the rule that fits it, and what stands in its holes: values, or claims themselves."""

    rule: str
    text: str
    values: Mapping[str, Any]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name not in self.values:
            raise AttributeError(name)
        return self.values[name]

    def within(self) -> "Iterator[Claim]":
        """It, and all claims in its holes."""
        yield self
        for value in self.values.values():
            if isinstance(value, Claim):
                yield from value.within()


class UnknownSentenceError(AssertionError):
    """No rule fits a text."""


@dataclass
class Grammar:
    """Tables of rules by their names. A table: the rules' names and texts."""

    tables: Mapping[str, Mapping[str, str | Sequence[str]]]
    _compiled: dict[tuple[str, bool], str] = field(default_factory=dict)
    _rules: dict[str, list[tuple[str, re.Pattern[str], dict[str, str]]]] = field(default_factory=dict)

    def parse(self, table: str, text: str) -> Claim:
        """What a text claims, by a table.

        Raises:
            UnknownSentenceError: no rule of it fits.
        """
        for name, pattern, kinds in self._rules_of(table):
            found = pattern.fullmatch(text)
            if found is not None:
                values = {hole: self._value(kinds[hole], found[hole]) for hole in kinds if found[hole] is not None}
                return Claim(name, text, values)
        raise UnknownSentenceError(f"unknown in {table}: {text!r}")

    def _value(self, kind: str, text: str) -> Any:
        if kind in self.tables:
            return self.parse(kind, text)
        match kind:
            case "t":
                return datetime.fromtimestamp(int(text.split(":")[1]), UTC)
            case "length":
                return length(text)
            case "n":
                return int(text)
            case "sha":
                return text.strip("`")
            case "release":
                return text.split("-")[1]
        return text

    def _rules_of(self, table: str) -> list[tuple[str, re.Pattern[str], dict[str, str]]]:
        if table not in self._rules:
            found = []
            for name, texts in self.tables[table].items():
                for text in [texts] if isinstance(texts, str) else texts:
                    kinds = dict(_HOLE.findall(text))
                    found.append((f"{table}.{name}", re.compile(self._regex(text, named=True)), kinds))
            self._rules[table] = found
        return self._rules[table]

    def _regex(self, text: str, *, named: bool) -> str:
        parts = []
        for part in _PARTS.split(text):
            hole = _HOLE.fullmatch(part)
            if hole is not None:
                name, inner = hole[1], self._of_kind(hole[2])
                parts.append(f"(?P<{name}>{inner})" if named else f"(?:{inner})")
            else:
                parts.append(_OPTIONAL.get(part, re.escape(part)))
        return "".join(parts)

    def _of_kind(self, kind: str) -> str:
        if kind in VALUES:
            return VALUES[kind]
        if (kind, False) not in self._compiled:
            texts = [
                text for each in self.tables[kind].values() for text in ([each] if isinstance(each, str) else each)
            ]
            self._compiled[kind, False] = "|".join(f"(?:{self._regex(text, named=False)})" for text in texts)
        return self._compiled[kind, False]


def length(text: str) -> timedelta:
    """A length of time as it is written: "1 m 5 s"."""
    parts = text.split()
    return timedelta(seconds=sum(float(n) * _UNITS[u] for n, u in zip(parts[::2], parts[1::2], strict=True)))


def plainly(text: str) -> str:
    """Without what only keeps Discord from reading text as markup."""
    return re.sub(r"\\([\\*_~|`\[\]<>])", r"\1", text.replace("\u200b", ""))
