"""Asks the kernel which TCP ports are open, by sock_diag(7) over netlink.

A connection costs several times as much, and a loopback port in the ephemeral range that nothing listens on can connect
to itself: it would count as open, and block the service that is about to start.
"""

import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST, _NLM_F_DUMP = 0x1, 0x300
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_LISTENS = 10
"""TCP_LISTEN, tcp_states.h"""
_V4 = 4
_SKV6ONLY = 11
_HEADER = struct.Struct("=IHHII")
# struct inet_diag_req_v2, inet_diag_msg (linux/inet_diag.h); ports and addresses are in network order.
_REQUEST = struct.Struct("=BBBBI2s2s16s16sIII")
_ANY_COOKIE = 0xFFFFFFFF
_MESSAGE = struct.Struct("=BBBB2s2s16s16sI8sIIIII")
_ATTRIBUTE = struct.Struct("=HH")
_V4_IN_V6 = b"\0" * 10 + b"\xff\xff"

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Listener:
    """A listening socket. waiting: connections that are not accepted yet; room: the backlog."""

    address: bytes
    """4 bytes, or 16."""
    v6only: bool
    waiting: int
    room: int

    @property
    def full(self) -> bool:
        """Whether the backlog is full."""
        return self.waiting > self.room

    def takes(self, wanted: bytes) -> bool:
        """Whether it accepts connections to this address."""
        if self.address == wanted:
            return True
        if any(self.address):
            return self.address == _V4_IN_V6 + wanted
        return len(self.address) == len(wanted) or (len(self.address) > len(wanted) and not self.v6only)


@lru_cache(256)
def local(host: str) -> Sequence[bytes]:
    """The loopback addresses of `host`; none if it is not this host."""
    if host == "localhost":
        return IPv4Address("127.0.0.1").packed, IPv6Address("::1").packed
    with suppress(ValueError):
        address: Address = ip_address(host)
        if address.is_loopback:
            return (address.packed,)
    return ()


class PortTable:
    """Asks the kernel over one socket. Blocks for microseconds only."""

    def __init__(self) -> None:
        """Raises OSError where netlink is not allowed."""
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG)
        self._socket.settimeout(0)
        self._number = 0

    def taken(self, address: bytes, port: int) -> bool:
        """Whether a connection to this address would be accepted; a seventh of the cost of `listeners`.

        The kernel looks up the socket as for a connection (inet_diag_find_one_icsk in inet_diag.c).

        Raises:
            OSError: netlink is not allowed.
        """
        family = socket.AF_INET if len(address) == _V4 else socket.AF_INET6
        try:
            body = next(self._ask(family, port, address, 0), None)
        except FileNotFoundError:
            return False
        if body is None:
            return False
        fields = _MESSAGE.unpack_from(body)
        return bool(fields[1] == _LISTENS and fields[11] <= fields[12])

    def listeners(self, port: int) -> list[Listener]:
        """All sockets that listen on this port; the kernel filters by port (inet_diag.c).

        Raises:
            OSError: netlink is not allowed.
        """
        found = []
        for family, length in ((socket.AF_INET, _V4), (socket.AF_INET6, 16)):
            for body in self._ask(family, port, b"", _NLM_F_DUMP):
                fields = _MESSAGE.unpack_from(body)
                if int.from_bytes(fields[4], "big") == port:
                    v6only = family == socket.AF_INET6 and _v6only(body)
                    found.append(Listener(fields[6][:length], v6only, fields[11], fields[12]))
        return found

    def _ask(self, family: int, port: int, address: bytes, flags: int) -> Iterator[bytes]:
        self._number += 1
        about = port.to_bytes(2, "big"), b"", address, b"", 0, _ANY_COOKIE, _ANY_COOKIE
        request = _REQUEST.pack(family, socket.IPPROTO_TCP, 0, 0, 1 << _LISTENS, *about)
        length = _HEADER.size + len(request)
        head = _HEADER.pack(length, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST | flags, self._number, 0)
        self._socket.send(head + request)
        while True:
            data = self._socket.recv(64 * 1024)
            at = 0
            while at + _HEADER.size <= len(data):
                length, kind, _, number, _ = _HEADER.unpack_from(data, at)
                body = data[at + _HEADER.size : at + length]
                at += (length + 3) & ~3
                if number != self._number:
                    continue  # the rest of an abandoned answer
                if kind == _NLMSG_DONE:
                    return
                if kind == _NLMSG_ERROR:
                    code = -int.from_bytes(body[:4], "little", signed=True)
                    raise OSError(code, "the kernel does not tell which ports are open")
                yield body
                if not flags:
                    return

    def close(self) -> None:
        self._socket.close()


def _v6only(body: bytes) -> bool:
    at = _MESSAGE.size
    while at + _ATTRIBUTE.size < len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, at)
        if kind == _SKV6ONLY:
            return body[at + _ATTRIBUTE.size] != 0
        at += max((length + 3) & ~3, _ATTRIBUTE.size)
    return False
