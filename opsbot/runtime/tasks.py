"""Work in the background: tasks that nobody waits for, kept from the garbage collector, whose failures are logged."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class BackgroundTasks:
    """The tasks of one owner, who ends them when it ends itself."""

    def __init__(self, log: logging.Logger, expected: type[Exception] | tuple[type[Exception], ...] = ()) -> None:
        """log: the owner's. expected: failures that are a sentence for people, and no fault with a traceback."""
        self._log = log
        self._expected = expected
        self.tasks: set[asyncio.Task[Any]] = set()

    def run(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Begin it. name: what it is about, for the log."""
        task = asyncio.create_task(work, name=name)
        self.tasks.add(task)
        task.add_done_callback(self._done)
        return task

    async def close(self) -> None:
        """Cancel what is under way, and wait for its end."""
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
