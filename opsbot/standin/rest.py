"""Discord's REST routes that an ops bot uses. Others answer 404 and are recorded.

https://discord.com/developers/docs/reference; the handlers only read the request and show the outcome, the rules are
in `state`, `messages`, `interactions` and `limits`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from aiohttp import web

from opsbot.standin.commands import Commands
from opsbot.standin.errors import Json, bad_form, refuse
from opsbot.standin.gateway import MEMBERS_FLAG, SESSION_STARTS, Gateway
from opsbot.standin.guild import OBJECTS, PUBLIC_THREAD, Channel, thread_member
from opsbot.standin.interactions import Interactions
from opsbot.standin.messages import OLD_MESSAGE_SECONDS, Messages
from opsbot.standin.permissions import PermissionBit
from opsbot.standin.plumbing import PREFIX, ApiCall, Handler, answer, serve
from opsbot.standin.ratelimit import RateLimits
from opsbot.standin.state import APPLICATION_ID, BOT_USER_ID, GUILD_ID, Intent, StandinState

T = TypeVar("T")
Route = tuple[str, str, Handler]


@dataclass(frozen=True, slots=True)
class Rest:
    """The handlers: each returns JSON, a whole response, or None for 204."""

    state: StandinState
    messages: Messages
    interactions: Interactions
    gateway: Gateway
    limits: RateLimits

    def add_routes(self, router: web.UrlDispatcher) -> None:
        for method, path, handler in (*self._guild(), *self._channels(), *self._threads(), *self._applications()):
            router.add_route(method, PREFIX + path, serve(handler))

    # users and the guild

    def _guild(self) -> list[Route]:
        state, guild = self.state, "/guilds/{guild}"
        return [
            ("GET", "/gateway", lambda _: {"url": self.gateway.url()}),
            ("GET", "/gateway/bot", self._gateway_bot),
            (
                "GET",
                "/users/@me",
                lambda _: state.bot.user() | {"verified": True, "mfa_enabled": False, "locale": "en-US"},
            ),
            ("GET", "/users/{user}", lambda call: state.user(call.id("user")).user()),
            ("GET", "/oauth2/applications/@me", self._application),
            ("GET", "/applications/@me", self._application),
            ("GET", guild, _in_guild(self._show_guild)),
            ("GET", f"{guild}/channels", _in_guild(self._list_channels)),
            ("GET", f"{guild}/roles", _in_guild(lambda _: [role.json() for role in state.roles.values()])),
            ("GET", f"{guild}/members", _in_guild(self._list_members)),
            ("GET", f"{guild}/members/{{member}}", _in_guild(lambda call: state.member(call.id("member")).json())),
            ("GET", f"{guild}/threads/active", _in_guild(self._active_threads)),
        ]

    def _gateway_bot(self, _: ApiCall) -> Json:
        left = max(SESSION_STARTS - self.gateway.starts, 0)
        limit = {"total": SESSION_STARTS, "remaining": left, "reset_after": 86_400_000, "max_concurrency": 1}
        return {"url": self.gateway.url(), "shards": 1, "session_start_limit": limit}

    def _application(self, _: ApiCall) -> Json:
        return OBJECTS["application"] | {
            "id": str(APPLICATION_ID),
            "name": self.state.bot_name,
            "owner": next(m for m in self.state.members.values() if not m.bot).user(),
            "flags": self.gateway.application_flags,
            "bot": self.state.bot.user(),
        }

    def _show_guild(self, call: ApiCall) -> Json:
        shown = self.state.guild_json()
        if call.flag("with_counts"):
            shown["approximate_member_count"] = len(self.state.members)
            shown["approximate_presence_count"] = sum(m.status != "offline" for m in self.state.members.values())
        return shown

    def _list_channels(self, _: ApiCall) -> list[Json]:
        return [c.json(GUILD_ID) for c in self.state.channels.values() if not c.is_thread]

    def _require_members_intent(self) -> None:
        if not self.gateway.application_flags & MEMBERS_FLAG:
            raise refuse("missing_access")

    def _list_members(self, call: ApiCall) -> list[Json]:
        self._require_members_intent()
        limit, after = call.limit(1, 1000), call.query_id("after") or 0
        found = sorted((m for m in self.state.members.values() if m.id > after), key=lambda m: m.id)
        return [m.json() for m in found[:limit]]

    def _active_threads(self, _: ApiCall) -> Json:
        found = [c for c in self.state.channels.values() if c.is_thread and not c.archived]
        return self._show_threads(found) | {"has_more": False}

    # channels and messages

    def _channels(self) -> list[Route]:
        channel, message = "/channels/{channel}", "/channels/{channel}/messages/{message}"
        pin, reaction = f"{channel}/messages/pins/{{message}}", f"{message}/reactions/{{emoji}}/@me"
        return [
            ("GET", channel, lambda call: _shown(self._channel(call))),
            ("PATCH", channel, self._edit_channel),
            ("DELETE", channel, self._delete_channel),
            ("POST", f"{channel}/typing", self._type),
            ("GET", f"{channel}/messages", self._list_messages),
            ("POST", f"{channel}/messages", self._post_message),
            ("GET", f"{channel}/messages/pins", self._list_pins),
            ("PUT", pin, lambda call: self.messages.pin(*self._message(call), pinned=True)),
            ("DELETE", pin, lambda call: self.messages.pin(*self._message(call), pinned=False)),
            ("GET", message, self._get_message),
            ("PATCH", message, self._edit_message),
            ("DELETE", message, lambda call: self.messages.delete(*self._message(call))),
            ("PUT", reaction, lambda call: self.messages.react(*self._message(call), call.word("emoji"), add=True)),
            ("DELETE", reaction, lambda call: self.messages.react(*self._message(call), call.word("emoji"), add=False)),
        ]

    def _channel(self, call: ApiCall) -> Channel:
        return self.state.visible_channel(call.id("channel"))

    def _message(self, call: ApiCall) -> tuple[Channel, int]:
        return self._channel(call), call.id("message")

    def _may_read(self, channel: Channel) -> bool:
        return self.state.may(self.state.bot, channel, PermissionBit.READ_MESSAGE_HISTORY)

    def _edit_channel(self, call: ApiCall) -> Json:
        changes, channel = call.json, self._channel(call)
        if not channel.is_thread and ("name" in changes or "topic" in changes):
            self.limits.rename(channel.id)
        return _shown(self.state.edit_channel(channel.id, changes))

    def _delete_channel(self, call: ApiCall) -> Json:
        channel = self._channel(call)
        needed = PermissionBit.MANAGE_THREADS if channel.is_thread else PermissionBit.MANAGE_CHANNELS
        self.state.require(channel, needed)
        shown = _shown(channel)
        self.state.remove_channel(channel.id)
        return shown

    def _type(self, call: ApiCall) -> None:
        channel = self._channel(call)
        self.state.require(channel, PermissionBit.SEND_MESSAGES)
        data = {
            "channel_id": str(channel.id),
            "user_id": str(BOT_USER_ID),
            "timestamp": int(self.state.clock()),
            "member": self.state.bot.json(),
        }
        self.state.emit("TYPING_START", data, Intent.TYPING, channel.id)

    def _list_messages(self, call: ApiCall) -> list[Json]:
        channel, limit = self._channel(call), call.limit(50, 100)
        before, after, around = (call.query_id(name) for name in ("before", "after", "around"))
        if not self._may_read(channel):
            return []
        return self.messages.history(channel.id, limit=limit, before=before, after=after, around=around)

    def _get_message(self, call: ApiCall) -> Json:
        channel, message_id = self._message(call)
        self.state.require(channel, PermissionBit.READ_MESSAGE_HISTORY)
        return self.messages.get(channel.id, message_id)

    def _post_message(self, call: ApiCall) -> web.Response:
        payload, channel = call.json, self._channel(call)
        headers = self.limits.take("POST /channels/messages", channel.id)
        return answer(self.messages.send(channel, self.state.bot, payload, call.uploads), headers=headers)

    def _edit_message(self, call: ApiCall) -> web.Response:
        payload, (channel, message_id) = call.json, self._message(call)
        headers = self.limits.take("PATCH /channels/messages", channel.id)
        self.messages.get(channel.id, message_id)
        if self.messages.age(message_id) > OLD_MESSAGE_SECONDS:
            self.limits.edit_of_old(channel.id)
        return answer(self.messages.edit(channel, message_id, payload, call.uploads), headers=headers)

    def _list_pins(self, call: ApiCall) -> Json:
        channel, before = self._channel(call), call.request.query.get("before")
        try:
            moment = None if before is None else datetime.fromisoformat(before).timestamp()
        except ValueError:
            raise bad_form(["before"], "DATE_TIME_TYPE_PARSE", value=before) from None
        if not self._may_read(channel):
            return {"items": [], "has_more": False}
        return self.messages.pins(channel, limit=call.limit(50, 50), before=moment)

    # threads

    def _threads(self) -> list[Route]:
        channel = "/channels/{channel}"
        members, member = f"{channel}/thread-members", f"{channel}/thread-members/{{member}}"
        return [
            (
                "POST",
                f"{channel}/messages/{{message}}/threads",
                lambda call: self._post_thread(call, call.id("message")),
            ),
            ("POST", f"{channel}/threads", lambda call: self._post_thread(call, None)),
            ("GET", f"{channel}/threads/archived/public", self._archived_threads),
            ("GET", members, self._list_thread_members),
            ("GET", member, self._get_thread_member),
            ("PUT", member, lambda call: self.state.join_thread(*self._thread_member(call))),
            ("DELETE", member, self._delete_thread_member),
        ]

    def _post_thread(self, call: ApiCall, message_id: int | None) -> web.Response:
        payload = call.json
        return answer(_shown(self.messages.start_thread(self._channel(call), payload, message_id=message_id)), 201)

    def _show_threads(self, threads: list[Channel]) -> Json:
        seen = [t for t in threads if self.state.may(self.state.bot, t)]
        mine = [thread_member(t.id, BOT_USER_ID, t.members[BOT_USER_ID]) for t in seen if BOT_USER_ID in t.members]
        return {"threads": [_shown(t) for t in seen], "members": mine}

    def _archived_threads(self, call: ApiCall) -> Json:
        channel = self._channel(call)
        self.state.require(channel, PermissionBit.READ_MESSAGE_HISTORY)
        limit = call.limit(50, 100)
        found = [t for t in self.state.threads_of(channel.id) if t.archived and t.type == PUBLIC_THREAD]
        found.sort(key=lambda t: t.archived_at, reverse=True)
        return self._show_threads(found[:limit]) | {"has_more": len(found) > limit}

    def _thread_member(self, call: ApiCall) -> tuple[Channel, int]:
        return self._channel(call), BOT_USER_ID if call.word("member") == "@me" else call.id("member")

    def _list_thread_members(self, call: ApiCall) -> list[Json]:
        thread = self._channel(call)
        self._require_members_intent()
        return [thread_member(thread.id, member, at) for member, at in thread.members.items()]

    def _get_thread_member(self, call: ApiCall) -> Json:
        thread, member = self._thread_member(call)
        if member not in thread.members:
            raise refuse("unknown_member")
        return thread_member(thread.id, member, thread.members[member])

    def _delete_thread_member(self, call: ApiCall) -> None:
        thread, member = self._thread_member(call)
        if member != BOT_USER_ID:
            self.state.require(thread, PermissionBit.MANAGE_THREADS)
        self.state.leave_thread(thread, member)

    # commands and interactions

    def _applications(self) -> list[Route]:
        webhook = "/webhooks/{application}/{token}"
        reply = f"{webhook}/messages/{{which}}"
        routes: list[Route] = [
            ("POST", "/interactions/{interaction}/{token}/callback", self._respond),
            ("POST", webhook, lambda call: self.interactions.follow_up(*_token(call), call.json, call.uploads)),
            ("GET", reply, lambda call: self.interactions.get(*_token(call), call.word("which"))),
            ("PATCH", reply, self._edit_reply),
            ("DELETE", reply, lambda call: self.interactions.delete(*_token(call), call.word("which"))),
        ]
        for scope in ("/applications/{application}/commands", "/applications/{application}/guilds/{guild}/commands"):
            command = f"{scope}/{{command}}"
            routes += [
                ("GET", scope, lambda call: self._commands(call).all()),
                ("PUT", scope, self._changing_commands(self._put_commands)),
                ("POST", scope, self._changing_commands(self._post_command)),
                ("GET", command, lambda call: self._commands(call).get(call.id("command"))),
                ("PATCH", command, self._changing_commands(lambda c, call: c.edit(call.id("command"), call.json))),
                ("DELETE", command, self._changing_commands(lambda c, call: c.delete(call.id("command")))),
            ]
        return routes

    def _commands(self, call: ApiCall) -> Commands:
        if call.id("application") != APPLICATION_ID:
            raise refuse("unknown_application")
        if "guild" not in call.request.match_info:
            return self.state.global_commands
        return _in_guild(lambda _: self.state.guild_commands)(call)

    def _changing_commands(self, change: Callable[[Commands, ApiCall], object]) -> Handler:
        def handle(call: ApiCall) -> object:
            done = change(self._commands(call), call)
            self.state.emit("COMMANDS_UPDATE", {}, internal=True)
            return done

        return handle

    def _put_commands(self, commands: Commands, call: ApiCall) -> list[Json]:
        return commands.overwrite(call.body, self.state.ids(), self.state.clock())

    def _post_command(self, commands: Commands, call: ApiCall) -> web.Response:
        command, new = commands.upsert(call.json, self.state.ids(), self.state.clock())
        return answer(command, 201 if new else 200)

    def _respond(self, call: ApiCall) -> Json | None:
        found = self.interactions.respond(call.id("interaction"), call.word("token"), call.json, call.uploads)
        return found if call.flag("with_response") else None

    def _edit_reply(self, call: ApiCall) -> Json:
        return self.interactions.edit(*_token(call), call.word("which"), call.json, call.uploads)


def _shown(channel: Channel) -> Json:
    return channel.json(GUILD_ID, me=BOT_USER_ID)


def _token(call: ApiCall) -> tuple[int, str]:
    return call.id("application"), call.word("token")


def _in_guild(handler: Callable[[ApiCall], T]) -> Callable[[ApiCall], T]:
    def handle(call: ApiCall) -> T:
        if call.id("guild") != GUILD_ID:
            raise refuse("unknown_guild")
        return handler(call)

    return handle
