"""opsbot's values in the shapes that the control socket answers with and `--json` prints."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from opsbot.control.shapes import (
    AcknowledgementReply,
    Audit,
    AuditReply,
    By,
    CheckReply,
    CommitReply,
    DeploymentReply,
    History,
    HoldReply,
    HostReply,
    IncidentReply,
    Incidents,
    LogReply,
    Logs,
    NoticeReply,
    NotifyReply,
    ProofReply,
    ReleaseReply,
    ReloadReply,
    ServiceReply,
    SilenceReply,
    SourceReply,
    StateReply,
    Status,
    StepReply,
    UpdateReply,
    WhyReply,
    WindowReply,
    WindowsReply,
)
from opsbot.formatting import plain_times
from opsbot.messages import render
from opsbot.messages.deployments import deployment_status

if TYPE_CHECKING:  # the client prints these shapes and must start fast: it needs none of what they are made from
    from opsbot.core.access import Actor
    from opsbot.core.deployment import Commit, Deployment, DeploymentStep, Hold, Release
    from opsbot.core.health import CheckHealth
    from opsbot.core.message import Message
    from opsbot.core.model import (
        Acknowledgement,
        AuditEntry,
        DeliveryTest,
        Incident,
        Notification,
        Silence,
        SourceState,
    )
    from opsbot.core.root_cause import RootCause
    from opsbot.core.windows import Maintenance, Span
    from opsbot.deploy.poll import Polled
    from opsbot.engine.status import ServiceStatus
    from opsbot.host.figures import HostFigures
    from opsbot.notifications.apprise_sender import SendResult
    from opsbot.runtime.signals import ReloadAnswer
    from opsbot.services.port import LogLine, ServiceState


def iso(at: datetime) -> str:
    """A time as it is sent: UTC, to the millisecond."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def maybe_iso(at: datetime | None) -> str | None:
    """A time, or none."""
    return None if at is None else iso(at)


def by(actor: "Actor") -> By:
    """Who did it."""
    return {"origin": str(actor.origin), "id": actor.id, "name": actor.name}


def check_reply(name: str, health: "CheckHealth") -> CheckReply:
    """One check."""
    last = health.last
    return {
        "name": name,
        "verdict": str(health.verdict),
        "since": maybe_iso(health.since),
        "ok": last.ok if last and last.known else None,
        "seen": last.seen if last else "",
        "at": iso(last.at) if last else None,
        "took": last.took if last else None,
        "streak": health.streak,
    }


def commit_reply(commit: "Commit") -> CommitReply:
    """One commit."""
    return {"id": commit.id, "title": commit.title, "author": commit.author, "at": iso(commit.at)}


def release_reply(release: "Release") -> ReleaseReply:
    """A kept release."""
    return {
        "name": release.name,
        "commit": release.commit,
        "title": release.title,
        "at": iso(release.at),
        "good": release.good,
    }


def step_reply(step: "DeploymentStep") -> StepReply:
    """One thing a deployment did."""
    return {
        "name": render(step.name),
        "phase": str(step.phase),
        "started_at": iso(step.started_at),
        "ended_at": maybe_iso(step.ended_at),
        "ok": step.ok,
        "note": _text(step.note),
        "tail": step.tail,
        "output": step.output,
    }


def _text(value: "Message | None") -> str:
    return plain_times(render(value))


def _outcome(deployment: "Deployment") -> str:
    """Its note, and the deployment that waits on since this one failed."""
    waits = deployment.let_go_on
    return f"{_text(deployment.note)} Deployment {waits} waits on.".lstrip() if waits else _text(deployment.note)


def _well_ended(deployment: "Deployment") -> bool:
    """Whether what was asked for runs: now, or already where there was nothing to do."""
    return deployment.phase == "live" or (deployment.phase == "skipped" and deployment.failed_in is None)


def deployment_reply(deployment: "Deployment") -> DeploymentReply:
    """One deployment."""
    return {
        "id": deployment.id,
        "service": deployment.service,
        "kind": str(deployment.kind),
        "phase": str(deployment.phase),
        "by": by(deployment.actor),
        "created_at": iso(deployment.created_at),
        "updated_at": iso(deployment.updated_at),
        "finished_at": maybe_iso(deployment.finished_at),
        "live_at": maybe_iso(deployment.live_at),
        "finished": deployment.finished,
        "ok": _well_ended(deployment) if deployment.finished else None,
        "ref": deployment.ref,
        "reason": _text(deployment.reason),
        "commit_from": deployment.commit_from,
        "commit_to": deployment.commit_to,
        "release_from": deployment.release_from,
        "release_to": deployment.release_to,
        "commits": [commit_reply(commit) for commit in deployment.commits],
        "commits_total": deployment.commits_total,
        "steps": [step_reply(step) for step in deployment.steps],
        "failed_in": None if deployment.failed_in is None else str(deployment.failed_in),
        "note": _outcome(deployment),
        "status": deployment_status(deployment),
    }


