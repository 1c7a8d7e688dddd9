"""What is remembered of the trouble of one subject: a service, or something of the host."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from opsbot.core.flapping import Flaps
from opsbot.core.message import Message, Param
from opsbot.core.model import Incident
from opsbot.services.port import ServiceState


@dataclass(slots=True)
class IncidentState:
    """One subject's trouble: its open incident, and how often it changed of late."""

    subject: str
    incident: Incident | None = None
    flaps: Flaps = field(default_factory=Flaps)
    well: bool = True
    """While it flaps: whether it is well at the moment."""
    down_since: datetime | None = None
    down_for: timedelta = timedelta(0)
    """While it flaps: its downtime, as in `Incident`."""
    causes: set[tuple[str, Param]] = field(default_factory=set)
    """While it flaps: the kinds of causes that were told (`opsbot.core.incident.same_kind`)."""
    flaps_written: datetime | None = None
    """When the count was last written down; None: it is as it is in the store."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(frozen=True, slots=True)
class PendingCause:
    """A trouble that waits for the verdict on a service it may come from. asked: when it first was asked about."""

    cause: Message
    since: datetime
    asked: datetime
    dead: ServiceState | None = None


@dataclass(slots=True)
class ListedUnder:
    """A service that is not well because of `root`, and is listed in its incident."""

    root: str
    incident: int
    cause: Message
    failed_at: datetime
    well: bool = False
    until: datetime | None = None
    """Once the root's incident is over: how long it may stay down before it gets one of its own."""
