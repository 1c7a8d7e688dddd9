"""Background tasks that are referenced until done and whose failures are logged."""

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


async def wait_at_most(event: asyncio.Event, seconds: float | None) -> None:
    """Wait for the event, or until the seconds are over; without a limit if None."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


async def cancel_all(*tasks: asyncio.Future[Any]) -> None:
    """Cancel tasks and wait for their ends, whatever these are."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class BackgroundTasks:
    """Tasks of one owner, which cancels them when it closes."""

    def __init__(self, log: logging.Logger, expected: type[Exception] | tuple[type[Exception], ...] = ()) -> None:
        """log: the owner's. expected: exceptions to log without a traceback."""
        self._log = log
        self._expected = expected
        self.tasks: set[asyncio.Task[Any]] = set()

    def run(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        task = asyncio.create_task(work, name=name)
        self.tasks.add(task)
        task.add_done_callback(self._done)
        return task

    async def close(self) -> None:
        await cancel_all(*self.tasks)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self.tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        if isinstance(error, self._expected):
            self._log.warning("%s: %s", task.get_name(), error)
        else:
            self._log.error("%s: %s", task.get_name(), error, exc_info=error)
