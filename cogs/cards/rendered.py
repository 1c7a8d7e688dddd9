"""What a message is: a value within Discord's limits. Pure; nothing here talks to Discord.

Limits (Discord's documentation, "Embed limits", "Create Message"): content 2000, embed title 256, description 4096,
footer 2048, all texts of a message's embeds together 6000. Untrusted text goes through `cogs.cards.text`.
"""

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass, replace

import discord

from cogs.cards.style import to_markdown
from opsbot.core.deployment import Refused
from opsbot.formatting import clip

CONTENT = 2000
DESCRIPTION = 4000
GREEN, RED, AMBER, BLUE, GREY = 0x2ECC71, 0xE74C3C, 0xF39C12, 0x3498DB, 0x95A5A6


@dataclass(frozen=True, slots=True)
class Button:
    """A button: what it asks for, and of what. `service` and `ident` travel in its custom id."""

    action: str
    label: str
    service: str
    ident: str
    style: discord.ButtonStyle = discord.ButtonStyle.secondary


@dataclass(frozen=True, slots=True)
class RenderedMessage:
    """One message. `content` says in one sentence what the embed shows; title, text and footer make the embed.

    footer: names the host and marks the message (`#d12`), so that it can be found again.
    """

    content: str
    title: str = ""
    text: str = ""
    colour: int = GREY
    footer: str = ""
    buttons: tuple[Button, ...] = ()
    file: tuple[str, bytes] | None = None

    def embed(self) -> discord.Embed | None:
        if not (self.title or self.text):
            return None
        embed = discord.Embed(
            title=clip(self.title, 256) or None, description=clip(self.text, 4096) or None, colour=self.colour
        )
        if self.footer:
            embed.set_footer(text=clip(self.footer, 200))
        return embed

    def attachment(self) -> discord.File | None:
        """The file; a new object for each try, since a try consumes it."""
        return None if self.file is None else discord.File(io.BytesIO(self.file[1]), self.file[0])

    def digest(self) -> str:
        """Equal for messages that look the same."""
        return hashlib.sha256(repr(self).encode("utf-8", "replace")).hexdigest()

    def within(self, redact: Callable[[str], str]) -> "RenderedMessage":
        """The same within Discord's limits and without known secrets: the last thing done to every message."""
        return replace(
            self,
            content=clip(redact(self.content), CONTENT),
            title=redact(self.title),
            text=redact(self.text),
            footer=redact(self.footer),
            file=self.file and (self.file[0], _redacted(self.file, redact)),
        )

    def plainly(self) -> "RenderedMessage":
        """Only its sentence: for when Discord refuses the rest."""
        return RenderedMessage(clip(self.content, 500) + (f"\n-# {self.footer}" if self.footer else ""))


def _redacted(file: tuple[str, bytes], redact: Callable[[str], str]) -> bytes:
    name, data = file
    # A picture is no text: taken for one, it would be broken.
    return data if name.endswith(".png") else redact(data.decode("utf-8", "replace")).encode()


def say(text: str) -> RenderedMessage:
    return RenderedMessage(text)


def refusal(refused: Refused) -> RenderedMessage:
    """Why not. It may repeat what was typed."""
    return RenderedMessage(f"✋ {to_markdown(refused.message, 900)}")
