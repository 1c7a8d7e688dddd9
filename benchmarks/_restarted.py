"""The service that is restarted under load: 20 ms a request; on SIGTERM it takes no more and ends once all is answered.

`python -S -E _restarted.py [PORT]`: it listens there, or on what systemd hands it (sd_listen_fds(3)). Of the standard
library alone, and without an import of this package: it starts in a few dozen milliseconds.
"""

import asyncio
import os
import signal
import socket
import sys

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
WORK = 0.02


def _listener() -> socket.socket:
    if os.environ.get("LISTEN_PID") == str(os.getpid()):
        return socket.socket(fileno=3)
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", int(sys.argv[1])))
    listener.listen(4096)
    return listener


def _ready() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
        to.connect(os.environ["NOTIFY_SOCKET"])
        to.sendall(b"READY=1")


async def _answer(caller: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    with caller:
        caller.setblocking(False)  # noqa: FBT003 - its only parameter
        try:
            if await loop.sock_recv(caller, 4096):
                await asyncio.sleep(WORK)
                await loop.sock_sendall(caller, ANSWER)
        except OSError:
            pass  # the caller went away


async def main() -> None:
    """Serve until SIGTERM."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    under_way: set[asyncio.Task[None]] = set()
    listener = _listener()
    listener.setblocking(False)  # noqa: FBT003 - its only parameter

    def accept() -> None:
        try:
            caller = listener.accept()[0]
        except BlockingIOError:
            return
        task = loop.create_task(_answer(caller))
        under_way.add(task)
        task.add_done_callback(under_way.discard)

    loop.add_reader(listener, accept)
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    _ready()
    await ended.wait()
    loop.remove_reader(listener)
    listener.close()
    if under_way:
        await asyncio.wait(under_way, timeout=5)


if __name__ == "__main__":
    asyncio.run(main())
