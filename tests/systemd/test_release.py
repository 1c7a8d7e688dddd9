"""Which release runs, to an opsbot that may not look into the processes of the service's user."""

import asyncio
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.systemd.units import systemctl, write_unit

TOP = Path(__file__).parents[2]
UNIT = f"rele-{os.getpid()}.service"


@pytest.fixture
async def srv() -> AsyncIterator[Path]:
    """Two releases, the first one live and running as the user app."""
    folder = Path(tempfile.mkdtemp(prefix="rele-"))
    folder.chmod(0o755)
    for name in ("r1", "r2"):
        (folder / "releases" / name).mkdir(parents=True)
    switch(folder, "r1")
    await write_unit(UNIT, f"[Service]\nUser=app\nWorkingDirectory={folder}/current\nExecStart=/bin/sleep 600\n")
    await systemctl("start", UNIT)
    yield folder
    await systemctl("stop", UNIT)
    await asyncio.to_thread(Path(f"/etc/systemd/system/{UNIT}").unlink)
    await systemctl("daemon-reload")
    await asyncio.to_thread(shutil.rmtree, folder)


def switch(folder: Path, release: str) -> None:
    """As a deploy does it."""
    (folder / ".new").symlink_to(f"releases/{release}")
    (folder / ".new").replace(folder / "current")


async def seen_by(user: str, folder: Path) -> str:
    who = pwd.getpwnam(user)

    def look() -> str:
        command = [sys.executable, "-m", "tests.systemd.release_as", UNIT, str(folder)]
        return subprocess.run(
            command, user=user, group=who.pw_gid, extra_groups=[], cwd=TOP, capture_output=True, text=True, check=True
        ).stdout

    return await asyncio.to_thread(look)


async def test_a_process_from_before_the_switch_is_not_taken_for_the_new_release(srv: Path) -> None:
    assert await seen_by("root", srv) == "r1"
    assert await seen_by("opsbot", srv) == "r1", "by the unit's directory, which has not been switched since"
    switch(srv, "r2")
    assert await seen_by("root", srv) == "r1"
    assert await seen_by("opsbot", srv) == "unknown", "and not r2, though its WorkingDirectory= leads there now"
    await systemctl("restart", UNIT)
    assert await seen_by("root", srv) == "r2"
    assert await seen_by("opsbot", srv) == "r2"
