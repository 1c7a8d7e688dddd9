"""One HTTP request on a connection of its own, and what came back.

A new connection each time, as a kept one would not notice that the port was closed. No redirect is followed: a redirect
is an answer. The request is as small as the check says; nothing is asked that the check does not ask.
"""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import cast
from urllib.parse import SplitResult, urlsplit

import httptools

from opsbot.config import Check

BODY_AT_MOST = 64 * 1024
_HEAD_AT_MOST = 64 * 1024
_USER_AGENT = "opsbot"


class NoAnswerError(Exception):
    """There was no whole answer; the text says in words what there was."""


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


class _Exchange(asyncio.Protocol):
    """Sends the request, collects the answer. `done` gets it as soon as it is whole, or long enough."""

    def __init__(self, target: Target, method: str, done: "asyncio.Future[Answer]") -> None:
        self._target = target
        self._method = method
        self._done = done
        self._answer = Answer()
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._body = bytearray()
        self._seen = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if transport.get_extra_info("sockname") == transport.get_extra_info("peername"):
            # A port nobody listens on, within the range the kernel picks from: it has connected to itself.
            self._fail("connection refused")
            return
        self._transport.write(self._target.request)

    def data_received(self, data: bytes) -> None:
        self._seen += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._settle()
        except httptools.HttpParserError:
            if not self._done.done():
                self._fail("the answer is not HTTP" if not self._answer.status else "the answer is broken HTTP")
        if not self._answer.status and self._seen > _HEAD_AT_MOST:
            self._fail("the answer's head is too long")

    def connection_lost(self, exc: Exception | None) -> None:
        if self._done.done():
            return
        if self._answer.status and exc is None and "content-length" not in self._answer.headers:
            self._settle()  # an answer may end with its connection
        elif self._answer.status:
            self._fail("the answer was cut off")
        else:
            self._fail("the connection was reset" if exc is not None else "the connection was closed without an answer")

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

    def _fail(self, text: str) -> None:
        if not self._done.done():
            self._done.set_exception(NoAnswerError(text))
        if self._transport is not None:
            self._transport.abort()


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
    return Target(url.hostname, url.port or (443 if tls else 80), tls, _request(check, url))


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


async def ask(where: Target, method: str) -> Answer:
    """The answer to the request. It has no time limit of its own.

    Raises:
        NoAnswerError: nobody listens, or no whole answer came back.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Answer] = loop.create_future()
    exchange = _Exchange(where, method, done)
    tls = await asyncio.to_thread(_tls) if where.tls else None
    try:
        transport, _ = await loop.create_connection(lambda: exchange, where.host, where.port, ssl=tls)
    except ConnectionRefusedError as error:
        raise NoAnswerError("connection refused") from error
    except ssl.SSLCertVerificationError as error:
        raise NoAnswerError(f"its certificate is not accepted: {error.verify_message}") from error
    except ssl.SSLError as error:
        raise NoAnswerError(f"no TLS connection: {error.reason or error}") from error
    except OSError as error:
        raise NoAnswerError(f"no connection: {error.strerror or error}") from error
    try:
        return await done
    finally:
        done.cancel()
        transport.abort()
