"""The vigil over opsbot itself: the service manager's watchdog is fed while all is well, and only then.

Well means: the event loop turns (this runs on it, and on no thread that could outlive it), every loop comes to its end
in time, the store's thread answers, and no connection to Discord looks whole for minutes whose heartbeats nobody
acknowledges: discord.py should have closed that one after one. What is not well is said, in the log and in the status
line, when it is seen: half of `WatchdogSec=` before the service manager ends this process (SIGABRT, see
systemd.service(5)) and starts another. Discord being away is no trouble here: to be started anew would not bring it
back.
"""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Sequence

from opsbot.formatting import duration
from opsbot.runtime.scheduler import Scheduler
from opsbot.runtime.sd_notify import WATCHDOG, notify
from opsbot.runtime.ticks import next_beat
from opsbot.store import Store

log = logging.getLogger(__name__)

UNWATCHED_SECONDS = 10.0
"""Between two looks where no watchdog waits: what is wrong is said all the same."""
ZOMBIE_SECONDS = 180.0
"""So long heartbeats may go unanswered on a connection that looks whole; discord.py gives one up after 60."""
BETWEEN_SECONDS = 120.0
"""How long opsbot may take from one configuration to the next."""


def _answer(db: sqlite3.Connection) -> None:
    db.execute("SELECT 1").fetchone()


class Watchdog:
    """Looks at opsbot twice in each of the watchdog's spans."""

    def __init__(
        self,
        limit: float | None,
        say: Callable[[Sequence[str]], None],
        *,
        tell: Callable[[str], object] = notify,
        steady: Callable[[], float] = time.monotonic,
        zombie: Callable[[], bool] = lambda: False,
    ) -> None:
        """limit: seconds the watchdog waits, None where there is none. say: told what is not well, when it changes.

        tell: takes states for the service manager. steady: a clock that nobody sets. zombie: whether the connection to
        Discord looks whole and its heartbeats go unanswered at the moment.
        """
        self._period = UNWATCHED_SECONDS if limit is None else limit / 2
        self._tell = tell if limit is not None else _ignore
        self._say = say
        self._steady = steady
        self._loops: Scheduler | None = None
        self._store: Store | None = None
        self._between = steady()
        self._asking: asyncio.Task[None] | None = None
        self._asked_at = 0.0
        self._zombie = zombie
        self._zombie_since: float | None = None
        self._reasons: list[str] = []
        self._looked_at = steady()

    def over(self, loops: Scheduler, store: Store) -> None:
        """Watch over these from now on."""
        self._loops, self._store, self._asking = loops, store, None

    def between(self) -> None:
        """One configuration ends and another is not in force yet: only the event loop is watched, for a while."""
        self._loops, self._store, self._asking, self._between = None, None, None, self._steady()

    async def run(self) -> None:
        """Look and feed until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            following = next_beat(self._period)
            self._judge(await self.look())
            await asyncio.sleep(max(following - loop.time(), 0.0))

    def reasons(self) -> list[str]:
        """What was not well at the last look, each in words; also that there was none in time."""
        silent = self._steady() - self._looked_at
        if silent > self._period * 3:
            return [f"the vigil over opsbot has not looked for {duration(silent)}"]
        return list(self._reasons)

    def _judge(self, reasons: list[str]) -> None:
        self._looked_at = self._steady()
        if not reasons:
            self._tell(WATCHDOG)
        if list(map(_lasting, reasons)) == list(map(_lasting, self._reasons)):
            return
        self._reasons = reasons
        self._say(reasons)
        if reasons:
            log.error("opsbot is not well, and does not say to the service manager that it is: %s", "; ".join(reasons))
        else:
            log.warning("opsbot is well again")

    async def look(self) -> list[str]:
        """What is not well, each in words; none while all is."""
        if self._loops is None or self._store is None:
            took = self._steady() - self._between
            late = took > BETWEEN_SECONDS
            return [f"no configuration has come into force (for {duration(took)})"] if late else []
        stuck = [f"the {name} loop is stuck (for {duration(late)})" for name, late in self._loops.late().items()]
        return stuck + self._of_gateway() + await self._of_store(self._store)

    def _of_gateway(self) -> list[str]:
        now = self._steady()
        if not self._zombie():
            self._zombie_since = None
            return []
        if self._zombie_since is None:
            self._zombie_since = now
        lasted = now - self._zombie_since
        words = "the connection to Discord looks whole, and its heartbeats are not answered"
        return [f"{words} (for {duration(lasted)})"] if lasted >= ZOMBIE_SECONDS else []

    async def _of_store(self, store: Store) -> list[str]:
        if self._asking is None:
            self._asking, self._asked_at = asyncio.create_task(store.read(_answer), name="vigil"), self._steady()
        asking = self._asking
        done, _ = await asyncio.wait({asking}, timeout=self._period * 0.9)
        if self._store is not store:  # closed meanwhile, as it should be
            asking.add_done_callback(_forget)
            return []
        if not done:
            return [f"the database does not answer (for {duration(self._steady() - self._asked_at)})"]
        self._asking = None
        error = asking.exception()
        return [] if error is None else [f"the database cannot be asked: {error}"]


def _ignore(_: str) -> None:
    return None


def _forget(task: "asyncio.Task[None]") -> None:
    """Nobody wants to know any more how it went."""
    if not task.cancelled():
        task.exception()


def _lasting(reason: str) -> str:
    """A reason without for how long: what grows by itself is no news."""
    return reason.partition(" (for ")[0]
