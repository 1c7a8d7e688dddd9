"""Measure clock skew from the Date header of Discord's responses."""

from collections.abc import Callable
from datetime import datetime, timedelta
from types import SimpleNamespace

import aiohttp

from opsbot.host.clock_skew import ClockSkew
from opsbot.runtime.ticks import loop_time


def clock_trace(clock_skew: ClockSkew, clock: Callable[[], datetime]) -> aiohttp.TraceConfig:
    """Build a trace config for discord.py's `http_trace`."""
    trace = aiohttp.TraceConfig()

    async def began(_: aiohttp.ClientSession, context: SimpleNamespace, __: aiohttp.TraceRequestStartParams) -> None:
        context.sent = loop_time()

    async def ended(_: aiohttp.ClientSession, context: SimpleNamespace, params: aiohttp.TraceRequestEndParams) -> None:
        date, now = params.response.headers.get("Date"), clock()
        if date:
            clock_skew.record(now - timedelta(seconds=loop_time() - context.sent), now, date)

    trace.on_request_start.append(began)
    trace.on_request_end.append(ended)
    return trace
