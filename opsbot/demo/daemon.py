"""The real `opsbot run`, as a child process that is started again when it dies, as systemd would."""

import asyncio
import logging
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

log = logging.getLogger(__name__)

STOP_SECONDS = 3.0
"""From SIGTERM to SIGKILL: a deploy under way need not come to its end here, all of it is cleared away afterwards."""
_NOT_ITS_OWN = frozenset({"RUNTIME_DIRECTORY", "NOTIFY_SOCKET", "CREDENTIALS_DIRECTORY"})


class Daemon:
    """Keeps one daemon running."""

    def __init__(self, config: Path, log_file: Path, secrets: Mapping[str, str]) -> None:
        """Remember what to run. secrets: variables for its environment."""
        self._config = config
        self._log = log_file
        self._environment = {name: value for name, value in os.environ.items() if name not in _NOT_ITS_OWN}
        self._environment |= secrets
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self.deaths = 0
        """How often it has ended."""

    @property
    def pid(self) -> int | None:
        """The process, while it runs."""
        return self._process.pid if self._process and self._process.returncode is None else None

    def open(self) -> None:
        """Start it."""
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
                    start_new_session=True,  # Ctrl-C is for the demo, which then stops the daemon in order
                )
            status = await self._process.wait()
            self.deaths += 1
            log.warning("opsbot ended with status %s; starting it again", status)
            await asyncio.sleep(1)

    async def close(self) -> None:
        """Stop it with SIGTERM, and with SIGKILL what does not stop."""
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
