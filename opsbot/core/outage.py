"""Detect when an outage of Discord begins and ends, from opsbot's own connection.

Discord (or this host's connection to it) counts as down when the gateway is lost and REST fails too, or when the
gateway is lost for longer than any reconnection takes. A refused token or intent is no outage.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

BOTH_LOST = timedelta(seconds=10)
"""The gateway is lost so long, and REST fails."""
GATEWAY_LOST = timedelta(seconds=60)
"""The gateway is lost so long, whatever REST says: Discord's gateway fails by itself often enough."""
STEADY = timedelta(seconds=10)
"""The gateway is there again for so long before the outage counts as over."""
AFTERMATH = timedelta(minutes=2)
"""What a bot gets after an outage to come back by itself: libraries wait between their tries."""
DEAD_FIRST, DEAD_MOST = timedelta(seconds=30), timedelta(minutes=5)
"""Between two starts of a bot that dies in an outage: doubled each time, up to that."""


@dataclass(frozen=True, slots=True)
class Signs:
    """opsbot's connection. up: heartbeats are answered. since: when `up` changed.

    rest_fails: the last request failed as in an outage. refused: Discord answers, and refuses the token or an intent.
    """

    up: bool
    since: datetime
    rest_fails: bool = False
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Outage:
    """An outage, from the loss of the gateway. ended: None while it lasts."""

    began: datetime
    ended: datetime | None = None

    def shadows(self, now: datetime) -> bool:
        """Whether it may explain that a bot is down: while it lasts, and for `AFTERMATH`."""
        return self.ended is None or now - self.ended < AFTERMATH


def judge(outage: Outage | None, signs: Signs, now: datetime) -> Outage | None:
    """The last outage after one more observation; None where there was none."""
    lasted = now - signs.since
    if outage is not None and outage.ended is None:
        if signs.refused:
            return replace(outage, ended=now)
        return replace(outage, ended=signs.since) if signs.up and lasted >= STEADY else outage
    if signs.up or signs.refused:
        return outage
    away = lasted >= GATEWAY_LOST or (signs.rest_fails and lasted >= BOTH_LOST)
    return Outage(signs.since) if away else outage


def dead_spacing(starts: int) -> timedelta:
    """The delay before a bot that died is restarted. starts: those in this outage."""
    return min(DEAD_FIRST * 2 ** min(max(starts - 1, 0), 10), DEAD_MOST) if starts else timedelta(0)
