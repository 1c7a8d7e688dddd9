"""Wait for a condition in tests without polling."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Changes:
    """Waiters and their conditions; `notify` wakes those whose condition is true."""

    def __init__(self) -> None:
        self._waiting: list[Callable[[], None]] = []

    def notify(self) -> None:
        for evaluate in tuple(self._waiting):
            evaluate()

    async def wait(self, find: Callable[[], T | None], timeout: float, what: str) -> T:
        """The first result of `find` that is not None; TimeoutError names `what`."""
        found = find()
        if found is not None:
            return found
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def evaluate() -> None:
            if not future.done():
                try:
                    result = find()
                except Exception as error:  # noqa: BLE001 - a wrong condition must fail its own waiter, not the server
                    future.set_exception(error)
                    return
                if result is not None:
                    future.set_result(result)

        self._waiting.append(evaluate)
        try:
            async with asyncio.timeout(timeout):
                return await future
        except TimeoutError:
            raise TimeoutError(f"{what}: not within {timeout:g} s") from None
        finally:
            self._waiting.remove(evaluate)
