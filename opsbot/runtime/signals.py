"""Handle signals: stop (SIGTERM, SIGINT) and reload the configuration (SIGHUP)."""

import asyncio
import signal
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from opsbot.core.access import Actor, Origin

T = TypeVar("T")

HANGUP = Actor(Origin.CLI, "signal:SIGHUP", "SIGHUP", owner=True)
"""A signal comes from root or from opsbot's own user; asyncio does not reveal which."""


@dataclass(frozen=True, slots=True)
class ReloadAnswer:
    """Result of a reload. answered: the last request it covers."""

    answered: int
    ok: bool
    text: str
    lines: tuple[str, ...] = ()


class ReloadRequests:
    """Pending requests to stop or reload; several reloads are handled together."""

    def __init__(self, stopping: Callable[[], None]) -> None:
        """stopping: called immediately when a stop is requested."""
        self._stopping = stopping
        self._stop = asyncio.Event()
        self._woken = asyncio.Event()
        self._reload: list[Actor] = []
        self.asked = 0
        """Number of reload requests so far."""
        self._taken = 0
        self.answer: ReloadAnswer | None = None
        """Result of the last reload."""

    def listen(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        # A handler instead of SIG_IGN, which services would inherit.
        loop.add_signal_handler(signal.SIGHUP, self.reload, HANGUP)

    def stop(self) -> None:
        if not self._stop.is_set():
            self._stop.set()
            self._woken.set()
            self._stopping()

    def reload(self, actor: Actor) -> int:
        """Request a reload; return its number, for `ReloadAnswer.answered`."""
        self._reload.append(actor)
        self._woken.set()
        self.asked += 1
        return self.asked

    @property
    def reload_wanted(self) -> bool:
        return bool(self._reload)

    def take_reload(self) -> list[Actor]:
        """Take the pending reload requests for handling; returns their actors."""
        asked, self._reload, self._taken = self._reload, [], self.asked
        return asked

    def answered(self, text: str, lines: Sequence[str] = (), *, ok: bool = True) -> None:
        """Record the result of the requests taken last."""
        self.answer = ReloadAnswer(self._taken, ok, text, tuple(lines))

    async def until_reload(self) -> bool:
        """Wait for a request; True for a reload, False for a stop."""
        while not self._stop.is_set() and not self._reload:
            self._woken.clear()
            await self._woken.wait()
        return not self._stop.is_set()

    async def unless_stopped(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Run the work; returns its result, or None if a stop request cancelled it."""
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
