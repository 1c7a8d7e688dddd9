"""What the monitors of the host need of the incidents: those whose subject is no service, and has no recovery."""

from datetime import datetime
from typing import Protocol

from opsbot.core.message import Message
from opsbot.core.model import Evidence


class HostIncidents(Protocol):
    """Where incidents are recorded; each change is stored together with its message."""

    async def trouble(self, subject: str, cause: Message, since: datetime, *, evidence: Evidence | None = None) -> None:
        """Open an incident; nothing where there is an open one."""

    async def end(self, subject: str, resolution: Message) -> None:
        """Close the open one."""
