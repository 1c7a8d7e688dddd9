"""Log in and stay connected, with a new client after each failure."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

import discord

from opsbot.bot.client import OpsBot
from opsbot.bot.connection import LOST, ConnectPace
from opsbot.bot.link import Link, Reporter
from opsbot.bot.presence_events import PRESENCE_REFUSED
from opsbot.monitoring.presence_cache import PresenceCache

log = logging.getLogger(__name__)

LOGIN_SECONDS = 60.0
CLOSE_SECONDS = 4.0
AUTHENTICATION_FAILED = 4004
BAD_TOKEN = "Discord rejects the bot token; replace it where the configuration reads it"  # noqa: S105 - no token
BAD_INTENT = "Discord rejects an intent (4014), although opsbot requires no privileged one"
LATENCY_SECONDS = 15.0
LATE_SECONDS = 10.0
"""After this long without acknowledgement the connection is considered a zombie."""


class LoginLoop:
    """Runs one login after another and provides the current client."""

    def __init__(
        self, token: str, reporter: Reporter, pace: ConnectPace, presence_cache: PresenceCache | None = None
    ) -> None:
        self._token = token
        self._reporter = reporter
        self._pace = pace
        self._presence_cache = presence_cache
        self._failures = 0
        self._bot: OpsBot | None = None

    def client(self) -> OpsBot | None:
        return self._bot

    async def stay(self, make: Callable[[], OpsBot]) -> None:
        """Log in again after each failure, until cancelled."""
        while True:
            bot = make()
            try:
                wait = await self._session(bot)
            except Exception:
                # Boundary: a bug in the library or here must not disconnect opsbot permanently.
                self._failures += 1
                wait = max(self._pace.wait(self._failures + 2), 1.0)
                self._reporter.link(Link.AWAY)
                log.exception("the connection to Discord failed; reconnecting in %.1f s", wait)
            finally:
                self._bot = None
                await _close(bot)
            await asyncio.sleep(wait)

    async def report_latency(self) -> None:
        """Report the latency periodically, and missing heartbeat acknowledgements."""
        while True:
            await asyncio.sleep(LATENCY_SECONDS)
            bot = self._bot
            if bot is not None and self._reporter.state.connected:
                late = bot.unanswered_seconds() > LATE_SECONDS
                self._reporter.link(Link.CONNECTED, bot.heartbeat_seconds(), unanswered=late)

    async def _session(self, bot: OpsBot) -> float:
        """Run one login to its end; returns the seconds to wait before the next."""
        try:
            await self._log_in(bot)
            await bot.connect()
        except discord.LoginFailure:
            return self._refused(BAD_TOKEN)
        except discord.PrivilegedIntentsRequired:
            return self._intent_refused()
        except discord.ConnectionClosed as error:
            bad_token = error.code == AUTHENTICATION_FAILED
            return self._refused(BAD_TOKEN if bad_token else f"the gateway rejects this bot: code {error.code}")
        except LOST as error:
            return self._away(error)
        return self._pace.wait(1)

    async def _log_in(self, bot: OpsBot) -> None:
        async with asyncio.timeout(LOGIN_SECONDS):
            await bot.login(self._token)
        self._failures, self._bot = 0, bot
        self._reporter.rest(True)  # noqa: FBT003 - see Reporter.rest
        bot.on_available()  # REST works now; sending does not need the gateway

    def _away(self, error: Exception) -> float:
        self._failures += 1
        wait = max(self._pace.wait(self._failures), 0.05)
        self._reporter.link(Link.AWAY)
        self._reporter.rest(False)  # noqa: FBT003 - see Reporter.rest
        log.warning("Discord is unavailable, next login in %.1f s: %r", wait, error)
        return wait

    def _refused(self, text: str) -> float:
        log.error("%s; retrying in %.0f s", text, self._pace.refused)
        self._reporter.problem("gateway", text)
        self._reporter.link(Link.REFUSED)
        return self._pace.refused

    def _intent_refused(self) -> float:
        """Continue without presences if those were rejected.

        Checks that need them report it.
        """
        presence_cache = self._presence_cache
        if presence_cache is None or not presence_cache.presences or presence_cache.refused:
            return self._refused(BAD_INTENT)
        log.error("%s", PRESENCE_REFUSED)
        presence_cache.refused = PRESENCE_REFUSED
        self._reporter.problem("presence", PRESENCE_REFUSED)
        return 0.0


async def _close(bot: OpsBot) -> None:
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await bot.close()
    except (TimeoutError, *LOST) as error:
        log.info("the connection to Discord did not close in time: %r", error)
        with suppress(TimeoutError, *LOST):
            async with asyncio.timeout(1):
                await bot.http.close()
