"""Build the message of an outbox row: collect its context and render it."""

import socket
from dataclasses import dataclass, replace

from cogs.cards import common, deployment_cards, incident_cards, reminder_cards
from cogs.cards.chart import with_chart
from cogs.cards.rendered import RenderedMessage
from cogs.cards.storm_cards import storm
from opsbot.core.deployment import Deployment, Phase, previous_good
from opsbot.core.model import Incident, Notification, NotificationKind
from opsbot.core.recovery import is_to_blame
from opsbot.core.storm import MANY
from opsbot.engine import Engine
from opsbot.store import acks, channel_state, digests, incident_repository, ledger, outbox, storms


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


_HOST = socket.gethostname()


def host_of(engine: Engine) -> str:
    """Return this host's name in messages."""
    return engine.config.host or _HOST


def mark_of(notice: Notification) -> str:
    """Return the mark at the end of the message's footer."""
    letter = {NotificationKind.DEPLOYMENT: "d", NotificationKind.INCIDENT: "i"}.get(notice.kind, "n")
    return f"· #{letter}{notice.id if letter == 'n' else notice.subject}"


def _repository(engine: Engine, service: str) -> str:
    configured = engine.config.services.get(service)
    return configured.source.repository if configured is not None and configured.source is not None else ""


async def _around_deployment(engine: Engine, deployment: Deployment) -> common.Around:
    hold = None
    blocked = None
    if deployment.finished:
        hold = await engine.store.read(ledger.hold, deployment.service)
        quarantined = await engine.store.read(ledger.quarantined, deployment.service)
        blocked = quarantined.get(deployment.commit_to or "")
    undone = deployment.phase in {Phase.SKIPPED, Phase.REPLACED}
    shown_hold = hold if hold is not None and hold.waits and not undone else None
    return common.Around(
        host_of(engine),
        _repository(engine, deployment.service),
        blocked if deployment.phase is not Phase.LIVE else None,
        shown_hold,
        can_roll_back=deployment.finished and await _can_roll_back(engine, deployment.service),
    )


async def _around_incident(engine: Engine, incident: Incident) -> common.Around:
    read = engine.store.read
    thread = await read(channel_state.thread, incident.id)
    service = engine.config.services.get(incident.service)
    can_roll_back = await _can_roll_back(engine, incident.service)
    return common.Around(
        host_of(engine),
        _repository(engine, incident.service),
        previous=await engine.look.deployment(incident.deployment) if incident.deployment is not None else None,
        acknowledged=await read(acks.acknowledgement, incident.id),
        silence=await read(incident_repository.silence, incident.service, engine.clock()),
        recovery=service.recovery if service is not None else None,
        undoable=can_roll_back and await _is_blamed(engine, incident),
        can_roll_back=can_roll_back,
        thread=thread if thread != await _card_message(engine, NotificationKind.INCIDENT, incident.id) else None,
    )


async def _is_blamed(engine: Engine, incident: Incident) -> bool:
    """Whether recovery would roll back for this incident, if there is an earlier release."""
    service = engine.config.services.get(incident.service)
    live = await engine.store.read(ledger.live, incident.service)
    if service is None or live is None or not service.recovery.roll_back:
        return False
    return is_to_blame(live.since, incident.opened_at, service.recovery)


async def _can_roll_back(engine: Engine, service: str) -> bool:
    """Whether there is an earlier good release."""
    live = await engine.store.read(ledger.live, service)
    releases = await engine.store.read(ledger.releases, service)
    quarantined = frozenset(await engine.store.read(ledger.quarantined, service))
    return live is not None and previous_good(releases, live.release, quarantined) is not None


async def _card_message(engine: Engine, kind: NotificationKind, subject: int) -> int | None:
    card = await engine.store.read(outbox.card, kind, subject)
    return None if card is None else card.message_id


