"""The texts of all codes, gathered from the modules of their areas."""

from collections.abc import Mapping
from functools import cache

from opsbot.core.message import GeneralCode
from opsbot.messages import deployments, exits, incidents, inhibitors, managers, notices, probes, refusals, status
from opsbot.messages.text import Text

_GENERAL: Mapping[str, Text] = {GeneralCode.TEXT: "{text}"}

_AREAS: tuple[Mapping[str, Text], ...] = (
    _GENERAL,
    deployments.TEXTS,
    exits.TEXTS,
    incidents.TEXTS,
    inhibitors.TEXTS,
    managers.TEXTS,
    notices.TEXTS,
    probes.TEXTS,
    refusals.TEXTS,
    status.TEXTS,
)
"""The texts of each area of codes, from the modules beside this one."""


@cache
def texts() -> Mapping[str, Text]:
    """Every code's text."""
    return {code: text for area in _AREAS for code, text in area.items()}
