"""Sends one HTTP request on a new connection and reads the answer.

A kept connection would not notice a closed port. Redirects are not followed: a redirect is an answer.
"""

import asyncio
import errno
import os
import select
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import ip_address
from typing import cast
from urllib.parse import SplitResult, urlsplit
from weakref import WeakKeyDictionary

import httptools

from opsbot.config import Check
from opsbot.core.health import ProbeCode
from opsbot.core.message import Message, MessageError, message

BODY_AT_MOST = 64 * 1024
_HEAD_AT_MOST = 64 * 1024
_READ = 64 * 1024
_USER_AGENT = "opsbot"
_REFUSED = message(ProbeCode.CONNECTION_REFUSED)
"""Also for a connection to itself: nothing listens on the port, and it is in the ephemeral range."""


class NoAnswerError(MessageError):
    """There was no complete answer; the message says why."""


@dataclass(slots=True)
class Answer:
    """The answer, untrusted. body: its first 64 KiB. Header names are in lower case."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Target:
    """The server of a check, and the bytes of the request."""

    host: str
    port: int
    tls: bool
    request: bytes
    family: int | None
    """For a plain socket; None where a name has to be resolved, or TLS is used."""


class _Exchange(asyncio.Protocol):
    """Collects the answer. `done` gets it once it is complete or long enough, or the error."""

    def __init__(self, target: Target, method: str, done: "asyncio.Future[Answer]") -> None:
        self._target = target
        self._method = method
        self._done = done
        self._answer = Answer()
        self._parser = httptools.HttpResponseParser(self)
        self._body = bytearray()
        self._seen = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if transport.get_extra_info("sockname") == transport.get_extra_info("peername"):
            self.fail(_REFUSED)
            return
        cast("asyncio.Transport", transport).write(self._target.request)

    def data_received(self, data: bytes) -> None:
        self._seen += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._settle()
        except httptools.HttpParserError:
            self.fail(message(ProbeCode.HTTP_BROKEN if self._answer.status else ProbeCode.HTTP_INVALID))
        if not self._answer.status and self._seen > _HEAD_AT_MOST:
            self.fail(message(ProbeCode.HTTP_HEAD_TOO_LONG))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._answer.status:
            self.fail(message(ProbeCode.CONNECTION_RESET if exc is not None else ProbeCode.CONNECTION_CLOSED))
        elif exc is None and not self._answer.headers.keys() & {"content-length", "transfer-encoding"}:
            self._settle()  # an answer without a length ends with the connection
        else:
            self.fail(message(ProbeCode.HTTP_CUT_OFF))

    # Callbacks of httptools

    def on_header(self, name: bytes, value: bytes) -> None:
        known = self._answer.headers
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        known[key] = f"{known[key]}, {text}" if key in known else text

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200 and status != 101:  # noqa: PLR2004 - 1xx: the answer itself is yet to come
            self._answer.headers.clear()
            return
        self._answer.status = status
        if self._method == "HEAD":
            self._settle()  # it may have a length, but no body

    def on_body(self, body: bytes) -> None:
        self._body += body
        if len(self._body) >= BODY_AT_MOST:
            self._settle()

    def on_message_complete(self) -> None:
        if self._answer.status:
            self._settle()

    def _settle(self) -> None:
        if not self._done.done():
            self._answer.body = bytes(self._body[:BODY_AT_MOST])
            self._done.set_result(self._answer)

    def fail(self, why: Message) -> None:
        if not self._done.done():
            self._done.set_exception(NoAnswerError(why))


class _Hub:
    """All plain sockets of an event loop behind one epoll(7): each then costs much less."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._epoll = select.epoll()
        self._waiting: dict[int, Callable[[], None]] = {}
        loop.add_reader(self._epoll.fileno(), self._ready)

    def watch(self, fd: int, events: int, ready: Callable[[], None]) -> None:
        if fd in self._waiting:
            self._epoll.modify(fd, events)
        else:
            self._epoll.register(fd, events)
        self._waiting[fd] = ready

    def forget(self, fd: int) -> None:
        """Forget a socket that is about to be closed, which removes it from the epoll."""
        self._waiting.pop(fd, None)

    def _ready(self) -> None:
        for fd, _ in self._epoll.poll(0):
            ready = self._waiting.get(fd)
            if ready is not None:
                ready()


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, _Hub] = WeakKeyDictionary()


def _hub() -> _Hub:
    loop = asyncio.get_running_loop()
    found = _hubs.get(loop)
    if found is None:
        found = _hubs[loop] = _Hub(loop)
    return found


