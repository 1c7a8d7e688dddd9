"""Data that the routes show; routes access neither the store nor the engine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

Sample = tuple[str, tuple[str, ...], float | None]
"""A family of `opsbot.web.metrics.FAMILIES`, the values of its labels, and the figure; None is not shown."""


@dataclass(slots=True)
class HeartbeatStatus:
    """Counts of the heartbeat since the process started, kept across reloads.

    last_sent: the last success.
    """

    started: bool = False
    last_sent: datetime | None = None
    sent: int = 0
    failures: int = 0
    failure: str = ""


class WebSources(Protocol):
    """Source of the data that the routes show."""

    def stuck(self) -> Sequence[str]:
        """Return the overdue periodic jobs as text; empty while healthy."""

    async def unready(self) -> Sequence[str]:
        """Return the reasons why opsbot is not ready; empty when it is."""

    async def states(self) -> Mapping[str, str]:
        """The state of each service; empty where the store cannot be read."""

    async def samples(self) -> Sequence[Sample]:
        """Return everything in `/metrics`."""
