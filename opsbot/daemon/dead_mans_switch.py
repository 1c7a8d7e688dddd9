"""Ping an external dead-man's switch with opsbot's health.

Follows healthchecks.io ("Pinging API"): `URL/start`, `URL`, `URL/fail` with the reasons as the body. Healthy means
that the watchdog is content and that people can be reached: Discord does not reject opsbot, has not been unavailable
for LONG_AWAY, and no alert has been unsent for UNHEARD. A shorter outage without an alert is considered Discord's and
not reported: reaching the switch proves that this host's network works. An alert that nobody receives is what the
switch exists for, whoever is at fault; delivery by a notifier other than Discord counts.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta

import aiohttp
from yarl import URL

from opsbot import config
from opsbot.bot.link import GatewayState, Link
from opsbot.config import SecretMissingError
from opsbot.formatting import duration
from opsbot.messages import render
from opsbot.store.deliveries import UndeliveredAlerts
from opsbot.web.facts import HeartbeatStatus

log = logging.getLogger(__name__)

LIMIT_SECONDS = 10.0
LONG_AWAY = timedelta(hours=1)
"""From then on alerts have been waiting long enough to report."""
UNHEARD = timedelta(minutes=10)
"""The longest time an alert may wait; longer than reconnections and rate limits of Discord."""
BODY_MOST = 2000
_GOOD = range(200, 300)


def unreachable_reason(state: GatewayState, now: datetime) -> str:
    """Return why people cannot be reached over Discord; "" if they can or soon may."""
    if state.link is Link.REFUSED:
        return f"Discord rejects opsbot: {state.problem}"
    if not state.connected and now - state.since >= LONG_AWAY:
        return f"Discord has been unavailable for {duration(now - state.since)}; alerts are waiting"
    return state.problem


def undelivered_reason(unheard: UndeliveredAlerts | None, now: datetime) -> str:
    """Return which alert has reached nobody; "" if none has been waiting for long."""
    if unheard is None or now - unheard.since < UNHEARD:
        return ""
    others = f", and {unheard.count - 1} more" if unheard.count > 1 else ""
    late = duration(now - unheard.since)
    return f"alert about {unheard.service} undelivered for {late}: {render(unheard.cause)}{others}"


class DeadMansSwitch:
    """Pings the switch at the configured interval."""

    def __init__(
        self,
        given: config.HeartbeatConfig,
        beats: HeartbeatStatus,
        problems: Callable[[], Awaitable[Sequence[str]]],
        clock: Callable[[], datetime],
        redact: Callable[[str], str] = str,
        limit: float = LIMIT_SECONDS,
    ) -> None:
        """problems: returns current ones. limit: seconds for one request."""
        self._given = given
        self._beats = beats
        self._problems = problems
        self._clock = clock
        self._redact = redact
        self._limit = limit

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        if not self._beats.started:
            self._beats.started = await self._ping("start")
        while True:
            begun = loop.time()
            await self.beat()
            await asyncio.sleep(max(begun + self._given.interval.total_seconds() - loop.time(), 1.0))

    async def beat(self) -> bool:
        reasons = await self._problems()
        return await self._ping("fail", "; ".join(reasons)) if reasons else await self._ping("")

    async def _ping(self, what: str, body: str = "") -> bool:
        try:
            async with asyncio.timeout(self._limit):
                failure = await self._request(what, self._redact(body)[:BODY_MOST])
        except SecretMissingError as error:
            failure = str(error)
        except TimeoutError:
            failure = f"no answer in {self._limit:.3g} s"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            failure = self._redact(f"{type(error).__name__}: {error}")[:300]
        except Exception as error:
            # Boundary: whatever fails in one ping, the next is still sent.
            log.exception("the heartbeat failed; it will be sent again")
            failure = type(error).__name__
        if failure:
            if failure != self._beats.failure:
                log.warning("the heartbeat failed: %s", failure)
            self._beats.failures += 1
        else:
            if self._beats.failure:
                log.info("the heartbeat works again")
            self._beats.sent += 1
            self._beats.last_sent = self._clock()
        self._beats.failure = failure
        return not failure

    async def _request(self, what: str, body: str) -> str:
        url = URL(await asyncio.to_thread(self._given.url.read))
        if what:
            url = url.with_path(f"{url.raw_path.rstrip('/')}/{what}", encoded=True, keep_query=True)
        # A session per request: one request a minute needs no persistent connection to monitor.
        async with (
            aiohttp.ClientSession() as session,
            session.request("POST" if body else "GET", url, data=body.encode() or None) as answer,
        ):
            return "" if answer.status in _GOOD else f"the switch answered {answer.status}"
