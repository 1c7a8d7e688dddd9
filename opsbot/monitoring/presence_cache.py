"""What opsbot sees of other bots in its server: whether they are online, and who sits in a voice channel with them.

Kept from the gateway's own events, by user id, since discord.py drops what concerns members it does not hold (and it
holds none here). What is known holds while the connection does: after a new session GUILD_CREATE has everything, after
RESUME the changes are replayed; in between nothing is known. Of presences only those that a check asks for are kept, of
voice states the user, the channel and whether it is a bot.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from opsbot.core.health import ProbeCode
from opsbot.core.message import Message, message

Data = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class VoiceCompany:
    """A bot in a voice channel with people. `channel` is the channel's name, untrusted text."""

    channel: str
    people: int


@dataclass(frozen=True, slots=True)
class _Seat:
    channel: int
    bot: bool


def _nameless(_: int) -> str:
    return ""


class PresenceCache:
    """The table. The gateway's events come in, checks and drains ask."""

    def __init__(
        self, guild: int, presences: Collection[int], voices: Collection[int], clock: Callable[[], datetime]
    ) -> None:
        self.presences = frozenset(presences)
        self.voices = frozenset(voices)
        self.refused = ""
        """Why presences cannot be asked for, "" while they can."""
        self.name_of: Callable[[int], str] = _nameless
        """The name of a channel, set by who is connected."""
        self.lost_at: datetime | None = clock()
        """Since when nothing is known; None while all is."""
        self._guild = str(guild)
        self._clock = clock
        self._told = False
        self._online: dict[int, str] = {}
        self._seats: dict[int, _Seat] = {}

    # Gateway events

    def created(self, data: Data) -> None:
        """GUILD_CREATE: replace everything.

        Its `members` hold at least who sits in a voice channel, its `presences` who is online (Discord's
        documentation, "Guild Create"; its voice states lack the member themselves).
        """
        if str(data.get("id")) != self._guild:
            return
        if data.get("unavailable"):
            self.gone(data)
            return
        self._online.clear()
        self._seats.clear()
        bots = {str(member["user"]["id"]) for member in data.get("members", ()) if member["user"].get("bot")}
        for presence in data.get("presences", ()):
            self._presence(presence)
        for state in data.get("voice_states", ()):
            self._seat(state, bot=str(state["user_id"]) in bots)
        self._told, self.lost_at = True, None

    def gone(self, data: Data) -> None:
        """GUILD_DELETE: the server is unavailable."""
        if str(data.get("id")) == self._guild:
            self._told = False
            self.lost()

    def presence(self, data: Data) -> None:
        """PRESENCE_UPDATE."""
        if str(data.get("guild_id")) == self._guild:
            self._presence(data)

    def voice(self, data: Data) -> None:
        """VOICE_STATE_UPDATE."""
        if str(data.get("guild_id")) == self._guild:
            user = data.get("member", {}).get("user", {})
            self._seat(data, bot=bool(user.get("bot")))

    def lost(self) -> None:
        """The connection is lost, or it looks whole and is not answered."""
        if self.lost_at is None:
            self.lost_at = self._clock()

    def resumed(self) -> None:
        """The same session goes on; what was missed has been replayed."""
        if self._told:
            self.lost_at = None

    def _presence(self, data: Data) -> None:
        user = int(data["user"]["id"])
        if user not in self.presences:
            return
        status = str(data.get("status", "offline"))
        if status == "offline":
            self._online.pop(user, None)
        else:
            self._online[user] = status

    def _seat(self, data: Data, *, bot: bool) -> None:
        user, channel = int(data["user_id"]), data.get("channel_id")
        if not self.voices:
            return
        if channel is None:
            self._seats.pop(user, None)
        else:
            self._seats[user] = _Seat(int(channel), bot)

    # What is asked

    def seen(self, user: int) -> tuple[bool | None, Message]:
        """Whether the bot is seen online, None where that is not known; and what was seen."""
        if self.refused:
            return None, message(ProbeCode.PRESENCE_UNAVAILABLE, why=self.refused)
        if self.lost_at is not None:
            return None, message(ProbeCode.DISCORD_LOST)
        status = self._online.get(user)
        if status is None:
            return False, message(ProbeCode.OFFLINE)
        return True, message(ProbeCode.ONLINE, status=status)

    def company(self, user: int) -> VoiceCompany | None:
        """The people that the bot sits in a voice channel with; None where there are none, or nothing is known."""
        seat = self._seats.get(user)
        if seat is None or self.lost_at is not None:
            return None
        people = sum(1 for one, other in self._seats.items() if one != user and self._with(seat, other))
        return VoiceCompany(self.name_of(seat.channel), people) if people else None

    @staticmethod
    def _with(seat: _Seat, other: _Seat) -> bool:
        return other.channel == seat.channel and not other.bot
