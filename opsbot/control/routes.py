"""Answers the endpoints of `opsbot.control.endpoints`: asks the engine once, and sends what it answers as JSON."""

import asyncio
import json
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from aiohttp import web

from opsbot.control import endpoints, replies, shapes
from opsbot.control.endpoints import Endpoint
from opsbot.control.fields import BadInputError, Fields
from opsbot.control.peer import caller
from opsbot.control.snapshot import Snapshots
from opsbot.control.stream import send
from opsbot.core.access import Action, Actor
from opsbot.core.deployment import Deployment, RefusalReason, Refused
from opsbot.runtime.signals import ReloadRequests
from opsbot.services.port import LogLine, LogQuery

if TYPE_CHECKING:
    from opsbot.engine import Engine

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


class Routes:
    """The handlers, and what they need. Each is given who asks, and the endpoint's parameters in their order."""

    def __init__(
        self,
        engine: "Engine",
        clock: Callable[[], datetime],
        ping: shapes.Ping,
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
        """Every route: who answers which endpoint."""
        engine = self._engine
        return [
            self._answers(endpoints.PING, self.ping),
            self._answers(endpoints.STATUS, self.status),
            self._answers(endpoints.HEALTH, self.health),
            self._answers(endpoints.HISTORY, self.history),
            self._answers(endpoints.INCIDENTS, self.incidents),
            self._answers(endpoints.WHY, self.why),
            self._answers(endpoints.LOGS, self.logs),
            self._follows(endpoints.LOGS_FOLLOW, self.logs_follow),
            self._answers(endpoints.AUDIT, self.audit),
            self._answers(endpoints.WINDOWS, self.windows),
            self._answers(endpoints.DEPLOYMENT, self.deployment),
            self._follows(endpoints.DEPLOYMENT_FOLLOW, self.deployment_follow),
            self._answers(endpoints.MONITOR, self.monitor),
            self._follows(endpoints.MONITOR_FOLLOW, self.monitor_follow),
            self._answers(endpoints.RESTART, self.restart),
            self._answers(endpoints.DEPLOY, engine.releases.deploy),
            self._answers(endpoints.NOW, engine.releases.now),
            self._answers(endpoints.UPDATE, self.update),
            self._answers(endpoints.ROLLBACK, engine.releases.rollback),
            self._answers(endpoints.HOLD, self.hold),
            self._answers(endpoints.RESUME, self.resume),
            self._answers(endpoints.ACK, self.ack),
            self._answers(endpoints.SILENCE, engine.services.silence),
            self._answers(endpoints.NOTIFY, self.notify),
            self._answers(endpoints.RELOAD, self.reload),
            self._answers(endpoints.RELOADED, self.reloaded),
        ]

    def _answers(self, endpoint: Endpoint[T], handler: Callable[..., Awaitable[T | Refused]]) -> web.RouteDef:
        async def handle(request: web.Request) -> web.StreamResponse:
            return _answered(await handler(*await self._asked(endpoint, request)))

        return self._at(endpoint, handle)

    def _follows(
        self, endpoint: Endpoint[T], handler: Callable[..., Awaitable[AsyncIterator[T] | Refused]]
    ) -> web.RouteDef:
        async def handle(request: web.Request) -> web.StreamResponse:
            found = await handler(*await self._asked(endpoint, request))
            return _answered(found) if isinstance(found, Refused) else await send(request, found, self._closing)

        return self._at(endpoint, handle)

    def _at(self, endpoint: Endpoint[Any], handle: Handler) -> web.RouteDef:
        return web.route(endpoint.method, "/v1/" + endpoint.path.replace("{number}", "{number:[0-9]{1,15}}"), handle)

    async def _asked(self, endpoint: Endpoint[Any], request: web.Request) -> list[Any]:
        """Who asks, and the parameters."""
        transport = request.transport
        if transport is None:
            raise web.HTTPBadRequest(reason="the caller is gone")
        who = await caller(transport.get_extra_info("socket"), request.headers.get("X-Sudo-User", ""))
        given = Fields(await _sent(request), self._clock(), lambda action: self._engine.door.nameable(who, action))
        return [who, *endpoint.read(given)]

    # Looking

    async def ping(self, _who: Actor) -> shapes.Ping:
        """Who answers; asked by anyone who can reach the socket."""
        return self._ping

    async def status(self, who: Actor, service: str | None) -> shapes.Status | Refused:
        """How the services stand."""
        found = await self._engine.look.status(who, service)
        return found if isinstance(found, Refused) else replies.status(found, await self._engine.look.proof())

    async def health(self, who: Actor, service: str | None) -> shapes.Status | Refused:
        """Run the checks now."""
        found = await self._engine.look.health(who, service)
        return found if isinstance(found, Refused) else replies.status(found, await self._engine.look.proof())

    async def history(self, who: Actor, service: str | None, limit: int) -> shapes.History | Refused:
        """Deployments and incidents."""
        found = await self._engine.look.history(who, service, limit)
        return found if isinstance(found, Refused) else shapes.History(tuple(found[0]), tuple(found[1]))

    async def incidents(
        self,
        who: Actor,
        service: str | None,
        limit: int,
        still_open: bool,  # noqa: FBT001 - in the endpoint's order
    ) -> shapes.Incidents | Refused:
        """Incidents."""
        found = await self._engine.look.incidents(who, service, limit, still_open=still_open)
        return found if isinstance(found, Refused) else shapes.Incidents(tuple(found))

    async def why(self, who: Actor, service: str) -> shapes.WhyReply | Refused:
        """RefusalReason a service stands as it does."""
        found = await self._engine.look.why(who, service)
        return found if isinstance(found, Refused) else replies.why(service, found)

    async def audit(self, who: Actor, service: str | None, member: str | None, limit: int) -> shapes.Audit | Refused:
        """The audit log."""
        found = await self._engine.look.audit(who, service, member, limit)
        return found if isinstance(found, Refused) else replies.audit(found)

    async def windows(self, who: Actor) -> shapes.WindowsReply | Refused:
        """The maintenance windows that are open, and the next ones."""
        found = await self._engine.look.maintenance(who)
        return found if isinstance(found, Refused) else replies.maintenance(found)

    async def notify(self, who: Actor, name: str | None) -> shapes.NotifyReply | Refused:
        """Try a notifier; what came of it."""
        found = await self._engine.notify(who, name or "")
        return found if isinstance(found, Refused) else replies.like(shapes.NotifyReply, found, notifier=name)

    async def logs(self, who: Actor, service: str, *query: Any) -> shapes.Logs | Refused:
        """Lines a service wrote."""
        found = await self._engine.logs.lines(who, service, LogQuery(*query))
        return found if isinstance(found, Refused) else shapes.Logs(service, tuple(found))

    async def logs_follow(self, who: Actor, service: str, *query: Any) -> AsyncIterator[LogLine] | Refused:
        """The last lines, then each as it is written."""
        return await self._engine.logs.tail(who, service, LogQuery(*query))

    async def deployment(self, who: Actor, number: int) -> Deployment | Refused:
        """One deployment."""
        refused = await self._engine.door.admit(who, Action.HISTORY)
        if refused is not None:
            return refused
        found = await self._engine.look.deployment(number)
        return found or Refused(RefusalReason.UNKNOWN_DEPLOYMENT, f"there is no deployment {number}")

    async def deployment_follow(self, who: Actor, number: int) -> AsyncIterator[Deployment] | Refused:
        """One deployment, again at each change, until it is finished."""
        found = await self.deployment(who, number)
        return found if isinstance(found, Refused) else self._changes(number)

    async def _changes(self, number: int) -> AsyncIterator[Deployment]:
        revision = -1
        with self._engine.feed.subscribe() as subscription:
            while True:
                found = await self._engine.look.deployment(number)
                if found is None:
                    return
                if found.revision != revision:
                    revision = found.revision
                    yield found
                if found.finished:
                    return
                # The time limit is for a deployment that another process finishes: nothing wakes this feed then.
                await subscription.wait(_FEED_SECONDS)

    async def monitor(self, who: Actor) -> shapes.Snapshot | Refused:
        """One snapshot."""
        found = await self._engine.look.status(who)
        return found if isinstance(found, Refused) else await self._snapshots.latest()

    async def monitor_follow(self, who: Actor) -> AsyncIterator[shapes.Snapshot] | Refused:
        """A snapshot each second; written into the audit log once."""
        found = await self._engine.look.status(who)
        return found if isinstance(found, Refused) else self._each_second()

    async def _each_second(self) -> AsyncIterator[shapes.Snapshot]:
        while True:
            yield await self._snapshots.latest()
            await asyncio.sleep(_SNAPSHOT_SECONDS)

    # Doing

    async def restart(self, who: Actor, service: str) -> shapes.Restarted | Refused:
        """Restart a service; answers once its new process runs."""
        found = await self._engine.services.restart(who, service)
        return found if isinstance(found, Refused) else shapes.Restarted(service, found)

    async def update(self, who: Actor, service: str) -> shapes.UpdateReply | Refused:
        """Ask the remote now, deploy what is new: what came of it, and the deployment where there is one."""
        found = await self._engine.releases.update(who, service)
        if isinstance(found, Refused):
            return found
        begun = None if found.deployment is None else await self._engine.look.deployment(found.deployment)
        return replies.like(shapes.UpdateReply, found, service=service, deployment=begun)

    async def hold(self, who: Actor, service: str, reason: str) -> shapes.Held | Refused:
        """No deploys until resumed."""
        found = await self._engine.services.hold(who, service, reason)
        return found if isinstance(found, Refused) else shapes.Held(service, found)

    async def resume(self, who: Actor, service: str, reason: str) -> shapes.Resumed | Refused:
        """End the hold and the silence."""
        found = await self._engine.services.resume(who, service, reason)
        return found if isinstance(found, Refused) else shapes.Resumed(service, found)

    async def ack(self, who: Actor, service: str, reason: str) -> shapes.AcknowledgementReply | Refused:
        """Take the open incident of a service upon oneself."""
        found = await self._engine.acknowledgements.take(who, service, reason)
        return found if isinstance(found, Refused) else shapes.AcknowledgementReply(service, found)

    async def reload(self, who: Actor) -> shapes.ReloadWish | Refused:
        """Have the configuration read anew, as SIGHUP does; comes back at once with the number of the wish."""
        refused = await self._engine.door.admit(who, Action.RELOAD)
        if refused is None and self._reload_requests is None:
            return Refused(RefusalReason.NOT_READY, "this daemon cannot read its configuration anew; restart it")
        return refused or shapes.ReloadWish(self._reload_requests.reload(who) if self._reload_requests else 0)

    async def reloaded(self, who: Actor) -> shapes.ReloadReply | Refused:
        """What came of the last reload; the answer has reached a wish's number once it was seen to."""
        refused = await self._engine.door.admit(who, Action.RELOAD)
        if refused is not None:
            return refused
        asked, found = (
            (0, None) if self._reload_requests is None else (self._reload_requests.asked, self._reload_requests.answer)
        )
        return shapes.ReloadReply(asked) if found is None else replies.like(shapes.ReloadReply, found, asked=asked)
