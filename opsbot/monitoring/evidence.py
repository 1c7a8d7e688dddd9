"""What was seen of a service that is down, gathered for its incident."""

import asyncio
import logging
from collections.abc import Callable, Mapping

from opsbot.core.dependencies import FailingCheck, untangle
from opsbot.core.message import Message
from opsbot.core.model import Evidence
from opsbot.monitoring.monitored_service import MonitoredService
from opsbot.services.port import LogQuery, ManagerError, ServiceManager, ServiceState, spoken

log = logging.getLogger(__name__)

LOG_LINES = 15
LOG_SECONDS = 1.0
SILENT_SECONDS = 10.0
AT_A_TIME = 8


def _seen(failing: tuple[FailingCheck, ...]) -> tuple[tuple[str, Message], ...]:
    return tuple((one.name, one.seen) for one in failing)


def checks_of(watched: MonitoredService, rest: Evidence) -> Evidence:
    """The same evidence with what the checks see now."""
    causes, consequences = untangle(watched.checks.failing)
    return Evidence(_seen(causes), rest.exit, rest.log, _seen(consequences))


class EvidenceCollector:
    """Gathers evidence. However many services fail at once, only a few logs are read at a time."""

    def __init__(self, managers: Mapping[str, ServiceManager], redact: Callable[[str], str]) -> None:
        self._managers = managers
        self._redact = redact
        self._reading = asyncio.Semaphore(AT_A_TIME)
        self._silent_until = 0.0

    async def evidence(
        self, watched: MonitoredService, dead: ServiceState | None = None, before: Evidence | None = None
    ) -> Evidence:
        """What is seen now. Its log is that of one run alone: of the one that died, else of the present one.

        before: what was seen at the failure before: what cannot be had now is taken from there.
        """
        name, before = watched.name, before or Evidence()
        run, end = (dead.run, dead.exit) if dead is not None else (None, before.exit)
        async with self._reading:
            lines = await self._lines(name, run)
        return checks_of(watched, Evidence(exit=end, log=lines or before.log))

    async def _lines(self, name: str, run: str | None) -> tuple[str, ...]:
        now = asyncio.get_running_loop().time()
        if now < self._silent_until:
            return ()
        try:
            async with asyncio.timeout(LOG_SECONDS):
                run = run or (await self._managers[name].state(name)).run
                found = await self._managers[name].logs(name, LogQuery(LOG_LINES * 4))
        except TimeoutError:
            # A log that hangs hangs for all: no other alarm waits for it as long.
            self._silent_until = now + LOG_SECONDS + SILENT_SECONDS
            log.warning("%s: its log cannot be read for the alert within %.0f s", name, LOG_SECONDS)
            return ()
        except ManagerError as error:
            log.warning("%s: its log cannot be read for the alert: %s", name, error)
            return ()
        # The run of several units is all of theirs.
        ours = [line.text for line in spoken([line for line in found if not run or line.run in run])]
        return tuple(self._redact(text)[:500] for text in ours[-LOG_LINES:])
