"""Maintenance windows at work: mutes written ahead, inhibited recovery and deploys, and a summary at the end.

The end of a silence is noticed here, too: what both kept back is summed up in the same way.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta

from opsbot.core.inhibitors import Inhibitors
from opsbot.core.message import Message
from opsbot.core.windows import Span, Window, WindowDeploys, active, keeps_deploys, keeps_recovery, until
from opsbot.runtime.change_notifier import ChangeNotifier
from opsbot.store import Store, mutes
from opsbot.store.mutes import Mute

AHEAD = timedelta(days=2)
"""How far ahead mutes are written: whoever reads the store while opsbot is down sees them, too."""
PLAN_EVERY = timedelta(hours=6)


class MaintenanceWindows:
    """The configured windows, by a clock."""

    def __init__(
        self,
        windows: Sequence[Window],
        services: Iterable[str],
        store: Store,
        feed: ChangeNotifier,
        clock: Callable[[], datetime],
        inhibitors: Inhibitors,
    ) -> None:
        """Nothing is in force before `open`. services: those that are configured.

        Adds to the inhibitors of recovery and of automatic deploys.
        """
        self._windows = tuple(windows)
        self._services = tuple(services)
        self._store = store
        self._feed = feed
        self._clock = clock
        self._open: list[Span] = []
        self._planned_at: datetime | None = None
        self._news = feed.subscribe()
        self._silence_ends: datetime | None = None
        inhibitors.restarts.append(self._about_recovery)
        if any(not window.recovery for window in windows):
            inhibitors.starts.append(self._about_recovery)
        inhibitors.last_steps.append(self._about_recovery)
        inhibitors.deploys.append(self._about_deploys)

    async def open(self) -> None:
        """Bring the store up to date with the configuration, and sum up what ended while opsbot was away."""
        self._open = active(self._windows, self._clock())
        await self._plan()
        await self._sum_up()

    async def tick(self) -> tuple[str, ...]:
        """Notice what began and ended. The services whose automatic deploys may begin now, and could not before."""
        now = self._clock()
        before, self._open = self._open, active(self._windows, now)
        if self._planned_at is None or not timedelta(0) <= now - self._planned_at < PLAN_EVERY:
            await self._plan()
            await self._sum_up()  # of what began and ended while nobody looked: a host that slept
        if before == self._open:
            await self._silences(now)
            return ()
        self._feed.publish("service")
        await self._sum_up()
        moved = [span for span in (*before, *self._open) if (span in before) != (span in self._open)]
        told = [span.window for span in moved if span.window.deploys is not WindowDeploys.ALLOW]
        freed = (name for name in self._services if any(window.covers(name) for window in told))
        return tuple(name for name in freed if keeps_deploys(self._windows, name, now) is None)

    async def _silences(self, now: datetime) -> None:
        """Notice that one is over. The store is read only where something may have changed."""
        if self._news.take():
            self._silence_ends = await self._store.read(mutes.silence_ends)
        if self._silence_ends is not None and self._silence_ends <= now:
            self._feed.publish("service")
            await self._sum_up()

    async def _plan(self) -> None:
        now = self._clock()
        muting = [window for window in self._windows if window.mute]
        wanted = [
            Mute(span.window.name, service, span.begin, span.end)
            for span in until(muting, now, now + AHEAD)
            for service in (*self._services, mutes.HOST)
            if span.window.covers(service)
        ]
        await self._store.write(mutes.plan, wanted, now)
        self._planned_at = now

    async def _sum_up(self) -> None:
        await self._store.write(mutes.sum_up, self._clock())
        # Besides: what waited for the end of a mute is due now.
        self._feed.publish("notice")
        self._feed.publish("incident")

    async def _about_recovery(self, service: str) -> Message | None:
        return keeps_recovery(self._windows, service, self._clock())

    async def _about_deploys(self, service: str) -> Message | None:
        return keeps_deploys(self._windows, service, self._clock())
