"""REST plumbing: JSON, uploads, and the middleware of every request."""

import asyncio
import json
import logging
import re
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from aiohttp import BodyPartReader, hdrs, web
from aiohttp.typedefs import Middleware

from opsbot.standin.connection import reset
from opsbot.standin.errors import ApiError, Json, refuse
from opsbot.standin.faults import Faults, Rule, error_body
from opsbot.standin.files import Upload
from opsbot.standin.ratelimit import LimitedError

log = logging.getLogger(__name__)

PREFIX = "/api/v10"
SNOWFLAKE_DIGITS = 20
TOO_MANY = 429
MAX_REQUEST = 110 * 1024 * 1024
KEPT_REQUESTS = 10_000
_FILE_FIELD = re.compile(r"^files\[(\d+)\]$")
# discord.py takes a 429 without `Via` for Cloudflare's and gives up.
_VIA = {"Via": "1.1 standin"}
# Routes whose path contains a secret need no bot token.
_OPEN = re.compile(r"^/(interactions/|webhooks/\d+/[^/]+|gateway$)")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class LoggedRequest(NamedTuple):
    """One REST request: time (seconds since 1970), method, path and response status."""

    t: float
    method: str
    path: str
    status: int


@dataclass(slots=True)
class RequestLog:
    """Log of requests; `unknown` lists routes that are not modelled."""

    requests: deque[LoggedRequest] = field(default_factory=lambda: deque(maxlen=KEPT_REQUESTS))
    unknown: list[str] = field(default_factory=list)


