"""Client for Discord's REST API that also measures latency and clock skew."""

import socket
import ssl
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Self

import aiohttp

from opsbot import __version__

OFFICIAL = "https://discord.com/api/v10"
AGENT = f"DiscordBot (https://github.com/example/opsbot, {__version__})"
SECONDS = 8.0


class UnreachableError(Exception):
    """No answer was received. `fix` is the suggested remedy."""

    def __init__(self, text: str, fix: str) -> None:
        super().__init__(text)
        self.fix = fix


@dataclass(frozen=True, slots=True)
class ApiAnswer:
    """One answer.

    body: decoded JSON, None if it is not JSON. seconds: latency. ahead: this host's clock minus the server's, in
    seconds; None if the server sends no Date header.
    """

    status: int
    body: Any
    seconds: float
    ahead: float | None

    @property
    def fine(self) -> bool:
        return 200 <= self.status < 300  # noqa: PLR2004 - HTTP's successes

    @property
    def code(self) -> int:
        """Discord's error code, 0 if there is none."""
        found = self.body.get("code") if isinstance(self.body, dict) else None
        return found if isinstance(found, int) else 0

    @property
    def text(self) -> str:
        said = self.body.get("message") if isinstance(self.body, dict) else None
        return f"HTTP {self.status}" + (f": {said}" if isinstance(said, str) else "")


class Api:
    """Session of one bot user. Use as a context manager."""

    def __init__(self, url: str | None, token: str | None) -> None:
        """url: base URL of the API, Discord's if None. token: None for requests without a login."""
        self.url = (url or OFFICIAL).rstrip("/")
        self._headers = {"User-Agent": AGENT} | ({"Authorization": f"Bot {token}"} if token else {})
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(headers=self._headers, timeout=aiohttp.ClientTimeout(total=SECONDS))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def get(self, path: str) -> ApiAnswer:
        """Send a GET request.

        Raises:
            UnreachableError: no answer was received.
        """
        if self._session is None:
            raise UnreachableError("the session is not open", "Use Api as a context manager")
        began, at = time.monotonic(), datetime.now(UTC)
        try:
            async with self._session.get(self.url + path) as response:
                took = time.monotonic() - began
                ahead = _ahead(response.headers.get("Date", ""), at, took)
                try:
                    body = await response.json(content_type=None)
                except (ValueError, UnicodeDecodeError):
                    body = None
                return ApiAnswer(response.status, body, took, ahead)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise _unreachable(error, self.url) from error


def _ahead(date: str, sent: datetime, took: float) -> float | None:
    """Compute this host's clock skew.

    The server's time has whole seconds and lies between request and answer.
    """
    try:
        theirs = parsedate_to_datetime(date)
    except (TypeError, ValueError):
        return None
    if theirs.tzinfo is None:
        return None
    return sent.timestamp() + took / 2 - (theirs.timestamp() + 0.5)


def _unreachable(error: Exception, url: str) -> UnreachableError:
    host = url.split("/")[2]
    reason = getattr(error, "os_error", error)
    if isinstance(error, aiohttp.ClientConnectorCertificateError | ssl.SSLError) or isinstance(reason, ssl.SSLError):
        text = f"the certificate of {host} is not accepted: {reason}"
        return UnreachableError(text, "Check this host's clock (timedatectl) and its CA certificates (ca-certificates)")
    if isinstance(error, aiohttp.ClientConnectorDNSError) or isinstance(reason, socket.gaierror):
        return UnreachableError(f"{host} cannot be resolved", f"Check /etc/resolv.conf; try: getent hosts {host}")
    if isinstance(error, TimeoutError):
        return UnreachableError(f"{host} did not answer in {SECONDS:.0f} s", f"Try: curl -m 10 -sv {url}/gateway")
    said = reason.strerror if isinstance(reason, OSError) and reason.strerror else type(error).__name__
    return UnreachableError(f"{host}: {said}", f"Check the firewall for outgoing HTTPS; try: curl -sv {url}/gateway")
