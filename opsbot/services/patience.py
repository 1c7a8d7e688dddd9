"""How long a service that dies again and again is started again."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Patience:
    """How a service that dies is started again: at once, then after 1, 2, 4 ... seconds.

    first: seconds before the first new start. step: before the second, doubled for each further one up to `most`. A run
    of `well` seconds begins anew with `first`. After `falls` runs in a row that lived less than `quick` seconds, it is
    given up.
    """

    first: float = 0.0
    step: float = 1.0
    most: float = 60.0
    well: float = 60.0
    quick: float = 10.0
    falls: int = 5

    def delay(self, deaths: int) -> float:
        """Seconds before the start that follows this many deaths in a row."""
        return self.first if deaths <= 1 else min(self.step * 2.0 ** min(deaths - 2, 32), self.most)


class Falls:
    """Counts the deaths of a service: quick ones in a row, and all of them within a window of time.

    A service that runs for a minute between its deaths is a loop too: a Discord bot that does so logs in more than a
    thousand times a day, at which Discord takes its token away.
    """

    def __init__(
        self,
        patience: Patience,
        budget: int = 10,
        window: float = 3600.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`budget` deaths within `window` seconds are too many. It has not died yet."""
        self._patience = patience
        self._window = window
        self._clock = clock
        self._deaths = 0
        self._recent: deque[float] = deque(maxlen=budget)
        self.quick = 0
        """Runs in a row that were over soon."""

    def count(self, lived: float) -> bool:
        """Count the death of a run that lived so many seconds; whether it is the one too many."""
        self._deaths = 1 if lived >= self._patience.well else self._deaths + 1
        self.quick = 0 if lived >= self._patience.quick else self.quick + 1
        self._recent.append(self._clock())
        return self.quick >= self._patience.falls or self._spent

    @property
    def _spent(self) -> bool:
        full = len(self._recent) == self._recent.maxlen
        return full and self._recent[-1] - self._recent[0] < self._window

    @property
    def told(self) -> str:
        """Why it is the one too many, in words."""
        if self.quick >= self._patience.falls:
            return f"died {self.quick} times in a row, each within {self._patience.quick:.0f} s of its start"
        return f"died {len(self._recent)} times within {self._window / 60:.0f} minutes"

    def forget(self) -> None:
        """Someone asked for a start, a restart or a stop: what was before does not count."""
        self._deaths = self.quick = 0
        self._recent.clear()

    @property
    def delay(self) -> float:
        """Seconds before the next start."""
        return self._patience.delay(self._deaths)
