"""State of the connection to Discord, and notification of its changes."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum


class Link(StrEnum):
    """Connection status."""

    CONNECTING = "connecting"
    """Not connected since startup."""
    CONNECTED = "connected"
    AWAY = "away"
    """The connection was lost and is being resumed."""
    REFUSED = "refused"
    """Discord rejects the token or an intent; a person has to fix it."""


@dataclass(frozen=True, slots=True)
class GatewayState:
    """State of the connection at one moment.

    since: when the link got its present value. latency: seconds between a heartbeat and its acknowledgement, None if
    unknown. problem: a problem with the connection or the ops channel that needs a person, "" if there is none.
    unanswered: heartbeats remain unacknowledged on an open connection; discord.py closes it about a minute later.
    """

    link: Link
    since: datetime
    latency: float | None = None
    problem: str = ""
    unanswered: bool = False

    @property
    def connected(self) -> bool:
        return self.link is Link.CONNECTED


OnState = Callable[[GatewayState], None]


def _unheard(_: bool) -> None:  # noqa: FBT001 - a callback's one argument
    return None


@dataclass(slots=True)
class Reporter:
    """Holds the state and reports each change."""

    clock: Callable[[], datetime]
    on_change: OnState
    state: GatewayState = field(init=False)
    problems: dict[str, str] = field(default_factory=dict)
    rest: Callable[[bool], None] = _unheard
    """Called after each request that shows whether REST is available."""

    def __post_init__(self) -> None:
        self.state = GatewayState(Link.CONNECTING, self.clock())
        self.on_change(self.state)

    def _change(self, state: GatewayState) -> None:
        if state != self.state:
            self.state = state
            self.on_change(state)

    def link(self, link: Link, latency: float | None = None, *, unanswered: bool = False) -> None:
        if link is Link.AWAY and self.state.link is Link.CONNECTING:
            link = Link.CONNECTING
        since = self.state.since if link is self.state.link else self.clock()
        self._change(replace(self.state, link=link, since=since, latency=latency, unanswered=unanswered))

    def problem(self, about: str, text: str) -> None:
        """Set a problem that needs a person; "" clears it."""
        self.problems[about] = text
        self._change(replace(self.state, problem="; ".join(filter(None, self.problems.values()))))
