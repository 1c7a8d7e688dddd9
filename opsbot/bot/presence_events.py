"""Feed the presence cache from gateway events, and choose the intents for it.

discord.py caches no presences or voice states of members that it does not cache, and opsbot caches none. Events are
therefore read before the library processes them.
"""

from collections.abc import Callable, Mapping
from typing import Any

import discord

from opsbot.monitoring.presence_cache import PresenceCache

PRESENCE_REFUSED = (
    'the Presence Intent is not enabled for opsbot\'s application, so checks with kind = "presence" cannot run: '
    "enable Developer Portal > the application > Bot > Presence Intent, then restart opsbot"
)
Event = Mapping[str, Any]


def intents_for(presence_cache: PresenceCache | None) -> discord.Intents:
    """Return GUILDS plus the intents that the presence cache needs."""
    intents = discord.Intents(guilds=True)
    if presence_cache is not None:
        intents.presences = bool(presence_cache.presences) and not presence_cache.refused
        intents.voice_states = bool(presence_cache.voices)
    return intents


def feed_presence_cache(client: discord.Client, presence_cache: PresenceCache) -> None:
    presence_cache.name_of = lambda channel: _name(client, channel)
    parsers: dict[str, Callable[[Any], None]] = client._connection.parsers  # noqa: SLF001 - there is no public way
    for name, take in (
        ("GUILD_CREATE", presence_cache.created),
        ("GUILD_DELETE", presence_cache.gone),
        ("PRESENCE_UPDATE", presence_cache.presence),
        ("VOICE_STATE_UPDATE", presence_cache.voice),
    ):
        parsers[name] = _both(take, parsers[name])


def _both(take: Callable[[Event], None], parse: Callable[[Any], None]) -> Callable[[Any], None]:
    def taken(data: Any) -> None:
        take(data)
        parse(data)

    return taken


def _name(client: discord.Client, channel: int) -> str:
    found = client.get_channel(channel)
    return found.name if isinstance(found, discord.abc.GuildChannel) else ""
