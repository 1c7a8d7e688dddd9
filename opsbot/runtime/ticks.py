"""The beat: what need not be punctual is done together, on the whole seconds of the event loop's clock.

To wake up costs a process that sleeps most of the time more than what it wakes up for. Linux and GLib have the same for
the same reason (round_jiffies in the kernel's timers, g_timeout_add_seconds(3)).
"""

import asyncio
import math

_LATE = 0.05
"""Seconds; a timer never comes early, and a little late is not a whole beat late."""


def until_beat(seconds: float) -> float:
    """So many seconds, and up to the next beat; what is shorter than one second stays as it is."""
    if seconds < 1.0:
        return seconds
    now = asyncio.get_running_loop().time()
    return math.ceil(now + seconds - _LATE) - now


def next_beat(every: float) -> float:
    """The event loop's time `every` seconds after the last beat, where these are whole seconds; else after now."""
    now = asyncio.get_running_loop().time()
    return math.floor(now + _LATE) + every if every >= 1.0 and every.is_integer() else now + every
