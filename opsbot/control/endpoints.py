"""The control API: one declaration for each endpoint, which the daemon answers by and the command line asks by.

A new endpoint is a declaration here, and the function that answers it in `opsbot.control.routes.Routes.table`. Every
path starts with /v1/. A GET takes its parameters from the query, a POST from a JSON object. What can be followed is
answered as NDJSON, a value a line.

A refusal is `{why, text, deployment}`: 403 for lack of rank, 404 for what there is not, 400 for what cannot be used,
409 for the rest. `service` may be left out where one is configured. `grep` of logs/follow sifts the lines so far only.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from opsbot.control import shapes
from opsbot.control.fields import ENTRIES, LINES, SERVICE, Fields
from opsbot.core.access import Action
from opsbot.core.deployment import Deployment
from opsbot.core.model import Silence
from opsbot.services.port import LogLine

T = TypeVar("T")
Parameter = Callable[[Fields, str], object]
"""Takes the parameter of that name from the fields of a request."""

LONG = 600.0
"""Seconds for what is answered only once it is done: a restart, checks, a slow remote."""


@dataclass(frozen=True, slots=True, eq=False)
class Endpoint(Generic[T]):
    """What can be asked. path: below /v1/. answer: the type of the answer, or of each value of a stream.

    seconds: how long whoever asks waits for the answer.
    """

    method: str
    path: str
    answer: type[T]
    parameters: Mapping[str, Parameter]
    seconds: float = 30.0

    def read(self, given: Fields) -> list[Any]:
        """The parameters, in their order.

        Raises:
            BadInputError: one cannot be used, or there is none of that name.
        """
        values = [parameter(given, name) for name, parameter in self.parameters.items()]
        given.done()
        return values


def _get(path: str, answer: type[T], seconds: float = 30.0, **parameters: Parameter) -> Endpoint[T]:
    return Endpoint("GET", path, answer, parameters, seconds)


def _post(path: str, answer: type[T], seconds: float = 30.0, **parameters: Parameter) -> Endpoint[T]:
    return Endpoint("POST", path, answer, parameters, seconds)


def _service(action: Action) -> Parameter:
    return lambda given, name: given.service(name, action)


def _text(most: int) -> Parameter:
    return lambda given, name: given.text(name, most)


def _number(default: int, most: int) -> Parameter:
    return lambda given, name: given.number(name, default, most)


def _reason(given: Fields, name: str) -> str:
    return given.text(name) or ""


def _in_path(given: Fields, name: str) -> int:
    return int(given.text(name) or 0)


_ANY_SERVICE = _text(SERVICE)
_LOG: Mapping[str, Parameter] = {
    "service": _service(Action.LOGS),
    "lines": _number(50, LINES),
    "since": Fields.moment,
    "level": Fields.level,
    "grep": Fields.pattern,
    "this_run": Fields.flag,
}

PING = _get("ping", shapes.PingReply, 5.0)
STATUS = _get("status", shapes.StatusReply, service=_ANY_SERVICE)
HEALTH = _post("health", shapes.StatusReply, LONG, service=_ANY_SERVICE)
HISTORY = _get("history", shapes.HistoryReply, service=_ANY_SERVICE, limit=_number(20, ENTRIES))
INCIDENTS = _get("incidents", shapes.IncidentsReply, service=_ANY_SERVICE, limit=_number(20, ENTRIES), open=Fields.flag)
WHY = _get("why", shapes.WhyReply, 60.0, service=_service(Action.WHY))
LOGS = Endpoint("GET", "logs", shapes.LogsReply, _LOG, 60.0)
LOGS_FOLLOW = Endpoint("GET", "logs/follow", LogLine, _LOG)
AUDIT = _get("audit", shapes.AuditReply, service=_ANY_SERVICE, member=_text(100), limit=_number(50, ENTRIES))
WINDOWS = _get("windows", shapes.WindowsReply)
DEPLOYMENT = _get("deployments/{number}", Deployment, number=_in_path)
DEPLOYMENT_FOLLOW = _get("deployments/{number}/follow", Deployment, number=_in_path)
"""Again at each change, until it is finished."""
MONITOR = _get("monitor", shapes.Snapshot)
MONITOR_FOLLOW = _get("monitor/follow", shapes.Snapshot)
"""A snapshot a second; written into the audit log once."""

RESTART = _post("restart", shapes.Restarted, LONG, service=_service(Action.RESTART), wait=Fields.flag)
"""wait: for the checks, up to the verify timeout of the service."""
DEPLOY = _post("deploy", Deployment, LONG, service=_service(Action.DEPLOY), ref=Fields.text, reason=_reason)
NOW = _post("now", Deployment, service=_service(Action.NOW))
UPDATE = _post("update", shapes.UpdateReply, LONG, service=_service(Action.DEPLOY))
ROLLBACK = _post("rollback", Deployment, LONG, service=_service(Action.ROLLBACK), release=Fields.text, reason=_reason)
HOLD = _post("hold", shapes.Held, service=_service(Action.HOLD), reason=_reason)
RESUME = _post("resume", shapes.ResumeReply, service=_service(Action.RESUME), reason=_reason)
ACK = _post("ack", shapes.AcknowledgementReply, service=_service(Action.ACK), reason=_reason)
SILENCE = Endpoint(
    "POST", "silence", Silence, {"service": _service(Action.SILENCE), "for": Fields.length, "reason": _reason}
)
NOTIFY = _post("notify", shapes.NotifyReply, LONG, notifier=_text(100))
RELOAD = _post("reload", shapes.ReloadRequested)
RELOADED = _get("reload", shapes.ReloadReply)
"""The last reload; `answered` has reached the number of a request once it was handled."""
