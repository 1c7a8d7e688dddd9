"""Deletes the old files that services leave behind: what `[[services.NAME.cleanup]]` names, and nothing else."""

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from opsbot.cleanup.as_service_user import sweep_abroad
from opsbot.cleanup.file_cleaner import (
    DELETED_MOST,
    CleanupProblem,
    CleanupResult,
    Deletion,
    File,
    FileCleaner,
    identity,
)
from opsbot.config import Cleanup, Config, Service
from opsbot.core.access import Origin, itself
from opsbot.core.globs import Glob, glob
from opsbot.core.model import NotificationKind
from opsbot.formatting import duration, size
from opsbot.runtime.change_notifier import ChangeNotifier
from opsbot.services.errands import ErrandError, Errands
from opsbot.store import Store, audit, outbox

log = logging.getLogger(__name__)

FIRST = timedelta(minutes=1)
"""After the start of opsbot, which has other things to do."""


@dataclass(frozen=True, slots=True)
class CleanupJob:
    """One clean-up of one service: when it is to be done, what it names."""

    name: str
    service: str
    every: timedelta
    first: timedelta
    older_than: timedelta
    globs: tuple[Glob, ...]


def _globs(service: Service, cleanup: Cleanup) -> tuple[Glob, ...]:
    shared = "" if service.source is None else f"{service.source.directory}/shared/"
    return tuple(glob(path if path.startswith("/") else shared + path) for path in cleanup.paths)


class CleanupRunner:
    """Cleans up, and tells what came of it."""

    def __init__(
        self,
        config: Config,
        store: Store,
        feed: ChangeNotifier,
        clock: Callable[[], datetime],
        *,
        most: int = DELETED_MOST,
        errands: Errands | None = None,
    ) -> None:
        """Take the parts. `most`: files that one run may delete. errands: sweeps as a service's own user."""
        self._services = config.services
        self._errands = errands
        self._store = store
        self._feed = feed
        self._clock = clock
        self._most = most
        self._jobs = tuple(
            CleanupJob(
                f"cleanup {name}" + (f" {number}" if number > 1 else ""),
                name,
                each.every,
                min(each.every, FIRST),
                each.older_than,
                _globs(service, each),
            )
            for name, service in config.services.items()
            for number, each in enumerate(service.cleanup, 1)
        )
        self._own = [config.state.directory]
        for service in config.services.values():
            if service.source is not None:
                self._own += [service.source.directory / name for name in ("releases", "mirror.git", ".git")]

    def jobs(self) -> tuple[CleanupJob, ...]:
        """When each clean-up is to be done."""
        return self._jobs

    async def run(self, job: CleanupJob) -> CleanupResult:
        """Do it once. Cancelled, it leaves off after the file at hand."""
        now = self._clock()
        try:
            swept = await self._swept(job, now)
        except ErrandError as error:
            # Told as any other problem: once, until it is over.
            swept = CleanupResult(
                problems={(str(each), Deletion.LOOK): CleanupProblem(_fixed(each), str(error), 1) for each in job.globs}
            )
        if swept.files:
            log.info(
                "%s: %d files older than %s deleted, %s%s",
                job.name,
                swept.files,
                duration(job.older_than),
                size(swept.size),
                "; the next run goes on" if swept.cut else "",
            )
        for (pattern, deed), problem in swept.problems.items():
            log.warning("%s: %s", job.name, _words(pattern, deed, problem))
        if await self._store.write(_tell, job, swept, now):
            self._feed.publish("notice")
        return swept

    async def _swept(self, job: CleanupJob, now: datetime) -> CleanupResult:
        before = (now - job.older_than).timestamp()
        service, errands = self._services[job.service], self._errands
        if errands is not None and await errands.abroad(service):
            keep_out = await asyncio.to_thread(self._keep_out)
            return await sweep_abroad(errands, service, job.globs, before=before, most=self._most, keep_out=keep_out)
        stop = threading.Event()
        try:
            return await asyncio.to_thread(self._sweep, job, before, stop)
        finally:
            stop.set()

    def _keep_out(self) -> set[File]:
        keep_out = set()
        for folder in self._own:
            with suppress(OSError):
                keep_out.add(identity(folder.stat()))
        return keep_out

    def _sweep(self, job: CleanupJob, before: float, stop: threading.Event) -> CleanupResult:
        broom = FileCleaner(before, self._keep_out(), stop, self._most)
        for pattern in job.globs:
            broom.sweep(pattern)
        return broom.swept


def _fixed(pattern: Glob) -> str:
    return "/" + "/".join(pattern.fixed)


def _words(pattern: str, deed: Deletion, problem: CleanupProblem) -> str:
    """What could not be done, and what helps."""
    if deed is Deletion.DELETE:
        files = "a file" if problem.times == 1 else f"{problem.times} files"
        return (
            f"the clean-up of {pattern} cannot delete {files} (in {problem.folder}): {problem.why}; "
            f"{problem.who} needs the right to write in that folder"
        )
    more = f" and {problem.times - 1} more" if problem.times > 1 else ""
    return f"the clean-up of {pattern} cannot look into {problem.folder}{more}: {problem.why}"


def _tell(db: sqlite3.Connection, job: CleanupJob, swept: CleanupResult, now: datetime) -> bool:
    """Write down what was done, and tell each problem once; whether there is a new notice.

    A problem is over when the same was done without it: should it come again, it is told again.
    """
    told = False
    for (pattern, deed), problem in swept.problems.items():
        body: dict[str, object] = {"text": f"{job.service}: {_words(pattern, deed, problem)}", "level": "warning"}
        told |= outbox.put(db, _key(job, pattern, deed), NotificationKind.WORD, job.service, now, body=body)
    for deed, done in ((Deletion.LOOK, swept.looked), (Deletion.DELETE, swept.deleted)):
        for pattern in done:
            if (pattern, deed) not in swept.problems:
                outbox.over(db, _key(job, pattern, deed))
    if swept.files:
        audit.record(
            db,
            itself(Origin.CLEANUP),
            "cleanup",
            job.service,
            now,
            allowed=True,
            detail=f"{', '.join(sorted(swept.deleted))} older than {duration(job.older_than)}",
            result=f"{swept.files} files deleted, {size(swept.size)}",
        )
    return told


def _key(job: CleanupJob, pattern: str, deed: Deletion) -> str:
    return f"cleanup:{job.service}:{deed}:{pattern}"
