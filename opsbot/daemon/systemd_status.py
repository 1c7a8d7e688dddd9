"""The line in `systemctl status opsbot`: services, deployments, Discord.

It is sent when it changes, at most once a second. Problems of opsbot itself come first and are shown without reading
the store, which may be the problem.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from opsbot.bot.link import GatewayState, Link
from opsbot.control.snapshot import GatewaySource
from opsbot.core.health import Verdict
from opsbot.engine import Engine
from opsbot.runtime.sd_notify import notify, status
from opsbot.runtime.ticks import until_tick
from opsbot.services.port import ManagerError
from opsbot.store import StoreError, incident_repository, ledger, outbox

log = logging.getLogger(__name__)

QUIET_SECONDS = 1.0
"""Minimum interval between two lines."""
LOOK_SECONDS = 30.0
"""Some changes cause no event, such as a silence that ends."""
NAMED = 4


@dataclass(frozen=True, slots=True)
class StatusSummary:
    """Counts and names for the line; `services` is 0 before the first read.

    down, stopped, deploying: names.
    """

    services: int = 0
    down: tuple[str, ...] = ()
    stopped: tuple[str, ...] = ()
    """Stopped by a person and not restarted automatically."""
    deploying: tuple[str, ...] = ()
    paused: int = 0
    silenced: int = 0
    pending: int = 0
    """Messages that wait for Discord."""


def line(summary: StatusSummary, discord: GatewayState | None, notes: Sequence[str] = ()) -> str:
    """Build the line. notes: texts to show first, such as problems of opsbot itself."""
    parts = list(notes)
    if summary.services:
        count = f"{summary.services} service{'' if summary.services == 1 else 's'}"
        parts.append(f"{count}, {len(summary.down)} down: {_names(summary.down)}" if summary.down else count)
    if summary.stopped:
        parts.append(f"{len(summary.stopped)} stopped by a person: {_names(summary.stopped)}")
    if summary.deploying:
        parts.append(f"deploying {_names(summary.deploying)}")
    if summary.paused:
        parts.append(f"automatic deploys paused: {summary.paused}")
    if summary.silenced:
        parts.append(f"{summary.silenced} silenced")
    if discord is not None:
        parts.append(f"Discord {_connection(discord)}")
        if summary.pending and not discord.connected:
            parts.append(f"{summary.pending} message{'' if summary.pending == 1 else 's'} waiting for it")
    return "; ".join(parts)


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


def _counts(db: sqlite3.Connection, services: Iterable[str], now: datetime) -> tuple[int, int, int]:
    names = list(services)
    paused = sum(ledger.hold(db, name) is not None for name in names)
    silenced = sum(incident_repository.silence(db, name, now) is not None for name in names)
    return paused, silenced, outbox.waiting(db, now)[0]


async def summarize(engine: Engine) -> StatusSummary:
    """Read the current summary of all services."""
    names = tuple(engine.config.services)
    paused, silenced, pending = await engine.store.read(_counts, names, engine.clock())
    stopped = tuple([name for name in names if await _stopped(engine, name)])
    down = tuple(name for name in names if engine.watcher.verdict(name) is Verdict.DOWN and name not in stopped)
    deploying = tuple(name for name in names if engine.deployer.busy(name))
    return StatusSummary(len(names), down, stopped, deploying, paused, silenced, pending)


async def _stopped(engine: Engine, name: str) -> bool:
    try:
        return (await engine.managers[name].state(name)).stopped_by_hand
    except ManagerError:
        return False  # checks report an unavailable manager


class SystemdStatus:
    """Keeps the status line up to date."""

    def __init__(self, clock: Callable[[], datetime], send: Callable[[str], object] = notify) -> None:
        """Start without information. send: passes a state to the service manager."""
        self._notify = send
        self._summary = StatusSummary()
        self._discord = GatewayState(Link.CONNECTING, clock())
        self._notes: dict[str, str] = {}
        self._sent = ""
        self._sent_at = -QUIET_SECONDS
        self._timer: asyncio.TimerHandle | None = None

    def discord(self, state: GatewayState) -> None:
        """Update the state of the connection to Discord."""
        self._discord = state
        self._changed()

    def for_dashboard(self) -> GatewaySource:
        """Return the connection for the terminal dashboard."""
        return GatewaySource(self._discord.connected, self._discord.since, self._discord.latency)

    def gateway(self) -> GatewayState:
        """Return the last reported state of the connection."""
        return self._discord

    def for_web(self) -> tuple[bool, float | None, str]:
        """Return the connection for the HTTP endpoint."""
        return self._discord.connected, self._discord.latency, self._discord.problem

    def note(self, about: str, text: str, *, at_once: bool = False) -> None:
        """Show a text first, "" removes it. at_once: send it immediately."""
        self._notes[about] = text
        if at_once:
            self._send()
        else:
            self._changed()

    def unhealthy(self, reasons: Sequence[str]) -> None:
        """Show problems of opsbot itself."""
        self.note("unhealthy", f"unhealthy: {', '.join(reasons)}" if reasons else "", at_once=True)

    async def follow(self, engine: Engine) -> None:
        """Follow changes of the services until cancelled."""
        with engine.feed.subscribe() as changes:
            news = True
            while True:
                try:
                    self._summary = await summarize(engine)
                except (StoreError, sqlite3.Error) as error:
                    log.warning("the service status cannot be read: %s", error)
                self._changed()
                if news:
                    await asyncio.sleep(QUIET_SECONDS)
                news = bool(await changes.wait(until_tick(LOOK_SECONDS)))

    def close(self) -> None:
        """Stop sending."""
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
