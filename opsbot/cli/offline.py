"""Answers without a daemon: from its store, which outlives it however it died, and from the host.

The answers have the shapes of the control socket's, with `daemon` false. Health is what the daemon last knew; whether a
process lives is looked up now.
"""

import logging
import os
import socket
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from opsbot.cli.config_location import UsageError
from opsbot.config_file import ConfigError, load
from opsbot.control import endpoints, replies, shapes
from opsbot.control.endpoints import Endpoint
from opsbot.control.fields import BadInputError, Fields
from opsbot.control.shapes import AuditReply, HostReply, LogsReply, Snapshot, StatusReply, WindowsReply
from opsbot.control.snapshot import recent
from opsbot.core.exits import ExitCode
from opsbot.core.message import Message
from opsbot.core.subjects import is_host
from opsbot.core.windows import maintenance
from opsbot.engine.status import ServiceStatus, service_status
from opsbot.host.figures import host_figures
from opsbot.host.processes import ServiceMeter
from opsbot.messages import describe
from opsbot.redaction import Redactor
from opsbot.services.last_known import last_state, log_lines
from opsbot.services.port import LogQuery, ManagerError
from opsbot.store import StoreError, audit, boards, incident_repository, ledger, open_readonly

if TYPE_CHECKING:
    from opsbot.config import Config


T = TypeVar("T")


class NotAllowedError(Exception):
    """Only the owner of the store may see this without the daemon."""


class UnreadableError(Exception):
    """What the daemon left behind cannot be read; the text says why."""


class LastKnown:
    """Answers from the store and the host. Each method raises UnreadableError, and UsageError for what is not there."""

    def __init__(self, config_path: Path) -> None:
        """Read the configuration.

        Raises:
            UnreadableError: it cannot be used.
        """
        try:
            self.config: Config = load(config_path)
        except ConfigError as error:
            raise UnreadableError(str(error)) from error
        self._meter = ServiceMeter()

    @contextmanager
    def _store(self) -> Iterator[sqlite3.Connection]:
        path = self.config.state.database
        try:
            with closing(open_readonly(path)) as db:
                yield db
        except (StoreError, sqlite3.Error) as error:
            text = str(error) if isinstance(error, StoreError) else f"{path}: {error}"
            raise UnreadableError(f"the store cannot be read: {text}") from error

    def answer(self, endpoint: Endpoint[T], options: Mapping[str, object]) -> T:
        """Answer one of the endpoints that store and host know something about.

        Raises:
            UsageError: what was asked cannot be used.
        """
        names = list(self.config.services)
        answers: dict[Endpoint[Any], Callable[..., Any]] = {
            endpoints.STATUS: self.status,
            endpoints.HISTORY: self.history,
            endpoints.INCIDENTS: self.incidents,
            endpoints.WHY: self.why,
            endpoints.LOGS: self.logs,
            endpoints.AUDIT: self.audit,
            endpoints.WINDOWS: self.windows,
            endpoints.MONITOR: self.snapshot,
        }
        try:
            given = endpoint.read(Fields(options, datetime.now(UTC), lambda _: names))
            found = answers[endpoint](*given)
            return cast("T", found if isinstance(found, Snapshot) else replace(found, daemon=False))
        except (BadInputError, ManagerError, OSError) as error:
            raise UsageError(str(error)) from error

    def _names(self, service: str | None) -> list[str]:
        names = list(self.config.services)
        if service is not None and service not in names:
            raise UsageError(f"there is no service {service[:64]!r}. There are: {', '.join(names)}.")
        return names if service is None else [service]

    def _status(self, db: sqlite3.Connection, service: str) -> ServiceStatus:
        configured = self.config.services[service]
        state, now = last_state(self.config, configured), datetime.now(UTC)
        unavailable = state.exit if state.exit is not None and state.exit.code == ExitCode.STATE_UNAVAILABLE else None
        error = unavailable.params["error"] if unavailable is not None else ""
        stored = incident_repository.healths(db, service)
        found, listed = boards.kept(db, service, now), incident_repository.open_incidents(db)
        status = service_status(
            configured,
            state,
            found,
            listed,
            {check: health for (_, check), health in stored.items()},
            now,
            manager_error=error if isinstance(error, Message) else "",
            because_of=next((root for root, one in listed.items() if service in one.down_dependents), ""),
            is_running=False,
        )
        return replace(
            status,
            figures=self._meter.figures(state.pid, state.groups, state.started_at),
            last_deployment=found.latest,
            source=found.source if configured.source else None,
            auto=configured.source.auto if configured.source else False,
        )

    def status(self, service: str | None) -> StatusReply:
        names = self._names(service)
        with self._store() as db:
            return replies.status([self._status(db, name) for name in names])

    def history(self, service: str | None, limit: int) -> shapes.HistoryReply:
        self._names(service)
        with self._store() as db:
            found = ledger.deployments(db, service, limit), incident_repository.incidents(db, service, limit)
        return replies.history(found)

    def incidents(self, service: str | None, limit: int, still_open: bool) -> shapes.IncidentsReply:  # noqa: FBT001
        if service is not None and not is_host(service):
            self._names(service)
        with self._store() as db:
            return replies.incidents(incident_repository.incidents(db, service, limit, still_open=still_open))

    def audit(self, service: str | None, member: str | None, limit: int) -> AuditReply:
        """The audit log, for root and the owner of the store: nobody is there to ask for a rank.

        Raises:
            NotAllowedError: the caller is neither.
        """
        try:
            owner = self.config.state.database.stat().st_uid
        except OSError as error:
            raise UnreadableError(f"the store cannot be read: {error}") from error
        if os.geteuid() not in {0, owner}:
            raise NotAllowedError("without the daemon only root and the owner of the store may read the audit log")
        with self._store() as db:
            return AuditReply(audit.entries(db, service, member, limit))

    def logs(self, service: str, *query: Any) -> LogsReply:
        """Lines a service wrote, from the supervisor's own files or the journal."""
        self._names(service)
        try:
            lines = log_lines(self.config, self.config.services[service], LogQuery(*query))
        except (ManagerError, OSError) as error:
            raise UsageError(describe(error)) from error
        redact = self._redactor()
        return LogsReply(service, [replace(line, text=redact(line.text)) for line in lines])

    def _redactor(self) -> Redactor:
        from opsbot.daemon.wiring import known_secrets  # noqa: PLC0415 - brings the whole daemon, for this alone

        # The daemon's secrets are not this user's environment: nothing to warn of here.
        logging.getLogger("opsbot").addHandler(logging.NullHandler())
        return Redactor(known_secrets(self.config))

    def why(self, service: str) -> shapes.WhyReply:
        from opsbot.cli.offline_why import why  # noqa: PLC0415 - brings the watcher, for this alone

        self._names(service)
        lines = partial(log_lines, self.config, self.config.services[service])
        with self._store() as db:
            return why(db, service, last_state(self.config, self.config.services[service]), lines, self._redactor())

    def windows(self) -> WindowsReply:
        return WindowsReply(maintenance(self.config.windows, datetime.now(UTC)))

    def snapshot(self) -> Snapshot:
        now = datetime.now(UTC)
        status = self.status(None)
        paths = {self.config.state.directory, *(s.source.directory for s in self.config.services.values() if s.source)}
        figures = host_figures([path for path in sorted(paths) if path.exists()])
        with self._store() as db:
            host = HostReply(self.config.host or socket.gethostname(), figures)
            return Snapshot(now, None, host, status.services, *recent(db), None)
