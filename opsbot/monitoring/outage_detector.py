"""Detects Discord's outages from opsbot's own connection and requests, and stores them.

A bot that is unhealthy while Discord is away can hardly be healthier: a restart does not help, and each start is one
more login once Discord is back.
"""

import logging
from collections.abc import Callable
from datetime import datetime

from opsbot.core.outage import GATEWAY_LOST, STEADY, Outage, Signs, judge
from opsbot.formatting import duration
from opsbot.runtime.change_notifier import ChangeNotifier
from opsbot.store import Store, discord_history

log = logging.getLogger(__name__)


class OutageDetector:
    """The outage there is, or was last."""

    def __init__(self, store: Store, feed: ChangeNotifier, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._feed = feed
        self._clock = clock
        self._up = self._refused = self._rest_fails = False
        self._since = clock()
        self.outage: Outage | None = None

    async def open(self) -> None:
        """Remember the last outage; one that had not ended goes on until opsbot's own connection says otherwise."""
        self.outage = await self._store.read(discord_history.last_outage)

    def gateway(self, *, up: bool, refused: bool = False) -> None:
        """The state of opsbot's own gateway connection: up means that events arrive and heartbeats are answered."""
        if up != self._up:
            self._up, self._since = up, self._clock()
        self._refused = refused
        if up:
            self._rest_fails = False

    def rest(self, *, ok: bool) -> None:
        """A request to Discord was answered, or failed as in an outage."""
        self._rest_fails = not ok

    @property
    def away(self) -> datetime | None:
        """Since when Discord is away; None while it is not."""
        return self.outage.began if self.outage is not None and self.outage.ended is None else None

    @property
    def doubt(self) -> datetime | None:
        """Since when opsbot's own connection is lost, where it shows in a moment only whether Discord is away."""
        if self.away is not None or self._up or self._refused:
            return None
        return self._since if self._clock() - self._since <= GATEWAY_LOST + STEADY else None

    async def tick(self) -> Outage | None:
        """Judge again, and keep what changed. The outage that ended with this, if one did."""
        before = self.outage
        after = judge(before, Signs(self._up, self._since, self._rest_fails, self._refused), self._clock())
        if after is None or after == before:
            return None
        await self._store.write(discord_history.save_outage, after)
        self.outage = after
        if after.ended is None:
            log.warning("Discord is away: bots are not restarted for what that explains")
        else:
            log.warning("Discord is back after %s", duration(after.ended - after.began))
        self._feed.publish("service")
        return after if after.ended is not None else None
