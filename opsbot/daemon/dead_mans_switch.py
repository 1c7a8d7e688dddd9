"""The heartbeat: an outside dead-man's switch hears that all is well, as long as it is, and why not when it is not.

In the style of healthchecks.io ("Pinging API"): `URL/start`, `URL`, `URL/fail` with the reason as the body. Well means
that the vigil says so, and that people can be reached: Discord refuses nothing, is not away for LONG_AWAY, and no alarm
waits for UNHEARD. A shorter absence without an alarm is taken for Discord's own, and costs nobody anything: that the
switch is reached shows that this host's network works. An alarm that nobody hears is what the switch is there for, be
it Discord's fault or ours; a notifier beside Discord that took it counts as heard.
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
from opsbot.store.deliveries import Unheard
from opsbot.web.facts import Beats

log = logging.getLogger(__name__)

LIMIT_SECONDS = 10.0
LONG_AWAY = timedelta(hours=1)
"""From then on alerts have waited for so long that somebody should know."""
UNHEARD = timedelta(minutes=10)
"""So long an alarm may wait: longer than any reconnection and any limit of Discord's takes."""
BODY_MOST = 2000
_GOOD = range(200, 300)


def deaf(state: GatewayState, now: datetime) -> str:
    """Why people cannot be reached over Discord and somebody should know; "" where they can, or it will pass."""
    if state.link is Link.REFUSED:
        return f"Discord refuses opsbot: {state.problem}"
    if not state.connected and now - state.since >= LONG_AWAY:
        return f"Discord has been out of reach for {duration(now - state.since)}: alerts wait"
    return state.problem


def unheard_words(unheard: Unheard | None, now: datetime) -> str:
    """That an alarm has reached nobody, and which; "" where none waits for long."""
    if unheard is None or now - unheard.since < UNHEARD:
        return ""
    others = f", and {unheard.count - 1} more" if unheard.count > 1 else ""
    late = duration(now - unheard.since)
    return f"nobody could be told for {late} about {unheard.service}: {render(unheard.cause)}{others}"


class DeadMansSwitch:
    """Tells the switch, every so often."""

    def __init__(
        self,
        given: config.HeartbeatConfig,
        beats: Beats,
        trouble: Callable[[], Awaitable[Sequence[str]]],
        clock: Callable[[], datetime],
        redact: Callable[[str], str] = str,
        limit: float = LIMIT_SECONDS,
    ) -> None:
        """trouble: what is not well now, each in words. limit: seconds one request may take."""
        self._given = given
        self._beats = beats
        self._trouble = trouble
        self._clock = clock
        self._redact = redact
        self._limit = limit

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        if not self._beats.started:
            self._beats.started = await self._tell("start")
        while True:
            begun = loop.time()
            await self.beat()
            await asyncio.sleep(max(begun + self._given.interval.total_seconds() - loop.time(), 1.0))

    async def beat(self) -> bool:
        """Tell how things are, once; whether it was heard."""
        reasons = await self._trouble()
        return await self._tell("fail", "; ".join(reasons)) if reasons else await self._tell("")

    async def _tell(self, what: str, body: str = "") -> bool:
        try:
            async with asyncio.timeout(self._limit):
                failure = await self._ask(what, self._redact(body)[:BODY_MOST])
        except SecretMissingError as error:
            failure = str(error)
        except TimeoutError:
            failure = f"no answer in {self._limit:.3g} s"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            failure = self._redact(f"{type(error).__name__}: {error}")[:300]
        except Exception as error:
            # The edge: whatever goes wrong with one, the next one is told.
            log.exception("the heartbeat failed; it goes on")
            failure = type(error).__name__
        if failure:
            if failure != self._beats.failure:
                log.warning("the heartbeat was not heard: %s", failure)
            self._beats.failures += 1
        else:
            if self._beats.failure:
                log.info("the heartbeat is heard again")
            self._beats.sent += 1
            self._beats.told_at = self._clock()
        self._beats.failure = failure
        return not failure

    async def _ask(self, what: str, body: str) -> str:
        url = URL(await asyncio.to_thread(self._given.url.read))
        if what:
            url = url.with_path(f"{url.raw_path.rstrip('/')}/{what}", encoded=True, keep_query=True)
        # A session for each: one request a minute needs no kept connection, which would have to be watched as well.
        async with (
            aiohttp.ClientSession() as session,
            session.request("POST" if body else "GET", url, data=body.encode() or None) as answer,
        ):
            return "" if answer.status in _GOOD else f"the switch answered {answer.status}"
