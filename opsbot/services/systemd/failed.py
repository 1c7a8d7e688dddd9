"""Lists all failed units (`ListUnitsFiltered`, org.freedesktop.systemd1(5))."""

from opsbot.config import Scope
from opsbot.services.systemd.bus import SystemdBus


class FailedUnits:
    """Asks systemd over a separate connection, opened at the first call."""

    def __init__(self, scope: Scope) -> None:
        self._bus = SystemdBus(scope)
        self._opened = False

    async def __call__(self) -> list[str]:
        """The names of the failed units, sorted."""
        if not self._opened:
            await self._bus.open()
            self._opened = True
        answer = await self._bus.call("ListUnitsFiltered", "as", [["failed"]])
        return sorted(str(row[0]) for row in answer[0])

    async def close(self) -> None:
        await self._bus.close()
