"""Discord's REST routes that an ops bot uses. Others answer 404 and are recorded.

https://discord.com/developers/docs/reference; the handlers only read the request and show the outcome, the rules are
in `state`, `messages` and `limits`. Commands and interactions: `rest_replies`.
"""

from dataclasses import dataclass
from datetime import datetime

from aiohttp import web

from opsbot.standin.errors import ApiError, Json, refuse
from opsbot.standin.gateway import SESSION_STARTS, Gateway
from opsbot.standin.guild import PUBLIC_THREAD, Channel, thread_member
from opsbot.standin.messages import OLD_MESSAGE_SECONDS, Messages
from opsbot.standin.permissions import PermissionBit
from opsbot.standin.plumbing import (
    PREFIX,
    answer,
    nothing,
    number,
    query_limit,
    query_number,
    read_message,
    read_object,
)
from opsbot.standin.ratelimit import RateLimits
from opsbot.standin.state import APPLICATION_ID, BOT_USER_ID, GUILD_ID, GatewayEvent, Intent, StandinState


@dataclass(frozen=True, slots=True)
class Rest:
    """The handlers, by what they touch."""

    state: StandinState
    messages: Messages
    gateway: Gateway
    limits: RateLimits

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Register every route."""
        channel, message = "/channels/{channel}", "/channels/{channel}/messages/{message}"
        routes = [
            ("GET", "/gateway", self.get_gateway),
            ("GET", "/gateway/bot", self.get_gateway_bot),
            ("GET", "/users/@me", self.get_me),
            ("GET", "/users/{user}", self.get_user),
            ("GET", "/oauth2/applications/@me", self.get_application),
            ("GET", "/applications/@me", self.get_application),
            ("GET", "/guilds/{guild}", self.get_guild),
            ("GET", "/guilds/{guild}/channels", self.get_channels),
            ("GET", "/guilds/{guild}/roles", self.get_roles),
            ("GET", "/guilds/{guild}/members", self.get_members),
            ("GET", "/guilds/{guild}/members/{member}", self.get_member),
            ("GET", "/guilds/{guild}/threads/active", self.get_active_threads),
            ("GET", channel, self.get_channel),
            ("PATCH", channel, self.patch_channel),
            ("DELETE", channel, self.delete_channel),
            ("POST", f"{channel}/typing", self.post_typing),
            ("GET", f"{channel}/messages", self.get_messages),
            ("POST", f"{channel}/messages", self.post_message),
            ("GET", f"{channel}/messages/pins", self.get_pins),
            ("PUT", f"{channel}/messages/pins/{{message}}", self.put_pin),
            ("DELETE", f"{channel}/messages/pins/{{message}}", self.delete_pin),
            ("GET", message, self.get_message),
            ("PATCH", message, self.patch_message),
            ("DELETE", message, self.delete_message),
            ("PUT", f"{message}/reactions/{{emoji}}/@me", self.put_reaction),
            ("DELETE", f"{message}/reactions/{{emoji}}/@me", self.delete_reaction),
            ("POST", f"{message}/threads", self.post_thread),
            ("POST", f"{channel}/threads", self.post_thread),
            ("GET", f"{channel}/threads/archived/public", self.get_archived_threads),
            ("GET", f"{channel}/thread-members", self.get_thread_members),
            ("GET", f"{channel}/thread-members/{{member}}", self.get_thread_member),
            ("PUT", f"{channel}/thread-members/{{member}}", self.put_thread_member),
            ("DELETE", f"{channel}/thread-members/{{member}}", self.delete_thread_member),
        ]
        for method, path, handler in routes:
            router.add_route(method, PREFIX + path, handler)

    # gateway and users

    async def get_gateway(self, _: web.Request) -> web.Response:
        """The gateway's address."""
        return answer({"url": self.gateway.url()})

    async def get_gateway_bot(self, _: web.Request) -> web.Response:
        """The gateway's address, and how many IDENTIFYs are left today."""
        left = max(SESSION_STARTS - self.gateway.starts, 0)
        limit = {"total": SESSION_STARTS, "remaining": left, "reset_after": 86_400_000, "max_concurrency": 1}
        return answer({"url": self.gateway.url(), "shards": 1, "session_start_limit": limit})

    async def get_me(self, _: web.Request) -> web.Response:
        """The bot's user."""
        return answer(self.state.bot.user() | {"verified": True, "mfa_enabled": False, "locale": "en-US"})

    async def get_user(self, request: web.Request) -> web.Response:
        """A user."""
        return answer(self.state.user(number(request, "user")).user())

    async def get_application(self, _: web.Request) -> web.Response:
        """The bot's application."""
        owner = next(m for m in self.state.members.values() if not m.bot)
        return answer(
            {
                "id": str(APPLICATION_ID),
                "name": self.state.bot_name,
                "icon": None,
                "description": "",
                "summary": "",
                "bot_public": False,
                "bot_require_code_grant": False,
                "verify_key": "0" * 64,
                "owner": owner.user(),
                "team": None,
                "flags": self.gateway.application_flags,
                "hook": True,
                "type": None,
                "tags": [],
                "redirect_uris": [],
                "interactions_endpoint_url": None,
                "role_connections_verification_url": None,
                "approximate_guild_count": 1,
                "approximate_user_install_count": 0,
                "bot": self.state.bot.user(),
                "integration_types_config": {"0": {}},
            }
        )

    # guild

    def _guild(self, request: web.Request) -> None:
        if number(request, "guild") != GUILD_ID:
            raise refuse("unknown_guild")

    async def get_guild(self, request: web.Request) -> web.Response:
        """The guild."""
        self._guild(request)
        shown = self.state.guild_json()
        if request.query.get("with_counts", "").lower() in ("1", "true"):
            shown["approximate_member_count"] = len(self.state.members)
            shown["approximate_presence_count"] = sum(m.status != "offline" for m in self.state.members.values())
        return answer(shown)

    async def get_channels(self, request: web.Request) -> web.Response:
        """The guild's channels, without threads."""
        self._guild(request)
        return answer([c.json(GUILD_ID) for c in self.state.channels.values() if not c.is_thread])

    async def get_roles(self, request: web.Request) -> web.Response:
        """The guild's roles."""
        self._guild(request)
        return answer([role.json() for role in self.state.roles.values()])

    async def get_members(self, request: web.Request) -> web.Response:
        """The members: only with the members intent switched on for the application."""
        self._guild(request)
        if not self.gateway.application_flags & (1 << 15):
            raise refuse("missing_access")
        limit, after = query_limit(request, 1, 1000), query_number(request, "after") or 0
        found = sorted((m for m in self.state.members.values() if m.id > after), key=lambda m: m.id)
        return answer([m.json() for m in found[:limit]])

    async def get_member(self, request: web.Request) -> web.Response:
        """A member."""
        self._guild(request)
        return answer(self.state.member(number(request, "member")).json())

    async def get_active_threads(self, request: web.Request) -> web.Response:
        """The threads that are not archived."""
        self._guild(request)
        found = [c for c in self.state.channels.values() if c.is_thread and not c.archived]
        return answer(self._threads(found) | {"has_more": False})

    # channels

    def _channel(self, request: web.Request) -> Channel:
        return self.state.visible_channel(number(request, "channel"))

    def _shown(self, channel: Channel) -> Json:
        return channel.json(GUILD_ID, me=BOT_USER_ID)

    async def get_channel(self, request: web.Request) -> web.Response:
        """A channel or thread."""
        return answer(self._shown(self._channel(request)))

    async def patch_channel(self, request: web.Request) -> web.Response:
        """Rename, retopic, archive, lock."""
        changes = await read_object(request)
        channel = self._channel(request)
        if not channel.is_thread and ("name" in changes or "topic" in changes):
            self.limits.rename(channel.id)
        return answer(self._shown(self.state.edit_channel(channel.id, changes)))

    async def delete_channel(self, request: web.Request) -> web.Response:
        """Delete a channel or a thread."""
        channel = self._channel(request)
        self.state.require(
            channel, PermissionBit.MANAGE_THREADS if channel.is_thread else PermissionBit.MANAGE_CHANNELS
        )
        shown = self._shown(channel)
        self.state.remove_channel(channel.id)
        return answer(shown)

    async def post_typing(self, request: web.Request) -> web.Response:
        """Show "is typing" for 10 s."""
        channel = self._channel(request)
        self.state.require(channel, PermissionBit.SEND_MESSAGES)
        data = {
            "channel_id": str(channel.id),
            "user_id": str(BOT_USER_ID),
            "guild_id": str(GUILD_ID),
            "timestamp": int(self.state.clock()),
            "member": self.state.bot.json(),
        }
        self.state.emit(GatewayEvent("TYPING_START", data, Intent.TYPING, channel.id))
        return nothing()

    # messages

    async def get_messages(self, request: web.Request) -> web.Response:
        """A page of history, newest first; empty without READ_MESSAGE_HISTORY."""
        channel = self._channel(request)
        limit = query_limit(request, 50, 100)
        before, after, around = (query_number(request, name) for name in ("before", "after", "around"))
        if not self.state.permissions(self.state.bot, channel) & PermissionBit.READ_MESSAGE_HISTORY:
            return answer([])
        return answer(self.messages.history(channel.id, limit=limit, before=before, after=after, around=around))

    async def get_message(self, request: web.Request) -> web.Response:
        """One message."""
        channel = self._channel(request)
        self.state.require(channel, PermissionBit.READ_MESSAGE_HISTORY)
        return answer(self.messages.get(channel.id, number(request, "message")))

    async def post_message(self, request: web.Request) -> web.Response:
        """Send a message."""
        payload, uploads = await read_message(request)
        channel = self._channel(request)
        headers = self.limits.take("POST /channels/messages", channel.id)
        return answer(self.messages.send(channel, self.state.bot, payload, uploads), headers=headers)

    async def patch_message(self, request: web.Request) -> web.Response:
        """Edit a message of the bot's."""
        payload, uploads = await read_message(request)
        channel, message_id = self._channel(request), number(request, "message")
        headers = self.limits.take("PATCH /channels/messages", channel.id)
        self.messages.get(channel.id, message_id)
        if self.messages.age(message_id) > OLD_MESSAGE_SECONDS:
            self.limits.edit_of_old(channel.id)
        return answer(self.messages.edit(channel, message_id, payload, uploads), headers=headers)

    async def delete_message(self, request: web.Request) -> web.Response:
        """Delete a message."""
        self.messages.delete(self._channel(request), number(request, "message"))
        return nothing()

    async def get_pins(self, request: web.Request) -> web.Response:
        """A page of pins."""
        channel = self._channel(request)
        before = request.query.get("before")
        moment = None
        if before is not None:
            try:
                moment = datetime.fromisoformat(before).timestamp()
            except ValueError:
                raise ApiError(400, 50035, "Invalid Form Body") from None
        if not self.state.permissions(self.state.bot, channel) & PermissionBit.READ_MESSAGE_HISTORY:
            return answer({"items": [], "has_more": False})
        return answer(self.messages.pins(channel, limit=query_limit(request, 50, 50), before=moment))

    async def put_pin(self, request: web.Request) -> web.Response:
        """Pin."""
        self.messages.pin(self._channel(request), number(request, "message"), pinned=True)
        return nothing()

    async def delete_pin(self, request: web.Request) -> web.Response:
        """Unpin."""
        self.messages.pin(self._channel(request), number(request, "message"), pinned=False)
        return nothing()

    async def put_reaction(self, request: web.Request) -> web.Response:
        """React."""
        emoji = request.match_info["emoji"]
        self.messages.react(self._channel(request), number(request, "message"), emoji, add=True)
        return nothing()

    async def delete_reaction(self, request: web.Request) -> web.Response:
        """Remove the bot's reaction."""
        emoji = request.match_info["emoji"]
        self.messages.react(self._channel(request), number(request, "message"), emoji, add=False)
        return nothing()

    # threads

    async def post_thread(self, request: web.Request) -> web.Response:
        """A thread from a message, or a bare one."""
        payload = await read_object(request)
        message_id = number(request, "message") if "message" in request.match_info else None
        thread = self.messages.start_thread(self._channel(request), payload, message_id=message_id)
        return answer(self._shown(thread), 201)

    def _threads(self, threads: list[Channel]) -> Json:
        seen = [t for t in threads if self.state.permissions(self.state.bot, t) & PermissionBit.VIEW_CHANNEL]
        mine = [thread_member(t.id, BOT_USER_ID, t.members[BOT_USER_ID]) for t in seen if BOT_USER_ID in t.members]
        return {"threads": [self._shown(t) for t in seen], "members": mine}

    async def get_archived_threads(self, request: web.Request) -> web.Response:
        """The archived public threads of a channel, latest first."""
        channel = self._channel(request)
        self.state.require(channel, PermissionBit.READ_MESSAGE_HISTORY)
        limit = query_limit(request, 50, 100)
        found = [t for t in self.state.threads_of(channel.id) if t.archived and t.type == PUBLIC_THREAD]
        found.sort(key=lambda t: t.archived_at, reverse=True)
        return answer(self._threads(found[:limit]) | {"has_more": len(found) > limit})

    def _who(self, request: web.Request) -> int:
        return BOT_USER_ID if request.match_info["member"] == "@me" else number(request, "member")

    async def get_thread_members(self, request: web.Request) -> web.Response:
        """Who is in a thread: only with the members intent switched on for the application."""
        thread = self._channel(request)
        if not self.gateway.application_flags & (1 << 15):
            raise refuse("missing_access")
        return answer([thread_member(thread.id, member, at) for member, at in thread.members.items()])

    async def get_thread_member(self, request: web.Request) -> web.Response:
        """One member of a thread."""
        thread, member = self._channel(request), self._who(request)
        if member not in thread.members:
            raise refuse("unknown_member")
        return answer(thread_member(thread.id, member, thread.members[member]))

    async def put_thread_member(self, request: web.Request) -> web.Response:
        """Join a thread, or add someone."""
        self.state.join_thread(self._channel(request), self._who(request))
        return nothing()

    async def delete_thread_member(self, request: web.Request) -> web.Response:
        """Leave a thread, or remove someone."""
        thread, member = self._channel(request), self._who(request)
        if member != BOT_USER_ID:
            self.state.require(thread, PermissionBit.MANAGE_THREADS)
        self.state.leave_thread(thread, member)
        return nothing()
