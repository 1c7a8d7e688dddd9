"""The link that invites opsbot to a server with exactly the permissions it needs."""

import base64
import binascii
from urllib.parse import urlencode

from opsbot.core.discord_permissions import NEEDED

SCOPES = ("bot", "applications.commands")


def invite_link(application: str) -> str:
    query = urlencode({"client_id": application, "scope": " ".join(SCOPES), "permissions": int(NEEDED)})
    return f"https://discord.com/oauth2/authorize?{query}"


def application_of(token: str) -> str | None:
    """Extract the application id from a bot token (base64 up to the first dot).

    None if absent.
    """
    first = token.strip().partition(".")[0]
    try:
        name = base64.urlsafe_b64decode(first + "=" * (-len(first) % 4)).decode("ascii")
    except (binascii.Error, ValueError):
        return None
    return name if name.isdigit() and 17 <= len(name) <= 19 else None  # noqa: PLR2004 - the digits of a Discord id
