import base64
from urllib.parse import parse_qs, urlsplit

import discord
import pytest

from opsbot.cli.invite import application_of, invite_link
from opsbot.core.discord_permissions import NEEDED, Permission


def test_the_link_asks_for_exactly_the_scopes_and_permissions_needed() -> None:
    assert invite_link("100000000000000009") == (
        "https://discord.com/oauth2/authorize"
        "?client_id=100000000000000009&scope=bot+applications.commands&permissions=2252109051448320"
    )


def test_the_permissions_are_the_ones_discord_calls_so() -> None:
    asked = parse_qs(urlsplit(invite_link("1")).query)["permissions"][0]
    allowed = {name for name, value in discord.Permissions(int(asked)) if value}
    assert allowed == {
        "read_messages",  # discord.py's name for VIEW_CHANNEL
        "send_messages",
        "send_messages_in_threads",
        "create_public_threads",
        "embed_links",
        "attach_files",
        "read_message_history",
        "pin_messages",
    }


@pytest.mark.parametrize("permission", list(Permission))
def test_each_bit_has_its_name_in_discord(permission: Permission) -> None:
    assert permission.name is not None
    name = permission.name.lower()
    assert discord.Permissions(**{name: True}).value == permission
    assert permission in NEEDED


def test_the_application_is_told_by_the_first_part_of_the_token() -> None:
    first = base64.urlsafe_b64encode(b"100000000000000009").decode().rstrip("=")
    assert application_of(f"{first}.Gabcde.{'x' * 38}\n") == "100000000000000009"


@pytest.mark.parametrize("token", ["", ".", "abc", "nonsense", "é.x.y", base64.b64encode(b"12").decode() + ".x.y"])
def test_a_token_that_tells_nothing_is_no_error(token: str) -> None:
    assert application_of(token) is None
