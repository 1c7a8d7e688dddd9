"""What opsbot asks of whoever runs a service's code as the service's own user, where that is not opsbot's."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from opsbot.config import Service
from opsbot.services.port import ManagerError


class Slot(StrEnum):
    """One errand at a time in each: a check does not wait for an install step."""

    STEP = "step"
    CHECK = "check"


class ErrandError(ManagerError):
    """An errand could not be run, or it is not known how it went. The text says what would mend it."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended: by `status`, or by `signal` where that is not 0.

    refused: why it could not be started at all, in words (untrusted). late: its time was up, and it was killed.
    """

    status: int = 0
    signal: int = 0
    refused: str = ""
    late: bool = False
    out_of_memory: bool = False


class Errands(Protocol):
    """Runs commands as the services' own users. `abroad` and `run` raise ErrandError when that cannot be done."""

    async def abroad(self, service: Service) -> bool:
        """Whether this service's code runs as another user than opsbot, and so by errands."""

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
        """Run it; nothing of it is left when this returns or is cancelled.

        environment: all of it but HOME, USER and LOGNAME, which are the user's own. take: is given what it prints,
        piece by piece, in a thread.
        """

    async def end_left(self) -> int:
        """End what an earlier opsbot left running; how many errands that were."""

    async def cwd_of(self, service: str, pid: int) -> Path | None:
        """The working directory of a process of the service; None where it is gone, or could not be looked at."""
