"""journalctl as a child process: start, end and error output. See journalctl(1).

It reads the journal's files itself, as far as the caller's groups allow, so opsbot needs neither root nor a C library.
opsbot does not slow down journald, nor journald opsbot.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress

from opsbot.config import Scope
from opsbot.core.manager_codes import ManagerCode
from opsbot.core.message import message
from opsbot.services.brief_command import environment
from opsbot.services.journal_export import Entry, ExportReader
from opsbot.services.port import ManagerError

CHUNK = 64 * 1024
_COMPLAINT = 4096
_SYSTEM_USERS_BELOW = 1000


def objection(complaint: str, status: int, scope: Scope) -> ManagerError | None:
    """What is wrong, by the standard error and the exit status; None if nothing is.

    Users may read their own lines, except system users, whose lines are in the system's file.
    """
    own_suffice = scope is Scope.USER and os.getuid() >= _SYSTEM_USERS_BELOW
    if "insufficient permissions" in complaint:
        return ManagerError(message(ManagerCode.JOURNAL_FORBIDDEN))
    if "not seeing messages from" in complaint and not own_suffice:
        return ManagerError(message(ManagerCode.JOURNAL_FORBIDDEN))
    if "No journal files were found" in complaint:
        return ManagerError(message(ManagerCode.NO_JOURNAL), retry=True)
    lines = [line for line in complaint.splitlines() if line.strip()]
    if status > 0 and lines:  # a search that finds nothing fails too, silently
        return ManagerError(message(ManagerCode.JOURNALCTL_FAILED, reason=lines[-1][:300]), retry=True)
    return None


async def read_entries(
    options: Sequence[str], matches: Sequence[str], scope: Scope, until: float | None = None
) -> AsyncGenerator[list[Entry], None]:
    """Yield entries in batches as journalctl writes them; it ends with the iterator.

    A slow reader slows it down. until: deadline by the event loop's clock.

    Raises:
        ManagerError: the journal cannot be read, or the deadline has passed.
    """
    reader = ExportReader()
    complaints = os.memfd_create("journalctl", os.MFD_CLOEXEC)  # a pipe that nobody reads could block the child
    try:
        try:
            # Without -q: only then it reports that it may read only a part of the journal.
            child = await asyncio.create_subprocess_exec(
                *("journalctl", "--no-pager", "--output=export", *options, *matches),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=complaints,
                env=environment(),
                start_new_session=True,
                limit=CHUNK,
            )
        except OSError as error:
            reason = error.strerror or str(error)
            raise ManagerError(message(ManagerCode.JOURNALCTL_NOT_STARTED, reason=reason)) from error
        try:
            while child.stdout is not None and (data := await _read(child.stdout, until)):
                if entries := reader.feed(data):
                    yield entries
            status = await child.wait()
        finally:
            if child.returncode is None:
                with suppress(ProcessLookupError):
                    child.kill()
                await child.wait()
        wrong = objection(os.pread(complaints, _COMPLAINT, 0).decode("utf-8", "replace"), status, scope)
    finally:
        os.close(complaints)
    if wrong is not None:
        raise wrong


async def _read(stream: asyncio.StreamReader, until: float | None) -> bytes:
    try:
        async with asyncio.timeout_at(until):
            await asyncio.sleep(0)  # so that a deadline in the past takes effect
            return await stream.read(CHUNK)
    except TimeoutError as error:
        raise ManagerError(message(ManagerCode.JOURNAL_TIMEOUT)) from error
