"""Acknowledgements: an open incident that somebody takes, and a storm of them."""

from collections.abc import Callable
from datetime import datetime

from opsbot.core.access import Action, Actor
from opsbot.core.deployment import RefusalReason, Refused
from opsbot.core.model import Acknowledgement, Incident
from opsbot.engine.authorization import Authorization
from opsbot.runtime.change_notifier import ChangeNotifier
from opsbot.store import Store, acks, incident_repository, storms

NO_REASON = "An acknowledgement needs a reason: what are you going to do about it?"
NONE_OPEN = "Nothing of it is open and not taken: there is nothing to acknowledge."


class Acknowledgements:
    """Writes down who has taken what."""

    def __init__(
        self,
        door: Authorization,
        store: Store,
        feed: ChangeNotifier,
        clock: Callable[[], datetime],
        redact: Callable[[str], str],
    ) -> None:
        """redact: takes known secrets out of the reasons."""
        self._door = door
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
        refusal = await self._door.admit(actor, Action.ACK, service, reason)
        if refusal:
            return refusal
        now = self._clock()
        opened = await self._open(service, incident)
        if not reason.strip():
            opened = Refused(RefusalReason.BAD_INPUT, NO_REASON)
        if isinstance(opened, Incident):
            value = Acknowledgement(opened.id, actor.name, self._kept(reason), now)
            if await self._store.write(acks.acknowledge, value):
                await self._taken(actor, opened, reason)
                self._feed.publish("notice")
                return value
            opened = Refused(
                RefusalReason.NO_INCIDENT,
                f"{opened.service} has no open incident any more: there is nothing to acknowledge.",
            )
        await self._door.note(actor, Action.ACK, service, reason, opened)
        return opened

    async def take_storm(self, actor: Actor, number: int, reason: str) -> int | Refused:
        """Take all of a storm that is open and that nobody has taken; how many incidents these are.

        number: the storm's notice.
        """
        refusal = await self._door.admit(actor, Action.ACK, None, reason)
        if refusal:
            return refusal
        if not reason.strip():
            return await self._door.refuse(actor, Action.ACK, None, reason, RefusalReason.BAD_INPUT, NO_REASON)
        taken = await self._store.write(storms.acknowledge, number, actor.name, self._kept(reason), self._clock())
        for incident in taken:
            await self._taken(actor, incident, reason)
        if not taken:
            return await self._door.refuse(actor, Action.ACK, None, reason, RefusalReason.NO_INCIDENT, NONE_OPEN)
        self._feed.publish("notice")
        return len(taken)

    async def _taken(self, actor: Actor, incident: Incident, reason: str) -> None:
        self._feed.publish("incident", incident.id)
        await self._door.note(actor, Action.ACK, incident.service, reason, f"incident {incident.id}")

    def _kept(self, reason: str) -> str:
        return self._redact(reason.strip())[:300]

    async def _open(self, service: str | None, number: int | None) -> Incident | Refused:
        if number is not None:
            found = await self._store.read(incident_repository.incident, number)
        else:
            found = (await self._store.read(incident_repository.open_incidents)).get(service or "")
        if found is None or found.closed_at is not None:
            name = found.service if found is not None else service or "It"
            return Refused(RefusalReason.NO_INCIDENT, f"{name} has no open incident: there is nothing to acknowledge.")
        return found
