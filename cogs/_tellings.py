"""From a row of the outbox to the message that tells it: gathers what stands around it, and renders."""

import socket
from dataclasses import dataclass

from cogs import _cards
from cogs._chart import with_chart
from cogs._render import Shown
from opsbot.core.deployment import Deployment, Phase
from opsbot.core.model import Incident, Notice, NoticeKind
from opsbot.engine import Engine
from opsbot.store import ledger, outbox


@dataclass(frozen=True, slots=True)
class Telling:
    """A message to send. revision: of the subject it shows. reply_to: the message it answers. silent: wakes nobody."""

    shown: Shown
    revision: int = -1
    reply_to: int | None = None
    silent: bool = False


_HOST = socket.gethostname()


def host_of(engine: Engine) -> str:
    """The name this host goes by in messages."""
    return engine.config.host or _HOST


def mark_of(notice: Notice) -> str:
    """What the message's footer ends with."""
    letter = {NoticeKind.DEPLOYMENT: "d", NoticeKind.INCIDENT: "i"}.get(notice.kind, "n")
    return f"· #{letter}{notice.id if letter == 'n' else notice.subject}"


def _repository(engine: Engine, service: str) -> str:
    configured = engine.config.services.get(service)
    return configured.source.repository if configured is not None and configured.source is not None else ""


async def _around_deployment(engine: Engine, deployment: Deployment) -> _cards.Around:
    hold = None
    quarantined = False
    if deployment.finished:
        hold = await engine.store.read(ledger.hold, deployment.service)
        quarantined = deployment.commit_to in await engine.store.read(ledger.quarantined, deployment.service)
    shown_hold = hold if hold is not None and hold.waits and deployment.phase is not Phase.SKIPPED else None
    return _cards.Around(
        host_of(engine),
        _repository(engine, deployment.service),
        quarantined and deployment.phase is not Phase.LIVE,
        shown_hold,
    )


async def _around_incident(engine: Engine, incident: Incident) -> _cards.Around:
    previous = await engine.deployment(incident.deployment) if incident.deployment is not None else None
    return _cards.Around(host_of(engine), _repository(engine, incident.service), previous=previous)


async def _card_message(engine: Engine, kind: NoticeKind, subject: int) -> int | None:
    card = await engine.store.read(outbox.card, kind, subject)
    return None if card is None else card.message_id


async def telling(engine: Engine, notice: Notice) -> Telling | None:
    """What to send for a notice; None where its subject is gone."""
    subject = notice.subject or 0
    match notice.kind:
        case NoticeKind.DEPLOYMENT | NoticeKind.OUTCOME:
            deployment = await engine.deployment(subject)
            return None if deployment is None else await _of_deployment(engine, notice, deployment)
        case NoticeKind.INCIDENT | NoticeKind.CALL | NoticeKind.RECOVERED:
            incident = await engine.incident(subject)
            return None if incident is None else await _of_incident(engine, notice, incident)
        case NoticeKind.UPDATE:
            around = _cards.Around(host_of(engine), _repository(engine, notice.service))
            return Telling(_cards.update(notice, around))
        case NoticeKind.SOURCE | NoticeKind.WORD:
            calm = notice.body.get("ok") is True or notice.body.get("level") == "info"
            shown = _cards.word(notice, host_of(engine))
            return Telling(await with_chart(shown, await engine.kept_memory(notice)), silent=calm)


async def _of_deployment(engine: Engine, notice: Notice, deployment: Deployment) -> Telling:
    around = await _around_deployment(engine, deployment)
    if notice.kind is NoticeKind.DEPLOYMENT:
        # Silent: whoever is to be woken is woken by the outcome, and that only where it went wrong.
        return Telling(_cards.deployment_card(deployment, around), deployment.revision, silent=True)
    card = await _card_message(engine, NoticeKind.DEPLOYMENT, deployment.id)
    return Telling(_cards.outcome(notice, deployment, around), reply_to=card)


async def _of_incident(engine: Engine, notice: Notice, incident: Incident) -> Telling:
    around = await _around_incident(engine, incident)
    if notice.kind is NoticeKind.INCIDENT:
        return Telling(_cards.incident_card(incident, around), incident.revision)
    card = await _card_message(engine, NoticeKind.INCIDENT, incident.id)
    if notice.kind is NoticeKind.CALL:
        return Telling(_cards.call(notice, incident, around), reply_to=card)
    return Telling(_cards.recovered(notice, incident, around), reply_to=card, silent=True)
