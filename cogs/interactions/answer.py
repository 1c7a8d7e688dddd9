"""Answer an interaction: acknowledge, act only if accepted, edit the answer.

Discord accepts an acknowledgement only within 3 s. Its rejection (10062), and not a local clock, decides that a click
is too late: a click that was replayed after a lost connection is rejected and then nothing is done. The acknowledgement
decides whether the answer is private, so rank and service are checked before it. The answer is an edit, which may
safely be repeated.
"""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import aiohttp
import discord

from cogs.cards.rendered import RenderedMessage, refusal, say
from cogs.interactions.arguments import action_of, actor_of, bot_of, engine_of
from cogs.interactions.views import view_of
from opsbot.core.access import Action, Actor
from opsbot.core.deployment import Refused
from opsbot.engine import Engine
from opsbot.runtime.ticks import loop_time

log = logging.getLogger(__name__)

T = TypeVar("T")

ALREADY_ACKNOWLEDGED = 40060
ACKNOWLEDGE_SECONDS = 12.0
"""Repeating until then is conclusive: either the first one was accepted (40060) or it is too late (10062)."""
FIRST_RETRY_SECONDS = 0.9
"""discord.py repeats a callback a second after a 5xx. An earlier 40060 means that somebody else answered."""
FILL_DELAYS = (0.5, 1, 2, 4, 8, 15, 30, 60, 120)
NO_MENTIONS = discord.AllowedMentions.none()
CONNECTION = (aiohttp.ClientError, OSError, TimeoutError)


@dataclass(frozen=True, slots=True)
class Interim:
    """An answer that is true for now, and the one that replaces it once the outcome is known."""

    shown: RenderedMessage
    outcome: Callable[[], Awaitable[RenderedMessage]]


Work = Callable[[Actor], Awaitable[RenderedMessage | Interim]]


async def acknowledge(interaction: discord.Interaction, *, private: bool, update: bool = False) -> bool:
    """Acknowledge an interaction.

    Returns whether Discord accepted it and the action may run.

    update: the answer will replace the button's message.
    """
    clicks = bot_of(interaction).clicks
    if not clicks.first(interaction.id):
        return False
    with clicks.rush.first_response():
        return await _taken(interaction, private=private, update=update)


async def _taken(interaction: discord.Interaction, *, private: bool, update: bool) -> bool:
    began, uncertain = loop_time(), False
    while loop_time() - began < ACKNOWLEDGE_SECONDS:
        try:
            async with asyncio.timeout(ACKNOWLEDGE_SECONDS):
                await interaction.response.defer(ephemeral=private, thinking=not update)
        except discord.HTTPException as error:
            if error.code == ALREADY_ACKNOWLEDGED:
                return uncertain or loop_time() - began >= FIRST_RETRY_SECONDS
            log.info("interaction dropped, its acknowledgement was rejected: %s", error)
            return False
        except CONNECTION as error:
            uncertain = True
            log.info("an acknowledgement got no answer, repeating it: %r", error)
            await asyncio.sleep(0.2)
        else:
            return True
    return False


async def respond(
    interaction: discord.Interaction,
    action: Action,
    work: Work,
    *,
    service: str | None = None,
    public: bool = False,
    update: bool = False,
) -> None:
    """Answer an interaction with the result of `work`.

    public: visible to all, unless it will be refused.
    """
    engine, actor = engine_of(interaction), actor_of(interaction)
    known = service is None or service in engine.config.services
    public = public and known and engine.config.roles.allow(actor, action)
    if not await acknowledge(interaction, private=not public, update=update):
        return
    rush = bot_of(interaction).clicks.rush
    await rush.give_way()
    try:
        shown = await work(actor)
        if isinstance(shown, Interim):
            await rush.give_way()
            await fill(interaction, shown.shown, public=public)
            shown = await shown.outcome()
    except Exception:
        # Boundary of every command and button: the user gets a number, the log the traceback under that number.
        number = secrets.token_hex(3)
        log.exception("error %s: %s by %s failed", number, action, actor.id)
        shown = say(f"Internal error {number}; see opsbot's log.")
    await rush.give_way()
    await fill(interaction, shown, public=public)


async def show(
    interaction: discord.Interaction,
    ask: Callable[[Engine, Actor], Awaitable[T | Refused]],
    card: Callable[[T], RenderedMessage],
    *,
    service: str | None = None,
    public: bool = False,
) -> None:
    """Answer a command with the card of what the engine returns, or with its refusal. public: see `respond`."""
    engine = engine_of(interaction)

    async def work(actor: Actor) -> RenderedMessage:
        found = await ask(engine, actor)
        return refusal(found) if isinstance(found, Refused) else card(found)

    await respond(interaction, action_of(interaction), work, service=service, public=public)


async def fill(interaction: discord.Interaction, shown: RenderedMessage, *, public: bool) -> None:
    """Edit the acknowledged answer.

    A public one that exceeds the 15 minutes is posted in the channel.
    """
    shown = shown.within(bot_of(interaction).redact)
    for delay in (*FILL_DELAYS, None):
        try:
            await _edit(interaction, shown)
        except discord.DiscordServerError as error:
            trouble: Exception = error
        except discord.HTTPException as error:
            if error.status == 400 and shown != shown.plainly():  # noqa: PLR2004 - HTTP's Bad Request
                log.exception("Discord rejected an answer; sending its text only")
                shown = shown.plainly()
                continue
            await _too_late(interaction, shown, error, public=public)
            return
        except CONNECTION as error:
            trouble = error
        else:
            return
        if delay is not None:
            log.info("an answer could not be sent, retrying in %s s: %r", delay, trouble)
            await asyncio.sleep(delay)
    log.warning("an answer was never sent: %r", trouble)


async def _edit(interaction: discord.Interaction, shown: RenderedMessage) -> None:
    file = shown.attachment()
    async with asyncio.timeout(30):
        await interaction.edit_original_response(
            content=shown.content,
            embeds=[embed] if (embed := shown.embed()) else [],
            attachments=[file] if file else [],
            view=view_of(shown.buttons),
            allowed_mentions=NO_MENTIONS,
        )


async def _too_late(
    interaction: discord.Interaction, shown: RenderedMessage, error: Exception, *, public: bool
) -> None:
    log.warning("an answer came too late for its interaction: %s", error)
    if not public or interaction.channel_id is None:
        return  # a private answer must not become public
    try:
        async with asyncio.timeout(30):
            channel = interaction.client.get_partial_messageable(interaction.channel_id)
            # `send` treats None as absent; its stubs do not say so.
            await cast("Any", channel).send(shown.content, embed=shown.embed(), allowed_mentions=NO_MENTIONS)
    except (discord.DiscordException, *CONNECTION) as failure:
        log.warning("posting it in the channel failed, too: %r", failure)
