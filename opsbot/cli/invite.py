"""The link that invites opsbot to a server, with exactly the scopes and permissions it needs."""

import base64
import binascii
from enum import IntFlag
from urllib.parse import urlencode


class Permission(IntFlag):
    """The permissions opsbot needs in its channel. Bits: Discord's documentation, "Permissions"."""

    VIEW_CHANNEL = 1 << 10
    SEND_MESSAGES = 1 << 11
    EMBED_LINKS = 1 << 14
    ATTACH_FILES = 1 << 15
    READ_MESSAGE_HISTORY = 1 << 16
    CREATE_PUBLIC_THREADS = 1 << 35
    SEND_MESSAGES_IN_THREADS = 1 << 38


NEEDED = Permission(sum(Permission))
SCOPES = ("bot", "applications.commands")


def invite_link(application: str) -> str:
    """The link for the application of this id."""
    query = urlencode({"client_id": application, "scope": " ".join(SCOPES), "permissions": int(NEEDED)})
    return f"https://discord.com/oauth2/authorize?{query}"


def application_of(token: str) -> str | None:
    """The application id that a bot's token begins with (base64, up to the first dot); None where it does not."""
    first = token.strip().partition(".")[0]
    try:
        name = base64.urlsafe_b64decode(first + "=" * (-len(first) % 4)).decode("ascii")
    except (binascii.Error, ValueError):
        return None
    return name if name.isdigit() and 17 <= len(name) <= 19 else None  # noqa: PLR2004 - the digits of a Discord id
