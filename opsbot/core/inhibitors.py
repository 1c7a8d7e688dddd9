"""Inhibitors: reasons to delay an automatic action, asked before it.

An inhibitor delays and never cancels: it is asked again until it gives no reason any more. A person who requests the
same action gets the reason as advice, and the action.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from opsbot.core.message import Message, MessageCode

log = logging.getLogger(__name__)


class InhibitorCode(MessageCode):
    """Why opsbot does not act now. Times are datetimes."""

    DISCORD_AWAY = "inhibitor.discord-away"  # since
    DISCORD_BACK = "inhibitor.discord-back"  # since; until: when it counts as down again
    DISCORD_DOUBTED = "inhibitor.discord-doubted"  # since: when opsbot lost its own connection
    START_SPACED = "inhibitor.start-spaced"  # since: when Discord went away; due: when the service is started next
    RELEASE_UNVERIFIABLE = "inhibitor.release-unverifiable"  # since: when Discord went away
    LOGINS_SPENT = "inhibitor.logins-spent"
    """starts in 24 hours; by_manager: how many of them the service manager made by itself; limit: Discord's."""
    LOGINS_LOW = "inhibitor.logins-low"
    """starts in 24 hours; limit: Discord's; due: when the service may be started next."""
    WINDOW = "inhibitor.window"  # window, until
    WINDOW_HOLDS_DEPLOYS = "inhibitor.window-holds-deploys"  # window, until
    DEPLOYS_IN_WINDOW_ONLY = "inhibitor.deploys-in-window-only"  # window; begins
    NO_WINDOW_FOR_DEPLOYS = "inhibitor.no-window-for-deploys"
    """windows: deploys are for these alone, and none comes again."""
    VOICE_UNKNOWN = "inhibitor.voice-unknown"
    IN_VOICE = "inhibitor.in-voice"  # channel: "" where its name is not known; people; until


Inhibitor = Callable[[str], Awaitable[Message | None]]
"""From a service's name to the reason to wait, None for none."""


@dataclass(slots=True)
class Inhibitors:
    """The inhibitors of each action, filled at startup.

    restarts: recovery's restarts of a service that is down. last_steps: its rollback and its escalation. spent:
    recovery's restarts again; these do not only delay, they also escalate. starts: opsbot's own supervisor, before it
    starts a service that died. deploys: automatic deploys, before they begin. swings: the moment a running release is
    replaced, whoever requested it.
    """

    restarts: list[Inhibitor] = field(default_factory=list)
    last_steps: list[Inhibitor] = field(default_factory=list)
    spent: list[Inhibitor] = field(default_factory=list)
    starts: list[Inhibitor] = field(default_factory=list)
    deploys: list[Inhibitor] = field(default_factory=list)
    swings: list[Inhibitor] = field(default_factory=list)

    async def advice(self, service: str) -> Message | None:
        """The advice to a person who restarts the service."""
        return await first_reason([*self.spent, *self.restarts, *self.swings], service)


async def first_reason(inhibitors: Sequence[Inhibitor], service: str) -> Message | None:
    """The first reason that one of them gives; None where none does."""
    for inhibitor in inhibitors:
        try:
            reason = await inhibitor(service)
        except Exception:
            # The edge: an inhibitor that fails must keep nothing from being recovered.
            log.exception("an inhibitor of %s failed; it is ignored", service)
            continue
        if reason is not None:
            return reason
    return None
