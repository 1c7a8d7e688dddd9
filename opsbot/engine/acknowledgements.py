"""Acknowledgements: an open incident that somebody takes, and a storm of them."""

from collections.abc import Callable
from datetime import datetime

from opsbot.core.access import Action, Actor
from opsbot.core.deploy_codes import RefusalCode
from opsbot.core.deployment import RefusalReason, Refused
from opsbot.core.message import message
from opsbot.core.model import Acknowledgement, Incident
from opsbot.engine.authorization import Authorization
from opsbot.runtime.change_notifier import ChangeNotifier
from opsbot.store import Store, acks, incident_repository, storms


class Acknowledgements:
    """Writes down who has taken what."""

    def __init__(
        self,
        access: Authorization,
        store: Store,
        feed: ChangeNotifier,
        clock: Callable[[], datetime],
        redact: Callable[[str], str],
    ) -> None:
        self._access = access
        self._store = store
        self._feed = feed
        self._clock = clock
        self._redact = redact

    async def take(
        self, actor: Actor, service: str | None, reason: str, incident: int | None = None
    ) -> Acknowledgement | Refused:
        """Take an open incident upon oneself: no reminders and no escalation until it is over or gets worse.

        incident: the one that was looked at; refused where that one is over by now. None: the service's open one.
        """
        refusal = await self._access.admit(actor, Action.ACK, service, reason)
        if refusal:
            return refusal
        now = self._clock()
        opened = await self._open(service, incident)
        if not reason.strip():
            opened = Refused(RefusalReason.BAD_INPUT, message(RefusalCode.ACK_REASON))
        if isinstance(opened, Incident):
            value = Acknowledgement(opened.id, actor.name, self._kept(reason), now)
            if await self._store.write(acks.acknowledge, value):
                await self._taken(actor, opened, reason)
                self._feed.publish("notice")
                return value
            resolved = message(RefusalCode.INCIDENT_RESOLVED, service=opened.service)
            opened = Refused(RefusalReason.NO_INCIDENT, resolved)
        await self._access.note(actor, Action.ACK, service, reason, opened)
        return opened

    async def take_storm(self, actor: Actor, number: int, reason: str) -> int | Refused:
        """Take all of a storm that is open and that nobody has taken; how many incidents these are.

        number: the storm's notice.
        """
        refusal = await self._access.admit(actor, Action.ACK, None, reason)
        if refusal:
            return refusal
        if not reason.strip():
            no_reason = message(RefusalCode.ACK_REASON)
            return await self._access.refuse(actor, Action.ACK, None, reason, RefusalReason.BAD_INPUT, no_reason)
        taken = await self._store.write(storms.acknowledge, number, actor.name, self._kept(reason), self._clock())
        for incident in taken:
            await self._taken(actor, incident, reason)
        if not taken:
            none_open = message(RefusalCode.NOTHING_OPEN)
            return await self._access.refuse(actor, Action.ACK, None, reason, RefusalReason.NO_INCIDENT, none_open)
        self._feed.publish("notice")
        return len(taken)

    async def _taken(self, actor: Actor, incident: Incident, reason: str) -> None:
        self._feed.publish("incident", incident.id)
        await self._access.note(actor, Action.ACK, incident.service, reason, f"incident {incident.id}")

    def _kept(self, reason: str) -> str:
        return self._redact(reason.strip())[:300]

    async def _open(self, service: str | None, number: int | None) -> Incident | Refused:
        if number is not None:
            found = await self._store.read(incident_repository.incident, number)
        else:
            found = (await self._store.read(incident_repository.open_incidents)).get(service or "")
        if found is None or found.closed_at is not None:
            name = found.service if found is not None else service
            return Refused(RefusalReason.NO_INCIDENT, message(RefusalCode.NOTHING_OPEN, service=name))
        return found
