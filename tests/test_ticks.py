"""The beat: what need not be punctual is done together."""

import asyncio
import math

import pytest

from opsbot.runtime.ticks import next_tick, until_tick


async def test_what_need_not_be_punctual_comes_on_a_whole_second_and_never_early() -> None:
    now = asyncio.get_running_loop().time()
    for seconds in (1.0, 1.2, 29.9, 30.0):
        later = now + until_tick(seconds)
        assert later >= now + seconds - 0.05
        assert later < now + seconds + 1.1
        assert abs(later - round(later)) < 0.02


async def test_what_is_short_is_punctual() -> None:
    assert until_tick(0.25) == 0.25
    now = asyncio.get_running_loop().time()
    assert next_tick(0.25) == pytest.approx(now + 0.25, abs=0.05)
    assert next_tick(1.5) == pytest.approx(now + 1.5, abs=0.05)


async def test_what_comes_again_and_again_does_not_drift_from_the_beat() -> None:
    now = asyncio.get_running_loop().time()
    assert next_tick(5.0).is_integer()
    assert math.floor(now) + 4 <= next_tick(5.0) <= now + 6
