"""Answers the endpoints of `opsbot.control.endpoints`: asks the engine once, and sends what it answers as JSON."""

import asyncio
import json
import logging
import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from aiohttp import web

from opsbot import __version__
from opsbot.control import endpoints, replies, shapes
from opsbot.control.endpoints import Endpoint
from opsbot.control.fields import BadInputError, Fields
from opsbot.control.peer import caller
from opsbot.control.snapshot import Snapshots
from opsbot.control.stream import send
from opsbot.core.access import Action, Actor
from opsbot.core.deploy_codes import RefusalCode
from opsbot.core.deployment import Deployment, RefusalReason, Refused
from opsbot.core.message import message
from opsbot.runtime.signals import ReloadRequests
from opsbot.services.port import LogLine, LogQuery

if TYPE_CHECKING:
    from opsbot.engine import Engine
    from opsbot.engine.status import ServiceStatus

T = TypeVar("T")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = logging.getLogger(__name__)

_STATUS = {
    RefusalReason.NO_RANK: 403,
    RefusalReason.UNKNOWN_SERVICE: 404,
    RefusalReason.UNKNOWN_DEPLOYMENT: 404,
    RefusalReason.NO_RELEASE: 404,
    RefusalReason.NO_INCIDENT: 404,
    RefusalReason.NOT_WAITING: 404,
    RefusalReason.BAD_REF: 400,
    RefusalReason.BAD_INPUT: 400,
    RefusalReason.NOT_READY: 503,
}
BODY_BYTES = 64 * 1024
_SNAPSHOT_SECONDS = 1.0
_FEED_SECONDS = 5.0
_HTTP_ERROR = 400


def _answered(found: object) -> web.Response:
    status = _STATUS.get(found.why, 409) if isinstance(found, Refused) else 200
    return web.json_response(shapes.encode(found), status=status)


