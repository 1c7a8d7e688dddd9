"""Roles, members, channels and the guild as values, with Discord's JSON forms."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from opsbot.standin.errors import Json, refuse
from opsbot.standin.permissions import ChannelOverwrite

EPOCH_MS = 1_420_070_400_000
TEXT, VOICE, CATEGORY, PUBLIC_THREAD, PRIVATE_THREAD = 0, 2, 4, 11, 12
THREADS = (PUBLIC_THREAD, PRIVATE_THREAD)


# The fields of Discord's objects that never change here.
OBJECTS: dict[str, Json] = json.loads(Path(__file__).with_name("objects.json").read_text(encoding="utf-8"))


def text_id(value: object) -> str | None:
    return None if value is None else str(value)


def snowflake(moment: float) -> int:
    """The smallest id of that moment (seconds since 1970)."""
    return (int(moment * 1000) - EPOCH_MS) << 22


def moment_of(snowflake_id: int) -> float:
    """When an id was made, in seconds since 1970."""
    return ((snowflake_id >> 22) + EPOCH_MS) / 1000


def iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat()


@dataclass(slots=True)
class Role:
    """A role; the guild's own id is @everyone."""

    id: int
    name: str
    position: int
    permissions: int = 0
    color: int = 0
    mentionable: bool = False
    managed: bool = False
    bot_id: int | None = None

    def json(self) -> Json:
        shown: Json = OBJECTS["role"] | {
            "id": str(self.id),
            "name": self.name,
            "color": self.color,
            "colors": {"primary_color": self.color, "secondary_color": None, "tertiary_color": None},
            "position": self.position,
            "permissions": str(self.permissions),
            "managed": self.managed,
            "mentionable": self.mentionable,
        }
        if self.bot_id is not None:
            shown["tags"] = {"bot_id": str(self.bot_id)}
        return shown


@dataclass(slots=True)
class Member:
    """A user in the guild."""

    id: int
    username: str
    global_name: str | None
    joined_at: float
    bot: bool = False
    nick: str | None = None
    roles: list[int] = field(default_factory=list)
    status: str = "online"
    voice: int | None = None
    """The voice channel they sit in."""

    def user(self) -> Json:
        shown: Json = OBJECTS["user"] | {
            "id": str(self.id),
            "username": self.username,
            "discriminator": "0000" if self.bot else "0",
            "global_name": self.global_name,
        }
        if self.bot:
            shown["bot"] = True
        return shown

    def json(self, *, user: bool = True, permissions: int | None = None) -> Json:
        """The member object.

        A message's `member` has no `user`, an interaction's has `permissions`.
        """
        own = {"roles": [str(role) for role in self.roles], "nick": self.nick, "joined_at": iso(self.joined_at)}
        shown: Json = OBJECTS["member"] | own
        if user:
            shown["user"] = self.user()
        if permissions is not None:
            shown["permissions"] = str(permissions)
        return shown


@dataclass(slots=True)
class Channel:
    """A text channel, a category or a thread."""

    id: int
    name: str
    type: int = TEXT
    parent_id: int | None = None
    topic: str | None = None
    position: int = 0
    overwrites: dict[int, ChannelOverwrite] = field(default_factory=dict)
    last_message_id: int | None = None
    last_pin: float | None = None
    slowmode: int = 0
    # threads only
    owner_id: int = 0
    created: float = 0.0
    archived: bool = False
    archived_at: float = 0.0
    locked: bool = False
    auto_archive: int = 4320
    invitable: bool = True
    members: dict[int, float] = field(default_factory=dict)
    message_count: int = 0
    total_sent: int = 0

    @property
    def is_thread(self) -> bool:
        return self.type in THREADS

    def require_open(self) -> None:
        """Raise 50083 for an archived thread."""
        if self.archived:
            raise refuse("thread_archived")

    def json(self, guild_id: int, *, me: int | None = None) -> Json:
        """The channel object; for a thread `me` adds that member's own membership."""
        shown: Json = {
            "id": str(self.id),
            "guild_id": str(guild_id),
            "name": self.name,
            "type": self.type,
            "parent_id": text_id(self.parent_id),
            "last_message_id": text_id(self.last_message_id),
            "flags": 0,
            "rate_limit_per_user": self.slowmode,
        }
        if self.last_pin is not None:
            shown["last_pin_timestamp"] = iso(self.last_pin)
        if self.is_thread:
            shown |= self._thread_json()
            if me is not None and me in self.members:
                shown["member"] = thread_member(self.id, me, self.members[me])
            return shown
        if self.type == VOICE:
            shown |= OBJECTS["voice_channel"]
        return shown | {
            "position": self.position,
            "topic": self.topic,
            "nsfw": False,
            "permission_overwrites": [
                {"id": str(target), "type": o.kind, "allow": str(o.allow), "deny": str(o.deny)}
                for target, o in self.overwrites.items()
            ],
        }

    def _thread_json(self) -> Json:
        return {
            "owner_id": str(self.owner_id),
            "message_count": self.message_count,
            "total_message_sent": self.total_sent,
            "member_count": len(self.members),
            "thread_metadata": {
                "archived": self.archived,
                "archive_timestamp": iso(self.archived_at or self.created),
                "auto_archive_duration": self.auto_archive,
                "locked": self.locked,
                "create_timestamp": iso(self.created),
                **({"invitable": self.invitable} if self.type == PRIVATE_THREAD else {}),
            },
        }


def thread_member(thread_id: int, member_id: int, joined: float) -> Json:
    return {"id": str(thread_id), "user_id": str(member_id), "join_timestamp": iso(joined), "flags": 1}
