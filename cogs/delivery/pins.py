"""Find and pin opsbot's message, and delete the system message about the pin."""

import asyncio
import logging

import aiohttp
import discord

from cogs.delivery.channel import FIND_SECONDS, SEND_SECONDS, UNKNOWN_MESSAGE, OpsChannel, marked

log = logging.getLogger(__name__)

PINS = 50
ANNOUNCED_WITHIN = 50
"""Number of messages to search for the system message."""


async def pinned(channel: OpsChannel, mark: str) -> list[int]:
    """Return own pinned messages with this mark, most recently pinned first.

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
        raise channel.lost(error) from error
    return found


async def pin(channel: OpsChannel, message: int) -> None:
    """Pin a message and delete the system message about it.

    Raises:
        GoneError: it was deleted.
        ClosedError: opsbot may not pin.
        RefusedMessageError: the limit of pins is reached.
        AwayError: Discord did not answer.
    """
    where = channel.messageable()
    await channel.request(where.get_partial_message(message).pin(), SEND_SECONDS, gone=UNKNOWN_MESSAGE)
    try:
        async with asyncio.timeout(FIND_SECONDS):
            lines = [one async for one in where.history(limit=ANNOUNCED_WITHIN)]
    except (discord.Forbidden, discord.NotFound) as error:
        log.info("the system message about the pin stays, the channel's history cannot be read: %s", error)
        return
    except (aiohttp.ClientError, OSError, TimeoutError, discord.DiscordException) as error:
        raise channel.lost(error) from error
    for line in lines:
        about = line.reference.message_id if line.reference is not None else None
        if line.type is discord.MessageType.pins_add and about == message and line.author.id == channel.me:
            await channel.delete(line.id)


async def still_there(channel: OpsChannel, message: int) -> None:
    """Check that a message exists.

    Raises:
        GoneError: it was deleted.
        AwayError, ClosedError: as in `OpsChannel.send`.
    """
    await channel.request(channel.messageable().fetch_message(message), SEND_SECONDS, gone=UNKNOWN_MESSAGE)
