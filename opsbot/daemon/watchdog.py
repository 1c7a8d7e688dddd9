"""Notify systemd's watchdog only while opsbot is healthy.

Healthy means: the event loop runs (this code runs on it, not on a thread that could outlive it), every periodic job
finishes in time, the store's thread answers, and no connection to Discord stays open for minutes without heartbeat
acknowledgements (discord.py should have closed it after one). Problems are logged and shown in the status line when
they are noticed: half of `WatchdogSec=` before the service manager kills this process (SIGABRT, see systemd.service(5))
and starts another. An outage of Discord does not count: restarting opsbot would not end it.
"""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Sequence

from opsbot.formatting import duration
from opsbot.runtime.scheduler import Scheduler
from opsbot.runtime.sd_notify import WATCHDOG, notify
from opsbot.runtime.ticks import next_tick
from opsbot.store import Store

log = logging.getLogger(__name__)

UNWATCHED_SECONDS = 10.0
"""Interval between checks without a watchdog; problems are reported all the same."""
ZOMBIE_SECONDS = 180.0
"""The longest time without heartbeat acknowledgements; discord.py closes the connection after 60."""
BETWEEN_SECONDS = 120.0
"""The longest time between two configurations."""


def _answer(db: sqlite3.Connection) -> None:
    db.execute("SELECT 1").fetchone()


class Watchdog:
    """Checks opsbot twice per watchdog timeout."""

    def __init__(
        self,
        limit: float | None,
        on_change: Callable[[Sequence[str]], None],
        *,
        send: Callable[[str], object] = notify,
        steady: Callable[[], float] = time.monotonic,
        zombie: Callable[[], bool] = lambda: False,
    ) -> None:
        """limit: watchdog timeout in seconds, if any. on_change: receives new problems.

        send: passes a state to the service manager. steady: a monotonic clock. zombie: whether heartbeats on an open
        connection to Discord are currently not acknowledged.
        """
        self._period = UNWATCHED_SECONDS if limit is None else limit / 2
        self._notify = send if limit is not None else _ignore
        self._on_change = on_change
        self._steady = steady
        self._loops: Scheduler | None = None
        self._store: Store | None = None
        self._between = steady()
        self._query: asyncio.Task[None] | None = None
        self._queried_at = 0.0
        self._zombie = zombie
        self._zombie_since: float | None = None
        self._reasons: list[str] = []
        self._checked_at = steady()

    def watch(self, loops: Scheduler, store: Store) -> None:
        self._loops, self._store, self._query = loops, store, None

    def suspend(self) -> None:
        """Watch only the event loop for a while, between two configurations."""
        self._loops, self._store, self._query, self._between = None, None, None, self._steady()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            following = next_tick(self._period)
            self._judge(await self.check())
            await asyncio.sleep(max(following - loop.time(), 0.0))

    def reasons(self) -> list[str]:
        """Return the problems found by the last check, or that the last check is overdue."""
        silent = self._steady() - self._checked_at
        if silent > self._period * 3:
            return [f"the watchdog of opsbot has not run for {duration(silent)}"]
        return list(self._reasons)

    def _judge(self, reasons: list[str]) -> None:
        self._checked_at = self._steady()
        if not reasons:
            self._notify(WATCHDOG)
        if list(map(_lasting, reasons)) == list(map(_lasting, self._reasons)):
            return
        self._reasons = reasons
        self._on_change(reasons)
        if reasons:
            log.error("opsbot is unhealthy and does not notify systemd's watchdog: %s", "; ".join(reasons))
        else:
            log.warning("opsbot is healthy again")

    async def check(self) -> list[str]:
        """Return the current problems; empty while healthy."""
        if self._loops is None or self._store is None:
            took = self._steady() - self._between
            late = took > BETWEEN_SECONDS
            return [f"no configuration has been started (for {duration(took)})"] if late else []
        stuck = [f"periodic job {name} is stuck (for {duration(late)})" for name, late in self._loops.late().items()]
        return stuck + self._of_gateway() + await self._of_store(self._store)

    def _of_gateway(self) -> list[str]:
        now = self._steady()
        if not self._zombie():
            self._zombie_since = None
            return []
        if self._zombie_since is None:
            self._zombie_since = now
        lasted = now - self._zombie_since
        problem = "heartbeats on the open connection to Discord are not acknowledged"
        return [f"{problem} (for {duration(lasted)})"] if lasted >= ZOMBIE_SECONDS else []

    async def _of_store(self, store: Store) -> list[str]:
        if self._query is None:
            self._query, self._queried_at = asyncio.create_task(store.read(_answer), name="watchdog"), self._steady()
        query = self._query
        done, _ = await asyncio.wait({query}, timeout=self._period * 0.9)
        if self._store is not store:  # closed by a reload meanwhile
            query.add_done_callback(_forget)
            return []
        if not done:
            return [f"the database does not answer (for {duration(self._steady() - self._queried_at)})"]
        self._query = None
        error = query.exception()
        return [] if error is None else [f"the database cannot be read: {error}"]


def _ignore(_: str) -> None:
    return None


def _forget(task: "asyncio.Task[None]") -> None:
    if not task.cancelled():
        task.exception()


def _lasting(reason: str) -> str:
    """Return a reason without its duration, which changes with every check."""
    return reason.partition(" (for ")[0]
