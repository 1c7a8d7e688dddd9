"""Incidents whose subject is no service: of the host. They have no recovery ladder, and no checks of their own."""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from opsbot.core.model import Evidence, Incident
from opsbot.feed import Feed
from opsbot.store import Store, watchbook

log = logging.getLogger(__name__)


class Book(Protocol):
    """Where a trouble is written down; each change is told to the channel in its own transaction."""

    async def trouble(self, subject: str, cause: str, since: datetime, *, evidence: Evidence | None = None) -> None:
        """Open an incident; nothing where there is an open one."""

    async def note(self, subject: str, deed: str) -> None:
        """Add to the story of the open one."""

    async def end(self, subject: str, ended_by: str) -> None:
        """Close the open one."""


class HostBook:
    """The book of the host's incidents."""

    def __init__(self, store: Store, feed: Feed, clock: Callable[[], datetime]) -> None:
        """What is open is read from the store each time it is asked about: it seldom is."""
        self._store = store
        self._feed = feed
        self._clock = clock

    async def _open(self, subject: str) -> Incident | None:
        return (await self._store.read(watchbook.open_incidents)).get(subject)

    async def trouble(self, subject: str, cause: str, since: datetime, *, evidence: Evidence | None = None) -> None:
        """Open an incident and its alert, in one transaction."""
        if await self._open(subject) is not None:
            return
        draft = Incident(0, subject, cause, since, evidence or Evidence())
        opened = await self._store.write(watchbook.open_incident, draft)
        log.warning("%s: %s", subject, cause)
        self._feed.publish("incident", opened.id)
        self._feed.publish("notice")

    async def note(self, subject: str, deed: str) -> None:
        """Add a deed."""
        found = await self._open(subject)
        if found is not None:
            await self._store.write(watchbook.change_incident, found.id, self._clock(), deed=deed)
            self._feed.publish("incident", found.id)

    async def end(self, subject: str, ended_by: str) -> None:
        """Close it and tell it."""
        closed = await self._store.write(watchbook.close_incident, subject, ended_by, self._clock())
        if closed is not None:
            log.info("%s: incident %d is over: %s", subject, closed.id, ended_by)
            self._feed.publish("incident", closed.id)
            self._feed.publish("notice")
