"""A chart beside a message: the message says it all without it."""

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from cogs.cards.rendered import RenderedMessage

if TYPE_CHECKING:
    from opsbot.chart import Memory


async def with_chart(shown: RenderedMessage, memory: "Memory | None") -> RenderedMessage:
    """The message with the chart attached; as it is where there is nothing to draw."""
    if memory is None:
        return shown
    from opsbot.chart import memory_chart  # noqa: PLC0415 - seldom drawn, and it takes room

    return replace(shown, file=("memory.png", await asyncio.to_thread(memory_chart, memory)))
