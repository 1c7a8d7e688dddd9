"""Reading a pipe to its end without holding up the event loop."""

import asyncio
import os
from collections.abc import Callable

PIECE = 64 * 1024


async def pump(pipe: int, take: Callable[[bytes], None]) -> None:
    """Hand all that comes to `take`, in a thread; the pipe is closed at its end, or when this is cancelled."""
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(pipe, "rb", buffering=0)
    )
    try:
        while chunk := await reader.read(PIECE):
            await asyncio.to_thread(take, chunk)
    finally:
        transport.close()
