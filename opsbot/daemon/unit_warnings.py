"""At its start opsbot warns of unit files that will bite: all of it in the log, what is severe in the channel, once."""

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from opsbot.config import Config
from opsbot.engine import Engine
from opsbot.formatting import clip
from opsbot.runtime.memory import unload
from opsbot.store import outbox

if TYPE_CHECKING:
    from opsbot.units.finding import LintFinding

log = logging.getLogger(__name__)

TRAP_MOST, NOTICE_MOST, LINE_MOST = 380, 750, 140
"""Letters. A notice holds 900."""
EACH_MOST = 3
"""Units with a message each; more have one together."""


def units_of(config: Config) -> dict[str, str]:
    """The units that systemd keeps for opsbot, each with where its releases are kept ("" for nowhere)."""
    return {
        unit: str(service.source.directory) if service.source is not None else ""
        for service in config.services.values()
        if service.manager.capabilities.has_units
        for unit in service.units
    }


async def warn_of_traps(engine: Engine) -> None:
    """Read the units' files and say what will bite. The channel hears of the same traps of a unit once."""
    from opsbot.services.unit_files import UnitsError, traps_of  # noqa: PLC0415
    from opsbot.units.finding import Severity  # noqa: PLC0415 - only where systemd keeps services

    config = engine.config
    units = units_of(config)
    try:
        found = await traps_of(units, config.systemd.scope)
    except UnitsError as error:
        log.warning("the units' files could not be looked at: %s", error)
        return
    for trap in found:
        log.log(logging.WARNING if trap.severity is Severity.TRAP else logging.INFO, "%s", trap)
    severe: dict[str, list[LintFinding]] = {}
    for trap in found:
        if trap.severity is Severity.TRAP:
            severe.setdefault(trap.unit, []).append(trap)
    keys = {unit: f"traps:{unit}:{_digest(traps)}" for unit, traps in severe.items()}
    news = await engine.store.read(outbox.unknown, list(keys.values()))
    fresh = [unit for unit, key in keys.items() if key in news]
    if len(fresh) > EACH_MOST:
        # Not a message for each: Discord takes five in five seconds, and an alarm would wait behind them.
        text = "\n".join(_overview(fresh, severe))
        key = hashlib.sha256("".join(keys[unit] for unit in fresh).encode()).hexdigest()[:16]
        await engine.tell("", text, level="warning", key=f"traps:{key}", stands_for=[keys[unit] for unit in fresh])
        return
    for unit in fresh:
        await engine.tell(_owner(config, unit), "\n".join(_words(unit, severe[unit])), level="warning", key=keys[unit])


def forget() -> None:
    """Leave out of memory what reads unit files: that is done once."""
    core = ("trap", "unit_file", "unit_places", "unit_traps", "unit_deprecated")
    unload("opsbot.services.unit_files", *(f"opsbot.core.{name}" for name in core))


def _owner(config: Config, unit: str) -> str:
    return next((service.name for service in config.services.values() if unit in service.units), "")


def _overview(units: Sequence[str], severe: "Mapping[str, Sequence[LintFinding]]") -> Iterator[str]:
    yield f"The files of {len(units)} units have something in them that will bite. All of it: opsbot doctor"
    left = NOTICE_MOST
    for number, unit in enumerate(units):
        first, *others = severe[unit]
        more = f" (and {len(others)} more)" if others else ""
        line = clip(f"{unit}: {first.key}: {first.what}{more}", LINE_MOST)
        left -= len(line) + 1
        if left < 0:
            yield f"And {len(units) - number} more units."
            return
        yield line


def _digest(traps: "Sequence[LintFinding]") -> str:
    """Of what they are, not of the line they stand in: a comment added above is no news."""
    told = "\n".join(sorted(f"{trap.path} {trap.key} {trap.what}" for trap in traps))
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def _words(unit: str, traps: "Sequence[LintFinding]") -> Iterator[str]:
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
