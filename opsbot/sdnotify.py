"""Telling the service manager how it goes: sd_notify(3), by hand, since it is one datagram."""

import os
import socket


def notify(state: str) -> bool:
    """Send a state such as "READY=1"; False where nobody listens (`$NOTIFY_SOCKET` is not set)."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return False
    if address[0] == "@":  # an abstract socket
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        channel.connect(address)
        channel.sendall(state.encode())
    return True
