"""Telling the service manager how it goes: sd_notify(3), by hand, since it is one datagram."""

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
"""Characters of a status line; `systemctl status` shows it on one."""


def notify(state: str) -> bool:
    """Send a state such as "READY=1"; False where nobody listens (`$NOTIFY_SOCKET` is not set), or nobody takes it.

    Does not block: a service manager that hangs must not hang opsbot.
    """
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
        log.warning("the service manager cannot be told %s: %s", state.partition("\n")[0], error)
        return False
    return True


def reloading() -> str:
    """The state that says a reload has begun; READY=1 says it is over. `Type=notify-reload` wants to know when."""
    return f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}"


def status(text: str) -> str:
    """The state that shows a line in `systemctl status`. Whatever does not print in it is made visible.

    A line break would begin another assignment, and text that is not UTF-8 be thrown away.
    """
    line = "".join(char if char.isprintable() else "?" for char in text)
    return "STATUS=" + (line if len(line) <= STATUS_MOST else line[: STATUS_MOST - 1] + "…")


def watchdog_seconds(environment: Mapping[str, str] = os.environ) -> float | None:
    """How long the service manager waits for WATCHDOG=1; None where it does not wait, or not for this process.

    By the rules of sd_watchdog_enabled(3): `$WATCHDOG_PID` may be missing, but not be another's.
    """
    pid = environment.get("WATCHDOG_PID", "")
    limit = environment.get("WATCHDOG_USEC", "")
    if pid and pid != str(os.getpid()):
        return None
    if not limit.isascii() or not limit.isdecimal() or int(limit) == 0:
        return None
    return int(limit) / 1_000_000
