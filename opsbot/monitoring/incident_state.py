"""What is remembered of the trouble of one subject: a service, or something of the host."""

import asyncio
import re
from dataclasses import dataclass, field
from datetime import datetime

from opsbot.core.flapping import Flaps
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
    causes: set[str] = field(default_factory=set)
    """While it flaps: the kinds of causes that were told (`kind_of`)."""
    flaps_written: datetime | None = None
    """When the count was last written down; None: it is as it is in the store."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


def kind_of(cause: str) -> str:
    """What went wrong, without what was seen of it: "check http", "it died"."""
    return re.split(r"[:(]", cause, maxsplit=1)[0].strip()


@dataclass(frozen=True, slots=True)
class PendingCause:
    """A trouble that waits for the verdict on a service it may come from. asked: when it first was asked about."""

    cause: str
    since: datetime
    asked: datetime
    dead: ServiceState | None = None


@dataclass(slots=True)
class ListedUnder:
    """A service that is not well because of `root`, and is listed in its incident."""

    root: str
    incident: int
    cause: str
    failed_at: datetime
    well: bool = False
    until: datetime | None = None
    """Once the root's incident is over: how long it may stay down before it gets one of its own."""
