"""Notify the service manager: sd_notify(3), which is a single datagram."""

import logging
import os
import socket
import time
from collections.abc import Mapping

log = logging.getLogger(__name__)

READY = "READY=1"
STOPPING = "STOPPING=1"
WATCHDOG = "WATCHDOG=1"
STATUS_MOST = 400
"""Maximum length of a status line, which `systemctl status` shows on one line."""


def notify(state: str) -> bool:
    """Send a state such as "READY=1"; False without a listener. Never blocks."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return False
    if address[0] == "@":  # an abstract socket
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as channel:
            channel.connect(address)
            channel.send(state.encode())
    except OSError as error:
        log.warning("cannot send %s to the service manager: %s", state.partition("\n")[0], error)
        return False
    return True


def reloading() -> str:
    """Return the state that starts a reload (`Type=notify-reload`); READY=1 ends it."""
    return f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}"


def status(text: str) -> str:
    """The state that shows a line in `systemctl status`.

    Unprintable characters are replaced: a line break would start another assignment; invalid UTF-8 would be discarded.
    """
    line = "".join(char if char.isprintable() else "?" for char in text)
    return "STATUS=" + (line if len(line) <= STATUS_MOST else line[: STATUS_MOST - 1] + "…")


def watchdog_seconds(environment: Mapping[str, str] = os.environ) -> float | None:
    """The service manager's watchdog timeout for this process, or None.

    Follows sd_watchdog_enabled(3): `$WATCHDOG_PID` may be missing but must not name another process.
    """
    pid = environment.get("WATCHDOG_PID", "")
    limit = environment.get("WATCHDOG_USEC", "")
    if pid and pid != str(os.getpid()):
        return None
    if not limit.isascii() or not limit.isdecimal() or int(limit) == 0:
        return None
    return int(limit) / 1_000_000
