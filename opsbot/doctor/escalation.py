"""The role that unacknowledged incidents are escalated to: there, and to be pinged by the bot. Nobody is pinged."""

from collections.abc import Iterable, Mapping
from typing import Any

from opsbot.core.discord_permissions import ADMINISTRATOR, MENTION_EVERYONE
from opsbot.doctor.findings import Area, Finding, fail, well

NAME = "escalation role"
COPY = "Server Settings, Roles: right-click the role, Copy Role ID; then alerts.escalate_role"


def look(role: int, guild: int, roles: Iterable[Mapping[str, Any]], held: int | None, channel: str) -> Finding:
    """What comes of a ping of it. held: the bot's permissions in the ops channel, None where they are not known."""
    if role == guild:
        seen = "alerts.escalate_role is the id of @everyone, which Discord does not ping as a role"
        return fail(Area.DISCORD, NAME, seen, COPY)
    found = next((one for one in roles if str(one.get("id")) == str(role)), None)
    if found is None:
        return fail(Area.DISCORD, NAME, f"the server has no role {role} (alerts.escalate_role)", COPY)
    name = str(found.get("name", role))
    if found.get("mentionable"):
        return well(Area.DISCORD, NAME, f"{name} can be mentioned by everybody")
    if held is not None and held & (MENTION_EVERYONE | ADMINISTRATOR):
        return well(Area.DISCORD, NAME, f"{name} can be mentioned by the bot in #{channel}")
    mend = (
        f"Server Settings, Roles, {name}: Allow anyone to @mention this role; or #{channel}, Edit Channel, "
        "Permissions: allow the bot's role to Mention @everyone, @here and All Roles"
    )
    return fail(Area.DISCORD, NAME, f"{name} would not be pinged: it is not mentionable", mend)
