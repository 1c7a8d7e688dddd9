"""What the host's watch needs of the casebook: incidents whose subject is no service, and has no recovery ladder."""

from datetime import datetime
from typing import Protocol

from opsbot.core.incident import IncidentEvent
from opsbot.core.message import Message
from opsbot.core.model import Evidence


class HostIncidents(Protocol):
    """Where a trouble is written down; each change is told to the channel in its own transaction."""

    async def trouble(self, subject: str, cause: Message, since: datetime, *, evidence: Evidence | None = None) -> None:
        """Open an incident; nothing where there is an open one."""

    async def note(self, subject: str, happened: IncidentEvent) -> bool:
        """Add an event to the open one."""

    async def end(self, subject: str, resolution: Message) -> None:
        """Close the open one."""
