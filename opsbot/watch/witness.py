"""The witness: what was seen of a service in trouble, gathered for its incident."""

import asyncio
import logging
from collections.abc import Callable, Mapping

from opsbot.core.layers import Failing, untangle
from opsbot.core.model import Evidence
from opsbot.services.port import LogQuery, ManagerError, ServiceManager, ServiceState, spoken
from opsbot.watch.watched import Watched

log = logging.getLogger(__name__)

LOG_LINES = 15
LOG_SECONDS = 1.0


def _seen(failing: tuple[Failing, ...]) -> tuple[tuple[str, str], ...]:
    return tuple((one.name, one.seen) for one in failing)


def checks_of(watched: Watched, rest: Evidence) -> Evidence:
    """The same evidence with what the checks see now."""
    causes, consequences = untangle(watched.failing)
    return Evidence(_seen(causes), rest.exit, rest.log, _seen(consequences))


class Witness:
    """Gathers evidence."""

    def __init__(self, managers: Mapping[str, ServiceManager], redact: Callable[[str], str]) -> None:
        """`redact` takes known secrets out of text."""
        self._managers = managers
        self._redact = redact

    async def evidence(self, watched: Watched, dead: ServiceState | None = None, exit_text: str = "") -> Evidence:
        """What was seen. Its log is that of one run alone: of the one that died, else of the present one."""
        name = watched.service.name
        run, exit_text = (dead.run, dead.exit) if dead is not None else (None, exit_text)
        lines: tuple[str, ...] = ()
        try:
            async with asyncio.timeout(LOG_SECONDS):
                run = run or (await self._managers[name].state(name)).run
                found = await self._managers[name].logs(name, LogQuery(LOG_LINES * 4))
                # The run of several units is all of theirs.
                ours = [line.text for line in spoken([line for line in found if not run or line.run in run])]
                lines = tuple(self._redact(text)[:500] for text in ours[-LOG_LINES:])
        except (ManagerError, TimeoutError) as error:
            log.warning("%s: its log cannot be read for the alert: %s", name, error)
        return checks_of(watched, Evidence(exit=exit_text, log=lines))
