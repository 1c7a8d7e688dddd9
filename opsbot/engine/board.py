"""The status board's records: where it was posted, what it shows, and whether an alert goes before it."""

from collections.abc import Callable
from datetime import datetime

from opsbot.core.model import Board, NotificationKind
from opsbot.store import Store, boards, outbox


class BoardRecords:
    """Keeps what is known of the board in each channel. It asks for no rank: only opsbot itself posts boards."""

    def __init__(self, store: Store, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock

    async def known(self) -> list[Board]:
        """Every board there is, or may be: of the configured channel and of those before it."""
        return await self._store.read(boards.boards)

    async def keep(self, board: Board) -> None:
        await self._store.write(boards.keep, board)

    async def forget(self, channel: int) -> None:
        await self._store.write(boards.forget, channel)

    async def alert_waiting(self) -> bool:
        """Whether a notification that wakes people waits to be sent. Lines of timelines come last in the outbox."""
        first = await self._store.read(outbox.pending, self._clock(), 1)
        return any(notice.kind is not NotificationKind.TIMELINE for notice in first)
