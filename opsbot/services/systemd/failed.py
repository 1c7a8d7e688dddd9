"""Which units of a systemd have failed, whoever they belong to (`ListUnitsFiltered`, org.freedesktop.systemd1(5))."""

from opsbot.config import Scope
from opsbot.services.systemd.bus import SystemdBus


class FailedUnits:
    """Asks systemd, over a connection of its own that is made at the first question."""

    def __init__(self, scope: Scope, at: str | None = None) -> None:
        """at: the bus's address, where it is not the usual one."""
        self._bus = SystemdBus(scope, at)
        self._opened = False

    async def __call__(self) -> list[str]:
        """Their names, in order.

        Raises:
            ManagerError: systemd cannot be asked.
        """
        if not self._opened:
            await self._bus.open()
            self._opened = True
        answer = await self._bus.call("ListUnitsFiltered", "as", [["failed"]])
        return sorted(str(row[0]) for row in answer[0])

    async def close(self) -> None:
        """Close the connection."""
        await self._bus.close()
