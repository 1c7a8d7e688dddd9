"""The pager: reminders of incidents that nobody has acknowledged, and their escalation. The store keeps what was said,
so that a restart neither repeats nor forgets.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from opsbot.config import Alerts
from opsbot.feed import Feed
from opsbot.store import Store, acks, watchbook

SETTLE = timedelta(seconds=30)
"""After a start nobody is paged so long: what is open may be over since, and is looked at again first."""


class Pager:
    """Looks now and then at the open incidents."""

    def __init__(self, alerts: Alerts, store: Store, feed: Feed, clock: Callable[[], datetime]) -> None:
        """Take the parts."""
        self._alerts = alerts
        self._store = store
        self._feed = feed
        self._clock = clock
        self._started = clock()
        self.also: list[acks.Also] = []
        """What else an escalation does, in its transaction: other notifiers put their messages into their outbox."""

    async def tick(self) -> None:
        """Remind and escalate where it is due."""
        now = self._clock()
        if timedelta(0) <= now - self._started < SETTLE:
            return
        if not await self._store.read(watchbook.open_incidents):
            return
        rules = acks.Rules(self._alerts.remind, self._alerts.escalate_after, self._alerts.escalate_role)
        if await self._store.write(acks.page, rules, now, tuple(self.also)):
            self._feed.publish("notice")
