import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import tomli
from hypothesis import given, settings
from hypothesis import strategies as st

from opsbot.config_file.lines import Path, key_lines

CHARACTERS = st.text(st.sampled_from(string.ascii_letters + string.digits + "_-. #[]{}=,'\"\\\néß\t"), max_size=8)


def paths(value: Any, where: Path = ()) -> Iterator[Path]:
    if where:
        yield where
    if isinstance(value, dict):
        for key, each in value.items():
            yield from paths(each, (*where, key))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from paths(each, (*where, index))


@dataclass
class Writer:
    """Writes TOML and notes on which line each key, table and element came to stand."""

    draw: st.DrawFn
    text: str = ""
    lines: dict[Path, int] = field(default_factory=dict)

    def line(self) -> int:
        return self.text.count("\n") + 1

    def put(self, text: str) -> None:
        self.text += text

    def any_of(self, *texts: str) -> None:
        self.put(self.draw(st.sampled_from(texts)))

    def key(self, name: str) -> None:
        bare = name and all(c in string.ascii_letters + string.digits + "_-" for c in name)
        choices = [basic(name)]
        if bare:
            choices.append(name)
        if not set(name) & set("'\n"):
            choices.append(f"'{name}'")
        self.any_of(*choices)

    def string(self, text: str) -> None:
        choices = [basic(text), '"""' + ("\n" + text.replace("\\", "\\\\").replace('"', '\\"')) + '"""']
        choices.append('"""' + text.replace("\\", "\\\\").replace('"', '\\"').lstrip("\n") + '\\\n  \n  ""\\""""')
        choices.append('"""' + basic(text)[1:-1].replace("\\n", "\n", 1).lstrip("\n") + '"""""')
        if "'" not in text:
            choices += [f"'''{text.removeprefix(chr(10))}'''", f"'''{text.removeprefix(chr(10))}'''''"]
            if "\n" not in text:
                choices.append(f"'{text}'")
        self.any_of(*choices)

    def blank(self) -> None:
        self.any_of("", "", " ", "\n", " # ] } , = \" '''\n", "\n\n\t")

    def value(self, value: Any, where: Path) -> None:
        if isinstance(value, str):
            self.string(value)
        elif isinstance(value, list):
            self.put("[")
            for index, each in enumerate(value):
                self.blank()
                self.lines[(*where, index)] = self.line()
                self.value(each, (*where, index))
                self.blank()
                self.put("," if index < len(value) - 1 else self.draw(st.sampled_from(["", ","])))
            self.blank()
            self.put("]")
        elif isinstance(value, dict):
            self.put("{")
            for index, (key, each) in enumerate(value.items()):
                self.blank()
                self.lines[(*where, key)] = self.line()
                self.key(key)
                self.any_of("=", " = ")
                self.value(each, (*where, key))
                self.blank()
                self.put("," if index < len(value) - 1 else self.draw(st.sampled_from(["", ","])))
            self.blank()
            self.put("}")
        else:
            self.any_of("1", "true", "-0.5", "2024-02-29 10:00:00Z", "0xFF", "+inf", "07:32", "1979-05-27T07:32Z")

    def header(self, name: Path, brackets: int) -> int:
        self.any_of("", "  ", "# a comment = [\n", "\n\n")
        line = self.line()
        self.lines.setdefault(name, line)
        self.put("[" * brackets)
        for index, part in enumerate(part for part in name if isinstance(part, str)):
            self.put("." if index else "")
            self.any_of("", " ")
            self.key(part)
        self.put("]" * brackets)
        self.any_of("\n", " # x\n")
        return line

    def pairs(self, table: Mapping[str, Any], where: Path) -> None:
        for key, value in table.items():
            self.any_of("", "\t", "\n", "#\n")
            self.lines[(*where, key)] = self.line()
            self.key(key)
            if isinstance(value, dict) and len(value) == 1 and self.draw(st.booleans()):
                self.any_of(".", " . ")
                inner, value = next(iter(value.items()))  # noqa: PLW2901 - a dotted key is this key and the next
                self.lines[(*where, key, inner)] = self.line()
                self.key(inner)
                self.put(" = ")
                self.value(value, (*where, key, inner))
            else:
                self.put(" = ")
                self.value(value, (*where, key))
            self.any_of("\n", " # = [\n", "\r\n")