def answer(data: object, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """A JSON answer.

    The Content-Type is exactly application/json, as discord.py wants it.
    """
    return web.Response(status=status, body=json.dumps(data).encode(), content_type="application/json", headers=headers)


def nothing(headers: dict[str, str] | None = None) -> web.Response:
    """204."""
    return web.Response(status=204, headers=headers)


def number(request: web.Request, name: str) -> int:
    """A snowflake of the path; ApiError 50035 when it is none."""
    text = request.match_info[name]
    if not text.isdecimal() or len(text) > SNOWFLAKE_DIGITS:
        raise ApiError(
            400,
            50035,
            "Invalid Form Body",
            {name: {"_errors": [{"code": "NUMBER_TYPE_COERCE", "message": f'Value "{text}" is not snowflake.'}]}},
        )
    return int(text)


def query_number(request: web.Request, name: str) -> int | None:
    """A snowflake of the query string."""
    text = request.query.get(name)
    if text is None:
        return None
    if not text.isdecimal():
        raise ApiError(
            400,
            50035,
            "Invalid Form Body",
            {name: {"_errors": [{"code": "NUMBER_TYPE_COERCE", "message": f'Value "{text}" is not snowflake.'}]}},
        )
    return int(text)


def query_limit(request: web.Request, default: int, most: int) -> int:
    """`limit` of the query string, 1 to `most`."""
    limit = query_number(request, "limit")
    if limit is None:
        return default
    if not 1 <= limit <= most:
        raise ApiError(
            400,
            50035,
            "Invalid Form Body",
            {
                "limit": {
                    "_errors": [{"code": "NUMBER_TYPE_MAX", "message": f"int value should be between 1 and {most}."}]
                }
            },
        )
    return limit


async def read_json(request: web.Request) -> object:
    """The JSON body; ApiError 50109 when it is none."""
    try:
        return json.loads(await request.read() or b"{}")
    except ValueError:
        raise refuse("invalid_json") from None


async def read_object(request: web.Request) -> Json:
    """The body as an object."""
    return _object(await read_json(request))


def _object(body: object) -> Json:
    if not isinstance(body, dict):
        raise ApiError(
            400,
            50035,
            "Invalid Form Body",
            {"_errors": [{"code": "MODEL_TYPE_CONVERT", "message": "Only dictionaries may be used in a ModelType"}]},
        )
    return body


async def read_message(request: web.Request) -> tuple[Json, list[Upload]]:
    """A message body: JSON, or multipart with `payload_json` and `files[n]`."""
    if not request.content_type.startswith("multipart/"):
        return await read_object(request), []
    payload: Json = {}
    uploads: list[Upload] = []
    async for part in await request.multipart():
        if not isinstance(part, BodyPartReader):
            raise refuse("invalid_json")
        data = bytes(await part.read(decode=True))
        found = _FILE_FIELD.match(part.name or "")
        if part.name == "payload_json":
            try:
                payload = _object(json.loads(data))
            except ValueError:
                raise refuse("invalid_json") from None
        elif found is not None:
            uploads.append(Upload(int(found[1]), part.filename or "unknown", data))
    return payload, sorted(uploads, key=lambda upload: upload.index)


def middleware(log_: RequestLog, faults: Faults, token: str, clock: Callable[[], float]) -> Middleware:
    """Build the middleware: faults, token, Discord's errors, request log."""
    edge = _Edge(log_, faults, f"Bot {token}")

    @web.middleware
    async def run(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.path.startswith("/api/"):
            return await handler(request)
        path = request.path.removeprefix(PREFIX)
        started = clock()
        try:
            response = await edge.with_faults(request, handler, path)
        except _LostError:
            log_.requests.append(LoggedRequest(started, request.method, path, 0))
            reset(request.transport)
            return web.Response(status=500)
        log_.requests.append(LoggedRequest(started, request.method, path, response.status))
        return response

    return run


@dataclass(frozen=True, slots=True)
class _Edge:
    log_: RequestLog
    faults: Faults
    authorization: str

    async def with_faults(self, request: web.Request, handler: Handler, path: str) -> web.StreamResponse:
        if self.faults.is_away:
            raise _LostError
        slow = self.faults.take(request.method, path, delay=True)
        if slow is not None and slow.delay is not None:
            await asyncio.sleep(slow.delay)
        rule = self.faults.take(request.method, path, delay=False)
        if rule is None:
            return await self._answered(request, handler, path)
        if rule.after_store:
            await self._answered(request, handler, path)
        return _faulty(rule)

    async def _answered(self, request: web.Request, handler: Handler, path: str) -> web.StreamResponse:
        if not _OPEN.match(path) and request.headers.get(hdrs.AUTHORIZATION) != self.authorization:
            refusal = refuse("unauthorized")
            return answer(refusal.body(), refusal.status)
        try:
            return await handler(request)
        except LimitedError as error:
            return answer(error.body(), error.status, error.headers | _VIA)
        except ApiError as error:
            return answer(error.body(), error.status, _VIA if error.status == TOO_MANY else None)
        except (web.HTTPNotFound, web.HTTPMethodNotAllowed):
            self.log_.unknown.append(f"{request.method} {request.path}")
            return answer(error_body(404), 404)
        except web.HTTPRequestEntityTooLarge:
            refusal = refuse("file_too_large")
            return answer(refusal.body(), refusal.status)
        except ConnectionError as error:
            raise _LostError from error  # the bot died while it was sending
        except Exception:
            # Boundary: report a bug of the stand-in to the test instead of passing it off as a Discord error.
            log.exception("%s %s", request.method, request.path)
            self.log_.unknown.append(f"{request.method} {request.path} (the stand-in failed, see the log)")
            return answer(error_body(500), 500)


def _faulty(rule: Rule) -> web.Response:
    if rule.reset:
        raise _LostError
    if rule.retry_after is not None:
        limited = LimitedError(rule.retry_after)
        return answer(limited.body(), 429, limited.headers | _VIA)
    headers = dict(rule.headers)
    if isinstance(rule.body, str):
        return web.Response(status=rule.status, text=rule.body, content_type="text/html", headers=headers)
    if rule.status == TOO_MANY:
        headers = _VIA | headers
    return answer(error_body(rule.status) if rule.body is None else rule.body, rule.status, headers)


class _LostError(Exception):
    """The answer is to be replaced by a TCP reset."""
