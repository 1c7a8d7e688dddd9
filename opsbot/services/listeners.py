"""Callbacks that receive events."""

import logging
from collections.abc import Callable
from typing import Generic, TypeVar

log = logging.getLogger(__name__)
T = TypeVar("T")


class Listeners(Generic[T]):
    """Passes each event to every listener, even if one raises."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[T], None]] = []

    def add(self, listener: Callable[[T], None]) -> None:
        self._listeners.append(listener)

    def notify(self, event: T) -> None:
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:
                # Boundary: the manager and the other listeners continue.
                log.exception("a listener failed on %s", event)
