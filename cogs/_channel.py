"""The ops channel: send, edit, find again. Discord's many ways to fail become the four that matter to a sender."""

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, cast

import aiohttp
import discord

from cogs._render import Shown
from cogs._views import view_of

log = logging.getLogger(__name__)

SEND_SECONDS, EDIT_SECONDS, FIND_SECONDS = 20.0, 60.0, 60.0
FIND_MESSAGES = 1000
NO_MENTIONS = discord.AllowedMentions.none()
UNKNOWN_MESSAGE = 10008
BANNED_SECONDS = 60.0
TOO_MANY = 429


class AwayError(Exception):
    """Discord does not answer, or not now. What was sent may have been stored all the same."""

    def __init__(self, text: str, after: float = 0.0) -> None:
        """after: seconds that Discord wants to be left alone, at most."""
        super().__init__(text)
        self.after = after


class ClosedError(Exception):
    """The channel is gone, or opsbot may not write there: a person has to mend it."""


class RefusedMessageError(Exception):
    """Discord does not take this message, however often it is sent."""


class GoneError(Exception):
    """The message to edit was deleted."""


class OpsChannel:
    """One text channel, by way of whatever client is logged in at the moment."""

    def __init__(
        self, client: Callable[[], discord.Client | None], channel_id: int, redact: Callable[[str], str] = str
    ) -> None:
        """`client` gives the client that is logged in, or None. `redact` takes known secrets out of text."""
        self._client = client
        self._redact = redact
        self.id = channel_id
        self.on_rest: Callable[[bool], None] = lambda _: None
        """Told whether Discord took, or might have taken, what was sent."""
        self.edited = -1e9
        """When a message was last edited here, on the monotonic clock: edits share one limit of Discord's."""

    @property
    def open(self) -> bool:
        """Whether anything can be sent at all."""
        return self._client() is not None

    def _channel(self) -> discord.PartialMessageable:
        client = self._client()
        if client is None:
            raise AwayError("opsbot is not logged in to Discord")
        return client.get_partial_messageable(self.id)

    async def send(self, shown: Shown, *, nonce: str, reply_to: int | None, silent: bool) -> int:
        """Post a message; its id. The same nonce within a few minutes gives the same message.

        Raises:
            AwayError: Discord did not answer.
            ClosedError: the channel cannot be written to.
            RefusedMessageError: Discord refuses this message.
        """
        channel, shown = self._channel(), shown.within(self._redact)
        reference = None
        if reply_to is not None:
            reference = discord.MessageReference(message_id=reply_to, channel_id=self.id, fail_if_not_exists=False)
        try:
            async with asyncio.timeout(SEND_SECONDS):
                # To `send` None means absent; its stubs do not say so.
                message: discord.Message = await cast("Any", channel).send(
                    shown.content,
                    embed=shown.embed(),
                    view=view_of(shown.buttons),
                    file=shown.attachment(),
                    nonce=nonce,
                    reference=reference,
                    silent=silent,
                    allowed_mentions=NO_MENTIONS,
                )
        except discord.HTTPException as error:
            meaning = _meaning(error)
            self.on_rest(not isinstance(meaning, AwayError) or error.status == TOO_MANY)
            raise meaning from error
        except (aiohttp.ClientError, OSError, TimeoutError, discord.DiscordException) as error:
            self.on_rest(False)  # noqa: FBT003 - a callback's one argument
            raise _lost(error) from error
        self.on_rest(True)  # noqa: FBT003 - likewise
        return message.id

    async def edit(self, message_id: int, shown: Shown) -> None:
        """Make a message show this.

        Raises:
            GoneError: it was deleted.
            AwayError, ClosedError, RefusedMessageError: as in `send`.
        """
        message, shown = self._channel().get_partial_message(message_id), shown.within(self._redact)
        self.edited = time.monotonic()
        try:
            async with asyncio.timeout(EDIT_SECONDS):
                await message.edit(
                    content=shown.content,
                    embed=shown.embed(),
                    view=view_of(shown.buttons),
                    allowed_mentions=NO_MENTIONS,
                )
        except discord.HTTPException as error:
            if error.status == 404 and error.code == UNKNOWN_MESSAGE:  # noqa: PLR2004 - HTTP's Not Found
                raise GoneError(str(error)) from error
            raise _meaning(error) from error
        except (aiohttp.ClientError, OSError, TimeoutError, discord.DiscordException) as error:
            raise _lost(error) from error

    async def find(self, mark: str, after: datetime) -> int | None:
        """The id of our own message since then whose footer ends with this mark; None where there is none.

        Raises:
            AwayError: Discord did not answer.
        """
        channel, client = self._channel(), self._client()
        me = client.user.id if client is not None and client.user is not None else 0
        try:
            async with asyncio.timeout(FIND_SECONDS):
                async for message in channel.history(limit=FIND_MESSAGES, after=after, oldest_first=False):
                    if message.author.id == me and _marked(message, mark):
                        return message.id
        except (discord.Forbidden, discord.NotFound) as error:
            log.warning("the channel's history cannot be read, so what was sent cannot be looked for: %s", error)
        except (aiohttp.ClientError, OSError, TimeoutError, discord.DiscordException) as error:
            raise _lost(error) from error
        return None


def _marked(message: discord.Message, mark: str) -> bool:
    footers = [embed.footer.text or "" for embed in message.embeds]
    lines = message.content.splitlines()
    return any(text.endswith(mark) for text in (*footers, *lines[-1:]))


def _meaning(error: discord.HTTPException) -> Exception:
    if error.status in {401, 403, 404}:
        # Asked again seldom: 10 000 such answers in ten minutes, and Discord bans the address.
        return ClosedError(f"{error.text or error} (code {error.code})")
    if error.status == 400 or error.status == 413:  # noqa: PLR1714, PLR2004 - HTTP's Bad Request, Content Too Large
        return RefusedMessageError(str(error))
    if error.status == TOO_MANY:
        # Not one that discord.py waits out: from Cloudflare, or the fifth in a row. Each more counts towards a ban.
        return AwayError(f"too many requests: {error.text}", _seconds(error.response.headers.get("Retry-After")))
    return AwayError(f"HTTP {error.status}: {error.text}")


def _seconds(header: str | None) -> float:
    try:
        return min(max(float(header or BANNED_SECONDS), 1.0), 10 * BANNED_SECONDS)
    except ValueError:
        return BANNED_SECONDS


def _lost(error: Exception) -> AwayError:
    return AwayError(repr(error), error.retry_after if isinstance(error, discord.RateLimited) else 0.0)
