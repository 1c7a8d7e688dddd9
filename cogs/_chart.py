"""A chart beside a message: the message says it all without it."""

import asyncio
from dataclasses import replace

from cogs._render import Shown
from opsbot.chart import Memory, memory_chart


async def with_chart(shown: Shown, memory: Memory | None) -> Shown:
    """The message with the chart attached; as it is where there is nothing to draw."""
    if memory is None:
        return shown
    return replace(shown, file=("memory.png", await asyncio.to_thread(memory_chart, memory)))
