"""Report a lost D-Bus connection, which opsbot needs for systemd units."""

from collections.abc import Callable
from datetime import datetime, timedelta

from opsbot.core.message import message
from opsbot.core.notices import NoticeCode
from opsbot.engine import Engine

EVERY = timedelta(seconds=5)
PATIENCE = timedelta(minutes=1)
"""Delay before notifying people, so that a restarting D-Bus, for example during an update, is not reported."""


class DbusMonitor:
    """Monitors the connection. Call `check` regularly, one call at a time."""

    def __init__(self, engine: Engine, connected: Callable[[], bool], note: Callable[[str], None]) -> None:
        """connected: to the bus. note: shows a text in `systemctl status`, "" removes it."""
        self._engine = engine
        self._connected = connected
        self._note = note
        self._since: datetime | None = None
        self._reported = False
        note("")  # remove a text left by the previous configuration's monitor

    async def check(self) -> None:
        """Report in `systemctl status` at once, in the channel if it lasts and at its end."""
        now = self._engine.clock()
        if self._connected():
            await self._back(now)
            return
        if self._since is None:
            self._since = now
            self._note(f"no connection to systemd since {now:%Y-%m-%d %H:%M} UTC")
        if not self._reported and now - self._since >= PATIENCE:
            said = message(NoticeCode.BUS_LOST, since=self._since)
            await self._engine.announce("", said, level="error", key=f"bus:{self._since.isoformat()}")
            self._reported = True

    async def _back(self, now: datetime) -> None:
        since, self._since = self._since, None
        if since is None:
            return
        self._note("")
        if self._reported:
            self._reported = False
            minutes = max(round((now - since) / timedelta(minutes=1)), 1)
            said = message(NoticeCode.BUS_BACK, after=timedelta(minutes=minutes))
            await self._engine.announce("", said, key=f"bus:{since.isoformat()}:back")
