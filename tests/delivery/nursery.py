"""Lends processes that are killed: they are forked from one that has imported everything, so that a life costs what it
does and not a second of imports.

`python -m tests.delivery.nursery` takes lines: `start FOLDER URL TOKEN` answers with the pid of a process that is
`tests.delivery.child` from there on, `reap PID` with how that one ended (the negative number of a signal). At the end
of its input it kills those that still live.
"""

import asyncio
import gc
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.delivery import child


class Nursery:
    """The far end of such a process."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._one = asyncio.Lock()

    async def __aenter__(self) -> Self:
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.delivery.nursery", stdin=pipe, stdout=pipe
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()

    async def start(self, folder: Path, url: str, token: str) -> int:
        """A process that tells; its pid."""
        return await self._ask(f"start {folder} {url} {token}")

    async def kill(self, pid: int) -> int:
        """End it with SIGKILL; how it ended."""
        os.kill(pid, signal.SIGKILL)
        return await self._ask(f"reap {pid}")

    async def _ask(self, line: str) -> int:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        async with self._one:
            self._process.stdin.write(f"{line}\n".encode())
            return int(await self._process.stdout.readline())


def serve() -> None:
    """Until the input ends."""
    gc.freeze()
    living: set[int] = set()
    while line := sys.stdin.readline():
        match line.split():
            case "start", folder, url, token:
                pid = os.fork()
                if pid == 0:
                    _live(folder, url, token)
                living.add(pid)
                print(pid, flush=True)  # noqa: T201 - the answer
            case "reap", number:
                living.discard(int(number))
                print(os.waitstatus_to_exitcode(os.waitpid(int(number), 0)[1]), flush=True)  # noqa: T201 - likewise
    for pid in living:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _live(folder: str, url: str, token: str) -> None:
    """Be the child, and nothing else after it."""
    try:
        os.dup2(os.open(os.devnull, os.O_RDWR), 0)
        os.dup2(2, 1)
        asyncio.run(child.main(Path(folder), url, token, board=False))
    finally:
        os._exit(1)


if __name__ == "__main__":
    serve()
