"""ARCHITECTURE.md names every package, and every path it names exists; decision records are numbered and complete."""

import re
from pathlib import Path

PROJECT = Path(__file__).parents[1]
PAGE = (PROJECT / "ARCHITECTURE.md").read_text()
DECISIONS = sorted((PROJECT / "docs" / "decisions").glob("*.md"))


def test_every_package_has_its_line() -> None:
    packages = {
        f"{top}/{path.name}"
        for top in ("opsbot", "cogs")
        for path in (PROJECT / top).iterdir()
        if (path / "__init__.py").exists()
    }
    named = set(re.findall(r"^\| `([a-z_/]+)` \|", PAGE, re.MULTILINE))

    assert named - {"cogs"} == packages


def test_every_path_exists() -> None:
    paths = re.findall(r"`((?:opsbot|cogs|tests|docs|systemd|benchmarks)/[\w/.]*)`", PAGE)

    assert [path for path in paths if not (PROJECT / path).exists()] == []
    assert all((PROJECT / link).exists() for link in re.findall(r"\]\(([^)]+)\)", PAGE))


def test_the_main_paths_are_short() -> None:
    deploy, check = PAGE.partition("`/deploy api`")[2].split("A failed check, from")

    assert len(files(deploy)) <= 15
    assert len(files(check.partition("\n\nWhat happens to a service")[0])) <= 12


def files(text: str) -> set[str]:
    return set(re.findall(r"`((?:opsbot|cogs)/[\w/]+\.py)`", text))


def test_decisions_are_numbered_and_complete() -> None:
    assert [path.name[:4] for path in DECISIONS] == [f"{number:04}" for number in range(1, len(DECISIONS) + 1)]
    for path in DECISIONS:
        text = path.read_text()
        assert re.match(rf"# {int(path.name[:4])}\. \S", text), path.name
        assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences"], path.name
