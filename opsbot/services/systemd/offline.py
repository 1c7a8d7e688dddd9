"""Reads the state of units for the command line without a daemon. Blocks."""

import asyncio
from datetime import timedelta
from pathlib import Path

from opsbot.config import Scope, Service
from opsbot.core.manager_codes import ManagerCode
from opsbot.core.message import message
from opsbot.services.port import ManagerError, ServiceState
from opsbot.services.systemd import memory
from opsbot.services.systemd.bus import SystemdBus
from opsbot.services.systemd.several import together
from opsbot.services.systemd.tracker import Tracker
from opsbot.services.systemd.unit import read_unit

TIME_LIMIT = timedelta(seconds=5)
"""systemd usually takes milliseconds."""


def query_state(service: Service, scope: Scope, remembered: Path) -> ServiceState:
    """The state of a service now. remembered: the daemon's `units.json`.

    Raises:
        ManagerError: systemd does not answer.
    """
    return asyncio.run(_query_state(service, scope, remembered))


async def _query_state(service: Service, scope: Scope, remembered: Path) -> ServiceState:
    bus = SystemdBus(scope)
    try:
        async with asyncio.timeout(TIME_LIMIT.total_seconds()):
            await bus.open()
            found = [(unit, await read_unit(bus, unit)) for unit in service.units]
    except TimeoutError as error:
        raise ManagerError(message(ManagerCode.BUS_NO_REPLY, scope=scope, within=TIME_LIMIT), retry=True) from error
    finally:
        await bus.close()
    last = await asyncio.to_thread(memory.load, remembered)
    parts = []
    for unit, facts in found:
        tracker, known = Tracker(unit, lambda *_: None), last.get(unit)
        by_hand = known is not None and known.by_hand and (known.run == facts.run or not facts.ever_active)
        tracker.begin(facts, by_hand=by_hand or facts.load == "masked")
        parts.append((unit, tracker.state()))
    return parts[0][1] if len(parts) == 1 else together(parts)
