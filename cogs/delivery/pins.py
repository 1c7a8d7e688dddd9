"""Our own message among the pins of the ops channel: found, pinned, and without the line Discord writes about it."""

import asyncio
import logging

import aiohttp
import discord

from cogs.delivery.channel import FIND_SECONDS, SEND_SECONDS, UNKNOWN_MESSAGE, OpsChannel, asked, lost, marked

log = logging.getLogger(__name__)

PINS = 50
ANNOUNCED_WITHIN = 50
"""So many messages are looked at for the line that says that something was pinned."""


async def pinned(channel: OpsChannel, mark: str) -> list[int]:
    """Our own pinned messages whose footer ends with this mark, the last that was pinned first.

    Raises:
        AwayError: Discord did not answer.
    """
    found: list[int] = []
    try:
        async with asyncio.timeout(FIND_SECONDS):
            pins = channel.messageable().pins(limit=PINS)
            found += [one.id async for one in pins if one.author.id == channel.me and marked(one, mark)]
    except (discord.Forbidden, discord.NotFound) as error:
        log.info("the channel's pins cannot be read: %s", error)
    except (aiohttp.ClientError, OSError, TimeoutError, discord.DiscordException) as error:
        raise lost(error) from error
    return found


async def pin(channel: OpsChannel, message: int) -> None:
    """Pin a message, and take away the line by which Discord tells everybody.

    Raises:
        GoneError: it was deleted.
        ClosedError: opsbot may not pin.
        RefusedMessageError: as many are pinned as can be.
        AwayError: Discord did not answer.
    """
    where = channel.messageable()
    await asked(where.get_partial_message(message).pin(), SEND_SECONDS, gone=UNKNOWN_MESSAGE)
    try:
        async with asyncio.timeout(FIND_SECONDS):
            lines = [one async for one in where.history(limit=ANNOUNCED_WITHIN)]
    except (discord.Forbidden, discord.NotFound) as error:
        log.info("the line about the pin stays: the channel's history cannot be read: %s", error)
        return
    except (aiohttp.ClientError, OSError, TimeoutError, discord.DiscordException) as error:
        raise lost(error) from error
    for line in lines:
        about = line.reference.message_id if line.reference is not None else None
        if line.type is discord.MessageType.pins_add and about == message and line.author.id == channel.me:
            await channel.delete(line.id)


async def still_there(channel: OpsChannel, message: int) -> None:
    """Look whether a message is there.

    Raises:
        GoneError: it was deleted.
        AwayError, ClosedError: as in `OpsChannel.send`.
    """
    await asked(channel.messageable().fetch_message(message), SEND_SECONDS, gone=UNKNOWN_MESSAGE)
