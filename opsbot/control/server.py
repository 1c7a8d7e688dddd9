"""The control socket: HTTP/1.1 in JSON over a unix socket, for the command line on this host.

Anyone who can reach the socket may ask; the kernel says who it is, and the ranks decide (deny by default). So its mode
is 0666, and the directory it stands in may be entered by those who shall be able to ask.
"""

import asyncio
import contextlib
import errno
import os
import socket
import stat
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from opsbot import __version__
from opsbot.control.routes import Routes, errors_as_json
from opsbot.control.shapes import GatewayReply, PingReply
from opsbot.control.snapshot import Snapshots
from opsbot.control.unix_path import reachable
from opsbot.runtime.signals import ReloadRequests

if TYPE_CHECKING:
    from opsbot.engine import Engine

__all__ = ["ControlError", "ControlServer", "GatewayReply", "start_control"]

BODY_BYTES = 64 * 1024
CLOSE_SECONDS = 2.0
_BACKLOG = 64
_KNOCK_SECONDS = 2.0


class ControlError(OSError):
    """The socket cannot be opened; the text names the path, why, and the mend."""


class ControlServer:
    """The open socket. `close` it."""

    def __init__(self, path: Path, runner: web.AppRunner, inode: int, closing: asyncio.Event) -> None:
        self.path = path
        self._runner = runner
        self._inode = inode
        self._closing = closing

    async def close(self) -> None:
        """End the streams, let the other requests come to their end for a moment, and take the socket away."""
        self._closing.set()
        await self._runner.cleanup()
        await asyncio.to_thread(self._remove)

    def _remove(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            if self.path.lstat().st_ino == self._inode:  # not another daemon's, made in its place
                self.path.unlink()


def _answers(path: Path) -> bool:
    """Whether somebody listens on the socket."""
    with reachable(path) as name, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knock:
        knock.settimeout(_KNOCK_SECONDS)
        try:
            knock.connect(name)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError as error:
            # Too busy to take the connection up is an answer too.
            if error.errno in {errno.EAGAIN, errno.ETIMEDOUT} or isinstance(error, TimeoutError):
                return True
            raise
    return True


def _bind(path: Path) -> tuple[socket.socket, int]:
    """A listening socket at `path`, in the place of a dead daemon's, and its inode."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISSOCK(path.lstat().st_mode):
                raise ControlError(f"{path} is in the way of the control socket and is no socket; move it away")
            if _answers(path):
                raise ControlError(f"another opsbot answers at {path}; stop it first (systemctl stop opsbot)")
        # Made beside and moved into place, so that whoever finds it can connect: mode set, already listening.
        made = path.with_name(f".{path.name}.{os.getpid()}")
        made.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with reachable(made) as name:
                listener.bind(name)
            made.chmod(0o666)
            listener.listen(_BACKLOG)
            listener.setblocking(False)  # noqa: FBT003 - the name of the standard library's own parameter is missing
            inode = made.stat().st_ino
            made.rename(path)
        except BaseException:
            listener.close()
            made.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ControlError(f"the control socket {path} cannot be made: {error.strerror or error}") from error
    return listener, inode


async def start_control(
    engine: "Engine",
    path: Path,
    clock: Callable[[], datetime],
    *,
    gateway: Callable[[], GatewayReply] | None = None,
    reload_requests: ReloadRequests | None = None,
) -> ControlServer:
    """Open the control socket at `path` and answer on it until `ControlServer.close`.

    gateway: how the connection to Discord stands, for the dashboard. wishes: takes what is asked of the daemon itself.

    Raises:
        ControlError: a live daemon answers there, or the socket cannot be made.
    """
    ping = PingReply(__version__, os.getpid(), clock(), str(engine.config.state.directory))
    closing = asyncio.Event()
    routes = Routes(engine, clock, ping, Snapshots(engine, clock, ping, gateway), closing, reload_requests)
    app = web.Application(client_max_size=BODY_BYTES, middlewares=[errors_as_json])
    app.add_routes(routes.table())
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=CLOSE_SECONDS, keepalive_timeout=5.0)
    await runner.setup()
    try:
        listener, inode = await asyncio.to_thread(_bind, path)
        await web.SockSite(runner, listener, backlog=_BACKLOG).start()
    except BaseException:
        await runner.cleanup()
        raise
    return ControlServer(path, runner, inode, closing)
