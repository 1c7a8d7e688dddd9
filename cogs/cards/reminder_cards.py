"""What is said of an incident beside its card: lines of its timeline, reminders, the escalation; and digests. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from cogs._style import shown
from cogs.cards.common import LEVELS, Around, mark
from cogs.cards.deployment_cards import sentence
from cogs.cards.incident_cards import headed, incident_buttons
from cogs.cards.rendered import AMBER, BLUE, DESCRIPTION, RED, RenderedMessage
from cogs.cards.text import escape, fit, moment, one_line, told
from opsbot.core.deployment import Deployment
from opsbot.core.model import Incident, Notification, NotificationKind
from opsbot.core.subjects import subject_name, subject_title
from opsbot.formatting import duration
from opsbot.messages import render
from opsbot.messages.deployments import deployment_status

THREAD_NAME = 100
FILE_LINES = 5000


def thread_name(incident: Incident) -> str:
    """The thread's name: the service and the cause, within Discord's 100 characters. Names show no markup."""
    return one_line(f"{subject_title(incident.service)}: {incident.cause}", THREAD_NAME) or f"incident {incident.id}"


def line(notice: Notification) -> RenderedMessage:
    """A line of a timeline. Its first line is what it is found again by: nothing in it may change."""
    body = notice.body
    sign = str(body.get("sign") or "▫️")
    until = body.get("until")
    end = f" {moment(datetime.fromtimestamp(float(until), UTC), 't')}" if isinstance(until, int | float) else ""
    return RenderedMessage(f"{sign} {moment(notice.at, 'T')} {told(str(body.get('text', '')), 600)}{end}")


def reminder(notice: Notification, incident: Incident, around: Around) -> RenderedMessage:
    """A short new message below the card: it goes on, and nobody has it."""
    lasted = duration(notice.at - incident.opened_at)
    service, cause = headed(incident), escape(incident.cause, 200)
    why = notice.body.get("why")
    if why:
        text = f"🔺 {service} got worse: {escape(str(why), 200)}. Its acknowledgement does not count any more."
    else:
        text = f"⏰ {service} has not been well for {lasted}, and nobody has acknowledged it: {cause}."
    since = f"Since {moment(incident.opened_at, 'f')} on {escape(around.host, 60)}"
    return RenderedMessage(
        text, "", since, RED, mark("n", notice.id, around.host), incident_buttons(incident, None)[:1]
    )


def escalation(notice: Notification, incident: Incident, around: Around, role: str) -> RenderedMessage:
    """The role is pinged: the one message of opsbot's that pings anybody."""
    lasted = duration(notice.at - incident.opened_at)
    ping = f"<@&{role}> " if role.isdecimal() else ""
    text = (
        f"📣 {ping}{headed(incident)} has not been well for {lasted}, and nobody has acknowledged it: "
        f"{escape(incident.cause, 200)}."
    )
    since = f"Since {moment(incident.opened_at, 'f')} on {escape(around.host, 60)}"
    return RenderedMessage(
        text,
        "",
        since,
        RED,
        mark("n", notice.id, around.host),
        incident_buttons(incident, None, deployed=bool(around.repository)),
    )


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
        how = f", {escape(incident.ended_by, 60)}" if incident.ended_by else ""
        called = " 🚨 a human was called" if incident.called_at is not None else ""
        return (
            f"🟢 **{headed(incident)}** {_times(incident.opened_at, ended)} "
            f"({duration(ended - incident.opened_at)}): {escape(incident.cause, 80)}{how}{called}"
        )
    if told.deployment is not None:
        return f"{moment(told.notice.at, 'f')} {sentence(told.deployment)}"
    body = told.notice.body
    level = str(body.get("level", "warning" if body.get("ok") is False else "info"))
    _, sign = LEVELS.get(level, LEVELS["info"])
    return f"{sign} {moment(told.notice.at, 'f')} {shown(told.notice.said, 200)}"


def _plain_line(told: DigestEntry) -> str:
    at = f"{told.notice.at:%Y-%m-%d %H:%M:%S} UTC"
    if told.incident is not None:
        ended = f"{told.incident.closed_at:%Y-%m-%d %H:%M:%S}" if told.incident.closed_at else ""
        return one_line(
            f"{at} incident {told.incident.id} of {subject_name(told.incident.service)} until {ended}: {told.incident.cause}; "
            f"ended by {told.incident.ended_by or 'itself'}",
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
