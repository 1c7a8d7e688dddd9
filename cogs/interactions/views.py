"""Buttons that survive restarts: the custom id holds their whole state.

    ops:1:<action>:<service>:<ident>      at most 100 characters

The 1 is the version of this grammar; buttons of other versions get an explanation (`opsbot.bot.client`).
"""

import re
from collections.abc import Sequence
from typing import Protocol, Self, cast

import discord

from cogs.cards.rendered import Button

PREFIX = "ops:"
CUSTOM_ID = 100
TEMPLATE = re.compile(r"ops:1:(?P<action>[a-z]+):(?P<service>[^:]*):(?P<ident>.*)")


class Pressed(Protocol):
    """The bot as buttons use it."""

    async def pressed(self, interaction: discord.Interaction, action: str, service: str, ident: str) -> None:
        """Handle a pressed button."""


class OpsButton(discord.ui.DynamicItem[discord.ui.Button[discord.ui.View]], template=TEMPLATE):
    """A button of opsbot, recreated from its custom id at every press."""

    def __init__(self, action: str, service: str, ident: str, item: discord.ui.Button[discord.ui.View]) -> None:
        super().__init__(item)
        self.action = action
        self.service = service
        self.ident = ident

    @classmethod
    def of(cls, button: Button) -> Self | None:
        """Build the button to send; None if its custom id is too long for Discord."""
        custom_id = f"ops:1:{button.action}:{button.service}:{button.ident}"
        if len(custom_id) > CUSTOM_ID:
            return None
        item: discord.ui.Button[discord.ui.View] = discord.ui.Button(
            label=button.label, style=button.style, custom_id=custom_id
        )
        return cls(button.action, button.service, button.ident, item)

    @classmethod
    async def from_custom_id(  # type: ignore[override] # the item is a button: the template matches no other
        cls,
        interaction: discord.Interaction,  # noqa: ARG003 - the library's signature
        item: discord.ui.Button[discord.ui.View],
        match: re.Match[str],
        /,
    ) -> Self:
        """Recreate the button of a message of any age."""
        return cls(match["action"], match["service"], match["ident"], item)

    async def callback(self, interaction: discord.Interaction) -> None:
        await cast("Pressed", interaction.client).pressed(interaction, self.action, self.service, self.ident)


def view_of(buttons: Sequence[Button]) -> discord.ui.View | None:
    """Build the row of buttons; None without buttons."""
    items = [item for button in buttons if (item := OpsButton.of(button)) is not None]
    if not items:
        return None
    view = discord.ui.View(timeout=None)
    for item in items:
        view.add_item(item)
    return view
