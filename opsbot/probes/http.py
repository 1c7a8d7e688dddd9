"""One HTTP request on a connection of its own, and what came back.

A new connection each time, as a kept one would not notice that the port was closed. No redirect is followed: a redirect
is an answer. The request is as small as the check says; nothing is asked that the check does not ask.
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
"""Also when the connection came back to itself: a port nobody listens on, within the range the kernel picks from."""


class NoAnswerError(MessageError):
    """There was no whole answer; the message says what there was."""


@dataclass(slots=True)
class Answer:
    """What came back. `body`: its first 64 KiB. Header names are in small letters; all of it is untrusted."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a check asks, and the request as it goes over the wire."""

    host: str
    port: int
    tls: bool
    request: bytes
    family: int | None
    """Of the bare socket that will do; None where a name must be looked up, or TLS spoken."""


class _Exchange(asyncio.Protocol):
    """Collects the answer. `done` gets it as soon as it is whole, or long enough; what fails ends `done` too."""

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
            self._settle()  # an answer of no said length ends with its connection
        else:
            self.fail(message(ProbeCode.HTTP_CUT_OFF))

    # What httptools calls

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
            self._settle()  # it may name a length, but has no body

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
        """There will be no whole answer."""
        if not self._done.done():
            self._done.set_exception(NoAnswerError(why))


class _Hub:
    """All bare sockets of an event loop behind one epoll(7), which the loop watches as one: each costs less by far."""

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
        """For one that is about to be closed: that takes it out of the epoll, too."""
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
    """A bare socket to an address: a third of what asyncio's transport costs, and loopback is answered in two turns."""

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
        # A loopback connection stands by now; another one says when it does.
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
        """On loopback a connection to a port that nobody listens on may be given that very port, and meet itself."""
        try:
            return bool(self._socket.getpeername() == self._socket.getsockname())
        except OSError:
            return False  # not connected yet: it is asked again then

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
    """Where the check asks.

    Raises:
        ValueError: its URL is none.
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
    # A header cannot smuggle in another one.
    return "".join(
        f"{name}: {value.replace(chr(13), ' ').replace(chr(10), ' ')}\r\n" for name, value in headers.items()
    )


async def ask(where: Target, method: str, within: float) -> Answer:
    """The answer to the request.

    Raises:
        NoAnswerError: nobody listens, or no whole answer came back.
        TimeoutError: there was none within so many seconds.
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
    # A timer of its own costs half of what `asyncio.timeout` does.
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
    """A connection to a name, or one with TLS."""
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
