"""The routes of the control socket: take the request apart, ask the engine once, answer in JSON.

    GET  /v1/ping                               POST /v1/restart   {service}
    GET  /v1/status      ?service               POST /v1/deploy    {service, ref, reason}
    POST /v1/health      {service}              POST /v1/update    {service}
    GET  /v1/history     ?service&limit         POST /v1/rollback  {service, release, reason}
    GET  /v1/incidents   ?service&open&limit
    GET  /v1/why         ?service
    GET  /v1/logs        ?service&lines&since&level&grep&this_run
    GET  /v1/logs/follow ?the same, as NDJSON   POST /v1/hold      {service, reason}
    GET  /v1/audit       ?service&member&limit  POST /v1/resume    {service, reason}
    GET  /v1/windows                            POST /v1/notify    {notifier}
    GET  /v1/deployments/N                      POST /v1/silence   {service, for, reason}
    GET  /v1/deployments/N/follow  (NDJSON)     POST /v1/ack       {service, reason}
    GET  /v1/monitor, /v1/monitor/follow        POST /v1/now       {service}
      (NDJSON, a snapshot a second)
    POST /v1/reload  -> {wish}                  GET  /v1/reload  -> what came of the last wishes

A refusal is `{why, text, deployment}`: 403 for lack of rank, 404 for what there is not, 400 for what cannot be used,
409 for the rest. `service` may be left out where one is configured. `grep` of logs/follow sifts the lines so far only.
"""

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from datetime import datetime
from typing import TYPE_CHECKING

from aiohttp import web

from opsbot.control import replies
from opsbot.control.fields import ENTRIES, LINES, SERVICE, BadInputError, Fields
from opsbot.control.peer import caller
from opsbot.control.snapshot import Snapshots
from opsbot.control.stream import send
from opsbot.core.access import Action, Actor
from opsbot.core.deploy_codes import RefusalCode
from opsbot.core.deployment import RefusalReason, Refused
from opsbot.core.message import message
from opsbot.formatting import plain_times
from opsbot.messages import render
from opsbot.runtime.signals import ReloadRequests
from opsbot.services.port import LogLine, LogQuery

if TYPE_CHECKING:
    from opsbot.control.shapes import Ping
    from opsbot.engine import Engine

log = logging.getLogger(__name__)

_STATUS = {
    RefusalReason.NO_RANK: 403,
    RefusalReason.UNKNOWN_SERVICE: 404,
    RefusalReason.NO_RELEASE: 404,
    RefusalReason.NO_INCIDENT: 404,
    RefusalReason.NOT_WAITING: 404,
    RefusalReason.BAD_REF: 400,
    RefusalReason.BAD_INPUT: 400,
    RefusalReason.NOT_READY: 503,
}
_SNAPSHOT_SECONDS = 1.0
_FEED_SECONDS = 5.0
_HTTP_ERROR = 400

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _no(refused: Refused) -> web.Response:
    body = {"why": str(refused.why), "text": plain_times(render(refused.message)), "deployment": refused.deployment}
    return web.json_response(body, status=_STATUS.get(refused.why, 409))


def _error(status: int, why: str, text: str) -> web.Response:
    return web.json_response({"why": why, "text": text, "deployment": None}, status=status)


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whatever goes wrong is answered as `{why, text}`; what is opsbot's own fault goes into its log with an id."""
    try:
        return await handler(request)
    except BadInputError as error:
        return _error(400, RefusalReason.BAD_INPUT, str(error))
    except web.HTTPException as error:
        if error.status < _HTTP_ERROR:
            raise
        return _error(error.status, "http", f"{request.method} {request.path[:100]}: {error.reason}")
    except Exception:
        number = uuid.uuid4().hex[:8]
        log.exception("control socket: %s %s failed (error %s)", request.method, request.path[:100], number)
        return _error(500, "error", f"opsbot met an error of its own; its log has it under {number}")


