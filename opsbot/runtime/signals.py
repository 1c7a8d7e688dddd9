"""What the daemon is asked from outside: to stop (SIGTERM, SIGINT), or to read its configuration anew (SIGHUP)."""

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from opsbot.core.access import Actor, Origin

log = logging.getLogger(__name__)

T = TypeVar("T")

HANGUP = Actor(Origin.CLI, "signal:SIGHUP", "SIGHUP", owner=True)
"""Who may send this process a signal is root or opsbot's own user; the kernel does not tell asyncio which."""


@dataclass(frozen=True, slots=True)
class ReloadAnswer:
    """What came of a reload. answered: the last wish it answers. lines: what is wrong, or what changed."""

    answered: int
    ok: bool
    text: str
    lines: tuple[str, ...] = ()


class ReloadRequests:
    """Kept until somebody sees to them. Several to reload are one."""

    def __init__(self, stopping: Callable[[], None]) -> None:
        """stopping: called at once when a stop is asked for."""
        self._stopping = stopping
        self._stop = asyncio.Event()
        self._woken = asyncio.Event()
        self._reload: list[Actor] = []
        self.asked = 0
        """How often a reload was asked for."""
        self._taken = 0
        self.answer: ReloadAnswer | None = None
        """What came of the last reload."""

    def listen(self) -> None:
        """Take signals from now on."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        # A handler and not SIG_IGN, which the services would inherit.
        loop.add_signal_handler(signal.SIGHUP, self.reload, HANGUP)

    def stop(self) -> None:
        """Stop."""
        if not self._stop.is_set():
            self._stop.set()
            self._woken.set()
            self._stopping()

    def reload(self, actor: Actor) -> int:
        """Request a reload; returns its number, which `ReloadAnswer.answered` reaches once it was handled."""
        self._reload.append(actor)
        self._woken.set()
        self.asked += 1
        return self.asked

    @property
    def reload_wanted(self) -> bool:
        """Whether somebody asked since they were last taken."""
        return bool(self._reload)

    def take_reload(self) -> list[Actor]:
        """Who asked for a reload; it is being seen to now."""
        asked, self._reload, self._taken = self._reload, [], self.asked
        return asked

    def answered(self, text: str, lines: Sequence[str] = (), *, ok: bool = True) -> None:
        """What came of those taken last."""
        self.answer = ReloadAnswer(self._taken, ok, text, tuple(lines))

    async def until_reload(self) -> bool:
        """Wait for a wish; True for a reload, False for a stop."""
        while not self._stop.is_set() and not self._reload:
            self._woken.clear()
            await self._woken.wait()
        return not self._stop.is_set()

    async def unless_stopped(self, work: Coroutine[Any, Any, T]) -> T | None:
        """The result of this work; None where a stop was asked for meanwhile, and the work was cancelled."""
        task = asyncio.create_task(work)
        stop = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.cancel()
            if not task.done():
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        return None if task.cancelled() else task.result()
