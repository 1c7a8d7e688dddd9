"""Run a cleanup as the service's user: opsbot may not delete in its folders.

The same cleaner runs in a process of that user, which can see the files its processes have open. Its output is
untrusted: it is bounded, and names of unknown patterns are ignored.
"""

import json
import os
import sys
from collections.abc import Collection, Sequence
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from opsbot.cleanup.file_cleaner import SECONDS_MOST, CleanupProblem, CleanupResult, Deletion, File
from opsbot.config import Service
from opsbot.core.globs import Glob
from opsbot.core.manager_codes import ManagerCode
from opsbot.core.message import message
from opsbot.formatting import clip
from opsbot.services.run_as import ErrandError, Errands, Slot

ANSWER_MOST = 256 * 1024
WHO = "the service's user"
_TEXT_MOST = 300
_COUNT_MOST = 1 << 60
_WITHIN = timedelta(seconds=SECONDS_MOST + 60)


async def clean_as_service_user(
    run_as: Errands, service: Service, patterns: Sequence[Glob], *, before: float, most: int, keep_out: Collection[File]
) -> CleanupResult:
    """Run the cleanup as the service's user; see `FileCleaner` for the parameters.

    Uses the slot of install steps, because checks must not wait for it.

    Raises:
        ErrandError: it could not be run.
    """
    said = bytearray()

    def take(chunk: bytes) -> None:
        said.extend(chunk[: ANSWER_MOST - len(said)])

    job = {"before": before, "most": most, "keep_out": sorted(keep_out), "patterns": [str(each) for each in patterns]}
    ended = await run_as.run(
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


def decoded_job(text: str) -> tuple[float, int, set[File], list[str]]:
    """Parse a job: time limit, maximum number of files, excluded folders, patterns."""
    job = json.loads(text)
    keep_out = {(int(device), int(inode)) for device, inode in job["keep_out"]}
    return float(job["before"]), int(job["most"]), keep_out, [str(each) for each in job["patterns"]]


def encoded(result: CleanupResult) -> str:
    """Serialize a result."""
    problems = [
        [pattern, str(operation), problem.folder, problem.why, problem.times]
        for (pattern, operation), problem in result.problems.items()
    ]
    patterns = {"deleted": sorted(result.deleted), "looked": sorted(result.looked)}
    return json.dumps(asdict(replace(result, problems={})) | patterns | {"problems": problems})


def decoded(said: bytes, patterns: Collection[str]) -> CleanupResult:
    """Parse and bound a result; ValueError, KeyError or TypeError if malformed."""
    answer = json.loads(said)
    problems = {
        (pattern, Deletion(operation)): CleanupProblem(
            clip(str(folder), _TEXT_MOST), clip(str(why), _TEXT_MOST), _count(times), WHO
        )
        for pattern, operation, folder, why, times in answer["problems"]
        if pattern in patterns
    }
    return CleanupResult(
        _count(answer["files"]),
        _count(answer["size"]),
        _count(answer["in_use"]),
        problems,
        _known(answer["deleted"], patterns),
        _known(answer["looked"], patterns),
        bool(answer["cut"]),
    )


def _known(names: Any, patterns: Collection[str]) -> set[str]:
    return {pattern for pattern in names if pattern in patterns}


def _count(value: Any) -> int:
    return max(0, min(int(value), _COUNT_MOST))
