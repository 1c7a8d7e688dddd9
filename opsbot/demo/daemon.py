"""Run the real `opsbot run` as a child process and restart it when it exits."""

import asyncio
import logging
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

log = logging.getLogger(__name__)

STOP_SECONDS = 3.0
"""From SIGTERM to SIGKILL. A running deploy need not finish, because everything is removed afterwards."""
_NOT_ITS_OWN = frozenset({"RUNTIME_DIRECTORY", "NOTIFY_SOCKET", "CREDENTIALS_DIRECTORY"})


class Daemon:
    """Keeps one daemon running."""

    def __init__(self, config: Path, log_file: Path, secrets: Mapping[str, str]) -> None:
        """secrets: variables for the daemon's environment."""
        self._config = config
        self._log = log_file
        self._environment = {name: value for name, value in os.environ.items() if name not in _NOT_ITS_OWN}
        self._environment |= secrets
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self.deaths = 0
        """Number of times it has exited."""

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process and self._process.returncode is None else None

    def open(self) -> None:
        self._keeper = asyncio.create_task(self._keep())

    async def _keep(self) -> None:
        while True:
            with self._log.open("ab") as out:
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "opsbot",
                    "run",
                    "-c",
                    str(self._config),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    env=self._environment,
                    start_new_session=True,  # Ctrl-C is for the demo, which then stops the daemon cleanly
                )
            status = await self._process.wait()
            self.deaths += 1
            log.warning("opsbot exited with status %s; restarting it", status)
            await asyncio.sleep(1)

    async def close(self) -> None:
        """Stop it with SIGTERM, after a timeout with SIGKILL."""
        if self._keeper is not None:
            self._keeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeper
        if self.pid is None or self._process is None:
            return
        self._process.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
