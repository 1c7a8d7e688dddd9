"""When a crashed service is restarted, and when it is given up."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff: restart at once, then after 1, 2, 4 ... seconds.

    first: seconds before the first restart. step: seconds before the second one, doubled for each further one up to
    `most`. A run of `well` seconds resets the backoff. After `crashes` runs in a row of less than `quick` seconds the
    service is given up.
    """

    first: float = 0.0
    step: float = 1.0
    most: float = 60.0
    well: float = 60.0
    quick: float = 10.0
    crashes: int = 5

    def delay(self, crashes: int) -> float:
        """Seconds before the restart that follows this many crashes in a row."""
        return self.first if crashes <= 1 else min(self.step * 2.0 ** min(crashes - 2, 32), self.most)


class CrashCounter:
    """Counts the crashes of a service: quick ones in a row, and all in a time window.

    A service that runs for a minute between crashes is in a crash loop, too: a Discord bot would log in more than a
    thousand times a day, and Discord would reset its token.
    """

    def __init__(
        self,
        backoff: Backoff,
        budget: int = 10,
        window: float = 3600.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """budget: crashes within `window` seconds at which the service is given up."""
        self._backoff = backoff
        self._window = window
        self._clock = clock
        self._crashes = 0
        self._recent: deque[float] = deque(maxlen=budget)
        self.quick = 0
        """Short runs in a row."""

    def count(self, lived: float) -> bool:
        """Count a crash after so many seconds; return whether to give the service up."""
        self._crashes = 1 if lived >= self._backoff.well else self._crashes + 1
        self.quick = 0 if lived >= self._backoff.quick else self.quick + 1
        self._recent.append(self._clock())
        return self.quick >= self._backoff.crashes or self._spent

    @property
    def _spent(self) -> bool:
        full = len(self._recent) == self._recent.maxlen
        return full and self._recent[-1] - self._recent[0] < self._window

    @property
    def reason(self) -> str:
        """Why the service is given up, for the log."""
        if self.quick >= self._backoff.crashes:
            return f"crashed {self.quick} times in a row, each within {self._backoff.quick:.0f} s of its start"
        return f"crashed {len(self._recent)} times within {self._window / 60:.0f} minutes"

    def forget(self) -> None:
        """Reset the counts: somebody requested a start, a restart or a stop."""
        self._crashes = self.quick = 0
        self._recent.clear()

    @property
    def delay(self) -> float:
        return self._backoff.delay(self._crashes)