class _Wire:
    """A plain socket to an address: a third of the cost of asyncio's transport."""

    def __init__(self, family: int, where: Target, exchange: _Exchange) -> None:
        self._hub = _hub()
        self._exchange = exchange
        self._left = where.request
        self._port = where.port
        self._socket = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        self._fd = self._socket.fileno()
        code = self._socket.connect_ex((where.host, where.port))
        if code not in {0, errno.EINPROGRESS}:
            exchange.fail(_unreachable(code))
            return
        self._send()

    def _send(self) -> None:
        # A loopback connection is established by now; others signal it.
        try:
            if self._socket.getsockname()[1] == self._port and self._to_itself():
                self._exchange.fail(_REFUSED)
                return
            self._left = self._left[self._socket.send(self._left) :]
        except BlockingIOError:
            pass
        except OSError as error:
            code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) if error.errno == errno.ENOTCONN else 0
            if code or error.errno != errno.ENOTCONN:
                self._exchange.fail(_unreachable(code or error.errno or 0))
                return
        if self._left:
            self._hub.watch(self._fd, select.EPOLLOUT, self._send)
        else:
            self._hub.watch(self._fd, select.EPOLLIN, self._receive)

    def _to_itself(self) -> bool:
        """On loopback a connection to a port that nothing listens on may get that port and connect to itself."""
        try:
            return bool(self._socket.getpeername() == self._socket.getsockname())
        except OSError:
            return False  # not connected yet: checked again then

    def _receive(self) -> None:
        try:
            data = self._socket.recv(_READ)
        except BlockingIOError:
            return
        except OSError as error:
            self._hub.forget(self._fd)
            self._exchange.connection_lost(error)
            return
        if data:
            self._exchange.data_received(data)
        else:
            self._hub.forget(self._fd)
            self._exchange.connection_lost(None)

    def close(self) -> None:
        self._hub.forget(self._fd)
        self._socket.close()


def _unreachable(code: int) -> Message:
    if code == errno.ECONNREFUSED:
        return _REFUSED
    if code in {errno.ECONNRESET, errno.EPIPE}:
        return message(ProbeCode.CONNECTION_RESET)
    return message(ProbeCode.CONNECTION_FAILED, reason=os.strerror(code))


@lru_cache(1)
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def target(check: Check) -> Target:
    """The server of a check.

    Raises:
        ValueError: its URL is invalid.
    """
    url = urlsplit(check.url)
    if url.hostname is None or url.scheme not in {"http", "https"}:
        raise ValueError(f"{check.url} is no http or https URL")
    tls = url.scheme == "https"
    return Target(
        url.hostname, url.port or (443 if tls else 80), tls, _request(check, url), None if tls else _family(url)
    )


def _family(url: SplitResult) -> int | None:
    try:
        version = ip_address(url.hostname or "").version
    except ValueError:
        return None
    return socket.AF_INET if version == 4 else socket.AF_INET6  # noqa: PLR2004 - IPv4


def _request(check: Check, url: SplitResult) -> bytes:
    body = check.body.encode()
    host = url.netloc.rpartition("@")[2]
    headers = {"Host": host, "User-Agent": _USER_AGENT, "Accept": "*/*", "Connection": "close"}
    if body or check.method not in {"GET", "HEAD"}:
        headers["Content-Length"] = str(len(body))
    given = {name.lower() for name in check.headers}
    headers = {name: value for name, value in headers.items() if name.lower() not in given} | dict(check.headers)
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    head = f"{check.method} {_ascii(path)} HTTP/1.1\r\n" + _lines(headers)
    return head.encode("latin-1", "replace") + b"\r\n" + body


def _ascii(path: str) -> str:
    return "".join(char if " " < char < "\x7f" else "".join(f"%{byte:02X}" for byte in char.encode()) for char in path)


def _lines(headers: Mapping[str, str]) -> str:
    # No header can contain another one.
    return "".join(
        f"{name}: {value.replace(chr(13), ' ').replace(chr(10), ' ')}\r\n" for name, value in headers.items()
    )


async def ask(where: Target, method: str, within: float) -> Answer:
    """Send the request and return the answer.

    Raises:
        NoAnswerError: there was no complete answer.
        TimeoutError: there was none within this many seconds.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Answer] = loop.create_future()
    exchange = _Exchange(where, method, done)
    if where.family is None:
        async with asyncio.timeout(within):
            transport = await _connect(where, exchange)
            try:
                return await done
            finally:
                transport.abort()
    # A timer costs half as much as `asyncio.timeout`.
    limit = loop.call_later(within, _too_late, done)
    wire = _Wire(where.family, where, exchange)
    try:
        return await done
    finally:
        limit.cancel()
        wire.close()


def _too_late(done: "asyncio.Future[Answer]") -> None:
    if not done.done():
        done.set_exception(TimeoutError())


async def _connect(where: Target, exchange: _Exchange) -> asyncio.WriteTransport:
    loop = asyncio.get_running_loop()
    tls = await asyncio.to_thread(_tls) if where.tls else None
    refused: list[OSError] = []
    try:
        for *_, address in await loop.getaddrinfo(where.host, where.port, type=socket.SOCK_STREAM):
            try:
                transport, _ = await loop.create_connection(
                    lambda: exchange, str(address[0]), where.port, ssl=tls, server_hostname=where.host if tls else None
                )
            except ssl.SSLError:
                raise
            except OSError as error:
                refused.append(error)
            else:
                return transport
    except ssl.SSLCertVerificationError as error:
        raise NoAnswerError(message(ProbeCode.CERTIFICATE_REJECTED, reason=error.verify_message)) from error
    except ssl.SSLError as error:
        raise NoAnswerError(message(ProbeCode.TLS_FAILED, reason=error.reason or str(error))) from error
    except socket.gaierror as error:
        reason = error.strerror or str(error)
        raise NoAnswerError(message(ProbeCode.DNS_FAILED, host=where.host, reason=reason)) from error
    codes = [error.errno or 0 for error in refused]
    code = errno.ECONNREFUSED if errno.ECONNREFUSED in codes else next(iter(codes), errno.EADDRNOTAVAIL)
    raise NoAnswerError(_unreachable(code))
