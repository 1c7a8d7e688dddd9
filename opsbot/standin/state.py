"""The stand-in's state: a guild with roles, members, channels and permissions.

Every change reaches `listeners` as a `GatewayEvent`; the gateway, the page and the driver each use their
part of it.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from opsbot.standin.commands import Commands
from opsbot.standin.errors import Json, refuse
from opsbot.standin.guild import (
    CATEGORY,
    OBJECTS,
    PRIVATE_THREAD,
    PUBLIC_THREAD,
    TEXT,
    THREADS,
    VOICE,
    Channel,
    Member,
    Role,
    snowflake,
    text_id,
    thread_member,
)
from opsbot.standin.permissions import (
    ALL,
    BOT_DEFAULT,
    EVERYONE_DEFAULT,
    ChannelOverwrite,
    PermissionBit,
    in_channel,
)
from opsbot.standin.schema import Schema, choice, filled, form, integer, text, validate

GUILD_ID = 100000000000000001
OPS_CHANNEL_ID = 100000000000000002
CATEGORY_ID = 100000000000000003
GENERAL_CHANNEL_ID = 100000000000000004
APPLICATION_ID = 100000000000000010
BOT_USER_ID = 100000000000000011
OWNER_ID = 100000000000000012
BOT_ROLE_ID = 100000000000000020
ROLE_IDS = {
    "viewer": 100000000000000021,
    "operator": 100000000000000022,
    "deployer": 100000000000000023,
    "admin": 100000000000000024,
}
_ROLE_COLORS = {"viewer": 0x95A5A6, "operator": 0x3498DB, "deployer": 0xE67E22, "admin": 0xE74C3C}
_FIRST_MEMBER_ID = 100000000000000100
_CHANNEL = form({"name": text(100, 1), "topic": text(1024), "rate_limit_per_user": integer(0, 21600)})
_THREAD: dict[str, Schema] = {
    "name": text(100, 1),
    "auto_archive_duration": choice(60, 1440, 4320, 10080),
    "rate_limit_per_user": integer(0, 21600),
}


class Intent:
    """The gateway intents by which events are filtered."""

    NONE = 0
    GUILDS = 1 << 0
    MEMBERS = 1 << 1
    VOICE_STATES = 1 << 7
    PRESENCES = 1 << 8
    MESSAGES = 1 << 9
    REACTIONS = 1 << 10
    TYPING = 1 << 11
    MESSAGE_CONTENT = 1 << 15
    PRIVILEGED = MEMBERS | PRESENCES | MESSAGE_CONTENT


@dataclass(frozen=True, slots=True)
class GatewayEvent:
    """A change, for sessions with the intent and members who see the channel."""

    name: str
    data: Json
    intent: int = Intent.GUILDS
    channel_id: int | None = None
    internal: bool = False  # for the page and the driver only, no gateway event


@dataclass(slots=True)
class StandinState:
    """The guild without its messages. `clock` gives seconds since 1970."""

    clock: Callable[[], float]
    guild_name: str = "Operations"
    bot_name: str = "opsbot"
    roles: dict[int, Role] = field(default_factory=dict)
    members: dict[int, Member] = field(default_factory=dict)
    channels: dict[int, Channel] = field(default_factory=dict)
    listeners: list[Callable[[GatewayEvent], None]] = field(default_factory=list)
    guild_commands: Commands = field(default_factory=lambda: Commands(APPLICATION_ID, GUILD_ID))
    global_commands: Commands = field(default_factory=lambda: Commands(APPLICATION_ID, None))
    _last_id: int = 0
    _next_member: int = _FIRST_MEMBER_ID

    def __post_init__(self) -> None:
        self.roles[GUILD_ID] = Role(GUILD_ID, "@everyone", 0, EVERYONE_DEFAULT)
        for position, (name, role_id) in enumerate(ROLE_IDS.items(), 1):
            self.roles[role_id] = Role(role_id, name, position, color=_ROLE_COLORS[name])
        self.roles[BOT_ROLE_ID] = Role(
            BOT_ROLE_ID, self.bot_name, 9, BOT_DEFAULT, color=0x5865F2, managed=True, bot_id=BOT_USER_ID
        )
        now = self.clock()
        self.members[BOT_USER_ID] = Member(
            BOT_USER_ID, self.bot_name, None, now, bot=True, roles=[BOT_ROLE_ID], status="offline"
        )
        self.members[OWNER_ID] = Member(OWNER_ID, "owner", "Owner", now)
        self.channels[CATEGORY_ID] = Channel(CATEGORY_ID, "Operations", CATEGORY)
        self.channels[OPS_CHANNEL_ID] = Channel(
            OPS_CHANNEL_ID, "ops", TEXT, CATEGORY_ID, "Deploys, alerts and orders", position=0
        )
        self.channels[GENERAL_CHANNEL_ID] = Channel(GENERAL_CHANNEL_ID, "general", TEXT, CATEGORY_ID, position=1)

    # ids and events

    def new_id(self) -> int:
        """A fresh snowflake of now; always greater than the ones before."""
        self._last_id = max(self._last_id + 1, snowflake(self.clock()))
        return self._last_id

    def ids(self) -> Iterator[int]:
        while True:
            yield self.new_id()

    def emit(
        self,
        name: str,
        data: Json,
        intent: int = Intent.GUILDS,
        channel_id: int | None = None,
        *,
        internal: bool = False,
    ) -> None:
        """Pass an event of the guild to every listener; the arguments are the fields of `GatewayEvent`."""
        event = GatewayEvent(name, {"guild_id": str(GUILD_ID), **data}, intent, channel_id, internal)
        for listener in tuple(self.listeners):
            listener(event)

    # looking up

    @property
    def bot(self) -> Member:
        return self.members[BOT_USER_ID]

    def channel(self, channel_id: int) -> Channel:
        """The channel or thread, or ApiError 10003."""
        if channel_id not in self.channels:
            raise refuse("unknown_channel")
        return self.channels[channel_id]

    def visible_channel(self, channel_id: int) -> Channel:
        """The channel, if the bot sees it; else ApiError 10003 or 50001."""
        channel = self.channel(channel_id)
        self.require(channel)
        return channel

    def member(self, member_id: int) -> Member:
        """The member, or ApiError 10007."""
        if member_id not in self.members:
            raise refuse("unknown_member")
        return self.members[member_id]

    def threads_of(self, channel_id: int) -> list[Channel]:
        return [c for c in self.channels.values() if c.is_thread and c.parent_id == channel_id]

    # permissions

    def base_permissions(self, member: Member) -> int:
        """What a member may do in the guild at large."""
        if member.id == OWNER_ID:
            return ALL
        value = self.roles[GUILD_ID].permissions
        for role_id in member.roles:
            if role_id in self.roles:
                value |= self.roles[role_id].permissions
        return ALL if value & PermissionBit.ADMINISTRATOR else value

    def permissions(self, member: Member, channel: Channel) -> int:
        """What a member may do in a channel; a thread has its parent's permissions."""
        if channel.is_thread and channel.parent_id is not None:
            parent = self.channels.get(channel.parent_id)
            value = self.permissions(member, parent) if parent is not None else 0
            hidden = channel.type == PRIVATE_THREAD and member.id not in channel.members
            return 0 if hidden and not value & PermissionBit.MANAGE_THREADS else value
        base = self.base_permissions(member)
        return in_channel(base, GUILD_ID, member.id, member.roles, channel.overwrites)

    def may(self, member: Member, channel: Channel, *needed: int) -> bool:
        """Whether a member sees the channel and has these permissions in it."""
        value = self.permissions(member, channel)
        return all(value & permission for permission in (PermissionBit.VIEW_CHANNEL, *needed))

    def require(self, channel: Channel, *needed: int, by: Member | None = None) -> None:
        """Raise 50001 if the bot (or `by`) does not see the channel, 50013 without a permission."""
        if not self.may(by or self.bot, channel):
            raise refuse("missing_access")
        if not self.may(by or self.bot, channel, *needed):
            raise refuse("missing_permissions")

    # changing the guild

    def add_member(self, name: str, roles: Iterable[int] = (), *, bot: bool = False) -> Member:
        """A new member with that display name; a bot begins offline."""
        shown = name.lower().replace(" ", "_")
        member = Member(self._next_member, shown, name, self.clock(), roles=self._known(roles), bot=bot)
        member.status = "offline" if bot else "online"
        self._next_member += 1
        self.members[member.id] = member
        self.emit("GUILD_MEMBER_ADD", member.json(), Intent.MEMBERS)
        return member

    def set_roles(self, member_id: int, roles: Iterable[int]) -> None:
        member = self.member(member_id)
        member.roles = self._known(roles)
        # The bot receives its own updates regardless of its intents.
        intent = Intent.NONE if member_id == BOT_USER_ID else Intent.MEMBERS
        self.emit("GUILD_MEMBER_UPDATE", member.json(), intent)

    def set_role_permissions(self, role_id: int, permissions: int) -> None:
        if role_id not in self.roles:
            raise refuse("unknown_role")
        role = self.roles[role_id]
        role.permissions = int(permissions)
        self.emit("GUILD_ROLE_UPDATE", {"role": role.json()})

    def _known(self, roles: Iterable[int]) -> list[int]:
        wanted = [int(role) for role in roles]
        if any(role not in self.roles for role in wanted):
            raise refuse("unknown_role")
        return wanted

    def set_presence(self, member_id: int, status: str) -> None:
        """Change a member's status: online, idle, dnd or offline."""
        member = self.member(member_id)
        if member.status == status:
            return
        member.status = status
        self.emit("PRESENCE_UPDATE", self.presence(member), Intent.PRESENCES)

    def set_voice(self, member_id: int, channel_id: int | None) -> None:
        """A member joins a voice channel, changes to another, or leaves (None)."""
        member = self.member(member_id)
        if channel_id is not None and self.channel(channel_id).type != VOICE:
            raise refuse("wrong_channel_type")
        if member.voice == channel_id:
            return
        member.voice = channel_id
        data = self.voice_state(member) | {"member": member.json()}
        self.emit("VOICE_STATE_UPDATE", data, Intent.VOICE_STATES)

    def voice_state(self, member: Member) -> Json:
        """The voice state object as in GUILD_CREATE: without guild and member."""
        where = {"channel_id": text_id(member.voice), "user_id": str(member.id), "session_id": f"voice-{member.id}"}
        return OBJECTS["voice_state"] | where

    def presence(self, member: Member) -> Json:
        online = member.status != "offline"
        return {
            "user": {"id": str(member.id)},
            "guild_id": str(GUILD_ID),
            "status": member.status,
            "activities": [],
            "client_status": {"web" if member.bot else "desktop": member.status} if online else {},
        }

    def add_channel(
        self, name: str, *, topic: str | None = None, parent_id: int | None = CATEGORY_ID, kind: int = TEXT
    ) -> Channel:
        position = max((c.position for c in self.channels.values()), default=0) + 1
        channel = Channel(self.new_id(), name, kind, parent_id, topic, position)
        self.channels[channel.id] = channel
        self.emit("CHANNEL_CREATE", channel.json(GUILD_ID))
        return channel

    def remove_channel(self, channel_id: int) -> None:
        """Delete a channel, its threads with it, or a thread."""
        channel = self.channel(channel_id)
        for thread in self.threads_of(channel_id):
            self.channels.pop(thread.id)
        self.channels.pop(channel_id)
        for member in self.members.values():
            if member.voice == channel_id:
                self.set_voice(member.id, None)
        if channel.is_thread:
            gone = {k: channel.json(GUILD_ID)[k] for k in ("id", "guild_id", "parent_id", "type")}
            self.emit("THREAD_DELETE", gone)
        else:
            self.emit("CHANNEL_DELETE", channel.json(GUILD_ID))

    def set_permissions(self, target: int, channel_id: int, allow: int = 0, deny: int = 0) -> None:
        channel = self.channel(channel_id)
        if target not in self.roles and target not in self.members:
            raise refuse("unknown_role")
        channel.overwrites[target] = ChannelOverwrite(0 if target in self.roles else 1, int(allow), int(deny))
        self.emit("CHANNEL_UPDATE", channel.json(GUILD_ID))

    def edit_channel(self, channel_id: int, changes: Json) -> Channel:
        channel = self.visible_channel(channel_id)
        if channel.is_thread:
            return self._edit_thread(channel, changes)
        self.require(channel, PermissionBit.MANAGE_CHANNELS)
        validate(_CHANNEL, changes)
        channel.name = changes.get("name") or channel.name
        channel.topic = changes.get("topic", channel.topic)
        channel.slowmode = int(changes.get("rate_limit_per_user") or channel.slowmode)
        self.emit("CHANNEL_UPDATE", channel.json(GUILD_ID))
        return channel

    # threads

    def create_thread(self, parent: Channel, payload: Json, *, message_id: int | None = None) -> Channel:
        """A thread by the bot, from a message (with its id) or bare (private by default)."""
        bare = {} if message_id is not None else {"type": choice(*THREADS)}
        validate(form(_THREAD | {"name": filled(100)} | bare), payload)
        kind = PUBLIC_THREAD if message_id is not None else (payload.get("type") or PRIVATE_THREAD)
        if parent.type != TEXT:
            raise refuse("wrong_channel_type")
        public = kind == PUBLIC_THREAD
        self.require(parent, PermissionBit.CREATE_PUBLIC_THREADS if public else PermissionBit.CREATE_PRIVATE_THREADS)
        if message_id is not None and message_id in self.channels:
            raise refuse("thread_exists")
        now = self.clock()
        thread = Channel(
            message_id if message_id is not None else self.new_id(),
            str(payload["name"]),
            kind,
            parent.id,
            owner_id=BOT_USER_ID,
            created=now,
            archived_at=now,
            auto_archive=payload.get("auto_archive_duration") or 4320,
            invitable=bool(payload.get("invitable", True)),
            members={BOT_USER_ID: now},
            slowmode=int(payload.get("rate_limit_per_user") or 0),
        )
        self.channels[thread.id] = thread
        shown = thread.json(GUILD_ID, me=BOT_USER_ID) | {"newly_created": True}
        self.emit("THREAD_CREATE", shown, channel_id=thread.id)
        return thread

    def _edit_thread(self, thread: Channel, changes: Json) -> Channel:
        may_manage = bool(self.permissions(self.bot, thread) & PermissionBit.MANAGE_THREADS)
        opening = changes.get("archived") is False
        if thread.archived and not opening:
            raise refuse("thread_archived")
        if (thread.locked or changes.get("locked") is not None) and not may_manage:
            raise refuse("missing_permissions")
        if not may_manage and thread.owner_id != BOT_USER_ID and not (opening and set(changes) == {"archived"}):
            raise refuse("missing_permissions")
        validate(form(_THREAD), changes)
        thread.name = changes.get("name") or thread.name
        thread.auto_archive = changes.get("auto_archive_duration") or thread.auto_archive
        if changes.get("locked") is not None:
            thread.locked = bool(changes["locked"])
        if changes.get("archived") is not None:
            self._archive(thread, archived=bool(changes["archived"]))
        self.emit_thread_update(thread)
        return thread

    def _archive(self, thread: Channel, *, archived: bool) -> None:
        if thread.archived != archived:
            thread.archived = archived
            thread.archived_at = self.clock()

    def unarchive(self, thread: Channel) -> None:
        self._archive(thread, archived=False)
        self.emit_thread_update(thread)

    def emit_thread_update(self, thread: Channel) -> None:
        self.emit("THREAD_UPDATE", thread.json(GUILD_ID, me=BOT_USER_ID), channel_id=thread.id)

    def join_thread(self, thread: Channel, member_id: int) -> None:
        _require_open_thread(thread)
        member = self.member(member_id)
        if member_id in thread.members:
            return
        thread.members[member_id] = self.clock()
        self._emit_members(thread, added=[member], removed=[])

    def leave_thread(self, thread: Channel, member_id: int) -> None:
        _require_open_thread(thread)
        if thread.members.pop(member_id, None) is None:
            raise refuse("unknown_member")
        self._emit_members(thread, added=[], removed=[member_id])

    def _emit_members(self, thread: Channel, added: list[Member], removed: list[int]) -> None:
        data: Json = {
            "id": str(thread.id),
            "member_count": len(thread.members),
            "added_members": [
                thread_member(thread.id, m.id, thread.members[m.id]) | {"member": m.json(), "presence": None}
                for m in added
            ],
            "removed_member_ids": [str(member_id) for member_id in removed],
        }
        self.emit("THREAD_MEMBERS_UPDATE", data, channel_id=thread.id)

    # showing

    def guild_json(self) -> Json:
        """The guild object as REST shows it (without channels and members)."""
        roles = [role.json() for role in self.roles.values()]
        own = {"id": str(GUILD_ID), "owner_id": str(OWNER_ID), "name": self.guild_name, "roles": roles}
        return OBJECTS["guild"] | own

    def user(self, user_id: int) -> Member:
        """The member behind a user id, or ApiError 10013."""
        if user_id not in self.members:
            raise refuse("unknown_user")
        return self.members[user_id]


def _require_open_thread(thread: Channel) -> None:
    if not thread.is_thread:
        raise refuse("wrong_channel_type")
    thread.require_open()