class Routes:
    """The handlers, and what they need."""

    def __init__(
        self,
        engine: "Engine",
        clock: Callable[[], datetime],
        ping: "Ping",
        snapshots: Snapshots,
        closing: asyncio.Event,
        reload_requests: ReloadRequests | None = None,
    ) -> None:
        """`closing`: set when the daemon goes; streams end then. wishes: takes what is asked of the daemon itself."""
        self._reload_requests = reload_requests
        self._engine = engine
        self._clock = clock
        self._ping = ping
        self._snapshots = snapshots
        self._closing = closing

    def table(self) -> list[web.RouteDef]:
        """Every route."""
        return [
            web.get("/v1/ping", self.ping),
            web.get("/v1/status", self.status),
            web.post("/v1/health", self.health),
            web.get("/v1/history", self.history),
            web.get("/v1/incidents", self.incidents),
            web.get("/v1/why", self.why),
            web.get("/v1/logs", self.logs),
            web.get("/v1/logs/follow", self.logs_follow),
            web.get("/v1/audit", self.audit),
            web.get("/v1/windows", self.windows),
            web.get(r"/v1/deployments/{number:[0-9]{1,15}}", self.deployment),
            web.get(r"/v1/deployments/{number:[0-9]{1,15}}/follow", self.deployment_follow),
            web.get("/v1/monitor", self.monitor),
            web.get("/v1/monitor/follow", self.monitor_follow),
            web.post("/v1/restart", self.restart),
            web.post("/v1/deploy", self.deploy),
            web.post("/v1/now", self.now),
            web.post("/v1/update", self.update),
            web.post("/v1/rollback", self.rollback),
            web.post("/v1/hold", self.hold),
            web.post("/v1/resume", self.resume),
            web.post("/v1/silence", self.silence),
            web.post("/v1/ack", self.ack),
            web.post("/v1/reload", self.reload),
            web.post("/v1/notify", self.notify),
            web.get("/v1/reload", self.reloaded),
        ]

    async def _asked(self, request: web.Request) -> tuple[Actor, Fields]:
        transport = request.transport
        if transport is None:
            raise web.HTTPBadRequest(reason="the caller is gone")
        peer = transport.get_extra_info("socket")
        return await caller(peer, request.headers.get("X-Sudo-User", "")), await Fields.of(request)

    def _service(self, who: Actor, action: Action, given: Fields) -> str:
        """The service asked for; the only one where none is named. "" for who has no rank: the engine refuses that."""
        named = given.text("service", SERVICE)
        if named is not None:
            return named
        names = self._engine.door.nameable(who, action)
        if len(names) > 1:
            raise BadInputError(f"say which service: {', '.join(names)}")
        return names[0] if names else ""

    # Looking

    async def ping(self, _request: web.Request) -> web.Response:
        """Who answers; asked by anyone who can reach the socket."""
        return web.json_response(self._ping)

    async def status(self, request: web.Request) -> web.Response:
        """How the services stand."""
        who, given = await self._asked(request)
        service = given.text("service", SERVICE)
        given.done()
        found = await self._engine.look.status(who, service)
        if isinstance(found, Refused):
            return _no(found)
        return web.json_response(replies.status(found, await self._engine.look.proof()))

    async def health(self, request: web.Request) -> web.Response:
        """Run the checks now."""
        who, given = await self._asked(request)
        service = given.text("service", SERVICE)
        given.done()
        found = await self._engine.look.health(who, service)
        if isinstance(found, Refused):
            return _no(found)
        return web.json_response(replies.status(found, await self._engine.look.proof()))

    async def history(self, request: web.Request) -> web.Response:
        """Deployments and incidents."""
        who, given = await self._asked(request)
        service = given.text("service", SERVICE)
        limit = given.number("limit", 20, ENTRIES)
        given.done()
        found = await self._engine.look.history(who, service, limit)
        return _no(found) if isinstance(found, Refused) else web.json_response(replies.history(*found))

    async def incidents(self, request: web.Request) -> web.Response:
        """Incidents."""
        who, given = await self._asked(request)
        service = given.text("service", SERVICE)
        still_open = given.flag("open")
        limit = given.number("limit", 20, ENTRIES)
        given.done()
        found = await self._engine.look.incidents(who, service, limit, still_open=still_open)
        return _no(found) if isinstance(found, Refused) else web.json_response(replies.incidents(found))

    async def why(self, request: web.Request) -> web.Response:
        """RefusalReason a service stands as it does."""
        who, given = await self._asked(request)
        service = self._service(who, Action.WHY, given)
        given.done()
        found = await self._engine.look.why(who, service)
        return _no(found) if isinstance(found, Refused) else web.json_response(replies.why(service, found))

    async def audit(self, request: web.Request) -> web.Response:
        """The audit log."""
        who, given = await self._asked(request)
        service = given.text("service", SERVICE)
        member = given.text("member", 100)
        limit = given.number("limit", 50, ENTRIES)
        given.done()
        found = await self._engine.look.audit(who, service, member, limit)
        return _no(found) if isinstance(found, Refused) else web.json_response(replies.audit(found))

    async def windows(self, request: web.Request) -> web.Response:
        """The maintenance windows that are open, and the next ones."""
        who, given = await self._asked(request)
        given.done()
        found = await self._engine.look.maintenance(who)
        return _no(found) if isinstance(found, Refused) else web.json_response(replies.maintenance(found))

    async def notify(self, request: web.Request) -> web.Response:
        """Try a notifier; what came of it."""
        who, given = await self._asked(request)
        name = given.text("notifier", 100) or ""
        given.done()
        found = await self._engine.notify(who, name)
        return _no(found) if isinstance(found, Refused) else web.json_response(replies.trial(name, found))

    async def _query(self, request: web.Request) -> tuple[Actor, str, LogQuery]:
        who, given = await self._asked(request)
        service = self._service(who, Action.LOGS, given)
        query = LogQuery(
            given.number("lines", 50, LINES),
            given.moment("since", self._clock()),
            given.level(),
            given.grep(),
            this_run=given.flag("this_run"),
        )
        given.done()
        return who, service, query

    async def logs(self, request: web.Request) -> web.Response:
        """Lines a service wrote."""
        who, service, query = await self._query(request)
        found = await self._engine.logs.lines(who, service, query)
        return _no(found) if isinstance(found, Refused) else web.json_response(replies.logs(service, found))

    async def logs_follow(self, request: web.Request) -> web.StreamResponse:
        """The last lines, then each as it is written."""
        who, service, query = await self._query(request)
        lines = await self._engine.logs.tail(who, service, query)
        if isinstance(lines, Refused):
            return _no(lines)
        return await send(request, _replies(lines), self._closing)

    async def _viewer(self, request: web.Request) -> Refused | None:
        who, given = await self._asked(request)
        given.done()
        return await self._engine.door.admit(who, Action.HISTORY)

    async def deployment(self, request: web.Request) -> web.Response:
        """One deployment."""
        refused = await self._viewer(request)
        if refused is not None:
            return _no(refused)
        found = await self._engine.look.deployment(int(request.match_info["number"]))
        if found is None:
            return _error(404, "unknown-deployment", f"there is no deployment {request.match_info['number']}")
        return web.json_response(replies.deployment_reply(found))

    async def deployment_follow(self, request: web.Request) -> web.StreamResponse:
        """One deployment, again at each change, until it is finished."""
        refused = await self._viewer(request)
        if refused is not None:
            return _no(refused)
        number = int(request.match_info["number"])
        if await self._engine.look.deployment(number) is None:
            return _error(404, "unknown-deployment", f"there is no deployment {number}")
        return await send(request, self._changes(number), self._closing)

    async def _changes(self, number: int) -> AsyncIterator[Mapping[str, object]]:
        revision = -1
        with self._engine.feed.subscribe() as subscription:
            while True:
                found = await self._engine.look.deployment(number)
                if found is None:
                    return
                if found.revision != revision:
                    revision = found.revision
                    yield replies.deployment_reply(found)
                if found.finished:
                    return
                # The time limit is for a deployment that another process finishes: nothing wakes this feed then.
                await subscription.wait(_FEED_SECONDS)

    async def monitor(self, request: web.Request) -> web.Response:
        """One snapshot."""
        who, given = await self._asked(request)
        given.done()
        found = await self._engine.look.status(who)
        return _no(found) if isinstance(found, Refused) else web.json_response(await self._snapshots.latest())

    async def monitor_follow(self, request: web.Request) -> web.StreamResponse:
        """A snapshot each second; written into the audit log once."""
        who, given = await self._asked(request)
        given.done()
        found = await self._engine.look.status(who)
        return _no(found) if isinstance(found, Refused) else await send(request, self._each_second(), self._closing)

    async def _each_second(self) -> AsyncIterator[Mapping[str, object]]:
        while True:
            yield await self._snapshots.latest()
            await asyncio.sleep(_SNAPSHOT_SECONDS)

    # Doing

    async def restart(self, request: web.Request) -> web.Response:
        """Restart a service; answers once its new process runs."""
        who, given = await self._asked(request)
        service = self._service(who, Action.RESTART, given)
        given.done()
        found = await self._engine.services.restart(who, service)
        if isinstance(found, Refused):
            return _no(found)
        return web.json_response({"service": service, "state": replies.state_reply(found)})

    async def deploy(self, request: web.Request) -> web.Response:
        """Begin a deployment."""
        who, given = await self._asked(request)
        service = self._service(who, Action.DEPLOY, given)
        ref, reason = given.text("ref"), given.text("reason") or ""
        given.done()
        found = await self._engine.releases.deploy(who, service, ref, reason)
        return _no(found) if isinstance(found, Refused) else web.json_response(replies.deployment_reply(found))

    async def rollback(self, request: web.Request) -> web.Response:
        """Begin to return to a kept release."""
        who, given = await self._asked(request)
        service = self._service(who, Action.ROLLBACK, given)
        release, reason = given.text("release"), given.text("reason") or ""
        given.done()
        found = await self._engine.releases.rollback(who, service, release, reason)
        return _no(found) if isinstance(found, Refused) else web.json_response(replies.deployment_reply(found))

    async def now(self, request: web.Request) -> web.Response:
        """End what the deployment of a service waits for; the deployment."""
        who, given = await self._asked(request)
        service = self._service(who, Action.NOW, given)
        given.done()
        found = await self._engine.releases.now(who, service)
        return _no(found) if isinstance(found, Refused) else web.json_response(replies.deployment_reply(found))

    async def update(self, request: web.Request) -> web.Response:
        """Ask the remote now, deploy what is new: what came of it, and the deployment where there is one."""
        who, given = await self._asked(request)
        service = self._service(who, Action.DEPLOY, given)
        given.done()
        found = await self._engine.releases.update(who, service)
        if isinstance(found, Refused):
            return _no(found)
        begun = None if found.deployment is None else await self._engine.look.deployment(found.deployment)
        return web.json_response(replies.update_reply(service, found, begun))

    async def hold(self, request: web.Request) -> web.Response:
        """No deploys until resumed."""
        who, given = await self._asked(request)
        service = self._service(who, Action.HOLD, given)
        reason = given.text("reason") or ""
        given.done()
        found = await self._engine.services.hold(who, service, reason)
        if isinstance(found, Refused):
            return _no(found)
        return web.json_response({"service": service, "hold": replies.hold_reply(found)})

    async def resume(self, request: web.Request) -> web.Response:
        """End the hold, the quarantine and the silence: `{service, was_held, unblocked}`."""
        who, given = await self._asked(request)
        service = self._service(who, Action.RESUME, given)
        reason = given.text("reason") or ""
        given.done()
        found = await self._engine.services.resume(who, service, reason)
        if isinstance(found, Refused):
            return _no(found)
        reply = {"service": service, "was_held": found.anything, "unblocked": list(found.commits)}
        return web.json_response(reply)

    async def ack(self, request: web.Request) -> web.Response:
        """Take the open incident of a service upon oneself."""
        who, given = await self._asked(request)
        service = self._service(who, Action.ACK, given)
        reason = given.text("reason") or ""
        given.done()
        found = await self._engine.acknowledgements.take(who, service, reason)
        if isinstance(found, Refused):
            return _no(found)
        return web.json_response(replies.acknowledgement_reply(service, found))

    async def silence(self, request: web.Request) -> web.Response:
        """No alerts for a while."""
        who, given = await self._asked(request)
        service = self._service(who, Action.SILENCE, given)
        length, reason = given.length("for"), given.text("reason") or ""
        given.done()
        found = await self._engine.services.silence(who, service, length, reason)
        return _no(found) if isinstance(found, Refused) else web.json_response(replies.silence_reply(found))

    async def reload(self, request: web.Request) -> web.Response:
        """Have the configuration read anew, as SIGHUP does; comes back at once with the number of the wish."""
        who, given = await self._asked(request)
        given.done()
        refused = await self._engine.door.admit(who, Action.RELOAD)
        if refused is not None:
            return _no(refused)
        if self._reload_requests is None:
            return _no(Refused(RefusalReason.NOT_READY, message(RefusalCode.NO_RELOAD)))
        return web.json_response({"wish": self._reload_requests.reload(who)})

    async def reloaded(self, request: web.Request) -> web.Response:
        """What came of the last reload; the answer has reached a wish's number once it was seen to."""
        who, given = await self._asked(request)
        given.done()
        refused = await self._engine.door.admit(who, Action.RELOAD)
        if refused is not None:
            return _no(refused)
        asked, found = (
            (0, None) if self._reload_requests is None else (self._reload_requests.asked, self._reload_requests.answer)
        )
        return web.json_response(replies.reload_reply(asked, found))


async def _replies(lines: AsyncIterator[LogLine]) -> AsyncIterator[Mapping[str, object]]:
    async with aclosing(lines):  # type: ignore[type-var]
        async for line in lines:
            yield replies.log_reply(line)
