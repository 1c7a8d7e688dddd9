"""The pager: reminders of incidents that nobody has acknowledged, and their escalation. The store keeps what was said,
so that a restart neither repeats nor forgets.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from opsbot.config import Alerts
from opsbot.runtime.change_notifier import ChangeNotifier
from opsbot.store import Store, acks, incident_repository

SETTLE = timedelta(seconds=30)
"""After a start nobody is paged so long: what is open may be over since, and is looked at again first."""
ALL_QUIET = timedelta(minutes=1)
"""So often the store is read while nothing is open and nobody said that something changed."""


class ReminderScheduler:
    """Looks now and then at the open incidents."""

    def __init__(
        self,
        alerts: Alerts,
        store: Store,
        feed: ChangeNotifier,
        clock: Callable[[], datetime],
        also: Sequence[acks.Also] = (),
    ) -> None:
        """also: writes in the transaction of an escalation: other notifiers put their messages into their outbox."""
        self._alerts = alerts
        self._store = store
        self._feed = feed
        self._clock = clock
        self._started = clock()
        self._news = feed.subscribe()
        self._quiet_at: datetime | None = None
        """When the store was read last and nothing was open; None while something is."""
        self._also = also

    async def tick(self) -> None:
        """Remind and escalate where it is due."""
        now = self._clock()
        if timedelta(0) <= now - self._started < SETTLE:
            return
        quiet = self._quiet_at is not None and timedelta(0) <= now - self._quiet_at < ALL_QUIET
        if not self._news.take() and quiet:
            return
        self._quiet_at = None
        if not await self._store.read(incident_repository.open_incidents):
            self._quiet_at = now
            return
        rules = acks.Rules(self._alerts.remind, self._alerts.escalate_after, self._alerts.escalate_role)
        if await self._store.write(acks.page, rules, now, self._also):
            self._feed.publish("notice")
