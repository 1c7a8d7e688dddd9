"""Align timers to whole seconds of the loop's clock, so that wake-ups coincide.

Waking up costs a mostly idle process more than the work itself. Linux and GLib do the same for this reason
(round_jiffies in kernel timers, g_timeout_add_seconds(3)).
"""

import asyncio
import math
from datetime import UTC, datetime

_LATE = 0.05
"""Tolerance in seconds: timers never fire early, and a slightly late one must not skip a tick."""


def loop_time() -> float:
    """Return monotonic seconds on the clock of the loop's timers, so that waits and what they wait for agree."""
    return asyncio.get_running_loop().time()


def utc_now() -> datetime:
    return datetime.now(UTC)


def until_tick(seconds: float) -> float:
    """Seconds to the first tick after `seconds`; less than a second is unchanged."""
    if seconds < 1.0:
        return seconds
    now = asyncio.get_running_loop().time()
    return math.ceil(now + seconds - _LATE) - now


def next_tick(every: float) -> float:
    now = asyncio.get_running_loop().time()
    return math.floor(now + _LATE) + every if every >= 1.0 and every.is_integer() else now + every
