"""A clean-up done by the service's own user, whose files they are: opsbot may not delete in its folders.

The same broom sweeps, in a process of that user, which sees what its own processes have open. What it tells is that
user's word, and is taken for no more: it is bounded, and names no pattern but those it was given.
"""

import json
import os
import sys
from collections.abc import Collection, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from opsbot.cleanup.file_cleaner import SECONDS_MOST, CleanupProblem, CleanupResult, Deletion, File
from opsbot.config import Service
from opsbot.core.globs import Glob
from opsbot.core.manager_codes import ManagerCode
from opsbot.core.message import message
from opsbot.formatting import clip
from opsbot.services.errands import ErrandError, Errands, Slot

ANSWER_MOST = 256 * 1024
WHO = "the service's user"
_TEXT_MOST = 300
_COUNT_MOST = 1 << 60
_WITHIN = timedelta(seconds=SECONDS_MOST + 60)


async def sweep_abroad(
    errands: Errands,
    service: Service,
    patterns: Sequence[Glob],
    *,
    before: float,
    most: int,
    keep_out: Collection[File],
) -> CleanupResult:
    """Have the service's user sweep; see `FileCleaner` for the parameters.

    In the slot of install steps and not of checks, which must not wait for it.

    Raises:
        ErrandError: it could not be done.
    """
    said = bytearray()

    def take(chunk: bytes) -> None:
        said.extend(chunk[: ANSWER_MOST - len(said)])

    job = {"before": before, "most": most, "keep_out": sorted(keep_out), "patterns": [str(each) for each in patterns]}
    ended = await errands.run(
        service,
        Slot.STEP,
        [sys.executable, "-I", "-m", "opsbot.cleanup", json.dumps(job)],
        directory=Path("/"),
        environment={"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"},
        within=_WITHIN,
        take=take,
    )
    if ended.late:
        raise ErrandError(message(ManagerCode.CLEANUP_TIMEOUT, service=service.name), retry=True)
    try:
        return decoded(bytes(said), {str(each) for each in patterns})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        last = said.decode(errors="replace").strip().rpartition("\n")[2]
        reason = ended.refused or clip(last, _TEXT_MOST)
        raise ErrandError(message(ManagerCode.CLEANUP_FAILED, service=service.name, reason=reason)) from error


def decoded_job(told: str) -> tuple[float, int, set[File], list[str]]:
    """What to sweep: before when a file is old, how many at most, folders to keep out of, patterns."""
    job = json.loads(told)
    keep_out = {(int(device), int(inode)) for device, inode in job["keep_out"]}
    return float(job["before"]), int(job["most"]), keep_out, [str(each) for each in job["patterns"]]


def encoded(swept: CleanupResult) -> str:
    """What came of it, as it is told."""
    problems = [
        [pattern, str(deed), problem.folder, problem.why, problem.times]
        for (pattern, deed), problem in swept.problems.items()
    ]
    return json.dumps(
        {
            "files": swept.files,
            "size": swept.size,
            "in_use": swept.in_use,
            "problems": problems,
            "deleted": sorted(swept.deleted),
            "looked": sorted(swept.looked),
            "cut": swept.cut,
        }
    )


def decoded(said: bytes, patterns: Collection[str]) -> CleanupResult:
    """What came of it, as it was told.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: that is no such thing.
    """
    told = json.loads(said)
    problems = {
        (pattern, Deletion(deed)): CleanupProblem(
            clip(str(folder), _TEXT_MOST), clip(str(why), _TEXT_MOST), _count(times), WHO
        )
        for pattern, deed, folder, why, times in told["problems"]
        if pattern in patterns
    }
    return CleanupResult(
        _count(told["files"]),
        _count(told["size"]),
        _count(told["in_use"]),
        problems,
        _known(told["deleted"], patterns),
        _known(told["looked"], patterns),
        bool(told["cut"]),
    )


def _known(told: Any, patterns: Collection[str]) -> set[str]:
    return {pattern for pattern in told if pattern in patterns}


def _count(told: Any) -> int:
    return max(0, min(int(told), _COUNT_MOST))
