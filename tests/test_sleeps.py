"""Tests wait for what they want to see, or drive a clock. A sleep that is left says on its line, or above it, why."""

import ast
from pathlib import Path

TESTS = Path(__file__).parent
SLEEPS = ("asyncio.sleep", "time.sleep")


def unexplained(file: Path) -> list[str]:
    """The sleeps of a file that say nothing; those for no time let other tasks run and need no reason."""
    text = file.read_text()
    lines = text.splitlines()
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in SLEEPS and ast.unparse(node.args[0]) != "0":
            here, above = lines[node.lineno - 1 : node.end_lineno], lines[node.lineno - 2].strip()
            if not any("#" in line for line in here) and not above.startswith("#"):
                found.append(f"{file.relative_to(TESTS)}:{node.lineno}: {here[0].strip()}")
    return found


def test_each_sleep_says_why() -> None:
    files = sorted(TESTS.rglob("*.py"))
    assert len(files) > 200
    assert [each for file in files for each in unexplained(file)] == []
