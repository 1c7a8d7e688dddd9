"""What is said of an incident beside its card: lines of its timeline, reminders, the escalation; and digests. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from cogs.cards.common import LEVELS, mark
from cogs.cards.deployment_cards import sentence
from cogs.cards.incident_cards import headed, incident_buttons, said_of
from cogs.cards.rendered import AMBER, BLUE, DESCRIPTION, GREEN, RED, RenderedMessage
from cogs.cards.style import to_markdown
from cogs.cards.text import escape, escape_keeping_times, fit, moment, one_line
from opsbot.core.deployment import Deployment
from opsbot.core.incident import IncidentEventKind, decode_event
from opsbot.core.model import Incident, Notification, NotificationKind
from opsbot.core.subjects import subject_name, subject_title
from opsbot.engine.cards import Around
from opsbot.formatting import duration
from opsbot.messages import render
from opsbot.messages.deployments import deployment_status

THREAD_NAME = 100
FILE_LINES = 5000


SIGNS = {
    IncidentEventKind.OPENED: "🔴",
    IncidentEventKind.FLAPPING: "🟠",
    IncidentEventKind.OTHER_CAUSE: "🔴",
    IncidentEventKind.DIED: "🔴",
    IncidentEventKind.CHECK_DOWN: "🔴",
    IncidentEventKind.CHECK_UP: "🟢",
    IncidentEventKind.ESCALATED: "🚨",
    IncidentEventKind.DEPENDENT_DOWN: "🔴",
    IncidentEventKind.DEPENDENT_UP: "🟢",
    IncidentEventKind.MORE_DEPENDENTS: "🔴",
    IncidentEventKind.ACKNOWLEDGED: "👀",
    IncidentEventKind.ACKNOWLEDGEMENT_VOID: "⚠️",
    IncidentEventKind.UNACKNOWLEDGED: "📣",
    IncidentEventKind.SILENCED: "🔕",
    IncidentEventKind.THREAD_REPLACED: "🧵",
}
"""What a line of a timeline begins with, where it is not the usual sign."""
_USUAL = "▫️"


def thread_name(incident: Incident) -> str:
    """The thread's name: the service and the cause, within Discord's 100 characters. Names show no markup."""
    name = f"{subject_title(incident.service)}: {render(incident.cause)}"
    return one_line(name, THREAD_NAME) or f"incident {incident.id}"


def line(notice: Notification) -> RenderedMessage:
    """A line of a timeline. Its first line is what it is found again by: nothing in it may change."""
    body = notice.body
    found = body.get("event")
    if isinstance(found, dict):
        event = decode_event(found, datetime.fromtimestamp(float(found["at"]), UTC))
        sign = next((each for kind, each in SIGNS.items() if kind == event.kind), _USUAL)
        return RenderedMessage(f"{sign} {moment(event.at, 'T')} {to_markdown(event.message, 300)}")
    # As an earlier version wrote it.
    sign = str(body.get("sign") or _USUAL)
    until = body.get("until")
    end = f" {moment(datetime.fromtimestamp(float(until), UTC), 't')}" if isinstance(until, int | float) else ""
    return RenderedMessage(
        f"{sign} {moment(notice.at, 'T')} {escape_keeping_times(str(body.get('text', '')), 600)}{end}"
    )


def reminder(notice: Notification, incident: Incident, around: Around) -> RenderedMessage:
    """A short new message below the card: the incident is open, and nobody has it."""
    why = notice.said
    if why is not None:
        text = f"🔺 {headed(incident)} got worse: {to_markdown(why, 200)}. Its acknowledgement is cleared."
    else:
        text = f"⏰ {said_of(incident)}. Not acknowledged after {duration(notice.at - incident.opened_at)}."
    return _beside(notice, incident, around, text, only_acknowledge=True)


def escalation(notice: Notification, incident: Incident, around: Around, role: str) -> RenderedMessage:
    """The role is pinged: the one message of opsbot's that pings anybody."""
    ping = f"<@&{role}> " if role.isdecimal() else ""
    lasted = duration(notice.at - incident.opened_at)
    return _beside(notice, incident, around, f"📣 {ping}{said_of(incident)}. Not acknowledged after {lasted}.")


