"""What a card shows beside its deployment or incident: one view of each, for every front end that renders one."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from opsbot.config import Config
from opsbot.core.deployment import Deployment, Hold, Phase, Quarantine
from opsbot.core.model import Acknowledgement, Incident, NotificationKind, Silence
from opsbot.core.recovery import RecoveryPolicy, is_to_blame
from opsbot.store import Store, acks, channel_state, incident_repository, ledger, outbox


@dataclass(frozen=True, slots=True)
class Around:
    """What a card shows beside its deployment or incident.

    blocked: the quarantine of the deployment's commit. previous: the deployment an incident's release came with.
    undoable: recovery would roll back to the release before, if restarts do not help. can_roll_back: there is an
    earlier good release. card: the message of its card. beside: the revision of messages beside an incident's card,
    which change with its acknowledgement and its end.
    """

    host: str
    repository: str = ""
    blocked: Quarantine | None = None
    hold: Hold | None = None
    previous: Deployment | None = None
    acknowledged: Acknowledgement | None = None
    silence: Silence | None = None
    thread: int | None = None
    recovery: RecoveryPolicy | None = None
    undoable: bool = False
    can_roll_back: bool = False
    card: int | None = None
    beside: int = -1


class CardQueries:
    """Collects what cards show. It asks no rank: what a posted card shows everybody in the channel sees."""

    def __init__(self, config: Config, store: Store, clock: Callable[[], datetime], host: str) -> None:
        """host: this host's name in messages."""
        self._config = config
        self._store = store
        self._clock = clock
        self._host = host

    def around(self, service: str) -> Around:
        """Where a notification is from, and the repository of its service."""
        known = self._config.services.get(service)
        return Around(self._host, known.source.repository if known is not None and known.source is not None else "")

    async def around_deployment(self, deployment: Deployment) -> Around:
        read, service, begin = self._store.read, deployment.service, self.around(deployment.service)
        hold, blocked = None, None
        if deployment.finished:
            found = await read(ledger.hold, service)
            left = deployment.phase in {Phase.SKIPPED, Phase.REPLACED}
            hold = found if found is not None and found.waits and not left else None
            if deployment.phase is not Phase.LIVE:
                blocked = (await read(ledger.quarantined, service)).get(deployment.commit_to or "")
        card = await read(outbox.card, NotificationKind.DEPLOYMENT, deployment.id)
        return Around(
            begin.host,
            begin.repository,
            blocked,
            hold,
            can_roll_back=deployment.finished and None not in await read(ledger.live_and_earlier, service),
            card=card.message_id if card is not None else None,
        )

    async def around_incident(self, incident: Incident) -> Around:
        read, number, begin = self._store.read, incident.id, self.around(incident.service)
        service = self._config.services.get(incident.service)
        card = await read(outbox.card, NotificationKind.INCIDENT, number)
        message = card.message_id if card is not None else None
        thread = await read(channel_state.thread, number)
        live, earlier = await read(ledger.live_and_earlier, incident.service)
        return Around(
            begin.host,
            begin.repository,
            previous=await read(ledger.deployment, incident.deployment) if incident.deployment is not None else None,
            acknowledged=await read(acks.acknowledgement, number),
            silence=await read(incident_repository.silence, incident.service, self._clock()),
            recovery=service.recovery if service is not None else None,
            undoable=live is not None and earlier is not None and self._is_blamed(incident, live.since),
            can_roll_back=live is not None and earlier is not None,
            thread=thread if thread != message else None,
            card=message,
            beside=await read(outbox.beside_revision, number),
        )

    def _is_blamed(self, incident: Incident, live_since: datetime) -> bool:
        """Whether recovery would roll back for this incident, if there is an earlier release."""
        service = self._config.services.get(incident.service)
        policy = service.recovery if service is not None else None
        return policy is not None and policy.roll_back and is_to_blame(live_since, incident.opened_at, policy)
