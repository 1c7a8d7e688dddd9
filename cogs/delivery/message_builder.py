"""Build the message of an outbox row: collect its context and render it."""

from dataclasses import dataclass
from datetime import datetime

from cogs.cards import common, deployment_cards, incident_cards, reminder_cards
from cogs.cards.chart import with_chart
from cogs.cards.rendered import RenderedMessage
from cogs.cards.storm_cards import storm
from cogs.cards.text import moment
from opsbot.core.deployment import Deployment
from opsbot.core.model import Incident, Notification, NotificationKind
from opsbot.core.storm import MANY
from opsbot.engine import Engine
from opsbot.engine.cards import Around


@dataclass(frozen=True, slots=True)
class RenderedNotification:
    """A message to send.

    revision: of the shown subject. reply_to: the message it replies to. silent: notifies nobody. role: to ping.
    """

    shown: RenderedMessage
    revision: int = -1
    reply_to: int | None = None
    silent: bool = False
    role: int | None = None


def mark_of(notice: Notification) -> str:
    letter = {NotificationKind.DEPLOYMENT: "d", NotificationKind.INCIDENT: "i"}.get(notice.kind, "n")
    return f"· #{letter}{notice.id if letter == 'n' else notice.subject}"


async def silenced_line(engine: Engine, notice: Notification, sent_at: datetime) -> str:
    """Return a line that says until when a silence or a window delayed it; "" if none did."""
    until = await engine.outbox.silenced_until(notice, sent_at)
    return "" if until is None else f"\n-# was silenced until {moment(until, 'f')}"


async def build_message(engine: Engine, notice: Notification) -> RenderedNotification | None:
    """Build the message of a notification; None if its subject no longer exists."""
    subject = notice.subject or 0
    match notice.kind:
        case NotificationKind.DEPLOYMENT | NotificationKind.OUTCOME:
            deployment = await engine.queries.deployment(subject)
            return None if deployment is None else await _of_deployment(engine, notice, deployment)
        case NotificationKind.TIMELINE:
            return RenderedNotification(reminder_cards.line(notice), silent=True)
        case NotificationKind.DIGEST:
            return await _of_digest(engine, notice)
        case NotificationKind.STORM:
            seen = await engine.queries.storm(notice.id)
            over = all(incident.closed_at is not None for incident in seen.incidents)
            return RenderedNotification(storm(notice, seen, engine.host), seen.revision, silent=over)
        case (
            NotificationKind.INCIDENT
            | NotificationKind.CALL
            | NotificationKind.RECOVERED
            | NotificationKind.REMINDER
            | NotificationKind.ESCALATION
        ):
            incident = await engine.queries.incident(subject)
            return None if incident is None else await _of_incident(engine, notice, incident)
        case NotificationKind.UPDATE:
            return RenderedNotification(common.update(notice, engine.cards.around(notice.service)))
        case NotificationKind.SOURCE | NotificationKind.WORD:
            calm = notice.body.get("ok") is True or notice.body.get("level") == "info"
            shown = common.word(notice, engine.host)
            revision = notice.body.get("revision", -1)
            shown = await with_chart(shown, await engine.queries.kept_memory(notice))
            return RenderedNotification(shown, revision if isinstance(revision, int) else -1, silent=calm)


async def _of_deployment(engine: Engine, notice: Notification, deployment: Deployment) -> RenderedNotification:
    around = await engine.cards.around_deployment(deployment)
    if notice.kind is NotificationKind.DEPLOYMENT:
        # Silent: people are notified by the outcome, and only of failures.
        return RenderedNotification(
            deployment_cards.deployment_card(deployment, around), deployment.revision, silent=True
        )
    return RenderedNotification(deployment_cards.outcome(notice, deployment, around), reply_to=around.card)


async def _of_incident(engine: Engine, notice: Notification, incident: Incident) -> RenderedNotification | None:
    around = await engine.cards.around_incident(incident)
    if notice.kind is NotificationKind.INCIDENT:
        # A resolved incident notifies nobody. A storm's message has already notified people; each remaining card
        # notifies again only if they are few.
        calm = incident.closed_at is not None
        if not calm and notice.storm is not None:
            calm = await engine.outbox.open_in_storm(notice.storm) > MANY
        return RenderedNotification(incident_cards.incident_card(incident, around), incident.revision, silent=calm)
    if notice.kind is NotificationKind.CALL:
        return RenderedNotification(
            incident_cards.call(notice, incident, around),
            around.beside,
            around.card,
            silent=incident.closed_at is not None,
        )
    if notice.kind is NotificationKind.REMINDER or notice.kind is NotificationKind.ESCALATION:
        return _of_paging(notice, incident, around)
    return RenderedNotification(incident_cards.recovered(notice, incident, around), reply_to=around.card, silent=True)


def _of_paging(notice: Notification, incident: Incident, around: Around) -> RenderedNotification | None:
    """Build a reminder or escalation.

    None if it is still to be sent, and the incident is acknowledged or resolved by now.
    """
    taken = around.acknowledged
    over = incident.closed_at is not None or (taken is not None and taken.void_at is None)
    if over and notice.told_at is None:
        return None
    if notice.kind is NotificationKind.REMINDER:
        return RenderedNotification(reminder_cards.reminder(notice, incident, around), around.beside, around.card)
    role = str(notice.body.get("role", ""))
    shown = reminder_cards.escalation(notice, incident, around, role)
    return RenderedNotification(shown, around.beside, around.card, role=int(role) if role.isdecimal() else None)


async def _of_digest(engine: Engine, notice: Notification) -> RenderedNotification:
    told = []
    for member in await engine.outbox.members(notice):
        subject = member.subject or 0
        if member.kind is NotificationKind.INCIDENT:
            told.append(reminder_cards.DigestEntry(member, incident=await engine.queries.incident(subject)))
        elif member.kind is NotificationKind.DEPLOYMENT:
            told.append(reminder_cards.DigestEntry(member, deployment=await engine.queries.deployment(subject)))
        elif member.kind is not NotificationKind.OUTCOME:  # included in its deployment's line
            told.append(reminder_cards.DigestEntry(member))
    return RenderedNotification(reminder_cards.digest(notice, told, engine.host), silent=True)
