"""Which TCP ports are listened on here, asked of the kernel in one message: sock_diag(7) over netlink.

A connection would tell as well, at several times the price, and with a trap: a loopback port within the ephemeral range
that nobody listens on can be connected to itself, is then held to be up, and is taken from the service that comes back.
"""

import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST_DUMP = 0x301
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_TCP_LISTEN = 1 << 10
_SKV6ONLY = 11
_HEADER = struct.Struct("=IHHII")
# struct inet_diag_req_v2, inet_diag_msg (linux/inet_diag.h); ports and addresses are in network order.
_REQUEST = struct.Struct("=BBBBI48s")
_MESSAGE = struct.Struct("=BBBB2s2s16s16sI8sIIIII")
_ATTRIBUTE = struct.Struct("=HH")
_V4_IN_V6 = b"\0" * 10 + b"\xff\xff"

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Listener:
    """A socket that is listened on. waiting: connections nobody has accepted yet; room: how many may wait."""

    address: bytes
    """4 bytes, or 16."""
    v6only: bool
    waiting: int
    room: int

    @property
    def full(self) -> bool:
        """Whether the next connection has to wait outside."""
        return self.waiting > self.room

    def takes(self, wanted: bytes) -> bool:
        """Whether it takes connections to this address."""
        if self.address == wanted:
            return True
        if any(self.address):
            return self.address == _V4_IN_V6 + wanted
        return len(self.address) == len(wanted) or (len(self.address) > len(wanted) and not self.v6only)


Listeners = dict[int, list[Listener]]


def local(host: str) -> list[bytes]:
    """The loopback addresses that `host` means; none if it is another place, and has to be asked itself."""
    if host == "localhost":
        return [IPv4Address("127.0.0.1").packed, IPv6Address("::1").packed]
    with suppress(ValueError):
        address: Address = ip_address(host)
        if address.is_loopback:
            return [address.packed]
    return []


class PortTable:
    """Asks the kernel. One socket, kept open; it blocks for microseconds only, as the kernel answers by itself."""

    def __init__(self) -> None:
        """Raises OSError where netlink is not allowed."""
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG)
        self._socket.settimeout(0)
        self._number = 0

    def listeners(self) -> Listeners:
        """Everything that is listened on, by port.

        Raises:
            OSError: the kernel does not tell.
        """
        found: Listeners = {}
        for family, length in ((socket.AF_INET, 4), (socket.AF_INET6, 16)):
            for body in self._dump(family):
                fields = _MESSAGE.unpack_from(body)
                v6only = family == socket.AF_INET6 and _v6only(body)
                listener = Listener(fields[6][:length], v6only, fields[11], fields[12])
                found.setdefault(int.from_bytes(fields[4], "big"), []).append(listener)
        return found

    def _dump(self, family: int) -> Iterator[bytes]:
        self._number += 1
        request = _REQUEST.pack(family, socket.IPPROTO_TCP, 0, 0, _TCP_LISTEN, bytes(48))
        length = _HEADER.size + len(request)
        self._socket.send(_HEADER.pack(length, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST_DUMP, self._number, 0) + request)
        while True:
            data = self._socket.recv(64 * 1024)
            at = 0
            while at + _HEADER.size <= len(data):
                length, kind, _, number, _ = _HEADER.unpack_from(data, at)
                body = data[at + _HEADER.size : at + length]
                at += (length + 3) & ~3
                if number != self._number:
                    continue  # the rest of an answer that was given up
                if kind == _NLMSG_DONE:
                    return
                if kind == _NLMSG_ERROR:
                    code = -int.from_bytes(body[:4], "little", signed=True)
                    raise OSError(code, "the kernel does not tell which ports are listened on")
                yield body

    def close(self) -> None:
        """Ask no more."""
        self._socket.close()


def _v6only(body: bytes) -> bool:
    at = _MESSAGE.size
    while at + _ATTRIBUTE.size < len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, at)
        if kind == _SKV6ONLY:
            return body[at + _ATTRIBUTE.size] != 0
        at += max((length + 3) & ~3, _ATTRIBUTE.size)
    return False
