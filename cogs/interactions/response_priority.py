"""A rush: many ask at once. Those who still wait for a first response go before those who wait for their answer.

Discord gives a first response 3 seconds and an answer 15 minutes, and to make an answer costs several times as much.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

PATIENCE = 0.5
"""Seconds that an answer gives way at the most: with no end of those who ask, all go on side by side."""


class ResponsePriority:
    """Who still waits for a first response."""

    def __init__(self, patience: float = PATIENCE) -> None:
        """Nobody asks yet. patience: seconds that an answer gives way at the most."""
        self._patience = patience
        self._waiting = 0
        self._calm = asyncio.Event()
        self._calm.set()

    @contextmanager
    def first_response(self) -> Iterator[None]:
        """While it is on its way."""
        self._waiting += 1
        self._calm.clear()
        try:
            yield
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._calm.set()

    async def give_way(self) -> None:
        """Until nobody waits for a first response, or patience ends."""
        if self._calm.is_set():
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(self._patience):
                await self._calm.wait()