def basic(text: str) -> str:
    marks = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "é": "\\u00e9"}
    return '"' + "".join(marks.get(c, c) for c in text) + '"'


VALUES = st.recursive(
    CHARACTERS | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(CHARACTERS, inner, max_size=3),
    max_leaves=8,
)
TABLES = st.dictionaries(CHARACTERS, VALUES, max_size=4)


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, Mapping[Path, int]]:
    writer = Writer(draw)
    writer.pairs({f"top{key}": value for key, value in draw(TABLES).items()}, ())
    for number in range(draw(st.integers(0, 3))):
        name: Path = (f"{number}{draw(CHARACTERS)}",)
        if draw(st.booleans()):
            writer.header(name, 1)
            writer.pairs(draw(TABLES), name)
            deeper: Path = (*name, f"in{draw(CHARACTERS)}")
            if not any(path[: len(deeper)] == deeper for path in writer.lines):
                writer.header(deeper, 1)
                writer.pairs(draw(TABLES), deeper)
            continue
        for index in range(draw(st.integers(1, 3))):
            element: Path = (*name, index)
            writer.lines[element] = writer.header(name, 2)
            writer.pairs({f"k{key}": value for key, value in draw(TABLES).items()}, element)
            if draw(st.booleans()):
                inner: Path = (*element, "part")
                writer.header(inner, 1)
                writer.pairs(draw(TABLES), inner)
    return writer.text, writer.lines


@settings(max_examples=120, deadline=None)
@given(documents())
def test_the_lines_are_those_of_all_that_tomli_reads(document: tuple[str, Mapping[Path, int]]) -> None:
    text, written = document
    lines = key_lines(text)
    assert set(lines) == set(paths(tomli.loads(text)))
    assert {path: lines[path] for path in written} == written


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a = 1\n", {("a",): 1}),
        ("\n# a = 2\na.b.c = 1", {("a",): 3, ("a", "b"): 3, ("a", "b", "c"): 3}),
        ('"a.b" = 1\n\'c d\'."e" = 2', {("a.b",): 1, ("c d",): 2, ("c d", "e"): 2}),
        ("[a.b]\nc = 1\n[a]\nd = 2", {("a",): 3, ("a", "b"): 1, ("a", "b", "c"): 2, ("a", "d"): 4}),
        (
            "[[a]]\nb = 1\n[[a]]\n[a.c]\nd = 1\n[[a.e]]\n[[a.e]]",
            {
                ("a",): 1,
                ("a", 0): 1,
                ("a", 0, "b"): 2,
                ("a", 1): 3,
                ("a", 1, "c"): 4,
                ("a", 1, "c", "d"): 5,
                ("a", 1, "e"): 6,
                ("a", 1, "e", 0): 6,
                ("a", 1, "e", 1): 7,
            },
        ),
        ('a = """\nb = 1\n"""\nc = 2', {("a",): 1, ("c",): 4}),
        ("a = '''x''''\nc = 2", {("a",): 1, ("c",): 2}),
        ("a = [ # [\n 1,\n\n '''\n]''', ]\nc = 2", {("a",): 1, ("a", 0): 2, ("a", 1): 4, ("c",): 6}),
        (
            "a = { b = 1,\n c.d = 2, # }\n}\ne = 3",
            {("a",): 1, ("a", "b"): 1, ("a", "c"): 2, ("a", "c", "d"): 2, ("e",): 4},
        ),
        ("a = 1\r\n\r\nb = 2\r\n", {("a",): 1, ("b",): 3}),
        ("", {}),
    ],
)
def test_each_way_to_write_a_key_has_its_line(text: str, expected: Mapping[Path, int]) -> None:
    assert dict(key_lines(text)) == expected
