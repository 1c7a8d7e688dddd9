"""Streams on the control socket: a JSON value a line, until there is no more or the reader is gone."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import suppress

from aiohttp import web

from opsbot.control.shapes import encode
from opsbot.messages import describe
from opsbot.services.port import ManagerError

log = logging.getLogger(__name__)

TICK = 0.5
"""Seconds between looks whether the reader is still there."""

HEARTBEAT = 10
"""Ticks between empty lines, so that a reader can distinguish silence from death."""

_BACKLOG = 256


class _End:
    """Nothing follows."""


async def _pump(items: AsyncIterator[object], queue: "asyncio.Queue[object]") -> None:
    try:
        async for item in items:
            await queue.put(item)
    except ManagerError as error:
        await queue.put({"why": "not-ready", "text": describe(error)})
    except Exception:
        # The edge: the reader gets an error, the log the traceback.
        log.exception("a stream on the control socket broke")
        await queue.put({"why": "error", "text": "an internal error of opsbot; see its log"})
    await queue.put(_End())


async def send(request: web.Request, items: AsyncIterator[object], closing: asyncio.Event) -> web.StreamResponse:
    """Send each item as a line; a reader that is slow holds up the items, one that is gone ends them."""
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    await response.prepare(request)
    queue: asyncio.Queue[object] = asyncio.Queue(_BACKLOG)
    pump = asyncio.create_task(_pump(items, queue))
    quiet = 0
    try:
        while not closing.is_set() and request.transport is not None and not request.transport.is_closing():
            try:
                async with asyncio.timeout(TICK):
                    item = await queue.get()
            except TimeoutError:
                quiet += 1
                if quiet % HEARTBEAT == 0:
                    await response.write(b"\n")
                continue
            if isinstance(item, _End):
                await response.write_eof()
                break
            quiet = 0
            await response.write(json.dumps(encode(item)).encode() + b"\n")
    except ConnectionError:
        pass  # the reader went away
    finally:
        pump.cancel()
        with suppress(asyncio.CancelledError):
            await pump
        if hasattr(items, "aclose"):
            await items.aclose()
    return response
