"""Gathers what `/why` is answered from: the store, what the service's manager said, and its state."""

import logging
import sqlite3
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from opsbot.core.journal_reasons import PATTERN
from opsbot.core.message import redacted
from opsbot.core.model import Incident
from opsbot.core.recovery import AttemptBy
from opsbot.core.root_cause import AROUND, RootCauseFacts
from opsbot.services.port import Activity, LogLine, LogQuery, ManagerError, ServiceState, known_or
from opsbot.store import audit, incident_queries, incident_repository, ledger

log = logging.getLogger(__name__)

BEFORE = timedelta(days=1)
LINES = 400

P = ParamSpec("P")
T = TypeVar("T")


class RootCauseSources(Protocol):
    """The store, of a daemon or of one that is not running any more."""

    async def read(
        self, query: Callable[Concatenate[sqlite3.Connection, P], T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a function that only reads."""


class ManagerLog(Protocol):
    """What a service's manager knows, or what can be read where no manager runs."""

    async def state(self, service: str) -> ServiceState:
        """Its state."""

    async def logs(self, service: str, query: LogQuery) -> Sequence[LogLine]:
        """What it wrote, and its manager of it."""


async def facts(
    store: RootCauseSources, manager: ManagerLog, service: str, now: datetime, redact: Callable[[str], str]
) -> RootCauseFacts:
    """Everything known that may explain the state of a service. What cannot be read is left out, and logged."""
    own, root, before = await _incidents(store, service)
    began = own.opened_at if own is not None else root.opened_at if root is not None else now
    state = await known_or(manager.state(service), Activity.FAILED)
    return RootCauseFacts(
        service,
        now,
        own,
        root,
        before,
        await store.read(ledger.deployments, service, 10),
        await store.read(audit.human_actions, service, began - BEFORE),
        await _said(manager, service, now - BEFORE if state.stopped_by_hand else began - AROUND, redact),
        running=state.activity in {Activity.RUNNING, Activity.STARTING},
        stopped_by_hand=state.stopped_by_hand,
        started_at=state.started_at,
        exit=None if state.exit is None else redacted(state.exit, redact),
        restarts=await _restarts(store, root if root is not None else own),
    )


async def _restarts(store: RootCauseSources, incident: Incident | None) -> tuple[datetime, ...]:
    """When opsbot restarted the service since its incident began."""
    if incident is None:
        return ()
    before = incident.opened_at - timedelta(microseconds=1)
    return await store.read(incident_repository.recoveries, incident.service, before, AttemptBy.OPSBOT)


async def _incidents(store: RootCauseSources, service: str) -> tuple[Incident | None, Incident | None, Incident | None]:
    """Its latest own incident, the one it was part of, and the one it was listed in when it began.

    Of an incident that was another's alone, only that.
    """
    found = await store.read(incident_queries.concerning, service, 2)
    if not found:
        return None, None, None
    own = found[0]
    if own.service != service:
        return None, own, None
    root = await store.read(incident_repository.incident, own.part_of) if own.part_of is not None else None
    return own, root, next((one for one in found[1:] if root is None and _began_in(own, one)), None)


def _began_in(own: Incident, other: Incident) -> bool:
    """Whether an incident went on after the end of the other, which lists its service as down."""
    return other.service != own.service and any(
        one.service == own.service and one.well_at is None and one.failed_at == own.opened_at
        for one in other.dependents
    )


async def _said(
    manager: ManagerLog, service: str, since: datetime, redact: Callable[[str], str]
) -> list[tuple[datetime, str]] | None:
    try:
        lines = await manager.logs(service, LogQuery(LINES, since=since, grep=PATTERN))
    except ManagerError as error:
        log.warning("%s: what its manager said cannot be read: %s", service, error)
        return None
    return [(line.at, redact(line.text)[:300]) for line in lines if line.manager]
