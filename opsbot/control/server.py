"""The control socket: HTTP/1.1 in JSON over a unix socket, for the command line on this host.

Anyone who can reach the socket may ask; the kernel says who it is, and the ranks decide (deny by default). So its mode
is 0666, and its directory may be entered by those who shall be able to ask.
"""

import asyncio
import contextlib
import errno
import logging
import os
import socket
import stat
from collections.abc import Callable
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from opsbot.control.unix_path import reachable
from opsbot.runtime.signals import ReloadRequests
from opsbot.runtime.tasks import BackgroundTasks

if TYPE_CHECKING:
    from opsbot.engine import Engine

log = logging.getLogger(__name__)

CLOSE_SECONDS = 2.0
_BACKLOG = 64
_KNOCK_SECONDS = 2.0


class ControlError(OSError):
    """The socket cannot be opened; the text names the path, the cause and a fix."""


class ControlServer:
    """The open socket. `close` it.

    What answers is loaded at the first connection: most hosts see none for weeks.
    """

    def __init__(
        self, path: Path, listener: socket.socket, inode: int, application: Callable[[asyncio.Event], web.Application]
    ) -> None:
        """application: builds it; the event ends its streams."""
        self.path = path
        self._listener = listener
        self._inode = inode
        self._application = application
        self._closing = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._tasks = BackgroundTasks(log)
        asyncio.get_running_loop().add_reader(listener, self._connected)

    def _connected(self) -> None:
        asyncio.get_running_loop().remove_reader(self._listener)
        self._tasks.run(self._serve(), "control socket")

    async def _serve(self) -> None:
        await asyncio.to_thread(import_module, "opsbot.control.routes")  # it reads files
        self._runner = web.AppRunner(
            self._application(self._closing), access_log=None, shutdown_timeout=CLOSE_SECONDS, keepalive_timeout=5.0
        )
        await self._runner.setup()
        await web.SockSite(self._runner, self._listener, backlog=_BACKLOG).start()

    async def close(self) -> None:
        """End the streams, wait a moment for the other requests, and remove the socket."""
        self._closing.set()
        if self._listener.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._listener)
        await self._tasks.close()
        if self._runner is not None:
            await self._runner.cleanup()
        self._listener.close()
        await asyncio.to_thread(self._remove)

    def _remove(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            if self.path.lstat().st_ino == self._inode:  # not another daemon's
                self.path.unlink()


def _answers(path: Path) -> bool:
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
    """A listening socket at `path`, replacing that of a dead daemon, and its inode."""
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
    gateway: Callable[[], object] | None = None,
    reload_requests: ReloadRequests | None = None,
) -> ControlServer:
    """Open the control socket at `path` and answer on it until `ControlServer.close`.

    gateway: the connection to Discord, with the fields of `GatewayReply`. reload_requests: takes requests to reload.

    Raises:
        ControlError: a live daemon answers there, or the socket cannot be made.
    """
    started = clock()

    def application(closing: asyncio.Event) -> web.Application:
        from opsbot.control.routes import application  # noqa: PLC0415 - see ControlServer

        return application(engine, clock, started, gateway, closing, reload_requests)

    listener, inode = await asyncio.to_thread(_bind, path)
    return ControlServer(path, listener, inode, application)
