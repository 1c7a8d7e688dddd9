"""Is it us or Discord? Hears of opsbot's own connection and requests, and keeps Discord's outages.

A bot that is not well while Discord is away is most likely as well as it can be: to restart it brings nothing, and each
start is a login more once Discord is back.
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
        self._after: list[Callable[[Outage], None]] = []
        self.outage: Outage | None = None

    async def open(self) -> None:
        """Remember the last outage; one that had not ended goes on until opsbot's own connection says otherwise."""
        self.outage = await self._store.read(discord_history.last_outage)

    def on_end(self, callback: Callable[[Outage], None]) -> None:
        """Call this, on the event loop, when an outage is over. It must not block."""
        self._after.append(callback)

    def gateway(self, *, up: bool, refused: bool = False) -> None:
        """How opsbot's own gateway connection stands: up means that events arrive and heartbeats are answered."""
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

    async def tick(self) -> None:
        """Judge anew, and keep what changed."""
        before = self.outage
        after = judge(before, Signs(self._up, self._since, self._rest_fails, self._refused), self._clock())
        if after is None or after == before:
            return
        await self._store.write(discord_history.save_outage, after)
        self.outage = after
        if after.ended is None:
            log.warning("Discord is away: bots are not restarted for what that explains")
        else:
            log.warning("Discord is back after %s", duration(after.ended - after.began))
            for callback in self._after:
                callback(after)
        self._feed.publish("service")
