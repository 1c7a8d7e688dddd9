"""Install steps that run as the service's own user, and which user runs those of a service: that one, or opsbot's."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from opsbot.config import Service
from opsbot.core.message import message_of, plain
from opsbot.deploy.steps import (
    OUTPUT_MOST,
    ChildSteps,
    StepOutput,
    StepResult,
    Steps,
    environment,
    judged,
    open_output,
)
from opsbot.services.run_as import Ended, ErrandError, Errands, Slot

_OPSBOTS_OWN = {"HOME", "USER", "LOGNAME", "TMPDIR", "XDG_CACHE_HOME"}
"""Of opsbot's environment: the other user has its own."""


class RunAsSteps:
    """Steps of one service, run as its user."""

    abroad = True

    def __init__(self, errands: Errands, service: Service, most: int = OUTPUT_MOST) -> None:
        """`most`: bytes that are kept of what a step prints."""
        self._errands = errands
        self._service = service
        self._most = most

    async def run(
        self, command: Sequence[str], *, directory: Path, extra: Mapping[str, str], timeout: timedelta, output: Path
    ) -> StepResult:
        """See `Steps`."""
        file = await asyncio.to_thread(open_output, output)
        out = StepOutput(file, self._most)
        mine = {name: value for name, value in environment({}).items() if name not in _OPSBOTS_OWN}
        try:
            ended = await self._errands.run(
                self._service,
                Slot.STEP,
                command,
                directory=directory,
                environment={"PATH": os.defpath, **mine, **extra},
                within=timeout,
                take=out.take,
            )
        except ErrandError as error:
            # Not the commit's fault: it would go otherwise once this is mended.
            return StepResult(ok=False, ending=message_of(error))
        finally:
            await asyncio.to_thread(file.close)
        return _result(ended, out, timeout)


def _result(ended: Ended, out: StepOutput, timeout: timedelta) -> StepResult:
    if ended.refused:
        return StepResult(ok=False, ending=plain(ended.refused), lasting=True)
    if ended.late:
        return judged(None, out, timeout)
    return judged(-ended.signal or ended.status, out, timeout)


async def steps_of(service: Service, errands: Errands | None) -> Steps:
    """Who runs the steps of a service.

    Raises:
        ErrandError: it runs as root while opsbot does not, or its user is unknown.
    """
    if errands is not None and await errands.abroad(service):
        return RunAsSteps(errands, service)
    return ChildSteps()
