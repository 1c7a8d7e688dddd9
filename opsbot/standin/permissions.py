"""Permission bits and their computation from roles and channel overwrites."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


class PermissionBit:
    """The bits that the stand-in evaluates.

    Https://discord.com/developers/docs/topics/permissions.

    Plain integers: an IntFlag costs a microsecond each time, and every event asks for several.
    """

    CREATE_INSTANT_INVITE = 1 << 0
    ADMINISTRATOR = 1 << 3
    MANAGE_CHANNELS = 1 << 4
    MANAGE_GUILD = 1 << 5
    ADD_REACTIONS = 1 << 6
    VIEW_CHANNEL = 1 << 10
    SEND_MESSAGES = 1 << 11
    MANAGE_MESSAGES = 1 << 13
    EMBED_LINKS = 1 << 14
    ATTACH_FILES = 1 << 15
    READ_MESSAGE_HISTORY = 1 << 16
    MENTION_EVERYONE = 1 << 17
    USE_EXTERNAL_EMOJIS = 1 << 18
    CONNECT = 1 << 20
    SPEAK = 1 << 21
    CHANGE_NICKNAME = 1 << 26
    MANAGE_ROLES = 1 << 28
    USE_APPLICATION_COMMANDS = 1 << 31
    MANAGE_THREADS = 1 << 34
    CREATE_PUBLIC_THREADS = 1 << 35
    CREATE_PRIVATE_THREADS = 1 << 36
    SEND_MESSAGES_IN_THREADS = 1 << 38
    PIN_MESSAGES = 1 << 51


ALL = (1 << 53) - 1

# A new guild's @everyone, MENTION_EVERYONE included: Discord's own default, and a trap for untrusted text.
EVERYONE_DEFAULT = (
    PermissionBit.CREATE_INSTANT_INVITE
    | PermissionBit.ADD_REACTIONS
    | PermissionBit.VIEW_CHANNEL
    | PermissionBit.SEND_MESSAGES
    | PermissionBit.EMBED_LINKS
    | PermissionBit.ATTACH_FILES
    | PermissionBit.READ_MESSAGE_HISTORY
    | PermissionBit.MENTION_EVERYONE
    | PermissionBit.USE_EXTERNAL_EMOJIS
    | PermissionBit.CONNECT
    | PermissionBit.SPEAK
    | PermissionBit.CHANGE_NICKNAME
    | PermissionBit.USE_APPLICATION_COMMANDS
    | PermissionBit.CREATE_PUBLIC_THREADS
    | PermissionBit.CREATE_PRIVATE_THREADS
    | PermissionBit.SEND_MESSAGES_IN_THREADS
)

BOT_DEFAULT = (
    PermissionBit.VIEW_CHANNEL
    | PermissionBit.SEND_MESSAGES
    | PermissionBit.EMBED_LINKS
    | PermissionBit.ATTACH_FILES
    | PermissionBit.READ_MESSAGE_HISTORY
    | PermissionBit.CREATE_PUBLIC_THREADS
    | PermissionBit.SEND_MESSAGES_IN_THREADS
    | PermissionBit.PIN_MESSAGES
)


@dataclass(frozen=True, slots=True)
class ChannelOverwrite:
    """A channel's permission overwrite for one role (`kind` 0) or member (`kind` 1)."""

    kind: int
    allow: int = 0
    deny: int = 0


def in_channel(
    base: int, guild_id: int, member_id: int, role_ids: Sequence[int], overwrites: Mapping[int, ChannelOverwrite]
) -> int:
    """Apply the channel's overwrites of @everyone, then roles, then the member."""
    if base & PermissionBit.ADMINISTRATOR:
        return ALL
    value = base
    everyone = overwrites.get(guild_id)
    if everyone is not None:
        value = (value & ~everyone.deny) | everyone.allow
    allow = deny = 0
    for role_id in role_ids:
        overwrite = overwrites.get(role_id)
        if overwrite is not None and overwrite.kind == 0:
            allow |= overwrite.allow
            deny |= overwrite.deny
    value = (value & ~deny) | allow
    own = overwrites.get(member_id)
    if own is not None and own.kind == 1:
        value = (value & ~own.deny) | own.allow
    if not value & PermissionBit.VIEW_CHANNEL:
        return 0
    if not value & PermissionBit.SEND_MESSAGES:
        value &= ~(PermissionBit.MENTION_EVERYONE | PermissionBit.ATTACH_FILES | PermissionBit.EMBED_LINKS)
    return value
