"""Reuses what an install step made for the live release, if its files are equal.

The same by content, as in the commits. A virtual environment (`.venv`) is reused only if `keep` names it: the paths
inside it are rewritten then, as far as Python itself writes them.
"""

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from opsbot.config import InstallStep
from opsbot.core.deploy_codes import FailureCode, NoteCode
from opsbot.core.deployment import Release
from opsbot.core.message import Param, message
from opsbot.core.patterns import fits
from opsbot.deploy.deployment_run import DeployFailure
from opsbot.deploy.steps import Steps
from opsbot.filesystem.disk import file_system
from opsbot.source.repo import Repository

if TYPE_CHECKING:
    from opsbot.deploy.releases import Releases

TAKEN_OVER = ("node_modules", "vendor")
"""What a step is taken to make where its `keep` says nothing."""
SHOWN_PATHS = 8


class Reuse:
    """What can be taken over between the releases of one service."""

    def __init__(self, repository: Repository, releases: "Releases") -> None:
        self._repository = repository
        self._releases = releases

    async def reusable(self, step: InstallStep, commit: str, live: Release) -> tuple[str, ...] | None:
        """What of this step can be taken over from the live release; None: run it."""
        if not step.when_changed:
            return None
        about = await asyncio.to_thread(self._releases.about, live.name)
        if digest(step) not in about.steps:
            return None
        before, after = await self._repository.tree(live.commit), await self._repository.tree(commit)
        if before is None or after is None:
            return None
        wanted = picked(after, step.when_changed)
        if not wanted or wanted != picked(before, step.when_changed):
            return None
        return await asyncio.to_thread(self._present, step, live)

    def _present(self, step: InstallStep, live: Release) -> tuple[str, ...]:
        folder = self._releases.path(live.name) / step.directory
        names = step.keep or tuple(name for name in TAKEN_OVER if (folder / name).is_dir())
        # All that is named, or nothing: a half is not what the step made.
        return names if all((folder / name).exists() for name in names) else ()

    async def take_over(
        self, steps: Steps, names: Sequence[str], step: InstallStep, live: Release, folder: Path, output: Path
    ) -> bool:
        """Copy it; whether that went well. DeployFailure if there is no space."""
        source = self._releases.path(live.name) / step.directory
        for name in names:
            if not await steps.clear(folder / name, output):
                return False
            result = await steps.copy(source / name, folder / name, output)
            if result.no_space:
                where = await asyncio.to_thread(file_system, self._releases.directory)
                raise DeployFailure(message(FailureCode.NO_SPACE, where=where), tail=result.tail)
            if not result.ok or not await steps.move_environment(folder / name, source / name, output):
                await steps.clear(folder / name, output)
                return False
        return True


def picked(tree: Mapping[str, str], patterns: Sequence[str]) -> dict[str, str]:
    """The files of a tree that patterns name, and the ids of their contents."""
    return {path: content for path, content in tree.items() if any(fits(path, pattern) for pattern in patterns)}


def digest(step: InstallStep) -> str:
    """How a step is configured: one that is configured otherwise is another step."""
    configured = json.dumps([step.run, step.directory, step.keep, step.when_changed])
    return hashlib.sha256(configured.encode()).hexdigest()[:16]


def changed_names(step: InstallStep) -> tuple[Param, ...]:
    """The files a step depends on, as they are shown."""
    return some([Path(pattern).name if "*" not in pattern else pattern for pattern in step.when_changed])


def some(paths: Sequence[str]) -> tuple[Param, ...]:
    """The first few of them, and how many more there are."""
    more = len(paths) - SHOWN_PATHS
    return (*paths[:SHOWN_PATHS], message(NoteCode.AND_MORE, count=more)) if more > 0 else tuple(paths)
