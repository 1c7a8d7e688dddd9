"""The answers that are no values of the domain, made from those that are."""

from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

from opsbot.control.shapes import (
    Audit,
    AuditReply,
    By,
    CheckReply,
    DiskReply,
    HostReply,
    LoginsReply,
    NoticeReply,
    ProofReply,
    ServiceReply,
    Status,
    WhyEvent,
    WhyReply,
    WindowReply,
    WindowsReply,
)
from opsbot.core.health import Verdict
from opsbot.formatting import plain_times
from opsbot.services.port import Activity

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opsbot.core.health import CheckHealth
    from opsbot.core.model import AuditEntry, DeliveryTest, Incident, Notification
    from opsbot.core.root_cause import RootCause
    from opsbot.core.windows import Maintenance, Span
    from opsbot.engine.status import ServiceStatus
    from opsbot.host.figures import HostFigures

T = TypeVar("T")


def like(kind: type[T], value: object, **others: Any) -> T:
    """A dataclass with the fields of the same names that `value` has, and these others."""
    names = {one.name for one in fields(kind)} - others.keys()  # type: ignore[arg-type]
    return kind(**{name: getattr(value, name) for name in names}, **others)


def check_reply(name: str, health: "CheckHealth") -> CheckReply:
    """One check."""
    last = health.last
    return CheckReply(
        name,
        health.verdict,
        health.since,
        last.ok if last and last.known else None,
        last.seen if last else "",
        last.at if last else None,
        last.took if last else None,
        health.streak,
    )


def service_reply(status: "ServiceStatus") -> ServiceReply:
    """How one service stands."""
    figures = status.figures
    return like(
        ServiceReply,
        status,
        healthy=status.state.activity in {Activity.RUNNING, Activity.STARTING} and status.verdict is not Verdict.DOWN,
        cpu=figures.cpu if figures else None,
        memory=figures.memory if figures else None,
        tasks=figures.tasks if figures else None,
        checks=tuple(check_reply(name, health) for name, health in status.checks),
        live=status.live.release if status.live else None,
        live_since=status.live.since if status.live else None,
        waits=plain_times(status.waits),
        logins=LoginsReply(*status.logins) if status.logins else None,
    )


def status(services: "Iterable[ServiceStatus]", proof: "DeliveryTest | None" = None, *, daemon: bool = True) -> Status:
    """`status` and `health`."""
    path = None if proof is None else like(ProofReply, proof)
    return Status(tuple(service_reply(one) for one in services), path, daemon)


def why(service: str, account: "RootCause", *, daemon: bool = True) -> WhyReply:
    """`why`."""
    events = tuple(WhyEvent(one.at, one.kind, plain_times(one.text)) for one in account.events)
    return WhyReply(service, account.known, plain_times(account.line), events, daemon)


def audit(entries: "Iterable[AuditEntry]", *, daemon: bool = True) -> Audit:
    """`audit`."""
    shown = (like(AuditReply, one, by=By(one.origin, one.actor_id, one.actor_name)) for one in entries)
    return Audit(tuple(shown), daemon)


def notice_reply(notice: "Notification", incident: "Incident | None") -> NoticeReply:
    """One notice about trouble; `incident` is its subject, where it has one."""
    text = plain_times(str(notice.body.get("text") or notice.body.get("why") or ""))
    if incident is not None:
        text = f"{incident.cause}: {text}" if text else incident.cause
        if notice.kind == "recovered":
            text = f"over: {incident.cause}" + (f" ({incident.ended_by})" if incident.ended_by else "")
    return like(NoticeReply, notice, text=text)


def host_reply(figures: "HostFigures", name: str) -> HostReply:
    """The host."""
    disks = tuple(like(DiskReply, disk, path=str(disk.path)) for disk in figures.disks)
    return like(HostReply, figures, name=name, disks=disks)


def window_reply(span: "Span") -> WindowReply:
    """One occurrence of a window."""
    window = span.window
    return like(WindowReply, window, begin=span.begin, end=span.end, timezone=str(window.timezone))


def maintenance(found: "Maintenance", *, daemon: bool = True) -> WindowsReply:
    """`windows`."""
    return WindowsReply(tuple(map(window_reply, found.active)), tuple(map(window_reply, found.coming)), daemon)