async def build_message(engine: Engine, notice: Notification) -> RenderedNotification | None:
    """Build the message of a notification; None if its subject no longer exists."""
    subject = notice.subject or 0
    match notice.kind:
        case NotificationKind.DEPLOYMENT | NotificationKind.OUTCOME:
            deployment = await engine.look.deployment(subject)
            return None if deployment is None else await _of_deployment(engine, notice, deployment)
        case NotificationKind.TIMELINE:
            return RenderedNotification(reminder_cards.line(notice), silent=True)
        case NotificationKind.DIGEST:
            return await _of_digest(engine, notice)
        case NotificationKind.STORM:
            seen = await engine.store.read(storms.seen, notice.id)
            over = all(incident.closed_at is not None for incident in seen.incidents)
            return RenderedNotification(storm(notice, seen, host_of(engine)), seen.revision, silent=over)
        case (
            NotificationKind.INCIDENT
            | NotificationKind.CALL
            | NotificationKind.RECOVERED
            | NotificationKind.REMINDER
            | NotificationKind.ESCALATION
        ):
            incident = await engine.look.incident(subject)
            return None if incident is None else await _of_incident(engine, notice, incident)
        case NotificationKind.UPDATE:
            around = common.Around(host_of(engine), _repository(engine, notice.service))
            return RenderedNotification(common.update(notice, around))
        case NotificationKind.SOURCE | NotificationKind.WORD:
            calm = notice.body.get("ok") is True or notice.body.get("level") == "info"
            shown = common.word(notice, host_of(engine))
            revision = notice.body.get("revision", -1)
            shown = await with_chart(shown, await engine.look.kept_memory(notice))
            return RenderedNotification(shown, revision if isinstance(revision, int) else -1, silent=calm)


async def _of_deployment(engine: Engine, notice: Notification, deployment: Deployment) -> RenderedNotification:
    around = await _around_deployment(engine, deployment)
    if notice.kind is NotificationKind.DEPLOYMENT:
        # Silent: people are notified by the outcome, and only of failures.
        return RenderedNotification(
            deployment_cards.deployment_card(deployment, around), deployment.revision, silent=True
        )
    card = await _card_message(engine, NotificationKind.DEPLOYMENT, deployment.id)
    return RenderedNotification(deployment_cards.outcome(notice, deployment, around), reply_to=card)


async def _of_incident(engine: Engine, notice: Notification, incident: Incident) -> RenderedNotification | None:
    around = await _around_incident(engine, incident)
    if notice.kind is NotificationKind.INCIDENT:
        # A resolved incident notifies nobody. A storm's message has already notified people; each remaining card
        # notifies again only if they are few.
        calm = incident.closed_at is not None
        if not calm and notice.storm is not None:
            calm = await engine.store.read(storms.count_open, notice.storm) > MANY
        return RenderedNotification(incident_cards.incident_card(incident, around), incident.revision, silent=calm)
    card = await _card_message(engine, NotificationKind.INCIDENT, incident.id)
    if notice.kind is NotificationKind.CALL:
        return RenderedNotification(
            incident_cards.call(notice, incident, around),
            await engine.store.read(outbox.beside_revision, incident.id),
            reply_to=card,
            silent=incident.closed_at is not None,
        )
    if notice.kind is NotificationKind.REMINDER or notice.kind is NotificationKind.ESCALATION:
        found = _of_paging(notice, incident, around, card)
        revision = await engine.store.read(outbox.beside_revision, incident.id)
        return None if found is None else replace(found, revision=revision)
    return RenderedNotification(incident_cards.recovered(notice, incident, around), reply_to=card, silent=True)


def _of_paging(
    notice: Notification, incident: Incident, around: common.Around, card: int | None
) -> RenderedNotification | None:
    """Build a reminder or escalation.

    None if it is still to be sent, and the incident is acknowledged or resolved by now.
    """
    taken = around.acknowledged
    over = incident.closed_at is not None or (taken is not None and taken.void_at is None)
    if over and notice.told_at is None:
        return None
    if notice.kind is NotificationKind.REMINDER:
        return RenderedNotification(reminder_cards.reminder(notice, incident, around), reply_to=card)
    role = str(notice.body.get("role", ""))
    shown = reminder_cards.escalation(notice, incident, around, role)
    return RenderedNotification(shown, reply_to=card, role=int(role) if role.isdecimal() else None)


async def _of_digest(engine: Engine, notice: Notification) -> RenderedNotification:
    told = []
    for member in await engine.store.read(digests.members, notice.id):
        subject = member.subject or 0
        if member.kind is NotificationKind.INCIDENT:
            told.append(reminder_cards.DigestEntry(member, incident=await engine.look.incident(subject)))
        elif member.kind is NotificationKind.DEPLOYMENT:
            told.append(reminder_cards.DigestEntry(member, deployment=await engine.look.deployment(subject)))
        elif member.kind is not NotificationKind.OUTCOME:  # included in its deployment's line
            told.append(reminder_cards.DigestEntry(member))
    return RenderedNotification(reminder_cards.digest(notice, told, host_of(engine)), silent=True)
