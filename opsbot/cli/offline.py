"""What can be told without a daemon: from its store, which outlives it however it died, and from the host.

The answers have the shapes of the control socket's, with `daemon` false. Health is what the daemon last knew; whether a
process lives is looked up now.
"""

import logging
import os
import socket
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from opsbot.cli.config_location import UsageError
from opsbot.config_file import ConfigError, load
from opsbot.control import replies
from opsbot.control.fields import LINES, BadInputError, Fields
from opsbot.control.shapes import (
    Audit,
    History,
    Incidents,
    Logs,
    NoticeReply,
    Snapshot,
    Status,
    WhyReply,
    WindowsReply,
)
from opsbot.control.snapshot import ALERTS, DEPLOYMENTS, troubles
from opsbot.core.health import CheckHealth, overall
from opsbot.core.model import Dependent, Notification
from opsbot.core.subjects import is_host
from opsbot.core.windows import maintenance
from opsbot.engine.status import ServiceStatus
from opsbot.host.figures import host_figures
from opsbot.host.processes import service_figures
from opsbot.messages import describe
from opsbot.redaction import Redactor
from opsbot.services.last_known import last_state, log_lines
from opsbot.services.port import LogQuery, ManagerError
from opsbot.store import StoreError, audit, incident_repository, ledger, open_readonly, outbox

if TYPE_CHECKING:
    from opsbot.config import Config


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

    @contextmanager
    def _store(self) -> Iterator[sqlite3.Connection]:
        path = self.config.state.database
        try:
            with closing(open_readonly(path)) as db:
                yield db
        except (StoreError, sqlite3.Error) as error:
            text = str(error) if isinstance(error, StoreError) else f"{path}: {error}"
            raise UnreadableError(f"the store cannot be read: {text}") from error

    def one_service(self, service: str | None) -> str:
        """The service meant, the only one where none is named.

        Raises:
            UsageError: there is no such service, or several and none is named.
        """
        names = list(self.config.services)
        if service is None and len(names) == 1:
            return names[0]
        if service is None:
            raise UsageError(f"say which service: {', '.join(names)}")
        self._names(service)
        return service

    def _names(self, service: str | None) -> list[str]:
        names = list(self.config.services)
        if service is not None and service not in names:
            raise UsageError(f"there is no service {service[:64]!r}. There are: {', '.join(names)}.")
        return names if service is None else [service]

    def _status(self, db: sqlite3.Connection, service: str) -> ServiceStatus:
        state = last_state(self.config, self.config.services[service])
        kept = incident_repository.healths(db, service)
        checks = [(c.name, kept.get((service, c.name), CheckHealth())) for c in self.config.services[service].checks]
        live = ledger.live(db, service)
        latest = ledger.latest(db, service)
        source = self.config.services[service].source
        listed = incident_repository.open_incidents(db)
        return ServiceStatus(
            service,
            state,
            overall([health.verdict for _, health in checks]),
            tuple(checks),
            figures=service_figures(state.pid, state.groups, state.started_at) if state.pid else None,
            live=live,
            release=next((r for r in ledger.releases(db, service) if live and r.name == live.release), None),
            deploying=latest if latest is not None and not latest.finished else None,
            last_deployment=latest,
            hold=ledger.hold(db, service),
            silence=incident_repository.silence(db, service, datetime.now(UTC)),
            incident=listed.get(service),
            source=incident_repository.source(db, service) if source else None,
            auto=source.auto if source else False,
            because_of=next(
                (root for root, one in listed.items() if any(_ill(each, service) for each in one.dependents)), ""
            ),
        )

    def status(self, service: str | None) -> Status:
        """How the services stand."""
        names = self._names(service)
        with self._store() as db:
            return replies.status([self._status(db, name) for name in names], daemon=False)

    def history(self, service: str | None, limit: int) -> History:
        """Deployments and incidents."""
        self._names(service)
        with self._store() as db:
            return replies.history(
                ledger.deployments(db, service, limit), incident_repository.incidents(db, service, limit), daemon=False
            )

    def incidents(self, service: str | None, limit: int, *, still_open: bool) -> Incidents:
        """Incidents."""
        if service is not None and not is_host(service):
            self._names(service)
        with self._store() as db:
            found = incident_repository.incidents(db, service, limit, still_open=still_open)
            return replies.incidents(found, daemon=False)

    def audit(self, service: str | None, member: str | None, limit: int) -> Audit:
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
            return replies.audit(audit.entries(db, service, member, limit), daemon=False)

    def logs(self, asked: Mapping[str, object]) -> Logs:
        """Lines a service wrote, from the supervisor's own files or the journal. `asked`: as the socket takes it.

        Raises:
            UsageError: what was asked cannot be used, or the log cannot be read.
        """
        try:
            given = Fields({name: value for name, value in asked.items() if value is not None})
            service = self.one_service(given.text("service"))
            since = given.moment("since", datetime.now(UTC))
            lines_wanted, this_run = given.number("lines", 50, LINES), given.flag("this_run")
            query = LogQuery(lines_wanted, since, given.level(), given.grep(), this_run=this_run)
            lines = log_lines(self.config, self.config.services[service], query)
        except (BadInputError, ManagerError, OSError) as error:
            raise UsageError(describe(error)) from error
        redact = self._redactor()
        clean = [replace(line, text=redact(line.text)) for line in lines]
        return replies.logs(service, clean, daemon=False)

    def _redactor(self) -> Redactor:
        from opsbot.daemon.wiring import known_secrets  # noqa: PLC0415 - brings the whole daemon, for this alone

        # The daemon's secrets are not this user's environment: nothing to warn of here.
        logging.getLogger("opsbot").addHandler(logging.NullHandler())
        return Redactor(known_secrets(self.config))

    def why(self, service: str | None) -> WhyReply:
        """Why a service stands as it does, as far as it was written down."""
        from opsbot.cli.offline_why import why  # noqa: PLC0415 - brings the watcher, for this alone

        name = self.one_service(service)
        lines = partial(log_lines, self.config, self.config.services[name])
        with self._store() as db:
            return why(db, name, last_state(self.config, self.config.services[name]), lines, self._redactor())

    def windows(self) -> WindowsReply:
        """The maintenance windows: the configuration alone tells."""
        return replies.maintenance(maintenance(self.config.windows, datetime.now(UTC)), daemon=False)

    def snapshot(self) -> Snapshot:
        """All that the dashboard shows."""
        now = datetime.now(UTC)
        status = self.status(None)
        paths = {self.config.state.directory, *(s.source.directory for s in self.config.services.values() if s.source)}
        figures = host_figures([path for path in sorted(paths) if path.exists()])
        with self._store() as db:
            return {
                "at": replies.iso(now),
                "daemon": None,
                "host": replies.host_reply(figures, self.config.host or socket.gethostname()),
                "healthy": status["healthy"],
                "services": status["services"],
                "deployments": [replies.deployment_reply(one) for one in ledger.deployments(db, None, DEPLOYMENTS)],
                "alerts": [_alert(db, notice) for notice in troubles(outbox.recent(db, ALERTS * 4))],
                "gateway": None,
            }


def _ill(one: Dependent, service: str) -> bool:
    return one.service == service and one.well_at is None


def _alert(db: sqlite3.Connection, notice: Notification) -> NoticeReply:
    about = notice.subject is not None and notice.kind in {"incident", "recovered", "call"}
    return replies.notice_reply(notice, incident_repository.incident(db, notice.subject or 0) if about else None)
