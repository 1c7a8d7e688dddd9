"""What is known of the incidents of one subject: a service, or something of the host."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from opsbot.core.flapping import Flaps
from opsbot.core.message import Message, Param
from opsbot.core.model import Incident
from opsbot.services.port import ServiceState


@dataclass(slots=True)
class FlapState:
    """How often a subject changed of late. Written by `FlapDetector`; `IncidentTimeline` replaces it with the incident.

    While it flaps: healthy: whether it is at the moment; down_since, down_for: its downtime, as in `Incident`; causes:
    the kinds of causes that were reported (`opsbot.core.incident.same_kind`); written_at: since when the count is not
    as it is in the store, None where it is.
    """

    flaps: Flaps = field(default_factory=Flaps)
    healthy: bool = True
    down_since: datetime | None = None
    down_for: timedelta = timedelta(0)
    causes: set[tuple[str, Param]] = field(default_factory=set)
    written_at: datetime | None = None

    @property
    def active(self) -> bool:
        return self.flaps.flapping


@dataclass(frozen=True, slots=True)
class PendingCause:
    """A cause that waits for the verdict on a service it may come from. asked: when it first was asked about."""

    cause: Message
    since: datetime
    asked: datetime
    dead: ServiceState | None = None


@dataclass(slots=True)
class ListedUnder:
    """A service that is down because of `root`, and is listed in its incident."""

    root: str
    incident: int
    cause: Message
    failed_at: datetime
    recovered: bool = False
    until: datetime | None = None
    """Once the root's incident is over: how long it may stay down before it gets a separate one."""


@dataclass(slots=True)
class IncidentState:
    """The open incident of a subject, or what may become one. Written by `IncidentTimeline` and `IncidentManager`."""

    subject: str
    incident: Incident | None = None
    flapping: FlapState = field(default_factory=FlapState)
    pending: PendingCause | None = None
    under: ListedUnder | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def affected(self) -> bool:
        """Whether it has an incident, or is listed in another's as down."""
        return self.incident is not None or (self.under is not None and not self.under.recovered)
