"""Notify subscribers of changes in the store, which remains the source of truth.

A slow subscriber misses nothing and queues nothing: it receives the set of subjects that changed since its last read
and reads their current state from the store.
"""

import asyncio
from contextlib import AbstractContextManager

from opsbot.runtime.tasks import wait_at_most

Subject = tuple[str, int]
"""What changed: ("deployment", id), ("incident", id), ("notice", 0), ("service", 0)."""


class Subscription(AbstractContextManager["Subscription"]):
    """One subscriber. Close it, or use it as a context manager."""

    def __init__(self, others: set["Subscription"]) -> None:
        self._others = others
        self._changed: set[Subject] = set()
        self._wake = asyncio.Event()

    def mark(self, subject: Subject) -> None:
        self._changed.add(subject)
        self._wake.set()

    async def wait(self, timeout: float | None = None) -> frozenset[Subject]:
        """Wait up to `timeout` seconds for changes since the last call and return them."""
        await wait_at_most(self._wake, timeout)
        return self.take()

    def take(self) -> frozenset[Subject]:
        self._wake.clear()
        changed, self._changed = frozenset(self._changed), set()
        return changed

    def close(self) -> None:
        self._others.discard(self)

    def __exit__(self, *_: object) -> None:
        self.close()


class ChangeNotifier:
    """Passes every change to every subscription."""

    def __init__(self) -> None:
        self._subscriptions: set[Subscription] = set()

    def publish(self, kind: str, number: int = 0) -> None:
        """Announce a change that is already stored."""
        for subscription in self._subscriptions:
            subscription.mark((kind, number))

    def subscribe(self) -> Subscription:
        subscription = Subscription(self._subscriptions)
        self._subscriptions.add(subscription)
        return subscription
