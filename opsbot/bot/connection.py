"""The gateway connection, kept up through outages of any length.

discord.py's own `Client.connect` waits up to 17 minutes between attempts after a long outage, because its back-off
grows
to 2^10 s and is not reset by success (discord/backoff.py), and it gives up if Discord is unavailable at the first
attempt. `connect` is a documented method of Client. This version keeps its protocol (RESUME if a session is known,
IDENTIFY after an invalidation, failure on fatal close codes) but uses its own waiting times:

- a lost connection is resumed immediately; further attempts wait increasingly longer, up to `retry_most`;
- every IDENTIFY is preceded by GET /gateway/bot, waits if none of the day's 1000 is left, and keeps 5 s distance from
  the previous one;
- a connection that is lost again within seconds counts as failed, so no server can cause a busy loop.

discord.py's KeepAliveHandler closes a connection without heartbeat acknowledgements (a zombie) after
`heartbeat_timeout`; it is then resumed like any other.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
import discord
import yarl
from discord.ext import commands
from discord.gateway import DiscordWebSocket, ReconnectWebSocket

from opsbot.runtime.ticks import loop_time

log = logging.getLogger(__name__)

FATAL = frozenset({4004, 4010, 4011, 4012, 4013, 4014})
"""Close codes that make retrying useless: bad token, bad shard, bad version, bad or disallowed intents."""
LOST = (OSError, aiohttp.ClientError, TimeoutError, discord.HTTPException, discord.GatewayNotFound, discord.RateLimited)
RESUME_ADDRESS_TRIES = 3
"""After this many consecutive failures the resume address from READY is no longer used."""


@dataclass(frozen=True, slots=True)
class ConnectPace:
    """Waiting times in seconds.

    retry_first, retry_most: the first and longest wait between attempts. refused: after a fatal answer.
    identify: between two IDENTIFYs (Discord: one in 5 s). invalidated: the longest wait after a session was invalidated
    (Discord: 1 to 5 s at random). healthy: a connection that lasted this long did not fail. connect: time limit of one
    attempt.
    """

    retry_first: float = 0.5
    retry_most: float = 15.0
    refused: float = 300.0
    identify: float = 5.0
    invalidated: float = 5.0
    healthy: float = 10.0
    connect: float = 25.0

    def wait(self, failures: int) -> float:
        """Return the wait before the next attempt: doubled after each failure.

        Up to half of it is randomly subtracted, so that bots that lost the same Discord do not reconnect
        simultaneously.
        """
        if failures <= 0:
            return 0.0
        most: float = min(self.retry_first * 2 ** min(failures - 1, 20), self.retry_most)
        return most * random.uniform(0.5, 1.0)  # noqa: S311 - no secret


class Socket(DiscordWebSocket):
    """Gateway socket that stamps a heartbeat before sending it.

    discord.py stamps it afterwards. An answer faster than its thread is then measured against the previous
    heartbeat, 41 s earlier, and reported as "can't keep up".
    """

    async def send_heartbeat(self, data: Any) -> None:
        if self._keep_alive is not None:
            self._keep_alive.beat()
        await super().send_heartbeat(data)


class PatientBot(commands.Bot):
    """A bot that reconnects until closed, except after fatal close codes."""

    pace: ConnectPace = ConnectPace()
    on_problem: Callable[[str], None] = staticmethod(lambda _: None)
    on_rest: Callable[[bool], None] = staticmethod(lambda _: None)
    """Called with whether REST answered the request for the gateway's address."""
    _identified = -1e9

    async def connect(self, *, reconnect: bool = True) -> None:
        """Stay connected until closed.

        Raises:
            discord.ConnectionClosed: with one of the FATAL codes.
            discord.PrivilegedIntentsRequired: the application lacks an intent.
        """
        failures, resume = 0, False
        while not self.is_closed():
            began = loop_time()
            try:
                self.ws = await self._open(resume=resume, failures=failures)
                resume = True
                while True:
                    await self.ws.poll_event()
            except ReconnectWebSocket as closed:
                resume = closed.resume
                log.info("the gateway requests: %s", closed.op)
                if not resume:
                    await asyncio.sleep(random.uniform(0.2, 1.0) * self.pace.invalidated)  # noqa: S311 - no secret
            except discord.ConnectionClosed as closed:
                self._raise_fatal(closed)
                log.warning("the gateway closed the connection: %s", closed)
            except LOST as error:
                log.warning("no connection to the gateway: %r", error)
            self.dispatch("disconnect")
            if not reconnect:
                return
            failures = 0 if loop_time() - began >= self.pace.healthy else failures + 1
            # Retry at once after a loss: usually only the connection was cut.
            await asyncio.sleep(self.pace.wait(failures - 1))

    def _raise_fatal(self, closed: discord.ConnectionClosed) -> None:
        if closed.code == 4014:  # noqa: PLR2004 - Discord's "disallowed intent"
            raise discord.PrivilegedIntentsRequired(closed.shard_id) from closed
        if closed.code in FATAL:
            raise closed

    async def _open(self, *, resume: bool, failures: int) -> DiscordWebSocket:
        before: DiscordWebSocket | None = self.ws
        if resume and before is not None and before.session_id is not None:
            address = before.gateway if failures < RESUME_ADDRESS_TRIES else await self._address()
            async with asyncio.timeout(self.pace.connect):
                return await Socket.from_client(
                    self, gateway=address, session=before.session_id, sequence=before.sequence, resume=True
                )
        address = await self._address(identify=True)
        # At most so long: an earlier loop of this process may have had another clock.
        await asyncio.sleep(min(self._identified + self.pace.identify - loop_time(), self.pace.identify))
        async with asyncio.timeout(self.pace.connect):
            PatientBot._identified = loop_time()
            return await Socket.from_client(self, gateway=address, initial=before is None)

    def unanswered_seconds(self) -> float:
        """Return how many seconds a heartbeat acknowledgement is overdue, 0 if it is not.

        discord.py reports the latency only after the acknowledgement, so its internal timestamps are read here.
        """
        socket: DiscordWebSocket | None = self.ws
        beat = None if socket is None else socket._keep_alive  # noqa: SLF001 - see above
        if beat is None:
            return 0.0
        late = time.perf_counter() - beat._last_ack - (beat.interval or 0.0)  # noqa: SLF001 - see above
        return max(late, 0.0)

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        """Do nothing: the library would sleep 5 s before every IDENTIFY but the first.

        `_open` has already waited.
        """

    async def _address(self, *, identify: bool = False) -> yarl.URL:
        """Return the gateway's address; before an IDENTIFY, wait for a session start.

        Discord resets the token on overrun.
        """
        while True:
            try:
                async with asyncio.timeout(self.pace.connect):
                    _, url, limit = await self.http.get_bot_gateway()
            except LOST:
                self.on_rest(False)  # noqa: FBT003 - a callback's one argument
                raise
            self.on_rest(True)  # noqa: FBT003 - a callback's one argument
            if not identify or limit["remaining"] > 0:
                return yarl.URL(url)
            wait = max(limit["reset_after"] / 1000, 1.0)
            log.error("no session starts left for %.0f s: this bot is restarted too often", wait)
            self.on_problem(f"no session starts left; next one in {wait:.0f} s")
            await asyncio.sleep(wait)
