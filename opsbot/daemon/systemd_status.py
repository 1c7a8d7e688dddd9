"""The line in `systemctl status opsbot`: services by their state, and Discord.

It is sent when it changes, at most once a second. Problems of opsbot itself come first and are shown without reading
the store, which may be the problem.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from opsbot.bot.link import GatewayState, Link
from opsbot.core.status import HealthState, ServiceHealth
from opsbot.engine import Engine
from opsbot.messages import render
from opsbot.runtime.sd_notify import notify, status
from opsbot.runtime.ticks import until_tick
from opsbot.store import StoreError

log = logging.getLogger(__name__)

QUIET_SECONDS = 1.0
"""Minimum interval between two lines."""
LOOK_SECONDS = 30.0
"""Some changes cause no event, such as a silence that ends."""
NAMED = 4


_ORDER = (
    *(HealthState.DOWN, HealthState.UNSTABLE, HealthState.DEGRADED, HealthState.UNKNOWN, HealthState.STOPPED),
    *(HealthState.STARTING, HealthState.DEPLOYING),
)
"""The states that are named, most severe first."""


@dataclass(frozen=True, slots=True)
class ServicesSummary:
    """The services in the line. health: by name, empty before the first read."""

    health: Mapping[str, ServiceHealth] = field(default_factory=dict)
    paused: int = 0
    silenced: int = 0
    waiting: int = 0
    """Notifications that wait for Discord."""


def line(summary: ServicesSummary, discord: GatewayState | None, notes: Sequence[str] = ()) -> str:
    """Build the line. notes: texts to show first, such as problems of opsbot itself."""
    parts = [*notes, *_services(summary.health)]
    if summary.paused:
        parts.append(f"deploys of {summary.paused} paused")
    if summary.silenced:
        parts.append(f"{summary.silenced} silenced")
    if discord is not None:
        parts.append(f"Discord {_connection(discord)}")
        if summary.waiting and not discord.connected:
            parts.append(f"{summary.waiting} message{'' if summary.waiting == 1 else 's'} waiting for it")
    return "; ".join(parts)


def _services(health: Mapping[str, ServiceHealth]) -> Iterator[str]:
    if not health:
        return
    count = f"{len(health)} service{'' if len(health) == 1 else 's'}"
    by_state: dict[tuple[HealthState, str], list[str]] = {}
    for name, one in health.items():
        by_state.setdefault((one.state, render(one.title)), []).append(name)
    healthy = sum(len(names) for (state, _), names in by_state.items() if state is HealthState.HEALTHY)
    yield f"{count} healthy" if healthy == len(health) else f"{count}, {healthy} healthy"
    for state, title in sorted(by_state, key=lambda key: (key[0] in _ORDER and _ORDER.index(key[0]), key[1])):
        if state is not HealthState.HEALTHY:
            names = by_state[state, title]
            yield f"{len(names)} {title}: {_names(names)}"


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _connection(state: GatewayState) -> str:
    since = f"since {state.since:%Y-%m-%d %H:%M} UTC"
    said = {
        Link.CONNECTING: f"not connected yet, {since}",
        Link.CONNECTED: "connected",
        Link.AWAY: f"unavailable {since}",
        Link.REFUSED: f"rejects opsbot {since}",
    }[state.link]
    if state.unanswered:
        said += " but does not answer heartbeats"
    return f"{said} ({state.problem})" if state.problem else said


async def summary_of(engine: Engine) -> ServicesSummary:
    statuses, waiting = await engine.statuses.health()
    return ServicesSummary(
        {name: status.health for name, status in statuses.items()},
        sum(status.hold is not None for status in statuses.values()),
        sum(status.silence is not None for status in statuses.values()),
        waiting,
    )


class SystemdStatus:
    """Keeps the status line up to date."""

    def __init__(self, clock: Callable[[], datetime], send: Callable[[str], object] = notify) -> None:
        """Start without information. send: passes a state to the service manager."""
        self._notify = send
        self._summary = ServicesSummary()
        self._discord = GatewayState(Link.CONNECTING, clock())
        self._notes: dict[str, str] = {}
        self._sent = ""
        self._sent_at = -QUIET_SECONDS
        self._timer: asyncio.TimerHandle | None = None

    def discord(self, state: GatewayState) -> None:
        self._discord = state
        self._changed()

    def gateway(self) -> GatewayState:
        return self._discord

    def for_web(self) -> tuple[bool, float | None, str]:
        return self._discord.connected, self._discord.latency, self._discord.problem

    def note(self, about: str, text: str, *, at_once: bool = False) -> None:
        """Show a text first, "" removes it. at_once: send it immediately."""
        self._notes[about] = text
        if at_once:
            self._send()
        else:
            self._changed()

    def unhealthy(self, reasons: Sequence[str]) -> None:
        self.note("unhealthy", f"unhealthy: {', '.join(reasons)}" if reasons else "", at_once=True)

    async def follow(self, engine: Engine) -> None:
        with engine.feed.subscribe() as changes:
            news = True
            while True:
                try:
                    self._summary = await summary_of(engine)
                except (StoreError, sqlite3.Error) as error:
                    log.warning("the status of the services cannot be read: %s", error)
                self._changed()
                if news:
                    await asyncio.sleep(QUIET_SECONDS)
                news = bool(await changes.wait(until_tick(LOOK_SECONDS)))

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _changed(self) -> None:
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(self._sent_at + QUIET_SECONDS, self._send)

    def _send(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        text = line(self._summary, self._discord, [note for note in self._notes.values() if note])
        if text != self._sent:
            self._sent, self._sent_at = text, asyncio.get_running_loop().time()
            self._notify(status(text))
