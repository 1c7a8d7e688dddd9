"""The thread of each incident, made from its card: found, made, made anew where it was deleted."""

import logging
import time

from cogs.cards.reminder_cards import thread_name
from cogs.delivery.channel import ClosedError, GoneError, OpsChannel, RefusedMessageError
from cogs.delivery.delivery_loop import OnProblem
from opsbot.core.incident import IncidentEventKind, event
from opsbot.core.model import Incident, Notification
from opsbot.core.subjects import subject_name
from opsbot.engine import Engine
from opsbot.store import channel_state, outbox

log = logging.getLogger(__name__)

CANNOT = "no threads can be made for incidents: grant Create Public Threads and Send Messages in Threads there"


class CardGoneError(Exception):
    """The card that the thread is to be made from was deleted."""


class Threads:
    """Where the timeline of each incident is written."""

    def __init__(self, engine: Engine, channel: OpsChannel, closed: float, on_problem: OnProblem) -> None:
        """closed: seconds until making one is tried again after Discord forbade it."""
        self._engine = engine
        self._channel = channel
        self._closed = closed
        self._on_problem = on_problem
        self._not_before = 0.0
        self._bare: set[int] = set()
        """Incidents whose thread was deleted while its card stands: a card may have no second one."""

    async def of(self, incident: Incident, card: Notification) -> int | None:
        """The thread of an incident, made where there is none yet; None where none can be had now.

        Raises:
            CardGoneError: the card was deleted.
            AwayError: Discord did not answer.
        """
        store = self._engine.store
        known = await store.read(channel_state.thread, incident.id)
        if known is not None:
            return known
        if card.message_id is None or time.monotonic() < self._not_before:
            return None
        name = self._channel.clean(thread_name(incident))
        try:
            thread = await self._channel.start_thread(card.message_id, name, bare=incident.id in self._bare)
        except GoneError as error:
            raise CardGoneError(str(error)) from error
        except (ClosedError, RefusedMessageError) as error:
            # Asked seldom: answers of this kind count towards a ban of the address.
            self._not_before = time.monotonic() + self._closed
            log.warning("the incident of %s has no thread: %s", incident.service, error)
            self._on_problem("threads", CANNOT)
            return None
        self._on_problem("threads", "")
        await store.write(channel_state.keep_thread, incident.id, thread, card.message_id)
        self._engine.feed.publish("incident", incident.id)
        return thread

    async def deleted(self, incident: Incident) -> None:
        """Its thread was deleted: the next line begins another, and says so."""
        log.warning("the thread of incident %d was deleted: another is made", incident.id)
        self._bare.add(incident.id)
        await self._engine.store.write(channel_state.forget_thread, incident.id)
        replaced = event(IncidentEventKind.THREAD_REPLACED, self._engine.clock())
        await self._engine.store.write(outbox.line, incident.id, incident.service, replaced)

    async def shut(self, incident: Incident, thread: int, why: str) -> None:
        """Its thread cannot be written in: said in the channel, once."""
        log.warning("the thread of incident %d cannot be written in: %s", incident.id, why)
        text = (
            f"The thread of incident {incident.id} ({subject_name(incident.service)}) is locked or closed to opsbot: "
            "what happens is on its card alone. Unlock the thread, or grant Send Messages in Threads."
        )
        await self._engine.tell(incident.service, text, level="warning", key=f"shut:{thread}")
