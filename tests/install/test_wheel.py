"""An installed opsbot brings the files of systemd/ along: it is built, unpacked, and asked."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from opsbot.install import texts

TOP = Path(__file__).parents[2]
ASK = """\
import sys
from opsbot.install import texts
sys.stdout.write(f"{texts.folder()}\\n{texts.text(sys.argv[1])}")
"""


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = f"from hatchling.build import build_wheel; print(build_wheel({str(folder)!r}))"
    done = subprocess.run([sys.executable, "-c", build], cwd=TOP, capture_output=True, text=True, check=True)
    with zipfile.ZipFile(folder / done.stdout.split()[-1]) as wheel:
        wheel.extractall(folder / "site")
    return folder / "site"


def test_every_file_is_in_the_wheel_and_is_found_there(unpacked: Path) -> None:
    for source in (TOP / "systemd").iterdir():
        command = [sys.executable, "-c", ASK, source.name]
        done = subprocess.run(
            command, cwd="/", env={"PYTHONPATH": str(unpacked)}, capture_output=True, text=True, check=True
        )
        folder, _, text = done.stdout.partition("\n")
        assert folder == str(unpacked / "opsbot" / "install" / "data")
        assert text == source.read_text()


def test_a_checkout_uses_its_own() -> None:
    assert texts.folder() == TOP / "systemd"
