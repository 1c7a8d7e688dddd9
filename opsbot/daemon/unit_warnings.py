"""Report lint findings of unit files in the log, severe ones in the channel."""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from opsbot.config import Config
from opsbot.core.message import Message, message
from opsbot.core.notices import NoticeCode
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
        key = hashlib.sha256("".join(keys[unit] for unit in fresh).encode()).hexdigest()[:16]
        said, stands_for = _overview(fresh, severe), [keys[unit] for unit in fresh]
        await engine.announce("", said, level="warning", key=f"traps:{key}", stands_for=stands_for)
        return
    for unit in fresh:
        await engine.announce(_owner(config, unit), _errors(unit, severe[unit]), level="warning", key=keys[unit])


def forget() -> None:
    """Unload the linter, which runs only once."""
    unload("opsbot.services.unit_files", "opsbot.units")


def _owner(config: Config, unit: str) -> str:
    return next((service.name for service in config.services.values() if unit in service.units), "")


def _overview(units: Sequence[str], severe: "Mapping[str, Sequence[LintFinding]]") -> Message:
    lines = []
    for unit in units:
        first, *others = severe[unit]
        more = f" (and {len(others)} more)" if others else ""
        lines.append(clip(f"{unit}: {first.key}: {first.what}{more}", LINE_MOST))
    shown, more_units = _fitting(lines)
    return message(NoticeCode.UNITS_ERRORS, count=len(units), findings=shown, more=more_units)


def _errors(unit: str, findings: "Sequence[LintFinding]") -> Message:
    shown, more = _fitting([clip(str(finding), TRAP_MOST) for finding in findings])
    return message(NoticeCode.UNIT_ERRORS, unit=unit, count=len(findings), findings=shown, more=more)


def _fitting(lines: Sequence[str]) -> tuple[tuple[str, ...], int]:
    """The first lines that fit into a notification, and how many do not."""
    left, shown = NOTICE_MOST, 0
    for line in lines:
        left -= len(line) + 1
        if left < 0:
            break
        shown += 1
    return tuple(lines[:shown]), len(lines) - shown


def _digest(findings: "Sequence[LintFinding]") -> str:
    """Hash the findings without line numbers, which change with unrelated edits."""
    texts = "\n".join(sorted(f"{finding.path} {finding.key} {finding.what}" for finding in findings))
    return hashlib.sha256(texts.encode()).hexdigest()[:16]
