"""Report lint findings of unit files in the log, severe ones in the channel."""

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
"""Characters. A notification holds 900."""
EACH_MOST = 3
"""Maximum number of units with separate messages; beyond that, one message covers all."""


def units_of(config: Config) -> dict[str, str]:
    """Map each systemd unit to its release folder ("" if there is none)."""
    return {
        unit: str(service.source.directory) if service.source is not None else ""
        for service in config.services.values()
        if service.manager.capabilities.has_units
        for unit in service.units
    }


async def warn_of_findings(engine: Engine) -> None:
    """Lint unit files; report the same findings of a unit to the channel only once."""
    from opsbot.services.brief_command import CommandError  # noqa: PLC0415
    from opsbot.services.unit_files import lint_units  # noqa: PLC0415
    from opsbot.units.finding import Severity  # noqa: PLC0415 - only where systemd keeps services

    config = engine.config
    units = units_of(config)
    try:
        found = await lint_units(units, config.systemd.scope)
    except CommandError as error:
        log.warning("the unit files could not be read: %s", error)
        return
    for finding in found:
        log.log(logging.WARNING if finding.severity is Severity.TRAP else logging.INFO, "%s", finding)
    severe: dict[str, list[LintFinding]] = {}
    for finding in found:
        if finding.severity is Severity.TRAP:
            severe.setdefault(finding.unit, []).append(finding)
    keys = {unit: f"traps:{unit}:{_digest(findings)}" for unit, findings in severe.items()}
    news = await engine.store.read(outbox.unknown, list(keys.values()))
    fresh = [unit for unit, key in keys.items() if key in news]
    if len(fresh) > EACH_MOST:
        # One message instead of one per unit: Discord accepts five in five seconds, and an alert would have to wait.
        text = "\n".join(_overview(fresh, severe))
        key = hashlib.sha256("".join(keys[unit] for unit in fresh).encode()).hexdigest()[:16]
        await engine.tell("", text, level="warning", key=f"traps:{key}", stands_for=[keys[unit] for unit in fresh])
        return
    for unit in fresh:
        await engine.tell(_owner(config, unit), "\n".join(_lines(unit, severe[unit])), level="warning", key=keys[unit])


def forget() -> None:
    """Unload the linter, which runs only once."""
    unload("opsbot.services.unit_files", "opsbot.units")


def _owner(config: Config, unit: str) -> str:
    return next((service.name for service in config.services.values() if unit in service.units), "")


def _overview(units: Sequence[str], severe: "Mapping[str, Sequence[LintFinding]]") -> Iterator[str]:
    lines = []
    for unit in units:
        first, *others = severe[unit]
        more = f" (and {len(others)} more)" if others else ""
        lines.append(clip(f"{unit}: {first.key}: {first.what}{more}", LINE_MOST))
    yield f"The files of {len(units)} units have errors. For details run: opsbot doctor"
    yield from _bounded(lines, "And {} more units.")


def _digest(findings: "Sequence[LintFinding]") -> str:
    """Hash the findings without line numbers, which change with unrelated edits."""
    texts = "\n".join(sorted(f"{finding.path} {finding.key} {finding.what}" for finding in findings))
    return hashlib.sha256(texts.encode()).hexdigest()[:16]


def _lines(unit: str, findings: "Sequence[LintFinding]") -> Iterator[str]:
    yield f"{unit}: {'1 error' if len(findings) == 1 else f'{len(findings)} errors'} in its unit files."
    yield from _bounded([clip(str(finding), TRAP_MOST) for finding in findings], "And {} more: opsbot doctor")


def _bounded(lines: Sequence[str], more: str) -> Iterator[str]:
    """Yield what fits into a notification. more: says how many are left out."""
    left = NOTICE_MOST
    for number, line in enumerate(lines):
        left -= len(line) + 1
        if left < 0:
            yield more.format(len(lines) - number)
            return
        yield line
