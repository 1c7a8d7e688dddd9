"""The line that `systemctl status opsbot` shows: services, what is down, deployments, the connection to Discord.

It is sent when it changes, and at most once a second. What is not well with opsbot itself comes first, and is said
without asking the store, which may be what is not well.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from opsbot.bot.link import GatewayState, Link
from opsbot.control.shapes import Gateway
from opsbot.core.health import Verdict
from opsbot.engine import Engine
from opsbot.runtime.sd_notify import notify, status
from opsbot.runtime.ticks import until_beat
from opsbot.services.port import ManagerError
from opsbot.store import StoreError, incident_repository, ledger, outbox

log = logging.getLogger(__name__)

QUIET_SECONDS = 1.0
"""Between two lines at least."""
LOOK_SECONDS = 30.0
"""Some things change without anybody saying so: a silence comes to its end."""
NAMED = 4


@dataclass(frozen=True, slots=True)
class StatusSummary:
    """What the line tells of the services; none is known yet where `services` is 0. down, stopped, deploying: names."""

    services: int = 0
    down: tuple[str, ...] = ()
    stopped: tuple[str, ...] = ()
    """By hand: nobody will start them."""
    deploying: tuple[str, ...] = ()
    held: int = 0
    silenced: int = 0
    untold: int = 0
    """Messages that wait for Discord."""


def line(standing: StatusSummary, discord: GatewayState | None, notes: Sequence[str] = ()) -> str:
    """The line. notes: what comes first; what is not well with opsbot itself."""
    parts = list(notes)
    if standing.services:
        count = f"{standing.services} service{'' if standing.services == 1 else 's'}"
        parts.append(f"{count}, {len(standing.down)} down: {_names(standing.down)}" if standing.down else count)
    if standing.stopped:
        parts.append(f"{len(standing.stopped)} stopped on purpose: {_names(standing.stopped)}")
    if standing.deploying:
        parts.append(f"deploying {_names(standing.deploying)}")
    if standing.held:
        parts.append(f"{standing.held} held")
    if standing.silenced:
        parts.append(f"{standing.silenced} silenced")
    if discord is not None:
        parts.append(f"Discord {_connection(discord)}")
        if standing.untold and not discord.connected:
            parts.append(f"{standing.untold} message{'' if standing.untold == 1 else 's'} waiting for it")
    return "; ".join(parts)


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _connection(state: GatewayState) -> str:
    since = f"since {state.since:%Y-%m-%d %H:%M} UTC"
    said = {
        Link.CONNECTING: f"not connected yet, {since}",
        Link.CONNECTED: "connected",
        Link.AWAY: f"away {since}",
        Link.REFUSED: f"refuses opsbot {since}",
    }[state.link]
    if state.unanswered:
        said += " but does not answer heartbeats"
    return f"{said} ({state.problem})" if state.problem else said


def _counts(db: sqlite3.Connection, services: Iterable[str], now: datetime) -> tuple[int, int, int]:
    names = list(services)
    held = sum(ledger.hold(db, name) is not None for name in names)
    silenced = sum(incident_repository.silence(db, name, now) is not None for name in names)
    return held, silenced, outbox.waiting(db, now)[0]


async def standing_of(engine: Engine) -> StatusSummary:
    """How the services stand now."""
    names = tuple(engine.config.services)
    held, silenced, untold = await engine.store.read(_counts, names, engine.clock())
    stopped = tuple([name for name in names if await _stopped(engine, name)])
    down = tuple(name for name in names if engine.watcher.verdict(name) is Verdict.DOWN and name not in stopped)
    deploying = tuple(name for name in names if engine.deployer.busy(name))
    return StatusSummary(len(names), down, stopped, deploying, held, silenced, untold)


async def _stopped(engine: Engine, name: str) -> bool:
    try:
        return (await engine.managers[name].state(name)).stopped_by_hand
    except ManagerError:
        return False  # what keeps the manager from being asked is told by the checks


class SystemdStatus:
    """Keeps the line true."""

    def __init__(self, clock: Callable[[], datetime], tell: Callable[[str], object] = notify) -> None:
        """Nothing is known yet. tell: takes states for the service manager."""
        self._tell = tell
        self._standing = StatusSummary()
        self._discord = GatewayState(Link.CONNECTING, clock())
        self._notes: dict[str, str] = {}
        self._sent = ""
        self._sent_at = -QUIET_SECONDS
        self._timer: asyncio.TimerHandle | None = None

    def discord(self, state: GatewayState) -> None:
        """The connection to Discord is now like this."""
        self._discord = state
        self._changed()

    def for_dashboard(self) -> Gateway:
        """The connection, for the terminal's dashboard."""
        return Gateway(self._discord.connected, self._discord.since, self._discord.latency)

    def gateway(self) -> GatewayState:
        """The connection, as it was last told."""
        return self._discord

    def for_web(self) -> tuple[bool, float | None, str]:
        """The connection, for the HTTP endpoint."""
        return self._discord.connected, self._discord.latency, self._discord.problem

    def note(self, about: str, text: str, *, at_once: bool = False) -> None:
        """A word that comes first; "" takes it back. at_once: there may be no second to wait."""
        self._notes[about] = text
        if at_once:
            self._send()
        else:
            self._changed()

    def not_well(self, reasons: Sequence[str]) -> None:
        """What is not well with opsbot itself."""
        self.note("not well", f"not well: {', '.join(reasons)}" if reasons else "", at_once=True)

    async def follow(self, engine: Engine) -> None:
        """Keep up with how the services stand, until cancelled."""
        with engine.feed.subscribe() as changes:
            news = True
            while True:
                try:
                    self._standing = await standing_of(engine)
                except (StoreError, sqlite3.Error) as error:
                    log.warning("how the services stand cannot be read: %s", error)
                self._changed()
                if news:
                    await asyncio.sleep(QUIET_SECONDS)
                news = bool(await changes.wait(until_beat(LOOK_SECONDS)))

    def close(self) -> None:
        """Say no more."""
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
        text = line(self._standing, self._discord, [note for note in self._notes.values() if note])
        if text != self._sent:
            self._sent, self._sent_at = text, asyncio.get_running_loop().time()
            self._tell(status(text))
