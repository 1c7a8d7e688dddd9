"""CertificateMonitor: asks each server now and then for its certificate, and reports those that expire soon.

One that cannot be had raises nothing here: whether a server answers is what the checks of services are for.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from opsbot.config import CheckKind, Config
from opsbot.core.gauge import HOST
from opsbot.core.incident import IncidentCause, Resolution
from opsbot.core.message import message, plain
from opsbot.core.model import ADVICE, Evidence
from opsbot.host.certificates import CertificateError, Server, expiry
from opsbot.monitoring.host_incidents import HostIncidents
from opsbot.store import Store, incident_repository

log = logging.getLogger(__name__)

EVERY = timedelta(hours=6)
_AT_A_TIME = 4
_PREFIX = f"{HOST}cert:"
MEND = (
    "Renew it, and have the server load it (`certbot renew`, then reload the server). What renews it by itself has "
    "failed by now: its log says why."
)


def servers_of(config: Config) -> list[Server]:
    """Whose certificates are watched: those of the https checks, and those that are named; each once."""
    found = []
    for service in config.services.values():
        for check in service.checks:
            url = urlsplit(check.url)
            if check.kind is CheckKind.HTTP and url.scheme == "https" and url.hostname:
                found.append(Server(url.hostname, url.port or 443))
    found += [Server(host, port) for host, port in config.host_checks.certificates]
    return list(dict.fromkeys(found))


class CertificateMonitor:
    """Watches the certificates of some servers."""

    def __init__(
        self,
        config: Config,
        store: Store,
        book: HostIncidents,
        clock: Callable[[], datetime],
        ask: Callable[[Server], Awaitable[datetime]] = expiry,
    ) -> None:
        """ask: when the server's certificate expires."""
        self._before = config.host_checks.certificate
        self._servers = servers_of(config) if self._before else []
        self._store = store
        self._book = book
        self._clock = clock
        self._ask = ask
        self._room = asyncio.Semaphore(_AT_A_TIME)
        self.expires: dict[str, datetime] = {}
        """By server, as it last said."""

    async def ask_all(self) -> None:
        incidents = await self._store.read(incident_repository.open_incidents)
        watched = {f"{_PREFIX}{server}" for server in self._servers}
        for subject in incidents:
            if subject.startswith(_PREFIX) and subject not in watched:
                await self._book.end(subject, message(Resolution.NOT_WATCHED))
        await asyncio.gather(*(self._ask_one(server, f"{_PREFIX}{server}" in incidents) for server in self._servers))

    async def _ask_one(self, server: Server, known: bool) -> None:  # noqa: FBT001 - called above alone
        try:
            async with self._room:
                expires = await self._ask(server)
        except CertificateError as error:
            log.info("%s", error)
            return
        self.expires[str(server)] = expires
        now, subject = self._clock(), f"{_PREFIX}{server}"
        left = expires - now
        if left > self._before:
            if known:
                await self._book.end(subject, message(Resolution.CERTIFICATE, left=left))
        elif not known:
            cause = message(IncidentCause.CERTIFICATE, server=str(server), expires=expires)
            await self._book.trouble(subject, cause, now, evidence=Evidence(checks=((ADVICE, plain(MEND)),)))
