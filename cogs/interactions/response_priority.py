"""Prefer first responses to answers when many interactions arrive at once.

Discord allows 3 seconds for a first response and 15 minutes for an answer, which also costs several times as much.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from opsbot.runtime.tasks import wait_at_most

PATIENCE = 0.5
"""Maximum seconds that an answer waits; under continuous load all then proceed concurrently."""


class ResponsePriority:
    """Tracks interactions without a first response."""

    def __init__(self, patience: float = PATIENCE) -> None:
        """patience: maximum seconds that an answer waits."""
        self._patience = patience
        self._waiting = 0
        self._calm = asyncio.Event()
        self._calm.set()

    @contextmanager
    def first_response(self) -> Iterator[None]:
        """Mark a first response as pending inside this context."""
        self._waiting += 1
        self._calm.clear()
        try:
            yield
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._calm.set()

    async def give_way(self) -> None:
        """Wait until no first response is pending, or patience ends."""
        if self._calm.is_set():
            return
        await wait_at_most(self._calm, self._patience)
