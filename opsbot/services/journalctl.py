"""journalctl as a child process: how it is started, ended, and what its complaints mean. See journalctl(1).

It reads the journal's files itself, so that opsbot needs neither root nor a library of C; it reads what the caller's
groups allow. opsbot is not slowed down by journald, nor journald by opsbot.
"""

import asyncio
import os
import select
import subprocess
import threading
import time
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from opsbot.config import Scope
from opsbot.core.manager_codes import ManagerCode
from opsbot.core.message import message
from opsbot.services.journal_export import Entry, ExportReader
from opsbot.services.pattern_search import PatternSearch
from opsbot.services.port import ManagerError

CHUNK = 64 * 1024
_COMPLAINT = 4096
_SYSTEM_USERS_BELOW = 1000


def arguments(options: Sequence[str], matches: Sequence[str]) -> list[str]:
    """The command line. Without -q: only then it says that it may read a part of the journal alone."""
    return ["journalctl", "--no-pager", "--output=export", *options, *matches]


def environment() -> dict[str, str]:
    """What the child is given: complaints in English, nothing of opsbot's own."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "SYSTEMD_COLORS": "0"}


def objection(complaint: str, status: int | None, scope: Scope) -> ManagerError | None:
    """What is wrong, from the standard error and the exit status (None: still running); None where nothing is.

    A user's own lines may be read by that user, unless it is a system user, whose lines are in the system's file.
    """
    own_suffice = scope is Scope.USER and os.getuid() >= _SYSTEM_USERS_BELOW
    if "insufficient permissions" in complaint:
        return ManagerError(message(ManagerCode.JOURNAL_FORBIDDEN))
    if "not seeing messages from" in complaint and not own_suffice:
        return ManagerError(message(ManagerCode.JOURNAL_FORBIDDEN))
    if "No journal files were found" in complaint:
        return ManagerError(message(ManagerCode.NO_JOURNAL), retry=True)
    lines = [line for line in complaint.splitlines() if line.strip()]
    if status is not None and status > 0 and lines:  # a search that finds nothing fails too, without a word
        return ManagerError(message(ManagerCode.JOURNALCTL_FAILED, reason=lines[-1][:300]), retry=True)
    return None


class _Complaints:
    """A file in memory for the standard error: a pipe nobody reads would hold the child up."""

    def __init__(self) -> None:
        self.fd = os.memfd_create("journalctl", os.MFD_CLOEXEC)

    def text(self) -> str:
        return os.pread(self.fd, _COMPLAINT, 0).decode("utf-8", "replace")

    def close(self) -> None:
        os.close(self.fd)


@dataclass(slots=True)
class Reading:
    """One reading, in a thread of its own. `until` is on the monotonic clock."""

    scope: Scope
    until: float
    search: PatternSearch | None = None
    """What looks through the entries; given up together with them."""
    stopped: threading.Event = field(default_factory=threading.Event)
    _child: subprocess.Popen[bytes] | None = None

    def stop(self) -> None:
        """Give it up, from any thread: the child ends, and `entries` raises."""
        self.stopped.set()
        child, search = self._child, self.search
        if child is not None:
            child.kill()
        if search is not None:
            search.stop()

    def entries(self, options: Sequence[str], matches: Sequence[str]) -> Generator[list[Entry], None, None]:
        """The entries as they are read, in batches. The child is ended with the iterator. Blocks.

        Raises:
            ManagerError: it cannot be read, or the time is over.
        """
        complaints = _Complaints()
        try:
            child = self._child = _spawn(arguments(options, matches), complaints.fd)
            try:
                yield from self._batches(child)
                wrong = objection(complaints.text(), child.wait(), self.scope)
            finally:
                child.kill()
                child.communicate()
        finally:
            self._child = None
            complaints.close()
        if wrong is not None:
            raise wrong

    def _batches(self, child: subprocess.Popen[bytes]) -> Generator[list[Entry], None, None]:
        reader, stdout = ExportReader(), child.stdout
        if stdout is None:
            raise ManagerError(message(ManagerCode.JOURNALCTL_ENDS), retry=True)
        while True:
            ready, _, _ = select.select([stdout], [], [], max(self.until - time.monotonic(), 0))
            if self.stopped.is_set():
                raise ManagerError(message(ManagerCode.READING_CANCELED), retry=True)
            if not ready or time.monotonic() > self.until:
                raise ManagerError(message(ManagerCode.JOURNAL_TIMEOUT))
            data = os.read(stdout.fileno(), CHUNK)
            if not data:
                return
            if entries := reader.feed(data):
                yield entries


def _spawn(command: Sequence[str], complaints: int) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=complaints,
            env=environment(),
            start_new_session=True,
        )
    except OSError as error:
        raise _missing(error) from error


def _missing(error: OSError) -> ManagerError:
    return ManagerError(message(ManagerCode.JOURNALCTL_NOT_STARTED, reason=error.strerror or str(error)))


def searches() -> bool:
    """Whether this journalctl can look for a pattern (it may be built without PCRE2). Blocks."""
    try:
        told = subprocess.run(
            ["journalctl", "--version"], capture_output=True, timeout=5, check=False, env=environment()
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return False
    return b"+PCRE2" in told


async def following(options: Sequence[str], matches: Sequence[str], scope: Scope) -> AsyncGenerator[list[Entry], None]:
    """Entries as they come, in batches, until the iterator is closed or the child ends. A slow reader slows the child.

    Raises:
        ManagerError: the journal cannot be read.
    """
    complaints, reader = _Complaints(), ExportReader()
    try:
        try:
            child = await asyncio.create_subprocess_exec(
                *arguments(["--follow", *options], matches),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=complaints.fd,
                env=environment(),
                start_new_session=True,
                limit=CHUNK,
            )
        except OSError as error:
            raise _missing(error) from error
        try:
            while child.stdout is not None and (data := await child.stdout.read(CHUNK)):
                if entries := reader.feed(data):
                    yield entries
            wrong = objection(complaints.text(), await child.wait(), scope)
        finally:
            if child.returncode is None:
                with suppress(ProcessLookupError):
                    child.kill()
                await child.wait()
    finally:
        complaints.close()
    if wrong is not None:
        raise wrong
