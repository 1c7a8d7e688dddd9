"""Which Python `make` takes where `python3` is too old (3.9 on Amazon Linux 2023); what it says where none will do."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]
OLD = '#!/bin/sh\n[ "$1" = -V ] && echo "Python 3.9.25" && exit 0\nexit 1\n'


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder for PATH with what the Makefile itself takes, and no Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "echo", "make", "rm", "expr", "getconf"):
        found = shutil.which(name)
        assert found is not None, name
        (folder / name).symlink_to(found)
    return folder


def makes(programs: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run make in a folder that has nothing but what it reads."""
    for name in ("Makefile", "pyproject.toml", "requirements"):
        place = programs.parent / name
        if not place.exists():
            place.symlink_to(TOP / name)
    return subprocess.run(
        ["make", *words], cwd=programs.parent, env={"PATH": str(programs)}, capture_output=True, text=True, check=False
    )


def chosen(programs: Path) -> str:
    return makes(programs, "--eval", "chosen: ; @echo $(PYTHON)", "chosen").stdout.strip()


def script(programs: Path, name: str, text: str) -> None:
    (programs / name).write_text(text)
    (programs / name).chmod(0o755)


def test_python3_is_taken_where_it_is_new_enough(programs: Path) -> None:
    (programs / "python3").symlink_to(sys.executable)
    (programs / "python3.11").symlink_to(sys.executable)
    assert chosen(programs) == "python3"


def test_where_python3_is_too_old_one_that_is_named_by_its_version_is_taken(programs: Path) -> None:
    script(programs, "python3", OLD)
    (programs / "python3.11").symlink_to(sys.executable)
    assert chosen(programs) == "python3.11"


def test_where_none_is_new_enough_it_is_said_how_to_come_by_one(programs: Path) -> None:
    script(programs, "python3", OLD)
    done = makes(programs, "demo")
    assert done.returncode == 2
    assert "python3 is Python 3.9.25." in done.stdout
    assert "dnf install python3.11" in done.stdout
    assert "make demo PYTHON=" in done.stdout


def test_a_python_that_was_asked_for_and_is_not_there_is_said_to_be_missing(programs: Path) -> None:
    done = makes(programs, "demo", "PYTHON=python3.12")
    assert done.returncode == 2
    assert "python3.12 is missing." in done.stdout
