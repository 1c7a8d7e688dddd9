"""Report a lost D-Bus connection, which opsbot needs for systemd units."""

from collections.abc import Callable
from datetime import datetime, timedelta

from opsbot.engine import Engine
from opsbot.formatting import discord_time

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
            text = (
                f"opsbot has had no connection to systemd since {discord_time(self._since)}: D-Bus is disconnected. "
                "Services keep running, but opsbot does not notice failures of units and cannot restart them. "
                "Check: systemctl status dbus"
            )
            await self._engine.tell("", text, level="error", key=f"bus:{self._since.isoformat()}")
            self._reported = True

    async def _back(self, now: datetime) -> None:
        since, self._since = self._since, None
        if since is None:
            return
        self._note("")
        if self._reported:
            self._reported = False
            minutes = max(round((now - since) / timedelta(minutes=1)), 1)
            text = f"Connected to systemd again after {minutes} min; events in between were read."
            await self._engine.tell("", text, key=f"bus:{since.isoformat()}:back")
