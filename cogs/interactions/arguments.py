"""Resolve the requesting user, service, release and duration of a command."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol, cast

import discord
from discord import app_commands

from cogs.cards.text import one_line
from cogs.interactions.response_priority import ResponsePriority
from opsbot.core.access import Action, Actor, Origin
from opsbot.core.amounts import parse_duration
from opsbot.core.deploy_codes import RefusalCode
from opsbot.core.deployment import RefusalReason, Refused
from opsbot.core.message import message
from opsbot.engine import Engine
from opsbot.runtime.ticks import loop_time

if TYPE_CHECKING:
    from cogs.delivery.live_tails import LiveTails

CHOICES = 25
NAME = 100
TWICE_SECONDS = 10.0


@dataclass(slots=True)
class Clicks:
    """Recent interactions, to ignore duplicates and double clicks."""

    most: int = 2000
    ids: OrderedDict[int, None] = field(default_factory=OrderedDict)
    deeds: dict[str, tuple[float, str]] = field(default_factory=dict)
    rush: ResponsePriority = field(default_factory=ResponsePriority)

    def first(self, number: int) -> bool:
        """Record an interaction; returns whether it is new."""
        if number in self.ids:
            return False
        self.ids[number] = None
        if len(self.ids) > self.most:
            self.ids.popitem(last=False)
        return True

    def before(self, deed: str, name: str) -> str | None:
        """Return who did this within the last seconds.

        Otherwise record it as being done now.
        """
        now = loop_time()
        self.deeds = {known: value for known, value in self.deeds.items() if now - value[0] < TWICE_SECONDS}
        if deed in self.deeds:
            return self.deeds[deed][1]
        self.deeds[deed] = (now, name)
        return None

    def failed(self, deed: str) -> None:
        """Forget an action that failed, so that the next click counts."""
        self.deeds.pop(deed, None)


class Bot(Protocol):
    """The bot as the cogs use it."""

    engine: Engine
    clicks: Clicks
    tails: "LiveTails"

    @property
    def redact(self) -> Callable[[str], str]:
        """Redacts known secrets in text."""


def bot_of(interaction: discord.Interaction) -> Bot:
    return cast("Bot", interaction.client)


def engine_of(interaction: discord.Interaction) -> Engine:
    return bot_of(interaction).engine


def actor_of(interaction: discord.Interaction) -> Actor:
    """Return the user of an interaction with current role ids as sent by Discord.

    Outside the configured guild users have no rank.
    """
    user = interaction.user
    name = one_line(user.display_name, 60) or str(user.id)
    if interaction.guild_id != engine_of(interaction).config.discord.guild_id:
        return Actor(Origin.DISCORD, f"elsewhere:{user.id}", name)
    # `Member.roles` omits uncached roles; `_roles` has the ids of the payload.
    ids = user._roles if isinstance(user, discord.Member) else ()  # noqa: SLF001 - see above
    return Actor(Origin.DISCORD, str(user.id), name, frozenset({str(interaction.guild_id), *map(str, ids)}))


def action_of(interaction: discord.Interaction) -> Action:
    """Return the action of a command; they have the same names."""
    command = interaction.command
    return Action(command.name if command is not None else "")


async def choose_service(interaction: discord.Interaction, current: str) -> list[app_commands.Choice[str]]:
    """Suggest the services that this member may name for the command.

    None without the rank.
    """
    typed = current.strip().lower()
    names = engine_of(interaction).access.nameable(actor_of(interaction), action_of(interaction))
    fitting = sorted((name for name in names if typed in name.lower()), key=lambda name: not name.startswith(typed))
    return [app_commands.Choice(name=name, value=name) for name in fitting[:CHOICES]]


async def choose_release(interaction: discord.Interaction, current: str) -> list[app_commands.Choice[str]]:
    """Suggest kept releases of the chosen service, newest first.

    None if the member may not roll back.
    """
    service = str(getattr(interaction.namespace, "service", None) or "")
    typed = current.strip().lower()
    choices = []
    for release in await engine_of(interaction).releases.kept(actor_of(interaction), service):
        good = "" if release.good else " (never verified)"
        label = one_line(f"{release.name}{good} {release.title}", NAME)
        if typed in label.lower() or release.commit.startswith(typed):
            choices.append(app_commands.Choice(name=label, value=release.name[:NAME]))
    return choices[:CHOICES]


def length_of(text: str | None) -> timedelta | Refused | None:
    """Parse a duration such as 10m; None for no text."""
    if text is None or not text.strip():
        return None
    try:
        return parse_duration(text.strip().lower().replace(" ", ""))
    except ValueError:
        return Refused(RefusalReason.BAD_INPUT, message(RefusalCode.BAD_DURATION, text=text[:40]))


def since_of(text: str | None, now: datetime) -> datetime | Refused | None:
    """Parse a duration such as 10m into the time that long ago; None for no text."""
    length = length_of(text)
    if length is None or isinstance(length, Refused):
        return length
    try:
        return now - length
    except OverflowError:
        return Refused(RefusalReason.BAD_INPUT, message(RefusalCode.BAD_PAST, text=(text or "")[:40]))
