"""The ops channel: send, edit, find messages.

Maps Discord's failures to the four that matter.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar, cast

import aiohttp
import discord

from cogs.cards.rendered import RenderedMessage
from cogs.cards.text import one_line
from cogs.delivery.rate_budget import RateBudget, RateKey, WriteKind, WritePriority
from cogs.interactions.views import view_of
from opsbot.runtime.ticks import loop_time, utc_now

log = logging.getLogger(__name__)

T = TypeVar("T")

SEND_SECONDS, EDIT_SECONDS, FIND_SECONDS = 20.0, 60.0, 60.0
FIND_MESSAGES = 1000
NO_MENTIONS = discord.AllowedMentions.none()
UNKNOWN_CHANNEL, UNKNOWN_MESSAGE, NOT_AUTHOR, THREAD_ARCHIVED, THREAD_EXISTS = 10003, 10008, 50005, 50083, 160004
ARCHIVE_MINUTES: Final = 1440
"""Minutes; an inactive thread is archived after a day, and writing restores it."""
PUBLIC_THREAD: Final = 11
BANNED_SECONDS = 60.0
OLD = timedelta(minutes=55)
"""Discord limits edits of messages older than an hour separately and more strictly."""
TOO_MANY = 429


class AwayError(Exception):
    """Discord does not answer. The message may have been stored all the same."""

    def __init__(self, text: str, after: float = 0.0) -> None:
        """after: seconds to wait, as requested by Discord."""
        super().__init__(text)
        self.after = after


class ClosedError(Exception):
    """The channel is gone or opsbot may not write there; a person has to fix it."""


class NotOursError(ClosedError):
    """The message belongs to another bot user that opsbot used before."""


class RefusedMessageError(Exception):
    """Discord rejects this message permanently."""


class GoneError(Exception):
    """The message or thread was deleted."""


class OpsChannel:
    """One text channel, accessed by the current client.

    All requests use one rate budget.
    """

    def __init__(
        self,
        client: Callable[[], discord.Client | None],
        channel_id: int,
        redact: Callable[[str], str] = str,
        budget: RateBudget | None = None,
        clock: Callable[[], datetime] = utc_now,
        on_rest: Callable[[bool], None] = lambda _: None,
    ) -> None:
        """client: returns the logged-in client or None. redact: redacts known secrets.

        on_rest: called with whether Discord accepted, or may have accepted, a request.
        """
        self._client = client
        self._redact = redact
        self._budget = budget or RateBudget()
        self._clock = clock
        self._banned_until = 0.0
        """Monotonic time in seconds; every request during a ban prolongs it."""
        self.id = channel_id
        self._on_rest = on_rest

    @property
    def open(self) -> bool:
        return self._client() is not None

    def clean(self, text: str) -> str:
        return self._redact(text)

    def _client_now(self) -> discord.Client:
        client = self._client()
        if client is None:
            raise AwayError("opsbot is not logged in to Discord")
        rest = self._banned_until - loop_time()
        if rest > 0:
            raise AwayError("Discord bans this host's address for now", rest)
        return client

    @property
    def me(self) -> int:
        """The bot's user id; 0 while unknown."""
        user = self._client_now().user
        return user.id if user is not None else 0

    def messageable(self, where: int | None = None) -> discord.PartialMessageable:
        """Return the ops channel, or the thread or channel of this id."""
        return self._client_now().get_partial_messageable(where or self.id)

    # Rate budget

    def rest_to_send(self, where: int | None, rank: WritePriority) -> float:
        """Return the seconds until a message may be posted there."""
        return self._budget.rest(rank, RateKey(WriteKind.SEND, where or self.id))

    async def turn_to_send(self) -> None:
        """Wait until a message may be posted in the ops channel."""
        await self._budget.turn(WritePriority.ALARM, RateKey(WriteKind.SEND, self.id))

    def rest_to_edit(self, message_id: int, rank: WritePriority) -> float:
        """Return the seconds until a message of the ops channel may be edited."""
        return self._budget.rest(rank, *self._edit_keys(message_id))

    async def turn_to_edit(self, message_id: int) -> None:
        """Wait until a card of the ops channel may be edited."""
        await self._budget.turn(WritePriority.CARD, *self._edit_keys(message_id))

    def _edit_keys(self, message_id: int) -> list[RateKey]:
        old = self._clock() - discord.utils.snowflake_time(message_id) > OLD
        return [RateKey(kind, self.id) for kind in ((WriteKind.EDIT, WriteKind.EDIT_OLD) if old else (WriteKind.EDIT,))]

    # Requests

    def why_no_ping(self, role: int) -> str:
        """Return why a role cannot be pinged here; "" if it can or if unknown."""
        channel = self._client_now().get_channel(self.id)
        if not isinstance(channel, discord.TextChannel):
            return ""
        found = channel.guild.get_role(role)
        if found is None:
            return f"escalation role {role} cannot be pinged: the server has no such role"
        if found.mentionable or channel.permissions_for(channel.guild.me).mention_everyone:
            return ""
        return (
            f"escalation role {one_line(found.name, 40)} cannot be pinged: make it mentionable, or grant the "
            "bot Mention Everyone"
        )

    async def send(
        self,
        shown: RenderedMessage,
        *,
        nonce: str,
        reply_to: int | None,
        silent: bool,
        where: int | None = None,
        role: int | None = None,
        rank: WritePriority = WritePriority.ALARM,
    ) -> int:
        """Post a message and return its id.

        Repeating a nonce within a few minutes returns the same message.

        where: a thread or channel other than the ops channel. role: the only role that the message may ping.

        Raises:
            AwayError: Discord did not answer.
            ClosedError: opsbot may not write there.
            GoneError: `where` was deleted.
            RefusedMessageError: Discord rejects this message.
        """
        shown, reference = shown.within(self._redact), None
        if reply_to is not None:
            reference = discord.MessageReference(message_id=reply_to, channel_id=self.id, fail_if_not_exists=False)
        await self._budget.take(rank, RateKey(WriteKind.SEND, where or self.id))
        mentions = NO_MENTIONS if role is None else _only(role)
        # `send` treats None as absent; its stubs do not say so.
        request = cast("Any", self.messageable(where)).send(
            shown.content,
            embed=shown.embed(),
            view=view_of(shown.buttons),
            file=shown.attachment(),
            nonce=nonce,
            reference=reference,
            silent=silent,
            allowed_mentions=mentions,
        )
        try:
            message: discord.Message = await self.request(
                request, SEND_SECONDS, gone=UNKNOWN_CHANNEL if where is not None else None
            )
        except AwayError as error:
            # A rate-limited answer proves that Discord is available.
            self._on_rest(error.after > 0)
            raise
        except (ClosedError, GoneError, RefusedMessageError):
            self._on_rest(True)  # noqa: FBT003 - a callback's one argument
            raise
        self._on_rest(True)  # noqa: FBT003 - a callback's one argument
        return message.id

    async def start_thread(self, message_id: int, name: str, *, bare: bool = False) -> int:
        """Create a public thread from a message and return its id.

        An existing one is reused.

        bare: create it without a message, because a message can have only one thread, even if that was deleted.

        Raises:
            GoneError: the message was deleted.
            AwayError, ClosedError, RefusedMessageError: as in `send`.
        """
        await self._budget.take(WritePriority.LINE)
        http = self._client_now().http
        if bare:
            made = http.start_thread_without_message(
                self.id, name=name, auto_archive_duration=ARCHIVE_MINUTES, type=PUBLIC_THREAD
            )
        else:
            made = http.start_thread_with_message(self.id, message_id, name=name, auto_archive_duration=ARCHIVE_MINUTES)
        try:
            thread = await self.request(cast("Any", made), SEND_SECONDS, gone=UNKNOWN_MESSAGE)
        except RefusedMessageError as error:
            cause = error.__cause__
            if isinstance(cause, discord.HTTPException) and cause.code == THREAD_EXISTS:
                return message_id  # a thread from a message has the message's id
            raise
        return int(thread["id"])

    async def edit(self, message_id: int, shown: RenderedMessage, rank: WritePriority = WritePriority.CARD) -> None:
        """Edit a message.

        Raises:
            GoneError: it was deleted.
            AwayError, ClosedError, RefusedMessageError: as in `send`.
        """
        await self._budget.take(rank, *self._edit_keys(message_id))
        message, shown = self.messageable().get_partial_message(message_id), shown.within(self._redact)
        await self.request(
            message.edit(
                content=shown.content,
                embed=shown.embed(),
                view=view_of(shown.buttons),
                allowed_mentions=NO_MENTIONS,
            ),
            EDIT_SECONDS,
            gone=UNKNOWN_MESSAGE,
        )

    async def delete(self, message_id: int, *, where: int | None = None) -> None:
        """Delete an own message; a missing one is no error. where: another channel.

        Raises:
            AwayError, ClosedError, RefusedMessageError: as in `send`.
        """
        await self._budget.take(WritePriority.TAIL)
        with suppress(GoneError):
            message = self.messageable(where).get_partial_message(message_id)
            await self.request(message.delete(), SEND_SECONDS, gone=UNKNOWN_MESSAGE)

    async def reach(self) -> None:
        """Request the channel to test whether Discord answers.

        Raises:
            AwayError, ClosedError: as in `send`.
        """
        await self.request(cast("Any", self._client_now().http.get_channel(self.id)), SEND_SECONDS)

    async def find(
        self,
        mark: str,
        after: datetime,
        *,
        where: int | None = None,
        line: str | None = None,
        but: Collection[int] = (),
    ) -> int | None:
        """Find the id of an own message since then whose footer ends with this mark.

        None without one.

        where: a thread instead of the ops channel. line: search for a message whose first line is this, instead of
        the mark. but: messages to exclude.

        Raises:
            AwayError: Discord did not answer.
        """
        channel, me = self.messageable(where), self.me
        wanted = None if line is None else self._redact(line).strip()
        try:
            async with asyncio.timeout(FIND_SECONDS):
                async for message in channel.history(limit=FIND_MESSAGES, after=after, oldest_first=False):
                    if message.author.id != me or message.id in but:
                        continue
                    if marked(message, mark) if wanted is None else message.content.split("\n")[0].strip() == wanted:
                        return message.id
        except (discord.Forbidden, discord.NotFound) as error:
            log.warning("the channel's history cannot be read, so sent messages cannot be searched for: %s", error)
        except (aiohttp.ClientError, OSError, TimeoutError, discord.DiscordException) as error:
            raise self.lost(error) from error
        return None

    async def request(self, work: Coroutine[Any, Any, T], seconds: float, gone: int | None = None) -> T:
        """Await a request. gone: the code of a 404 that means a `GoneError`.

        Raises:
            GoneError, AwayError, ClosedError, RefusedMessageError: the request failed.
        """
        try:
            async with asyncio.timeout(seconds):
                return await work
        except discord.HTTPException as error:
            if error.status == 404 and error.code == gone:  # noqa: PLR2004 - HTTP's Not Found
                raise GoneError(str(error)) from error
            raise self._meaning(error) from error
        except (aiohttp.ClientError, OSError, TimeoutError, discord.DiscordException) as error:
            raise self.lost(error) from error

    def lost(self, error: Exception) -> AwayError:
        if isinstance(error, discord.HTTPException) and error.status == TOO_MANY:
            return self._too_many(error)
        return AwayError(repr(error), error.retry_after if isinstance(error, discord.RateLimited) else 0.0)

    def _too_many(self, error: discord.HTTPException) -> AwayError:
        """Build the error of a 429 that discord.py does not handle: from Cloudflare, or the fifth in a row."""
        headers = error.response.headers
        after = _seconds(headers.get("Retry-After"))
        if "Via" not in headers or "json" not in headers.get("Content-Type", ""):
            # Cloudflare's answer concerns every request of this address, not one route.
            self._banned_until = max(self._banned_until, loop_time() + after)
        return AwayError(f"too many requests: {error.text}", after)

    def _meaning(self, error: discord.HTTPException) -> Exception:
        if error.code == NOT_AUTHOR:
            return NotOursError(f"{error.text} (code {error.code})")
        if error.status in {401, 403, 404}:
            # Repeated rarely: Discord bans an IP address after 10,000 such answers in ten minutes.
            return ClosedError(f"{error.text or error} (code {error.code})")
        if error.code == THREAD_ARCHIVED:
            return ClosedError(f"{error.text} (code {error.code})")
        if error.status == 400 or error.status == 413:  # noqa: PLR1714, PLR2004 - HTTP's Bad Request, Content Too Large
            return RefusedMessageError(str(error))
        if error.status == TOO_MANY:
            return self._too_many(error)
        return AwayError(f"HTTP {error.status}: {error.text}")


def _only(role: int) -> discord.AllowedMentions:
    return discord.AllowedMentions(everyone=False, users=False, roles=[discord.Object(role)], replied_user=False)


def marked(message: discord.Message, mark: str) -> bool:
    """Whether a message's footer or last line ends with this mark."""
    footers = [embed.footer.text or "" for embed in message.embeds]
    lines = message.content.splitlines()
    return any(text.endswith(mark) for text in (*footers, *lines[-1:]))


def _seconds(header: str | None) -> float:
    try:
        return min(max(float(header or BANNED_SECONDS), 1.0), 10 * BANNED_SECONDS)
    except ValueError:
        return BANNED_SECONDS
