"""What happened, and who asked for what, in lines and in messages: `/history`, `/incidents`, `/why`, `/audit`. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING

from cogs.cards.rendered import BLUE, DESCRIPTION, GREEN, GREY, RED, RenderedMessage
from cogs.cards.style import DiscordStyle, to_markdown
from cogs.cards.text import code, escape, fit, moment
from opsbot.core.deployment import Deployment, Phase
from opsbot.core.model import AuditEntry, Effect, Incident
from opsbot.core.subjects import subject_name
from opsbot.formatting import duration
from opsbot.messages.deployments import deployment_status
from opsbot.messages.root_cause_line import kind_name, root_cause_line

if TYPE_CHECKING:
    from opsbot.core.root_cause import RootCause


OUTCOME = {
    Phase.LIVE: "✅",
    Phase.FAILED: "❌",
    Phase.UNDONE: "↩️",
    Phase.STUCK: "🚨",
    Phase.SKIPPED: "⏭️",
    Phase.REPLACED: "⏭️",
    Phase.ASIDE: "⏸️",
}


def deployment_line(deployment: Deployment) -> str:
    to = f" {code(deployment.target, 40)}" if deployment.target else ""
    note = f": {to_markdown(deployment.note, 80)}" if deployment.note and deployment.phase is not Phase.LIVE else ""
    mark = OUTCOME.get(deployment.phase, "🔵")
    return (
        f"{mark} {deployment.kind} {deployment.id}{to} {deployment_status(deployment)} "
        f"{moment(deployment.updated_at)} by {escape(deployment.actor.name, 40)}{note}"
    )


def incident_line(incident: Incident) -> str:
    also = f" (and {len(incident.dependents)} because of it)" if incident.dependents else ""
    if incident.closed_at is None:
        sign, how = ("🟠", f"flapping, {incident.flaps.count} changes, ") if incident.flaps.flapping else ("🔴", "")
        since = moment(incident.opened_at, "f")
        return f"{sign} incident {incident.id} {how}since {since}: {to_markdown(incident.cause, 100)}{also}"
    lasted = duration(incident.closed_at - incident.opened_at)
    ended = f", {to_markdown(incident.resolution, 60)}" if incident.resolution is not None else ""
    sign = "↪️" if incident.part_of is not None else "🟢"
    cause = to_markdown(incident.cause, 80)
    return f"{sign} incident {incident.id} {moment(incident.opened_at)} for {lasted}: {cause}{also}{ended}"


def incidents(found: Sequence[Incident], service: str | None, *, still_open: bool) -> RenderedMessage:
    of = f" of {escape(service)}" if service else ""
    if not found:
        return RenderedMessage(f"No incident{of} is open." if still_open else f"No incident{of} is known.")
    lines = [f"**{escape(subject_name(each.service), 100)}** {incident_line(each)}" for each in found]
    count = sum(each.closed_at is None for each in found)
    content = f"{count} open of the last {len(found)} incidents{of}." if not still_open else f"{count} open{of}."
    return RenderedMessage(content, "Incidents", fit(lines, DESCRIPTION), RED if count else GREEN)


def history(deployments: Sequence[Deployment], incidents: Sequence[Incident], service: str | None) -> RenderedMessage:
    """`/history`: deployments and incidents, newest first."""
    both = [(d.updated_at, d.service, deployment_line(d)) for d in deployments]
    both += [(i.closed_at or i.opened_at, i.service, incident_line(i)) for i in incidents]
    lines = [
        line if service else f"**{escape(name)}** {line}"
        for _, name, line in sorted(both, key=lambda e: e[0], reverse=True)
    ]
    of = f" of {escape(service)}" if service else ""
    if not lines:
        return RenderedMessage(f"Nothing has happened yet{f' to {escape(service)}' if service else ''}.")
    content = f"The last {len(deployments)} deployments and {len(incidents)} incidents{of}."
    return RenderedMessage(content, f"History{f' of {service}' if service else ''}", fit(lines, DESCRIPTION), BLUE)


@dataclass(frozen=True, slots=True)
class _DatedOnce(DiscordStyle):
    """Times with the date where it is another than that of the time before."""

    days: list[date] = field(default_factory=list)

    def moment(self, at: datetime, style: str) -> str:
        self.days.append(at.date())
        return ("" if self.days[-2:-1] == self.days[-1:] else f"{moment(at, 'D')} ") + moment(at, style)


def why(service: str, found: "RootCause") -> RenderedMessage:
    """`/why`: the line, and below it what it rests on."""
    line = root_cause_line(found, _DatedOnce(600))
    rests_on = [f"{moment(one.at, 'f')} {kind_name(one.kind)}: {to_markdown(one.text, 160)}" for one in found.events]
    title = f"Why: {service}" if rests_on else ""
    return RenderedMessage(line, title, fit(reversed(rests_on), DESCRIPTION), BLUE if found.known else GREY)


def audit(entries: Sequence[AuditEntry]) -> RenderedMessage:
    if not entries:
        return RenderedMessage("The audit log has no such entry.")
    return RenderedMessage(
        f"The last {len(entries)} entries of the audit log.", "Audit", fit(map(_audited, entries), DESCRIPTION), BLUE
    )


def _audited(entry: AuditEntry) -> str:
    # Allowed by rank, and yet refused: by another deploy, a hold, or because it cannot be.
    refused = "✋" if entry.effect is Effect.REFUSED else "✅"
    mark = refused if entry.allowed else "⛔"
    of = f" {escape(entry.service, 40)}" if entry.service else ""
    detail = f" {escape(entry.detail, 60)}" if entry.detail else ""
    who = f"{escape(entry.actor_name, 40)} ({escape(entry.actor_id, 30)}, {entry.origin})"
    return f"{mark} {moment(entry.at)} {who}: {escape(entry.action, 20)}{of}{detail} → {escape(entry.result, 80)}"
