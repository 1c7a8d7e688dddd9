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

from opsbot.standin.connection import reset
from opsbot.standin.errors import ApiError, Json, bad_form, refuse
from opsbot.standin.faults import Faults, Rule, error_body
from opsbot.standin.files import Upload
from opsbot.standin.ratelimit import LimitedError
from opsbot.standin.schema import form, integer, snowflake, validate

log = logging.getLogger(__name__)

PREFIX = "/api/v10"
TOO_MANY = 429
MAX_REQUEST = 110 * 1024 * 1024
KEPT_REQUESTS = 10_000
_FILE_FIELD = re.compile(r"^files\[(\d+)\]$")
# discord.py takes a 429 without `Via` for Cloudflare's and gives up.
_VIA = {"Via": "1.1 standin"}
# Routes whose path contains a secret need no bot token.
_OPEN = re.compile(r"^/(interactions/|webhooks/\d+/[^/]+|gateway$)")
WebHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class LoggedRequest(NamedTuple):
    """One REST request: time (seconds since 1970), method, path and response status."""

    t: float
    method: str
    path: str
    status: int


def answer(data: object, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """A JSON answer; discord.py wants exactly application/json."""
    return web.Response(status=status, body=json.dumps(data).encode(), content_type="application/json", headers=headers)


@dataclass(frozen=True, slots=True)
class ApiCall:
    """A REST request with its body: JSON, and the files of a multipart one."""

    request: web.Request
    body: object
    uploads: list[Upload]

    @property
    def json(self) -> Json:
        """The body, which must be an object."""
        if not isinstance(self.body, dict):
            raise bad_form([], "MODEL_TYPE_CONVERT")
        return self.body

    def word(self, name: str) -> str:
        return self.request.match_info[name]

    def id(self, name: str) -> int:
        """A snowflake of the path; ApiError 50035 when it is none."""
        return _snowflake(name, self.word(name))

    def query_id(self, name: str) -> int | None:
        text = self.request.query.get(name)
        return None if text is None else _snowflake(name, text)

    def flag(self, name: str) -> bool:
        return self.request.query.get(name, "").lower() in ("1", "true")

    def limit(self, default: int, most: int) -> int:
        """`limit` of the query string, 1 to `most`."""
        limit = self.query_id("limit")
        validate(form({"limit": integer(1, most)}), {"limit": limit})
        return default if limit is None else limit


Handler = Callable[[ApiCall], object]


def _snowflake(name: str, text: str) -> int:
    validate(form({name: snowflake}), {name: text})
    return int(text)


def serve(handler: Handler) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Answer with what the handler returns: JSON, a response, or None for 204."""

    async def run(request: web.Request) -> web.Response:
        found = handler(ApiCall(request, *await _read(request)))
        if isinstance(found, web.Response):
            return found
        return web.Response(status=204) if found is None else answer(found)

    return run


async def _read(request: web.Request) -> tuple[object, list[Upload]]:
    """A body: JSON, or multipart with `payload_json` and `files[n]`."""
    if not request.content_type.startswith("multipart/"):
        return _parse(await request.read()), []
    payload: object = {}
    uploads: list[Upload] = []
    async for part in await request.multipart():
        if not isinstance(part, BodyPartReader):
            raise refuse("invalid_json")
        data = bytes(await part.read(decode=True))
        found = _FILE_FIELD.match(part.name or "")
        if part.name == "payload_json":
            payload = _parse(data)
        elif found is not None:
            uploads.append(Upload(int(found[1]), part.filename or "unknown", data))
    return payload, sorted(uploads, key=lambda upload: upload.index)


def _parse(data: bytes) -> object:
    try:
        return json.loads(data or b"{}")
    except ValueError:
        raise refuse("invalid_json") from None


@dataclass(slots=True)
class ApiEdge:
    """The middleware of every request: faults, the token, Discord's errors, the log.

    `on_end` is called after each. unknown: routes that are not modelled. open: requests that are not answered yet.
    """

    faults: Faults
    authorization: str
    clock: Callable[[], float]
    on_end: Callable[[], None]
    requests: deque[LoggedRequest] = field(default_factory=lambda: deque(maxlen=KEPT_REQUESTS))
    unknown: list[str] = field(default_factory=list)
    open: int = 0

    @web.middleware
    async def run(self, request: web.Request, handler: WebHandler) -> web.StreamResponse:
        if not request.path.startswith("/api/"):
            return await handler(request)
        path, started = request.path.removeprefix(PREFIX), self.clock()
        self.open += 1
        try:
            response = await self._with_faults(request, handler, path)
            status = response.status
        except _LostError:
            reset(request.transport)
            response, status = web.Response(status=500), 0
        finally:
            self.open -= 1
            self.on_end()
        self.requests.append(LoggedRequest(started, request.method, path, status))
        return response

    async def _with_faults(self, request: web.Request, handler: WebHandler, path: str) -> web.StreamResponse:
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

    async def _answered(self, request: web.Request, handler: WebHandler, path: str) -> web.StreamResponse:
        if not _OPEN.match(path) and request.headers.get(hdrs.AUTHORIZATION) != self.authorization:
            return _refused(refuse("unauthorized"))
        try:
            return await handler(request)
        except ApiError as error:
            return _refused(error)
        except (web.HTTPNotFound, web.HTTPMethodNotAllowed):
            self.unknown.append(f"{request.method} {request.path}")
            return answer(error_body(404), 404)
        except web.HTTPRequestEntityTooLarge:
            return _refused(refuse("file_too_large"))
        except ConnectionError as error:
            raise _LostError from error  # the bot died while it was sending
        except Exception:
            # Boundary: report a bug of the stand-in to the test instead of passing it off as a Discord error.
            log.exception("%s %s", request.method, request.path)
            self.unknown.append(f"{request.method} {request.path} (the stand-in failed, see the log)")
            return answer(error_body(500), 500)


def _refused(error: ApiError) -> web.Response:
    headers = error.headers if isinstance(error, LimitedError) else {}
    return answer(error.body(), error.status, headers | _VIA if error.status == TOO_MANY else None)


def _faulty(rule: Rule) -> web.Response:
    if rule.reset:
        raise _LostError
    if rule.retry_after is not None:
        return _refused(LimitedError(rule.retry_after))
    headers = dict(rule.headers)
    if isinstance(rule.body, str):
        return web.Response(status=rule.status, text=rule.body, content_type="text/html", headers=headers)
    if rule.status == TOO_MANY:
        headers = _VIA | headers
    return answer(error_body(rule.status) if rule.body is None else rule.body, rule.status, headers)


class _LostError(Exception):
    """The answer is to be replaced by a TCP reset."""
