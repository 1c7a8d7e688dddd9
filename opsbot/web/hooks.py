"""`POST /hooks/github`, `/hooks/gitlab`, `/hooks/gitea`: trigger a poll.

404 unknown forge, or no service has a `hook_secret` · 413 more than 1 MiB · 401 wrong signature · 429 too many wrong
signatures · 200 a ping · 204 not a followed branch · 202 a poll was triggered.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus

from aiohttp import web

from opsbot.config import SecretMissingError, Service, Source
from opsbot.core.access import Actor, Origin
from opsbot.store import Store, audit
from opsbot.web.forges import Forge, event_of, genuine, normalised, read_push

log = logging.getLogger(__name__)

BODY_MOST = 1024 * 1024
BODY_SECONDS = 15.0
WINDOW = timedelta(minutes=1)
WRONG_MOST = 10
"""Number of wrong signatures of one address within a window that are recorded individually."""
ADDRESSES_MOST = 256


@dataclass(slots=True)
class _Wrong:
    since: datetime
    count: int = 0


class Hooks:
    """The routes.

    A correct signature is always accepted, whatever the number of wrong ones from the same address: behind a reverse
    proxy all addresses are the same.
    """

    def __init__(
        self,
        services: Mapping[str, Service],
        store: Store,
        wake: Callable[[str], None],
        clock: Callable[[], datetime],
    ) -> None:
        """Select the services whose source has a `hook_secret`.

        `wake` schedules a poll and returns immediately.
        """
        self._sources = {
            name: each.source
            for name, each in services.items()
            if each.source is not None and each.source.hook_secret is not None
        }
        self._store = store
        self._wake = wake
        self._clock = clock
        self._wrong: dict[str, _Wrong] = {}

    async def push(self, request: web.Request) -> web.Response:
        try:
            forge = Forge(request.match_info["forge"])
        except ValueError:
            raise web.HTTPNotFound from None
        if not self._sources:
            raise web.HTTPNotFound(text="no service has a hook_secret")
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await request.read()
        except TimeoutError:
            raise web.HTTPRequestTimeout from None
        ours = await self._signed_for(forge, request.headers, body)
        if not ours:
            return await self._refuse(forge, request.remote or "unknown")
        event = event_of(forge, request.headers)
        if event == "ping":
            return web.Response(text="pong\n")
        push = read_push(body, request.content_type) if event == "push" else None
        if push is None or push.branch is None:
            return web.Response(status=HTTPStatus.NO_CONTENT)
        meant = [
            name
            for name, source in ours.items()
            if source.branch == push.branch and normalised(source.repository) in push.repositories
        ]
        if not meant:
            return web.Response(status=HTTPStatus.NO_CONTENT)
        detail = f"{forge} push to {push.branch}: {push.commit[:40]}"
        for name in meant:
            await self._record(forge, request.remote or "unknown", name, detail, allowed=True, result="polled")
            self._wake(name)
        return web.json_response({"polled": meant}, status=HTTPStatus.ACCEPTED)

    async def _signed_for(self, forge: Forge, headers: Mapping[str, str], body: bytes) -> dict[str, Source]:
        """Return the services whose secret the sender knows.

        All are tried to take constant time.
        """
        found = {}
        for name, source in self._sources.items():
            secret = source.hook_secret
            if secret is None:
                continue
            try:
                # Read each time, so that a changed secret needs no restart.
                value = secret.read() if secret.env is not None else await asyncio.to_thread(secret.read)
            except SecretMissingError as error:
                log.warning("the hook_secret of %s: %s", name, error)
                continue
            if genuine(forge, value, headers, body):
                found[name] = source
        return found

    async def _refuse(self, forge: Forge, address: str) -> web.Response:
        now = self._clock()
        wrong = self._wrong.get(address)
        if wrong is None or now - wrong.since >= WINDOW:
            if wrong is not None and wrong.count > WRONG_MOST:
                more = f"{wrong.count - WRONG_MOST} more within a minute of {wrong.since:%Y-%m-%d %H:%M:%S} UTC"
                await self._record(forge, address, "", more, allowed=False, result="refused: wrong signature")
            wrong = self._begin(address, now)
        wrong.count += 1
        if wrong.count > WRONG_MOST:
            left = str(max(1, round((wrong.since + WINDOW - now).total_seconds())))
            return web.Response(status=HTTPStatus.TOO_MANY_REQUESTS, headers={"Retry-After": left})
        await self._record(forge, address, "", f"{forge} hook", allowed=False, result="refused: wrong signature")
        return web.Response(status=HTTPStatus.UNAUTHORIZED, text="wrong signature\n")

    def _begin(self, address: str, now: datetime) -> _Wrong:
        if len(self._wrong) >= ADDRESSES_MOST:
            oldest = min(self._wrong, key=lambda each: self._wrong[each].since)
            del self._wrong[oldest]
        wrong = self._wrong[address] = _Wrong(now)
        return wrong

    async def _record(
        self, forge: Forge, address: str, service: str, detail: str, *, allowed: bool, result: str
    ) -> None:
        actor = Actor(Origin.WEBHOOK, f"hook:{forge}", address)
        await self._store.write(
            audit.record, actor, "hook", service, self._clock(), allowed=allowed, detail=detail[:300], result=result
        )
