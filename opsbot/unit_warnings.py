"""At its start opsbot warns of unit files that will bite: all of it in the log, what is severe in the channel, once."""

import hashlib
import logging
from collections.abc import Iterator, Sequence

from opsbot.config import Config, ManagerKind
from opsbot.core.trap import Severity, Trap
from opsbot.engine import Engine
from opsbot.services.unit_files import UnitsError, traps_of
from opsbot.words import clip

log = logging.getLogger(__name__)

TRAP_MOST, NOTICE_MOST = 380, 850
"""Letters. A notice holds 900."""


def units_of(config: Config) -> dict[str, str]:
    """The units that systemd keeps for opsbot, each with where its releases are kept ("" for nowhere)."""
    return {
        unit: str(service.source.directory) if service.source is not None else ""
        for service in config.services.values()
        if service.manager is ManagerKind.SYSTEMD
        for unit in service.units
    }


async def warn_of_traps(engine: Engine) -> None:
    """Read the units' files and say what will bite. The channel hears of the same traps of a unit once."""
    config = engine.config
    units = units_of(config)
    try:
        found = await traps_of(units, config.systemd.scope)
    except UnitsError as error:
        log.warning("the units' files could not be looked at: %s", error)
        return
    for trap in found:
        log.log(logging.WARNING if trap.severity is Severity.TRAP else logging.INFO, "%s", trap)
    for service in config.services.values():
        for unit in service.units:
            severe = [trap for trap in found if trap.unit == unit and trap.severity is Severity.TRAP]
            if severe:
                key = f"traps:{unit}:{_digest(severe)}"
                await engine.tell(service.name, "\n".join(_words(unit, severe)), level="warning", key=key)


def _digest(traps: Sequence[Trap]) -> str:
    """Of what they are, not of the line they stand in: a comment added above is no news."""
    told = "\n".join(sorted(f"{trap.path} {trap.key} {trap.what}" for trap in traps))
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def _words(unit: str, traps: Sequence[Trap]) -> Iterator[str]:
    yield (
        f"{unit}: something in its files will bite."
        if len(traps) == 1
        else (f"{unit}: {len(traps)} things in its files will bite.")
    )
    left = NOTICE_MOST
    for number, trap in enumerate(traps):
        line = clip(str(trap), TRAP_MOST)
        left -= len(line) + 1
        if left < 0:
            yield f"And {len(traps) - number} more: opsbot doctor"
            return
        yield line
