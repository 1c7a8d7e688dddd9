"""The texts of all codes, gathered from the modules of their areas."""

from collections.abc import Mapping
from functools import cache

from opsbot.core.message import GeneralCode
from opsbot.messages.text import Text


@cache
def texts() -> Mapping[str, Text]:
    """Every code's text. Loaded with the first message that is not plain text: a command line often shows none."""
    from opsbot.messages import (  # noqa: PLC0415 - see above
        deployments,
        exits,
        incidents,
        inhibitors,
        managers,
        notices,
        probes,
        refusals,
        root_causes,
        status,
    )

    areas = (deployments, exits, incidents, inhibitors, managers, notices, probes, refusals, root_causes, status)
    return {GeneralCode.TEXT: "{text}"} | {code: text for area in areas for code, text in area.TEXTS.items()}
