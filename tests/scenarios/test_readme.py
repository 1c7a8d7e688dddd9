"""The table of complaints names tests that exist, and leaves out none that is about one of them."""

import ast
import re
from pathlib import Path

HERE = Path(__file__).parent
TESTS = HERE.parent
ROW = re.compile(r"^\| ((?:item )?\d+) \| (.+?) \| (.+?) \|$")
NUMBERED = re.compile(r"test_(row|item)_(\d+)_")


def table() -> dict[str, list[str]]:
    """The named tests, as file::name below `tests`, by the number of the complaint."""
    lines = (HERE / "README.md").read_text().splitlines()
    rows = [found for line in lines if (found := ROW.match(line))]
    return {found[1]: re.findall(r"`(.+?)`", found[3]) for found in rows}


def defined_in(file: Path) -> set[str]:
    functions = (
        node for node in ast.parse(file.read_text()).body if isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef)
    )
    return {node.name for node in functions if node.name.startswith("test_")}


def test_every_complaint_has_its_tests() -> None:
    rows = [*range(1, 11), 20, 21, *range(23, 28), 29]
    assert list(table()) == [*map(str, rows), *(f"item {number}" for number in (1, 2, 3, 4, 18))]
    assert all(table().values())


def test_every_test_that_the_table_names_is_there() -> None:
    named = {name for names in table().values() for name in names}
    files = {name.split("::")[0] for name in named}
    there = {f"{file}::{test}" for file in files if (TESTS / file).is_file() for test in defined_in(TESTS / file)}
    assert named - there == set()


def test_every_numbered_scenario_is_in_its_row() -> None:
    for file in sorted(HERE.glob("test_*.py")):
        for test in defined_in(file):
            if found := NUMBERED.match(test):
                row = found[2] if found[1] == "row" else f"item {found[2]}"
                assert f"scenarios/{file.name}::{test}" in table()[row]
