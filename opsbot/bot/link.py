"""How it stands with Discord: the connection at one moment, and who is told when that changes."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum


class Link(StrEnum):
    """How it stands with Discord."""

    CONNECTING = "connecting"
    """Not connected since the start."""
    CONNECTED = "connected"
    AWAY = "away"
    """The connection was lost; it is resumed."""
    REFUSED = "refused"
    """Discord refuses the token or an intent: a person has to mend it."""


@dataclass(frozen=True, slots=True)
class GatewayState:
    """The connection at one moment.

    since: when the link became this. latency: seconds from a heartbeat to its answer, None while unknown. problem: what
    a person has to mend about the connection or the ops channel, "" where nothing. unanswered: Discord does not answer
    the heartbeats of a connection that looks whole; discord.py closes it about a minute later.
    """

    link: Link
    since: datetime
    latency: float | None = None
    problem: str = ""
    unanswered: bool = False

    @property
    def connected(self) -> bool:
        """Whether events arrive."""
        return self.link is Link.CONNECTED


OnState = Callable[[GatewayState], None]


def _unheard(_: bool) -> None:  # noqa: FBT001 - a callback's one argument
    return None


@dataclass(slots=True)
class Reporter:
    """Keeps the state and tells each change of it."""

    clock: Callable[[], datetime]
    tell: OnState
    state: GatewayState = field(init=False)
    problems: dict[str, str] = field(default_factory=dict)
    rest: Callable[[bool], None] = _unheard
    """Told of each request by which REST shows itself there or away."""

    def __post_init__(self) -> None:
        """Begin, and say so."""
        self.state = GatewayState(Link.CONNECTING, self.clock())
        self.tell(self.state)

    def _change(self, state: GatewayState) -> None:
        if state != self.state:
            self.state = state
            self.tell(state)

    def link(self, link: Link, latency: float | None = None, *, unanswered: bool = False) -> None:
        """The link is now this."""
        if link is Link.AWAY and self.state.link is Link.CONNECTING:
            link = Link.CONNECTING
        since = self.state.since if link is self.state.link else self.clock()
        self._change(replace(self.state, link=link, since=since, latency=latency, unanswered=unanswered))

    def problem(self, about: str, text: str) -> None:
        """What a person has to mend; "" when it is mended."""
        self.problems[about] = text
        self._change(replace(self.state, problem="; ".join(filter(None, self.problems.values()))))
