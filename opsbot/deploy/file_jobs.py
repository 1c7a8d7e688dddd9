"""What opsbot does to a release's files by commands, as the user of the install steps: they may be that user's."""

import asyncio
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from opsbot.deploy.steps import StepResult, Steps
from opsbot.errand.moved import move_environment
from opsbot.filesystem.disk import remove
from opsbot.filesystem.processes_in_folder import MARK

COPY_LIMIT = timedelta(minutes=10)
SMALL_LIMIT = timedelta(minutes=2)


class FileJobs:
    """The commands in one service's folder for releases."""

    def __init__(self, folder: Path, mark: str) -> None:
        """`mark` see `MARK`."""
        self._folder = folder
        self._mark = mark

    async def copy(self, steps: Steps, source: Path, place: Path, output: Path) -> StepResult:
        """Copy it to where nothing exists. With hard links the live service would write into the new release."""
        return await self._run(steps, ["cp", "-a", "--reflink=auto", "--", str(source), str(place)], output, COPY_LIMIT)

    async def clear(self, steps: Steps, place: Path, output: Path) -> bool:
        """Have nothing there, and a folder around it; whether that is so."""
        if not steps.abroad:
            return await asyncio.to_thread(_clear, place)
        for words in (["mkdir", "-p", "--", str(place.parent)], _removal(place)):
            if not (await self._run(steps, words, output)).ok:
                return False
        return True

    async def remove(self, steps: Steps, place: Path, output: Path) -> StepResult:
        """Remove what is the service's user's, in folders where opsbot may not write."""
        return await self._run(steps, _removal(place), output, COPY_LIMIT)

    async def move_environment(self, steps: Steps, folder: Path, before: Path, output: Path) -> bool:
        """Rewrite the paths inside a virtual environment that was copied from `before`; whether that went well."""
        if not steps.abroad:
            await asyncio.to_thread(move_environment, folder, before)
            return True
        if not await asyncio.to_thread((folder / "pyvenv.cfg").is_file):
            return True
        words = [sys.executable, "-I", "-m", "opsbot.errand.moved", str(folder), str(before)]
        return (await self._run(steps, words, output)).ok

    async def occupied(self, steps: Steps, folders: Sequence[Path], output: Path) -> StepResult:
        """Look which of the folders a process works in: their numbers, from 0, are what it prints."""
        words = [sys.executable, "-I", "-m", "opsbot.errand.occupied", *map(str, folders)]
        return await self._run(steps, words, output)

    async def _run(
        self, steps: Steps, words: Sequence[str], output: Path, limit: timedelta = SMALL_LIMIT
    ) -> StepResult:
        return await steps.run(words, directory=self._folder, extra={MARK: self._mark}, timeout=limit, output=output)


def _clear(place: Path) -> bool:
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.is_symlink() or place.is_file():
        place.unlink()
    return remove(place)


def _removal(place: Path) -> list[str]:
    return [sys.executable, "-I", "-m", "opsbot.errand.removal", str(place)]
