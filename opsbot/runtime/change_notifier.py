"""Wakes whoever watches. The store is the truth; the feed only says that something in it has changed.

A subscriber that is slow misses nothing and piles nothing up: it learns which subjects changed since it last looked,
each once, and reads their latest state from the store.
"""

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Self

Subject = tuple[str, int]
"""What changed: ("deployment", id), ("incident", id), ("notice", 0), ("service", 0)."""


class Subscription:
    """One watcher's place. Close it, or use it as a context manager."""

    def __init__(self, feed: "ChangeNotifier") -> None:
        """Made by `ChangeNotifier.subscribe`."""
        self._feed = feed
        self._changed: set[Subject] = set()
        self._wake = asyncio.Event()

    def mark(self, subject: Subject) -> None:
        """Note a change (called by the feed)."""
        self._changed.add(subject)
        self._wake.set()

    async def wait(self, timeout: float | None = None) -> frozenset[Subject]:
        """What changed since the last call; waits for a change, at most `timeout` seconds (then it may be empty)."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._wake.wait()
        return self.take()

    def take(self) -> frozenset[Subject]:
        """What changed since the last call; waits for nothing."""
        self._wake.clear()
        changed, self._changed = frozenset(self._changed), set()
        return changed

    def close(self) -> None:
        """Stop being woken."""
        self._feed.forget(self)

    def __enter__(self) -> Self:
        """The subscription itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()


class ChangeNotifier:
    """Tells every subscription of every change."""

    def __init__(self) -> None:
        """Nobody watches yet."""
        self._subscriptions: set[Subscription] = set()

    def publish(self, kind: str, number: int = 0) -> None:
        """Something changed, and is in the store already."""
        for subscription in self._subscriptions:
            subscription.mark((kind, number))

    def subscribe(self) -> Subscription:
        """Begin to watch."""
        subscription = Subscription(self)
        self._subscriptions.add(subscription)
        return subscription

    def forget(self, subscription: Subscription) -> None:
        """Used by `Subscription.close`."""
        self._subscriptions.discard(subscription)
