"""Jobs that run as a service's user if that is not opsbot's: values, and the port."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from opsbot.config import Service
from opsbot.services.port import ManagerError


class Slot(StrEnum):
    """One job at a time in each: a check does not wait for an install step."""

    STEP = "step"
    CHECK = "check"


class ErrandError(ManagerError):
    """A job could not be run, or its result is unknown. It says how to fix that."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended: by `status`, or by `signal` if that is not 0.

    refused: why it could not be started (untrusted text). late: it was killed at its time limit.
    """

    status: int = 0
    signal: int = 0
    refused: str = ""
    late: bool = False


class Errands(Protocol):
    """Runs commands as the services' users; raises ErrandError if it cannot."""

    async def abroad(self, service: Service) -> bool:
        """Whether its code runs as another user than opsbot, and so by these jobs."""

    async def run(
        self,
        service: Service,
        slot: Slot,
        command: Sequence[str],
        *,
        directory: Path,
        environment: Mapping[str, str],
        within: timedelta,
        take: Callable[[bytes], None],
    ) -> Ended:
        """Run it; none of its processes is left when this returns or is cancelled.

        environment: without HOME, USER and LOGNAME, which are the user's. take: called in a thread with each piece of
        output.
        """

    async def end_left(self) -> int:
        """End jobs that an earlier opsbot left running; return how many."""

    async def cwd_of(self, service: str, pid: int) -> Path | None:
        """The working directory of a process of the service; None if not readable."""
