"""Says it where systemd cannot be asked: opsbot is then blind to what happens to units, and can restart none."""

from collections.abc import Callable
from datetime import datetime, timedelta

from opsbot.engine import Engine
from opsbot.formatting import discord_time

EVERY = timedelta(seconds=5)
PATIENCE = timedelta(minutes=1)
"""Nobody is called for a D-Bus that is started anew, by an update of its package for instance."""


class DbusMonitor:
    """Looks whether the connection stands. Call `look` again and again, one at a time."""

    def __init__(self, engine: Engine, connected: Callable[[], bool], note: Callable[[str], None]) -> None:
        """connected: whether the bus is there. note: takes a word for `systemctl status`; "" takes it back."""
        self._engine = engine
        self._connected = connected
        self._note = note
        self._since: datetime | None = None
        self._told = False
        note("")  # a connection before this one, of another configuration, may have left its word

    async def look(self) -> None:
        """At once in `systemctl status`; in the channel when it lasts, and then when it is over."""
        now = self._engine.clock()
        if self._connected():
            await self._back(now)
            return
        if self._since is None:
            self._since = now
            self._note(f"systemd cannot be asked since {now:%Y-%m-%d %H:%M} UTC")
        if not self._told and now - self._since >= PATIENCE:
            text = (
                f"systemd cannot be asked since {discord_time(self._since)}: the connection to D-Bus is lost. The "
                "services go on, but opsbot hears of no unit that dies, and can restart none. "
                "Look at: systemctl status dbus"
            )
            await self._engine.tell("", text, level="error", key=f"bus:{self._since.isoformat()}")
            self._told = True

    async def _back(self, now: datetime) -> None:
        since, self._since = self._since, None
        if since is None:
            return
        self._note("")
        if self._told:
            self._told = False
            minutes = max(round((now - since) / timedelta(minutes=1)), 1)
            text = f"systemd can be asked again after {minutes} min; what happened meanwhile was looked up."
            await self._engine.tell("", text, key=f"bus:{since.isoformat()}:back")
