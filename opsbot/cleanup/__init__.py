"""Delete old files of services as configured in `[[services.NAME.cleanup]]`."""

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from opsbot.cleanup.as_service_user import clean_as_service_user
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
from opsbot.core.message import Message, Param, message
from opsbot.core.notices import NoticeCode
from opsbot.formatting import duration, size
from opsbot.messages import describe
from opsbot.runtime.change_notifier import ChangeNotifier
from opsbot.services.run_as import ErrandError, Errands
from opsbot.store import Store, audit, outbox

log = logging.getLogger(__name__)

FIRST = timedelta(minutes=1)
"""Delay of the first run, so that it does not compete with startup."""


@dataclass(frozen=True, slots=True)
class CleanupJob:
    """One configured cleanup of a service: its schedule and patterns."""

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
    """Runs cleanups and reports their results."""

    def __init__(
        self,
        config: Config,
        store: Store,
        feed: ChangeNotifier,
        clock: Callable[[], datetime],
        *,
        most: int = DELETED_MOST,
        run_as: Errands | None = None,
    ) -> None:
        """most: files that one run may delete. run_as: runs it as the service's user."""
        self._services = config.services
        self._run_as = run_as
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
        return self._jobs

    async def run(self, job: CleanupJob) -> CleanupResult:
        """Run a job once. If cancelled, it stops after the current file."""
        now = self._clock()
        try:
            result = await self._run(job, now)
        except ErrandError as error:
            # Reported like any other problem: once, until it is over.
            why = describe(error)
            problems = {(str(each), Deletion.LOOK): CleanupProblem(_fixed(each), why, 1) for each in job.globs}
            result = CleanupResult(problems=problems)
        if result.files:
            text = f"{result.files} files older than {duration(job.older_than)} deleted, {size(result.size)}"
            log.info("%s: %s%s", job.name, text, "; the next run continues" if result.cut else "")
        for (pattern, operation), problem in result.problems.items():
            log.warning("%s: %s", job.name, _describe(pattern, operation, problem))
        if await self._store.write(_record, job, result, now):
            self._feed.publish("notice")
        return result

    async def _run(self, job: CleanupJob, now: datetime) -> CleanupResult:
        before = (now - job.older_than).timestamp()
        service, run_as = self._services[job.service], self._run_as
        if run_as is not None and await run_as.abroad(service):
            keep_out = await asyncio.to_thread(self._keep_out)
            return await clean_as_service_user(
                run_as, service, job.globs, before=before, most=self._most, keep_out=keep_out
            )
        stop = threading.Event()
        try:
            return await asyncio.to_thread(self._clean, job, before, stop)
        finally:
            stop.set()

    def _keep_out(self) -> set[File]:
        keep_out = set()
        for folder in self._own:
            with suppress(OSError):
                keep_out.add(identity(folder.stat()))
        return keep_out

    def _clean(self, job: CleanupJob, before: float, stop: threading.Event) -> CleanupResult:
        cleaner = FileCleaner(before, self._keep_out(), stop, self._most)
        for pattern in job.globs:
            cleaner.clean(pattern)
        return cleaner.result


def _fixed(pattern: Glob) -> str:
    return "/" + "/".join(pattern.fixed)


def _describe(pattern: str, operation: Deletion, problem: CleanupProblem, service: str | None = None) -> Message:
    about: dict[str, Param] = {
        "service": service,
        "pattern": pattern,
        "folder": str(problem.folder),
        "why": problem.why,
    }
    if operation is Deletion.DELETE:
        return message(NoticeCode.CANNOT_DELETE, files=problem.times, who=problem.who, **about)
    return message(NoticeCode.CANNOT_LOOK, more=problem.times - 1, **about)


def _record(db: sqlite3.Connection, job: CleanupJob, result: CleanupResult, now: datetime) -> bool:
    """Record the result and report each problem once.

    Returns whether there is a new notification.

    A problem is over after the same operation succeeded; if it recurs, it is reported again.
    """
    new = False
    for (pattern, operation), problem in result.problems.items():
        said = _describe(pattern, operation, problem, job.service)
        new |= outbox.put_notice(db, _key(job, pattern, operation), job.service, said, now)
    for operation, done in ((Deletion.LOOK, result.looked), (Deletion.DELETE, result.deleted)):
        for pattern in done:
            if (pattern, operation) not in result.problems:
                outbox.over(db, _key(job, pattern, operation))
    if result.files:
        audit.record(
            db,
            itself(Origin.CLEANUP),
            "cleanup",
            job.service,
            now,
            allowed=True,
            detail=f"{', '.join(sorted(result.deleted))} older than {duration(job.older_than)}",
            result=f"{result.files} files deleted, {size(result.size)}",
        )
    return new


def _key(job: CleanupJob, pattern: str, operation: Deletion) -> str:
    return f"cleanup:{job.service}:{operation}:{pattern}"
