"""Lets a test wait until something is so, without polling."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Changes:
    """`notify` wakes every waiter whose condition now holds."""

    def __init__(self) -> None:
        """Nobody waits yet."""
        self._waiting: list[Callable[[], None]] = []

    def notify(self) -> None:
        """Something changed."""
        for look in tuple(self._waiting):
            look()

    async def wait(self, find: Callable[[], T | None], timeout: float, what: str) -> T:
        """The first result of `find` that is not None; TimeoutError naming `what` after that many seconds."""
        found = find()
        if found is not None:
            return found
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def look() -> None:
            if not future.done():
                try:
                    result = find()
                except Exception as error:  # noqa: BLE001 - a wrong condition must fail its own waiter, not the server
                    future.set_exception(error)
                    return
                if result is not None:
                    future.set_result(result)

        self._waiting.append(look)
        try:
            async with asyncio.timeout(timeout):
                return await future
        except TimeoutError:
            raise TimeoutError(f"{what}: not within {timeout:g} s") from None
        finally:
            self._waiting.remove(look)