def _beside(
    notice: Notification, incident: Incident, around: Around, text: str, *, only_acknowledge: bool = False
) -> RenderedMessage:
    """A message beside the card, edited when somebody has the incident, and when it is over."""
    since = f"Since {moment(incident.opened_at, 'f')} on {escape(around.host, 60)}"
    mine, taken = mark("n", notice.id, around.host), around.acknowledged
    if incident.closed_at is not None:
        return RenderedMessage(f"{text}\nResolved at {moment(incident.closed_at, 't')}.", "", since, GREEN, mine)
    if taken is not None and taken.void_at is None:
        text += f"\n👀 Acknowledged by {escape(taken.actor, 60)} at {moment(taken.at, 't')}."
        buttons = () if only_acknowledge else incident_buttons(incident, taken, can_roll_back=around.can_roll_back)
        return RenderedMessage(text, "", since, AMBER, mine, buttons)
    buttons = incident_buttons(incident, None, can_roll_back=around.can_roll_back)
    return RenderedMessage(text, "", since, RED, mine, buttons[:1] if only_acknowledge else buttons)


@dataclass(frozen=True, slots=True)
class DigestEntry:
    """One thing a digest tells, with what it is about."""

    notice: Notification
    incident: Incident | None = None
    deployment: Deployment | None = None


def _times(began: datetime, ended: datetime) -> str:
    return f"{moment(began, 'f')} to {moment(ended, 't')}"


def _digest_line(told: DigestEntry) -> str:
    if told.incident is not None:
        incident = told.incident
        ended = incident.closed_at or incident.opened_at
        how = f", {to_markdown(incident.resolution, 60)}" if incident.resolution is not None else ""
        called = " 🚨 needed attention" if incident.called_at is not None else ""
        return (
            f"🟢 **{headed(incident)}** {_times(incident.opened_at, ended)} "
            f"(downtime {duration(incident.downtime(ended))}): {to_markdown(incident.cause, 80)}{how}{called}"
        )
    if told.deployment is not None:
        return f"{moment(told.notice.at, 'f')} {sentence(told.deployment)}"
    body = told.notice.body
    level = str(body.get("level", "warning" if body.get("ok") is False else "info"))
    _, sign = LEVELS.get(level, LEVELS["info"])
    return f"{sign} {moment(told.notice.at, 'f')} {to_markdown(told.notice.said, 200)}"


def _plain_line(told: DigestEntry) -> str:
    at = f"{told.notice.at:%Y-%m-%d %H:%M:%S} UTC"
    if told.incident is not None:
        ended = f"{told.incident.closed_at:%Y-%m-%d %H:%M:%S}" if told.incident.closed_at else ""
        cause = render(told.incident.cause)
        return one_line(
            f"{at} incident {told.incident.id} of {subject_name(told.incident.service)} until {ended}: {cause}"
            + (f"; resolved: {render(told.incident.resolution)}" if told.incident.resolution is not None else ""),
            1000,
        )
    if told.deployment is not None:
        deployment = told.deployment
        what = f"{deployment.kind} {deployment.id} of {deployment.service} to {deployment.commit_to or deployment.ref}"
        return one_line(f"{at} {what}: {deployment_status(deployment)} {render(deployment.note)}", 1000)
    return one_line(f"{at} {told.notice.service} {render(told.notice.said)}", 1000)


def digest(notice: Notification, told: Sequence[DigestEntry], host: str) -> RenderedMessage:
    """What came and went while nobody could be told, a line each; what does not fit is in the file beside it."""
    incidents = sum(each.notice.kind is NotificationKind.INCIDENT for each in told)
    others = len(told) - incidents
    began = min((each.notice.at for each in told), default=notice.at)
    what = [f"{incidents} incident{'s' if incidents != 1 else ''} came and went"] if incidents else []
    what += [f"{others} other thing{'s' if others != 1 else ''} happened"] if others else []
    lines = [_digest_line(each) for each in told]
    text = fit(lines, DESCRIPTION)
    file = None
    if text != "\n".join(lines):
        rows = "\n".join(_plain_line(each) for each in told[-FILE_LINES:])
        file = ("while-away.txt", rows.encode())
    return RenderedMessage(
        f"📬 While nothing could be said here, {' and '.join(what) or 'nothing happened'}, "
        f"from {moment(began, 'f')} on. What is still open follows.",
        f"{host}: what was missed",
        text,
        AMBER if incidents else BLUE,
        mark("n", notice.id, host),
        file=file,
    )
