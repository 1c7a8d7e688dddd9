"""Threads of incidents, created from the card and again after deletion."""

import logging

from cogs.cards.reminder_cards import thread_name
from cogs.delivery.channel import ClosedError, GoneError, OpsChannel, RefusedMessageError
from cogs.delivery.delivery_loop import OnProblem
from opsbot.core.message import message
from opsbot.core.model import Incident, Notification
from opsbot.core.notices import NoticeCode
from opsbot.core.subjects import subject_name
from opsbot.engine import Engine
from opsbot.runtime.ticks import loop_time

log = logging.getLogger(__name__)

CANNOT = "threads for incidents cannot be created: grant Create Public Threads and Send Messages in Threads"


class CardGoneError(Exception):
    """The card for the thread was deleted."""


class Threads:
    """Finds or creates the thread of each incident's timeline."""

    def __init__(self, engine: Engine, channel: OpsChannel, closed: float, on_problem: OnProblem) -> None:
        """closed: seconds between attempts after Discord denied permission."""
        self._engine = engine
        self._channel = channel
        self._closed = closed
        self._on_problem = on_problem
        self._not_before = 0.0
        self._bare: set[int] = set()
        """Incidents whose thread was deleted but whose card exists; a card can have only one thread."""

    async def of(self, incident: Incident, card: Notification) -> int | None:
        """Return the thread of an incident, creating it if necessary.

        None if that is not possible now.

        Raises:
            CardGoneError: the card was deleted.
            AwayError: Discord did not answer.
        """
        known = await self._engine.outbox.thread(incident.id)
        if known is not None:
            return known
        if card.message_id is None or loop_time() < self._not_before:
            return None
        name = self._channel.clean(thread_name(incident))
        try:
            thread = await self._channel.start_thread(card.message_id, name, bare=incident.id in self._bare)
        except GoneError as error:
            raise CardGoneError(str(error)) from error
        except (ClosedError, RefusedMessageError) as error:
            # Retried rarely: such answers count towards a ban of the IP address.
            self._not_before = loop_time() + self._closed
            log.warning("the incident of %s has no thread: %s", incident.service, error)
            self._on_problem("threads", CANNOT)
            return None
        self._on_problem("threads", "")
        await self._engine.outbox.keep_thread(incident.id, thread, card.message_id)
        return thread

    async def deleted(self, incident: Incident) -> None:
        """Handle a deleted thread: the next entry creates another and mentions it."""
        log.warning("the thread of incident %d was deleted; creating another", incident.id)
        self._bare.add(incident.id)
        await self._engine.outbox.replace_thread(incident)

    async def shut(self, incident: Incident, thread: int, why: str) -> None:
        """Report once in the channel that the thread is not writable."""
        log.warning("the thread of incident %d is not writable: %s", incident.id, why)
        said = message(NoticeCode.THREAD_LOCKED, incident=incident.id, subject=subject_name(incident.service))
        await self._engine.announce(incident.service, said, level="warning", key=f"shut:{thread}")