def update_reply(service: str, polled: "Polled", deployment: "Deployment | None") -> UpdateReply:
    """What came of asking the remote."""
    return {
        "service": service,
        "outcome": str(polled.outcome),
        "text": plain_times(render(polled.message)),
        "head": polled.head,
        "deployment": None if deployment is None else deployment_reply(deployment),
    }


def hold_reply(hold: "Hold") -> HoldReply:
    """A hold."""
    return {"actor": hold.actor, "reason": _text(hold.reason), "at": iso(hold.at), "waits": hold.waits}


def silence_reply(silence: "Silence") -> SilenceReply:
    """A silence."""
    return {
        "service": silence.service,
        "actor": silence.actor,
        "reason": silence.reason,
        "at": iso(silence.at),
        "until": iso(silence.until),
    }


def acknowledgement_reply(service: str, value: "Acknowledgement") -> AcknowledgementReply:
    """Who has taken an incident."""
    return {
        "service": service,
        "incident": value.incident,
        "actor": value.actor,
        "reason": value.reason,
        "at": iso(value.at),
        "void_at": maybe_iso(value.void_at),
    }


def incident_reply(incident: "Incident") -> IncidentReply:
    """One trouble."""
    return {
        "id": incident.id,
        "service": incident.service,
        "cause": _text(incident.cause),
        "opened_at": iso(incident.opened_at),
        "closed_at": maybe_iso(incident.closed_at),
        "called_at": maybe_iso(incident.called_at),
        "ended_by": _text(incident.resolution),
        "checks": [(name, _text(seen)) for name, seen in incident.evidence.checks],
        "exit": _text(incident.evidence.exit),
        "log": list(incident.evidence.log),
        "deeds": [{"at": iso(each.at), "text": _text(each.message)} for each in incident.deeds],
        "deployment": incident.deployment,
        "consequences": [(name, _text(seen)) for name, seen in incident.evidence.consequences],
        "dependents": [
            {
                "service": one.service,
                "cause": _text(one.cause),
                "failed_at": iso(one.failed_at),
                "well_at": maybe_iso(one.well_at),
            }
            for one in incident.dependents
        ],
        "part_of": incident.part_of,
        "flapping": incident.flaps.flapping,
        "changes": incident.flaps.count,
    }


def source_reply(source: "SourceState") -> SourceReply:
    """What is known of the remote."""
    return {
        "head": source.head,
        "asked_at": maybe_iso(source.asked_at),
        "answered_at": maybe_iso(source.answered_at),
        "failing_since": maybe_iso(source.failing_since),
        "failure": _text(source.failure),
    }


def state_reply(state: "ServiceState") -> StateReply:
    """What the manager says."""
    return {
        "activity": str(state.activity),
        "pid": state.pid,
        "started_at": maybe_iso(state.started_at),
        "restarts": state.restarts,
        "exit": state.exit,
        "stopped_by_hand": state.stopped_by_hand,
    }


def service_reply(status: "ServiceStatus") -> ServiceReply:
    """How one service stands."""
    figures = status.figures
    return {
        "service": status.service,
        "healthy": status.state.activity in {"running", "starting"} and status.verdict != "down",
        "verdict": str(status.verdict),
        "state": state_reply(status.state),
        "cpu": figures.cpu if figures else None,
        "memory": figures.memory if figures else None,
        "tasks": figures.tasks if figures else None,
        "checks": [check_reply(name, health) for name, health in status.checks],
        "live": status.live.release if status.live else None,
        "live_since": iso(status.live.since) if status.live else None,
        "release": release_reply(status.release) if status.release else None,
        "deploying": deployment_reply(status.deploying) if status.deploying else None,
        "last_deployment": deployment_reply(status.last_deployment) if status.last_deployment else None,
        "hold": hold_reply(status.hold) if status.hold else None,
        "silence": silence_reply(status.silence) if status.silence else None,
        "incident": incident_reply(status.incident) if status.incident else None,
        "source": source_reply(status.source) if status.source else None,
        "auto": status.auto,
        "because_of": status.because_of,
        "waits": plain_times(status.waits),
        "logins": {"starts": status.logins[0], "limit": status.logins[1]} if status.logins else None,
        "discord_away": maybe_iso(status.discord_away),
    }


def proof_reply(proof: "DeliveryTest") -> ProofReply:
    """Whether alerts arrive."""
    return {"tried_at": iso(proof.tried_at), "proven_at": maybe_iso(proof.proven_at), "failure": proof.failure}


