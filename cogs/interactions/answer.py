"""The one way an interaction is answered: acknowledge first, act only if that was taken, then fill in the answer.

Discord gives 3 s for the acknowledgement and takes it only in time. That refusal (10062), and no clock of ours, says
that a click comes too late: one that was replayed after a lost connection is refused, and then nothing is done at all.
Whether the answer is private is settled by the acknowledgement and cannot be changed afterwards, so what can be known
beforehand (rank, service) is looked at before it. The answer itself is an edit, which may be repeated without harm.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast

import aiohttp
import discord

from cogs.cards.rendered import RenderedMessage, refusal, say
from cogs.interactions.arguments import actor_of, bot_of, engine_of
from cogs.interactions.views import view_of
from opsbot.core.access import Action, Actor
from opsbot.core.deployment import Refused
from opsbot.engine import Engine

log = logging.getLogger(__name__)

UNKNOWN_INTERACTION, ALREADY_ACKNOWLEDGED = 10062, 40060
ACKNOWLEDGE_SECONDS = 12.0
"""Repeating it until then is conclusive: the first one was taken (40060) or it is too late (10062)."""
FIRST_RETRY_SECONDS = 0.9
"""discord.py repeats a callback after a 5xx, a second later. 40060 sooner than that is an answer by somebody else."""
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
    """Tell Discord that an answer follows; whether Discord took it, so that the deed may be done.

    update: the answer will replace the message the button sits on.
    """
    clicks = bot_of(interaction).clicks
    if not clicks.first(interaction.id):
        return False
    with clicks.rush.first_response():
        return await _taken(interaction, private=private, update=update)


async def _taken(interaction: discord.Interaction, *, private: bool, update: bool) -> bool:
    began, uncertain = time.monotonic(), False
    while time.monotonic() - began < ACKNOWLEDGE_SECONDS:
        try:
            async with asyncio.timeout(ACKNOWLEDGE_SECONDS):
                await interaction.response.defer(ephemeral=private, thinking=not update)
        except discord.HTTPException as error:
            if error.code == ALREADY_ACKNOWLEDGED:
                return uncertain or time.monotonic() - began >= FIRST_RETRY_SECONDS
            log.info("an interaction is not acted upon, its acknowledgement was refused: %s", error)
            return False
        except CONNECTION as error:
            uncertain = True
            log.info("an acknowledgement got no answer, asking again: %r", error)
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
    """Answer an interaction with what `work` shows. public: for all to see, unless it is going to be refused."""
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
        # The edge of every command and button: the person gets a number, the log the traceback under it.
        number = secrets.token_hex(3)
        log.exception("error %s: %s by %s failed", number, action, actor.id)
        shown = say(f"Something went wrong in opsbot. Its log says what, under error {number}.")
    await rush.give_way()
    await fill(interaction, shown, public=public)


async def wrongly_asked(engine: Engine, actor: Actor, action: Action, service: str, wrong: Refused) -> RenderedMessage:
    """The refusal of what makes no sense; of who may not ask at all, that comes first. Both are in the audit log."""
    refused = await engine.door.admit(actor, action, service)
    if refused is None:
        await engine.door.note(actor, action, service, "", wrong)
    return refusal(refused or wrong)


async def fill(interaction: discord.Interaction, shown: RenderedMessage, *, public: bool) -> None:
    """Put the answer where the acknowledgement promised it; after its 15 minutes, a public one into the channel."""
    shown = shown.within(bot_of(interaction).redact)
    for delay in (*FILL_DELAYS, None):
        try:
            await _edit(interaction, shown)
        except discord.DiscordServerError as error:
            trouble: Exception = error
        except discord.HTTPException as error:
            if error.status == 400 and shown != shown.plainly():  # noqa: PLR2004 - HTTP's Bad Request
                log.exception("Discord refused an answer; its sentence alone is sent")
                shown = shown.plainly()
                continue
            await _too_late(interaction, shown, error, public=public)
            return
        except CONNECTION as error:
            trouble = error
        else:
            return
        if delay is not None:
            log.info("an answer could not be sent, again in %s s: %r", delay, trouble)
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
        return  # what was meant for one person is not told to all
    try:
        async with asyncio.timeout(30):
            channel = interaction.client.get_partial_messageable(interaction.channel_id)
            # To `send` None means absent; its stubs do not say so.
            await cast("Any", channel).send(shown.content, embed=shown.embed(), allowed_mentions=NO_MENTIONS)
    except (discord.DiscordException, *CONNECTION) as failure:
        log.warning("nor could it be put into the channel: %r", failure)
