"""Check that the escalation role exists and that the bot may ping it.

Nobody is pinged.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from opsbot.core.discord_permissions import ADMINISTRATOR, MENTION_EVERYONE
from opsbot.doctor.findings import Area, Finding, Subject

NAME = "escalation role"
_DISCORD = Subject(Area.DISCORD)
COPY = "Server Settings, Roles: right-click the role, Copy Role ID; then alerts.escalate_role"


def examine(
    role: int, guild: int, roles: Iterable[Mapping[str, Any]], permissions: int | None, channel: str
) -> Finding:
    """Check one role.

    permissions: the bot's permissions in the ops channel, None if unknown.
    """
    if role == guild:
        seen = "alerts.escalate_role is the id of @everyone, which Discord does not ping as a role"
        return _DISCORD.fail(NAME, seen, COPY)
    found = next((one for one in roles if str(one.get("id")) == str(role)), None)
    if found is None:
        return _DISCORD.fail(NAME, f"the server has no role {role} (alerts.escalate_role)", COPY)
    name = str(found.get("name", role))
    if found.get("mentionable"):
        return _DISCORD.passed(NAME, f"{name} can be mentioned by everybody")
    if permissions is not None and permissions & (MENTION_EVERYONE | ADMINISTRATOR):
        return _DISCORD.passed(NAME, f"{name} can be mentioned by the bot in #{channel}")
    fix = (
        f"Server Settings, Roles, {name}: Allow anyone to @mention this role; or #{channel}, Edit Channel, "
        "Permissions: allow the bot's role to Mention @everyone, @here and All Roles"
    )
    return _DISCORD.fail(NAME, f"{name} would not be pinged: it is not mentionable", fix)
