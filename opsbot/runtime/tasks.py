"""Background tasks that are referenced until done and whose failures are logged."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


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
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self.tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        if isinstance(error, self._expected):
            self._log.warning("%s: %s", task.get_name(), error)
        else:
            self._log.error("%s: %s", task.get_name(), error, exc_info=error)
