"""The permissions opsbot needs in its channel, and how Discord computes them.

Bits and rules: Discord's documentation, "Permissions".
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import IntFlag


class Permission(IntFlag):
    """The permissions of opsbot's invitation, which `opsbot doctor` checks."""

    VIEW_CHANNEL = 1 << 10
    SEND_MESSAGES = 1 << 11
    EMBED_LINKS = 1 << 14
    ATTACH_FILES = 1 << 15
    READ_MESSAGE_HISTORY = 1 << 16
    CREATE_PUBLIC_THREADS = 1 << 35
    SEND_MESSAGES_IN_THREADS = 1 << 38
    PIN_MESSAGES = 1 << 51


NEEDED = Permission(sum(Permission))
OPTIONAL = Permission.CREATE_PUBLIC_THREADS | Permission.SEND_MESSAGES_IN_THREADS | Permission.PIN_MESSAGES
"""Asked for with the others; nothing that opsbot says is lost without them."""
ADMINISTRATOR = 1 << 3
MENTION_EVERYONE = 1 << 17
"""May ping every role; of no use to opsbot where the one role that it pings is mentionable, so not asked for."""


def title(permission: Permission) -> str:
    """What Discord's settings call it: "View Channel"."""
    return (permission.name or str(permission.value)).replace("_", " ").title().replace(" In ", " in ")


@dataclass(frozen=True, slots=True)
class Overwrite:
    """A channel's exception for a role or a member, by its id."""

    id: str
    allow: int
    deny: int


def held_in_channel(
    guild: str, member: str, roles: Collection[str], granted: Iterable[tuple[str, int]], overwrites: Iterable[Overwrite]
) -> int:
    """All permissions that a member has in a channel, as Discord's bits.

    guild, member: their ids; the role @everyone has the guild's. roles: ids of the roles the member holds. granted: the
    permissions of each role of the guild, by its id.
    """
    held = {guild, *roles}
    base = 0
    for role, permissions in granted:
        if role in held:
            base |= permissions
    if base & ADMINISTRATOR:
        return base
    kept = list(overwrites)
    for ids in ({guild}, set(roles), {member}):
        allow = deny = 0
        for one in kept:
            if one.id in ids:
                allow, deny = allow | one.allow, deny | one.deny
        base = (base & ~deny) | allow
    if not base & Permission.VIEW_CHANNEL:
        return 0
    if not base & Permission.SEND_MESSAGES:
        base &= ~(Permission.EMBED_LINKS | Permission.ATTACH_FILES | MENTION_EVERYONE)
    return base
