"""The answers that are no values of the domain, made from those that are."""

from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

from opsbot.control import shapes
from opsbot.core.message import encode
from opsbot.formatting import plain_times
from opsbot.messages import render

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from opsbot.core.deployment import Deployment
    from opsbot.core.health import CheckHealth
    from opsbot.core.message import Message
    from opsbot.core.model import DeliveryTest, Incident, Notification
    from opsbot.core.root_cause import RootCause
    from opsbot.core.status import ServiceHealth
    from opsbot.engine.status import ServiceStatus

T = TypeVar("T")


def like(kind: type[T], value: object, **others: Any) -> T:
    """A dataclass with the fields of the same names that `value` has, and these others."""
    names = {one.name for one in fields(kind)} - others.keys()  # type: ignore[arg-type]
    return kind(**{name: getattr(value, name) for name in names}, **others)


def check_reply(name: str, health: "CheckHealth") -> shapes.CheckReply:
    last = health.last
    if last is None:
        return like(shapes.CheckReply, health, name=name, ok=None, seen="", at=None, took=None)
    ok = last.ok if last.known else None
    return like(shapes.CheckReply, health, name=name, ok=ok, seen=render(last.seen), at=last.at, took=last.took)


def statement_reply(value: "Message") -> shapes.StatementReply:
    return shapes.StatementReply(**encode(value), text=_text(value))


def _text(value: "str | Message | None") -> str:
    return plain_times(value if isinstance(value, str) else render(value))


def health_reply(health: "ServiceHealth") -> shapes.HealthReply:
    return like(
        shapes.HealthReply,
        health,
        text=_text(health.title),
        reasons=[statement_reply(one) for one in health.reasons],
        next=[statement_reply(one) for one in health.next],
    )


def incident_reply(incident: "Incident") -> shapes.IncidentReply:
    """One incident; the downtime of an open one counts until its last event."""
    flaps = incident.flaps
    until = incident.closed_at or max([incident.opened_at, *(each.at for each in incident.events)])
    return like(
        shapes.IncidentReply,
        incident,
        ended_by=incident.resolution,
        downtime=incident.downtime(until),
        deeds=[shapes.IncidentEventReply(each.at, _text(each.message)) for each in incident.later_events],
        flapping=flaps.flapping,
        flapping_since=flaps.since,
        changes=flaps.count,
    )


def incidents(found: "Iterable[Incident]", *_: object) -> shapes.IncidentsReply:
    return shapes.IncidentsReply([incident_reply(one) for one in found])


def history(found: "tuple[Sequence[Deployment], Iterable[Incident]]", *_: object) -> shapes.HistoryReply:
    deployments, happened = found
    return shapes.HistoryReply(deployments, [incident_reply(one) for one in happened])


def service_reply(status: "ServiceStatus") -> shapes.ServiceReply:
    figures = status.figures
    return like(
        shapes.ServiceReply,
        status,
        health=health_reply(status.health),
        healthy=status.health.is_fine,
        verdict=status.health.verdict,
        cpu=figures.cpu if figures else None,
        memory=figures.memory if figures else None,
        tasks=figures.tasks if figures else None,
        checks=[check_reply(name, health) for name, health in status.checks],
        live=status.live.release if status.live else None,
        live_since=status.live.since if status.live else None,
        waits=_text(status.waits),
        incident=incident_reply(status.incident) if status.incident else None,
        logins=shapes.LoginsReply(*status.logins) if status.logins else None,
    )


def status(services: "Iterable[ServiceStatus]", proof: "DeliveryTest | None" = None) -> shapes.StatusReply:
    path = None if proof is None else like(shapes.DeliveryTestReply, proof)
    return shapes.StatusReply([service_reply(one) for one in services], path)


def why(found: "RootCause", service: str) -> shapes.WhyReply:
    from opsbot.messages.root_cause_line import root_cause_line  # noqa: PLC0415 - for this alone

    events = [shapes.WhyEvent(one.at, one.kind, _text(one.text)) for one in found.events]
    return shapes.WhyReply(service, found.known, plain_times(root_cause_line(found)), events)


def notification_reply(notice: "Notification", incident: "Incident | None") -> shapes.NotificationReply:
    """incident: the subject of the notification, if it has one."""
    text = _text(notice.said)
    if incident is not None:
        cause = _text(incident.cause)
        text = f"{cause}: {text}" if text else cause
        if notice.kind == "recovered":
            text = f"over: {cause}" + (f" ({_text(incident.resolution)})" if incident.resolution is not None else "")
    return like(shapes.NotificationReply, notice, text=text)
