"""A gateway WebSocket: ordered frames, compression, closing and resetting."""

import asyncio
import json
import socket
import struct
import time
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp import web

    from opsbot.standin.gateway import GatewaySession


class CloseCode:
    """Why Discord closes a connection."""

    UNKNOWN_OPCODE = 4001
    DECODE_ERROR = 4002
    NOT_AUTHENTICATED = 4003
    AUTHENTICATION_FAILED = 4004
    ALREADY_AUTHENTICATED = 4005
    INVALID_SEQ = 4007
    RATE_LIMITED = 4008
    SESSION_TIMED_OUT = 4009
    INVALID_INTENTS = 4013
    DISALLOWED_INTENTS = 4014


def reset(transport: asyncio.BaseTransport | None) -> None:
    """End a TCP connection with a reset: no FIN, nothing flushed."""
    if transport is None:
        return
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if isinstance(transport, asyncio.WriteTransport):
        transport.abort()


class Connection:
    """One WebSocket: writes frames in order, compressed as the client asked."""

    def __init__(
        self,
        ws: "web.WebSocketResponse",
        transport: asyncio.BaseTransport | None,
        compression: str,
        on_sent: Callable[[], None],
    ) -> None:
        """`compression` is the query's: "zlib-stream", or anything else for plain text."""
        self.ws = ws
        self.transport = transport
        self.session: GatewaySession | None = None
        self.closing = False
        self.last_heartbeat = time.monotonic()
        self._zlib = zlib.compressobj() if compression == "zlib-stream" else None
        self.unsent = 0
        self._on_sent = on_sent
        self._frames: asyncio.Queue[str | None] = asyncio.Queue()
        self._writer = asyncio.create_task(self._write())

    def send(self, frame: str) -> None:
        """Queue a frame. Never blocks or fails; a lost connection drops it."""
        self.unsent += 1
        self._frames.put_nowait(frame)

    def send_op(self, op: int, data: object) -> None:
        self.send(json.dumps({"op": op, "d": data, "s": None, "t": None}))

    async def _write(self) -> None:
        while (frame := await self._frames.get()) is not None:
            try:
                if self._zlib is None:
                    await self.ws.send_str(frame)
                else:
                    data = self._zlib.compress(frame.encode()) + self._zlib.flush(zlib.Z_SYNC_FLUSH)
                    await self.ws.send_bytes(data)
            except (ConnectionError, RuntimeError):
                return  # the session keeps its replay buffer; RESUME sends it again
            self.unsent -= 1
            self._on_sent()

    async def close(self, code: int, reason: str = "") -> None:
        """Send what is queued, then close with that code."""
        self.closing = True
        self._frames.put_nowait(None)
        await self._writer
        await self.ws.close(code=code, message=reason.encode())

    def abort(self) -> None:
        """Reset the TCP connection: no close frame."""
        self.closing = True
        reset(self.transport)

    def stop(self) -> None:
        self._writer.cancel()
