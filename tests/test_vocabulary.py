"""Banned words and names: `tests/vocabulary.toml` lists them, with the counts that are still allowed per package.

Texts are docstrings, comments, string literals of several words, `--help` and the documents. `python -m
tests.test_vocabulary` lowers the allowed counts to the present ones.
"""

import argparse
import ast
import io
import re
import sys
import tokenize
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from opsbot.cli.parser import parser

PROJECT = Path(__file__).parents[1]
DATA = PROJECT / "tests" / "vocabulary.toml"
SQL = re.compile(r"\b(SELECT|INSERT|UPDATE|DELETE|CREATE|REPLACE|FROM|WHERE|AND) ")


@cache
def data() -> dict[str, Any]:
    return tomllib.loads(DATA.read_text())


@cache
def phrases() -> dict[re.Pattern[str], str]:
    return {re.compile(phrase, re.IGNORECASE): instead for phrase, instead in data()["phrases"].items()}


def sources() -> Iterator[tuple[str, Path]]:
    """Each Python file with its package: `opsbot/store`, `cogs/cards`, or `opsbot` for a loose module."""
    for top in ("opsbot", "cogs"):
        for path in sorted((PROJECT / top).rglob("*.py")):
            parts = path.relative_to(PROJECT).parts
            if parts[:3] != ("opsbot", "demo", "sample"):
                yield "/".join(parts[:2]) if len(parts) > 2 else top, path


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Comments, docstrings and string literals of several words, each with its line."""
    source = path.read_text()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            continue
        if " " in node.value.strip() and not SQL.search(node.value):
            yield node.lineno, node.value


def documents() -> Iterator[tuple[str, str]]:
    """Each document without its code spans: names of keys, labels and phases are promises."""
    for path in sorted([*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md")]):
        text = path.read_text()
        if path.name == "CHANGELOG.md":
            text = text.partition("\n## Unreleased\n")[2].partition("\n## ")[0]
        yield str(path.relative_to(PROJECT)), re.sub(r"`[^`\n]*`", "``", text)


def help_texts() -> Iterator[tuple[str, str]]:
    top = parser()
    yield "--help", top.format_help()
    for action in top._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, verb in action.choices.items():
                yield f"{name} --help", verb.format_help()


def banned(text: str) -> Iterator[str]:
    for phrase, instead in phrases().items():
        for match in phrase.finditer(text):
            yield f"{match[0]!r}: {instead}"


def found_phrases() -> dict[str, list[str]]:
    """The banned phrases by package or document, each with where it is and what to say instead."""
    found: dict[str, list[str]] = {}
    for package, path in sources():
        where = path.relative_to(PROJECT)
        found.setdefault(package, [])
        found[package] += [f"{where}:{line}: {each}" for line, text in texts(path) for each in banned(text)]
    for name, text in documents():
        found[name] = [f"{name}: {each}" for each in banned(text)]
    for name, text in help_texts():
        found[name] = [f"{name}: {each}" for each in banned(text)]
    return found


def found_names() -> dict[str, list[str]]:
    """Modules, classes and public functions with a name of the old vocabulary, by package."""
    before = set(data()["names"]["before"])
    found: dict[str, list[str]] = {}
    for package, path in sources():
        where = path.relative_to(PROJECT)
        names = [path.stem] + [
            node.name
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        ]
        found.setdefault(package, [])
        found[package] += [f"{where}: {name}" for name in names if name in before]
    return found


FOUND = {"phrases": found_phrases, "names": found_names}


@pytest.mark.parametrize("kind", FOUND)
def test_no_banned_words(kind: str) -> None:
    allowed, found = data()["allowed"][kind], FOUND[kind]()

    more = {place: there for place, there in found.items() if len(there) > allowed.get(place, 0)}
    assert not more, "\n".join(line for there in more.values() for line in there)
    fewer = {place: len(found.get(place, ())) for place, most in allowed.items() if len(found.get(place, ())) < most}
    assert not fewer, f"fewer than allowed, lower the counts with `python -m tests.test_vocabulary`: {fewer}"


def test_each_phrase_has_a_replacement_and_is_a_phrase() -> None:
    assert all(instead for instead in phrases().values())
    assert list(banned("how it stands")), "the patterns find what they are for"


def write_counts() -> None:
    """Replace the allowed counts by the present ones."""
    head = DATA.read_text().partition("[allowed.phrases]")[0]
    tables = []
    for kind, find in FOUND.items():
        counts = {place: len(there) for place, there in sorted(find().items()) if there}
        tables.append(f"[allowed.{kind}]\n" + "".join(f'"{place}" = {count}\n' for place, count in counts.items()))
    DATA.write_text(head + "\n".join(tables))


if __name__ == "__main__":
    if "--list" in sys.argv:
        print("\n".join(line for there in FOUND[sys.argv[-1]]().values() for line in there))  # noqa: T201
    else:
        write_counts()
