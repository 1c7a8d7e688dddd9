"""Reads a pipe to its end without blocking the event loop."""

import asyncio
import os
from collections.abc import Callable

PIECE = 64 * 1024


async def pump(pipe: int, take: Callable[[bytes], None]) -> None:
    """Pass the data to `take`, in a thread; close the pipe at its end."""
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(pipe, "rb", buffering=0)
    )
    try:
        while chunk := await reader.read(PIECE):
            await asyncio.to_thread(take, chunk)
    finally:
        transport.close()