def status(services: "list[ServiceStatus]", proof: "DeliveryTest | None" = None, *, daemon: bool = True) -> Status:
    """`status` and `health`."""
    replies = [service_reply(one) for one in services]
    return {
        "daemon": daemon,
        "healthy": all(one["healthy"] for one in replies),
        "services": replies,
        "alert_path": None if proof is None else proof_reply(proof),
    }


def history(deployments: "list[Deployment]", incidents: "list[Incident]", *, daemon: bool = True) -> History:
    """`history`."""
    return {
        "daemon": daemon,
        "deployments": [deployment_reply(one) for one in deployments],
        "incidents": [incident_reply(one) for one in incidents],
    }


def incidents(found: "list[Incident]", *, daemon: bool = True) -> Incidents:
    """`incidents`."""
    return {"daemon": daemon, "incidents": [incident_reply(one) for one in found]}


def why(service: str, account: "RootCause", *, daemon: bool = True) -> WhyReply:
    """`why`."""
    from opsbot.messages.accounts import account_line  # noqa: PLC0415 - likewise

    return {
        "daemon": daemon,
        "service": service,
        "known": account.known,
        "line": plain_times(account_line(account)),
        "events": [{"at": iso(one.at), "kind": str(one.kind), "text": _text(one.text)} for one in account.events],
    }


def log_reply(line: "LogLine") -> LogReply:
    """One line."""
    return {
        "at": iso(line.at),
        "level": line.level,
        "text": line.text,
        "run": line.run,
        "part": line.part,
        "manager": line.manager,
    }


def logs(service: str, lines: "list[LogLine]", *, daemon: bool = True) -> Logs:
    """`logs`."""
    return {"daemon": daemon, "service": service, "lines": [log_reply(line) for line in lines]}


def audit(entries: "list[AuditEntry]", *, daemon: bool = True) -> Audit:
    """`audit`."""
    return {"daemon": daemon, "entries": [audit_reply(entry) for entry in entries]}


def audit_reply(entry: "AuditEntry") -> AuditReply:
    """One entry of the audit log."""
    return {
        "id": entry.id,
        "at": iso(entry.at),
        "by": {"origin": entry.origin, "id": entry.actor_id, "name": entry.actor_name},
        "action": entry.action,
        "service": entry.service,
        "detail": entry.detail,
        "allowed": entry.allowed,
        "result": entry.result,
    }


def notice_reply(notice: "Notification", incident: "Incident | None") -> NoticeReply:
    """One notice about trouble; `incident` is its subject, where it has one."""
    text = _text(notice.said)
    if incident is not None:
        cause = _text(incident.cause)
        text = f"{cause}: {text}" if text else cause
        if notice.kind == "recovered":
            text = f"over: {cause}" + (f" ({_text(incident.resolution)})" if incident.resolution is not None else "")
    return {
        "id": notice.id,
        "kind": str(notice.kind),
        "service": notice.service,
        "at": iso(notice.at),
        "text": text,
        "told_at": maybe_iso(notice.told_at),
    }


def host_reply(figures: "HostFigures", name: str) -> HostReply:
    """The host."""
    return {
        "name": name,
        "cpu": figures.cpu,
        "cores": figures.cores,
        "memory_total": figures.memory_total,
        "memory_available": figures.memory_available,
        "swap_total": figures.swap_total,
        "swap_used": figures.swap_used,
        "load": list(figures.load),
        "disks": [
            {"path": str(disk.path), "total": disk.total, "used": disk.used, "free": disk.free}
            for disk in figures.disks
        ],
        "uptime": figures.uptime,
    }


def window_reply(span: "Span") -> WindowReply:
    """One occurrence of a window."""
    window = span.window
    return {
        "name": window.name,
        "services": list(window.services),
        "begin": iso(span.begin),
        "end": iso(span.end),
        "timezone": str(window.timezone),
        "mute": window.mute,
        "deploys": str(window.deploys),
        "recovery": window.recovery,
    }


def trial(name: str, sent: "SendResult") -> NotifyReply:
    """What came of trying a notifier."""
    return {"notifier": name, "ok": sent.ok, "failure": sent.failure, "doubt": sent.doubt}


def maintenance(found: "Maintenance", *, daemon: bool = True) -> WindowsReply:
    """`windows`."""
    return {
        "daemon": daemon,
        "active": [window_reply(span) for span in found.active],
        "coming": [window_reply(span) for span in found.coming],
    }


def reload_reply(asked: int, answer: "ReloadAnswer | None") -> ReloadReply:
    """What came of a reload."""
    if answer is None:
        return {"asked": asked, "answered": 0, "ok": True, "text": "", "lines": []}
    return {
        "asked": asked,
        "answered": answer.answered,
        "ok": answer.ok,
        "text": answer.text,
        "lines": list(answer.lines),
    }
