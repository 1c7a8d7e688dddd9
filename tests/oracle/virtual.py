"""An event loop whose clock stands still while anything works, and else jumps to the next timer.

Threads (SQLite, files) and child processes (git) are real and take real time; none of it passes on this loop's clock.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

LOOK = 0.5
"""Seconds of real time that one wait for a thread or a child process may take before it is looked at anew."""


class _Selector(selectors.DefaultSelector):
    """Waits for what works; where nothing does, no time passes but the loop's."""

    loop: "VirtualLoop"

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        if self.loop.working:
            return super().select(LOOK)
        found = super().select(0)
        if not found:
            self.loop.now += timeout
        return found


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop that begins at a given second."""

    def __init__(self, begins: float = 0.0) -> None:
        """begins: what its clock shows at first."""
        self.now = begins
        self.working = 0
        """So many threads and child processes are at work."""
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.now

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:  # type: ignore[override]
        future = super().run_in_executor(executor, func, *args)
        self._work(future)
        return future

    async def subprocess_exec(self, *args: Any, **kwargs: Any) -> Any:
        self.working += 1
        try:
            transport, protocol = await super().subprocess_exec(*args, **kwargs)
            self._work(self.create_task(transport._wait()))  # type: ignore[attr-defined]
        finally:
            self.working -= 1
        return transport, protocol

    def _work(self, future: "asyncio.Future[Any]") -> None:
        self.working += 1
        future.add_done_callback(self._worked)

    def _worked(self, _: "asyncio.Future[Any]") -> None:
        self.working -= 1


def run(work: Coroutine[Any, Any, T], begins: float = 0.0) -> T:
    """Run it on a loop of its own."""
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(begins)) as runner:
        return runner.run(work)
