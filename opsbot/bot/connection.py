"""The gateway connection, kept up however long Discord is away.

discord.py's own `Client.connect` waits up to 17 minutes between two tries after a long outage, since its back-off grows
to 2^10 s and is not reset by success (discord/backoff.py), and fails for good where Discord is away at the first try.
`connect` is a documented method of Client; this one keeps its protocol (RESUME wherever a session is known, IDENTIFY
where it was invalidated, an end at the close codes that no retry mends) with waits of its own:

- an established connection that is lost is resumed at once; further tries wait longer each, up to `retry_most`;
- every IDENTIFY is preceded by GET /gateway/bot, waits while none of the day's 1000 is left, and keeps 5 s from the
  last;
- a connection that falls again within seconds counts as a failed one, so no server can make us spin.

A connection without heartbeat acknowledgements (a zombie) is closed by discord.py's KeepAliveHandler after
`heartbeat_timeout`, and then resumed here like any other.
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

log = logging.getLogger(__name__)

FATAL = frozenset({4004, 4010, 4011, 4012, 4013, 4014})
"""Close codes that no retry mends: bad token, bad shard, bad version, bad or disallowed intents."""
LOST = (OSError, aiohttp.ClientError, TimeoutError, discord.HTTPException, discord.GatewayNotFound, discord.RateLimited)
RESUME_ADDRESS_TRIES = 3
"""So many failures in a row, and the address that READY gave for resuming is not trusted any more."""


@dataclass(frozen=True, slots=True)
class ConnectPace:
    """Seconds. retry: the first and the longest wait between two tries. refused: after an answer no retry mends.

    identify: between two IDENTIFYs (Discord: one in 5 s). invalidated: the longest wait after a session was invalidated
    (Discord: 1 to 5 s at random). healthy: a connection that lasted so long did not fail. connect: limit of one try.
    """

    retry_first: float = 0.5
    retry_most: float = 15.0
    refused: float = 300.0
    identify: float = 5.0
    invalidated: float = 5.0
    healthy: float = 10.0
    connect: float = 25.0

    def wait(self, failures: int) -> float:
        """Before the try after so many failures in a row: doubled each time, and a random half less, so that many bots
        that lost the same Discord do not come back in the same second.
        """
        if failures <= 0:
            return 0.0
        most: float = min(self.retry_first * 2 ** min(failures - 1, 20), self.retry_most)
        return most * random.uniform(0.5, 1.0)  # noqa: S311 - no secret


class Socket(DiscordWebSocket):
    """Stamps a heartbeat before it is sent.

    discord.py stamps it after: an answer that is faster than its thread is then measured against the heartbeat before,
    41 s ago, and told as "can't keep up".
    """

    async def send_heartbeat(self, data: Any) -> None:
        """Stamp it, and send it."""
        if self._keep_alive is not None:
            self._keep_alive.beat()
        await super().send_heartbeat(data)


class PatientBot(commands.Bot):
    """A bot that never gives up its connection, except where Discord says that no retry mends it."""

    pace: ConnectPace = ConnectPace()
    on_trouble: Callable[[str], None] = staticmethod(lambda _: None)
    on_rest: Callable[[bool], None] = staticmethod(lambda _: None)
    """Told whether REST answered when the gateway's address was asked for."""
    _identified = -1e9

    async def connect(self, *, reconnect: bool = True) -> None:
        """Stay connected until closed.

        Raises:
            discord.ConnectionClosed: with one of the FATAL codes.
            discord.PrivilegedIntentsRequired: the application lacks an intent.
        """
        failures, resume = 0, False
        while not self.is_closed():
            began = time.monotonic()
            try:
                self.ws = await self._open(resume=resume, failures=failures)
                resume = True
                while True:
                    await self.ws.poll_event()
            except ReconnectWebSocket as closed:
                resume = closed.resume
                log.info("the gateway asks to %s", closed.op)
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
            failures = 0 if time.monotonic() - began >= self.pace.healthy else failures + 1
            # The first try after a loss comes at once: most often only the connection was cut.
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
        await asyncio.sleep(self._identified + self.pace.identify - time.monotonic())
        async with asyncio.timeout(self.pace.connect):
            PatientBot._identified = time.monotonic()
            return await Socket.from_client(self, gateway=address, initial=before is None)

    def unanswered_seconds(self) -> float:
        """By how much the answer to a heartbeat is overdue; 0 where none is.

        discord.py tells a heartbeat's latency only once it was answered, so its own marks are read here.
        """
        socket: DiscordWebSocket | None = self.ws
        beat = None if socket is None else socket._keep_alive  # noqa: SLF001 - see above
        if beat is None:
            return 0.0
        late = time.perf_counter() - beat._last_ack - (beat.interval or 0.0)  # noqa: SLF001 - likewise
        return max(late, 0.0)

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        """Nothing: the library's own sleeps 5 s before every IDENTIFY but the first; `_open` has waited what is due."""

    async def _address(self, *, identify: bool = False) -> yarl.URL:
        """Where the gateway is; for an IDENTIFY only once one is left. On overrun Discord resets the token."""
        while True:
            try:
                async with asyncio.timeout(self.pace.connect):
                    _, url, limit = await self.http.get_bot_gateway()
            except LOST:
                self.on_rest(False)  # noqa: FBT003 - a callback's one argument
                raise
            self.on_rest(True)  # noqa: FBT003 - likewise
            if not identify or limit["remaining"] > 0:
                return yarl.URL(url)
            wait = max(limit["reset_after"] / 1000, 1.0)
            log.error("Discord lets this bot start no more sessions for %.0f s: something restarts it too often", wait)
            self.on_trouble(f"no session starts left; the next in {wait:.0f} s")
            await asyncio.sleep(wait)