def _error(status: int, why: str, text: str) -> web.Response:
    return web.json_response({"why": why, "text": text, "deployment": None}, status=status)


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whatever goes wrong is answered as `{why, text}`; internal errors go into the log with an id."""
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
        return _error(500, "error", f"an internal error of opsbot; its log has it under {number}")


async def _sent(request: web.Request) -> dict[str, object]:
    """The parameters of a request by name, as they were sent.

    Raises:
        BadInputError: its body is no JSON object.
    """
    if request.method != "POST":
        return {**request.query, **request.match_info}
    raw = await request.read()
    try:
        values = json.loads(raw) if raw.strip() else {}
    except ValueError as error:
        raise BadInputError("the body is not JSON") from error
    except RecursionError as error:
        raise BadInputError("the body is nested too deeply") from error
    if not isinstance(values, dict):
        raise BadInputError("the body must be a JSON object")
    return values


def application(
    engine: "Engine",
    clock: Callable[[], datetime],
    started: datetime,
    gateway: Callable[[], object] | None,
    closing: asyncio.Event,
    reload_requests: ReloadRequests | None,
) -> web.Application:
    """Build what answers on the control socket. See `opsbot.control.server.start_control`."""
    ping = shapes.PingReply(__version__, os.getpid(), started, str(engine.config.state.directory))
    routes = Routes(engine, clock, ping, Snapshots(engine, clock, ping, gateway), closing, reload_requests)
    app = web.Application(client_max_size=BODY_BYTES, middlewares=[errors_as_json])
    app.add_routes(routes.table())
    return app


def _as_it_is(found: Any, *_: object) -> Any:
    return found


@dataclass(frozen=True, slots=True)
class Routes:
    """Who answers what.

    closing: set when the daemon stops; streams end then. reload_requests: takes requests to reload.
    """

    engine: "Engine"
    clock: Callable[[], datetime]
    ping: shapes.PingReply
    snapshots: Snapshots
    closing: asyncio.Event
    reload_requests: ReloadRequests | None = None

    def table(self) -> list[web.RouteDef]:
        """Every route: an endpoint, who is asked, and where that says something else, what makes the answer of it.

        Who is asked is given who asks, and the endpoint's parameters in their order. What makes the answer is given
        what was said, and the same parameters. A `Refused` is answered as it is.
        """
        look, releases, services = self.engine.queries, self.engine.releases, self.engine.services
        return [
            self._answers(endpoints.PING, self._ping),
            self._answers(endpoints.STATUS, self._with_alert_path(look.status)),
            self._answers(endpoints.HEALTH, self._with_alert_path(look.health)),
            self._answers(endpoints.HISTORY, look.history, replies.history),
            self._answers(endpoints.INCIDENTS, self._incidents, replies.incidents),
            self._answers(endpoints.WHY, look.why, replies.why),
            self._answers(endpoints.LOGS, self._logs, lambda lines, service, *_: shapes.LogsReply(service, lines)),
            self._follows(endpoints.LOGS_FOLLOW, self._logs_follow),
            self._answers(endpoints.AUDIT, look.audit, lambda found, *_: shapes.AuditReply(found)),
            self._answers(endpoints.WINDOWS, look.maintenance, shapes.WindowsReply),
            self._answers(endpoints.DEPLOYMENT, self._deployment),
            self._follows(endpoints.DEPLOYMENT_FOLLOW, self._deployment_follow),
            self._answers(endpoints.MONITOR, self._monitor),
            self._follows(endpoints.MONITOR_FOLLOW, self._monitor_follow),
            self._answers(endpoints.RESTART, self._restart),
            self._answers(endpoints.DEPLOY, releases.deploy),
            self._answers(endpoints.NOW, releases.now),
            self._answers(endpoints.UPDATE, self._update),
            self._answers(endpoints.ROLLBACK, releases.rollback),
            self._answers(endpoints.HOLD, services.hold, lambda hold, name, _: shapes.Held(name, hold)),
            self._answers(
                endpoints.RESUME,
                services.resume,
                lambda found, name, _: shapes.ResumeReply(name, found.anything, found.commits),
            ),
            self._answers(
                endpoints.ACK,
                self.engine.acknowledgements.take,
                lambda value, name, _: shapes.AcknowledgementReply(name, value),
            ),
            self._answers(endpoints.SILENCE, services.silence),
            self._answers(
                endpoints.NOTIFY,
                self.engine.notify,
                lambda sent, name: replies.like(shapes.NotifyReply, sent, notifier=name),
            ),
            self._answers(endpoints.RELOAD, self._reload),
            self._answers(endpoints.RELOADED, self._reloaded),
        ]

    def _answers(
        self, endpoint: Endpoint[T], ask: Callable[..., Awaitable[object]], make: Callable[..., T] = _as_it_is
    ) -> web.RouteDef:
        async def handle(request: web.Request) -> web.StreamResponse:
            who, *parameters = await self._asked(endpoint, request)
            found = await ask(who, *parameters)
            return _answered(found if isinstance(found, Refused) else make(found, *parameters))

        return self._at(endpoint, handle)

    def _follows(
        self, endpoint: Endpoint[T], ask: Callable[..., Awaitable[AsyncIterator[T] | Refused]]
    ) -> web.RouteDef:
        async def handle(request: web.Request) -> web.StreamResponse:
            found = await ask(*await self._asked(endpoint, request))
            return _answered(found) if isinstance(found, Refused) else await send(request, found, self.closing)

        return self._at(endpoint, handle)

    def _at(self, endpoint: Endpoint[Any], handle: Handler) -> web.RouteDef:
        return web.route(endpoint.method, "/v1/" + endpoint.path.replace("{number}", "{number:[0-9]{1,15}}"), handle)

    async def _asked(self, endpoint: Endpoint[Any], request: web.Request) -> list[Any]:
        transport = request.transport
        if transport is None:
            raise web.HTTPBadRequest(reason="the caller is gone")
        who = await caller(transport.get_extra_info("socket"), request.headers.get("X-Sudo-User", ""))
        given = Fields(await _sent(request), self.clock(), lambda action: self.engine.access.nameable(who, action))
        return [who, *endpoint.read(given)]

    # Who is asked, where it is not the engine alone

    async def _ping(self, _who: Actor) -> shapes.PingReply:
        return self.ping

    def _with_alert_path(
        self, ask: Callable[[Actor, str | None], Awaitable["list[ServiceStatus] | Refused"]]
    ) -> Callable[[Actor, str | None], Awaitable[shapes.StatusReply | Refused]]:
        async def asked(who: Actor, service: str | None) -> shapes.StatusReply | Refused:
            found = await ask(who, service)
            return (
                found if isinstance(found, Refused) else replies.status(found, await self.engine.outbox.delivery_test())
            )

        return asked

    async def _incidents(self, who: Actor, service: str | None, limit: int, still_open: bool) -> object:  # noqa: FBT001
        return await self.engine.queries.incidents(who, service, limit, still_open=still_open)

    async def _logs(self, who: Actor, service: str, *query: Any) -> list[LogLine] | Refused:
        return await self.engine.logs.lines(who, service, LogQuery(*query))

    async def _logs_follow(self, who: Actor, service: str, *query: Any) -> AsyncIterator[LogLine] | Refused:
        return await self.engine.logs.tail(who, service, LogQuery(*query))

    async def _deployment(self, who: Actor, number: int) -> Deployment | Refused:
        refused = await self.engine.access.admit(who, Action.HISTORY)
        found = None if refused else await self.engine.queries.deployment(number)
        return (
            refused
            or found
            or Refused(RefusalReason.UNKNOWN_DEPLOYMENT, message(RefusalCode.UNKNOWN_DEPLOYMENT, deployment=number))
        )

    async def _deployment_follow(self, who: Actor, number: int) -> AsyncIterator[Deployment] | Refused:
        found = await self._deployment(who, number)
        return found if isinstance(found, Refused) else self._changes(number)

    async def _changes(self, number: int) -> AsyncIterator[Deployment]:
        """A deployment, again at each change, until it is finished."""
        revision = -1
        with self.engine.feed.subscribe() as subscription:
            while True:
                found = await self.engine.queries.deployment(number)
                if found is None:
                    return
                if found.revision != revision:
                    revision = found.revision
                    yield found
                if found.finished:
                    return
                # The time limit is for a deployment that another process finishes: nothing wakes this feed then.
                await subscription.wait(_FEED_SECONDS)

    async def _monitor(self, who: Actor) -> shapes.Snapshot | Refused:
        found = await self.engine.queries.status(who)
        return found if isinstance(found, Refused) else await self.snapshots.latest()

    async def _monitor_follow(self, who: Actor) -> AsyncIterator[shapes.Snapshot] | Refused:
        found = await self.engine.queries.status(who)
        return found if isinstance(found, Refused) else self._each_second()

    async def _each_second(self) -> AsyncIterator[shapes.Snapshot]:
        while True:
            yield await self.snapshots.latest()
            await asyncio.sleep(_SNAPSHOT_SECONDS)

    async def _restart(self, who: Actor, service: str, wait: bool) -> shapes.Restarted | Refused:  # noqa: FBT001
        state = await self.engine.services.restart(who, service)
        if isinstance(state, Refused):
            return state
        if not wait:
            return shapes.Restarted(service, state)
        outcome = await self.engine.services.verify_restart(who, service, state)
        return shapes.Restarted(service, outcome.state, outcome.ok, outcome.seen)

    async def _update(self, who: Actor, service: str) -> shapes.UpdateReply | Refused:
        found = await self.engine.releases.update(who, service)
        if isinstance(found, Refused):
            return found
        begun = None if found.deployment is None else await self.engine.queries.deployment(found.deployment)
        return replies.like(shapes.UpdateReply, found, service=service, text=found.message, deployment=begun)

    async def _reload(self, who: Actor) -> shapes.ReloadRequested | Refused:
        refused = await self.engine.access.admit(who, Action.RELOAD)
        if refused is None and self.reload_requests is None:
            return Refused(RefusalReason.NOT_READY, message(RefusalCode.NO_RELOAD))
        return refused or shapes.ReloadRequested(self.reload_requests.reload(who) if self.reload_requests else 0)

    async def _reloaded(self, who: Actor) -> shapes.ReloadReply | Refused:
        refused = await self.engine.access.admit(who, Action.RELOAD)
        if refused is not None:
            return refused
        asked, found = (
            (0, None) if self.reload_requests is None else (self.reload_requests.asked, self.reload_requests.answer)
        )
        return shapes.ReloadReply(asked) if found is None else replies.like(shapes.ReloadReply, found, asked=asked)
