"""The web page's API: one WebSocket per open page, user actions as POST requests."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import web

from opsbot.standin.client_input import InputError
from opsbot.standin.errors import ApiError, Json
from opsbot.standin.guild import CATEGORY, VOICE, Channel, Member, iso, text_id
from opsbot.standin.permissions import ALL
from opsbot.standin.plumbing import answer
from opsbot.standin.state import APPLICATION_ID, GUILD_ID, OWNER_ID, ROLE_IDS, GatewayEvent

if TYPE_CHECKING:
    from opsbot.standin.server import Standin

log = logging.getLogger(__name__)

HISTORY = 100
QUEUED_FRAMES = 5_000
NAME_LENGTH = 32
Action = Callable[[web.Request, Json], Json | None]
_AS_THEY_ARE = {"MESSAGE_CREATE", "MESSAGE_UPDATE", "MESSAGE_DELETE", "TYPING_START"}
_CHANNELS = {"CHANNEL_CREATE", "CHANNEL_UPDATE", "CHANNEL_DELETE", "THREAD_CREATE", "THREAD_UPDATE", "THREAD_DELETE"}


@dataclass(slots=True, eq=False)
class PageSocket:
    """One open page."""

    member_id: int
    frames: asyncio.Queue[str | None] = field(default_factory=lambda: asyncio.Queue(QUEUED_FRAMES))

    def send(self, frame: str) -> None:
        """Queue a frame; a page that does not read is disconnected, and reconnects."""
        if self.frames.full():
            self.stop()
        else:
            self.frames.put_nowait(frame)

    def stop(self) -> None:
        while not self.frames.empty():
            self.frames.get_nowait()
        self.frames.put_nowait(None)


class ClientApi:
    """The page's routes, and the frames it is sent."""

    def __init__(self, standin: "Standin") -> None:
        self._standin = standin
        self._sockets: set[PageSocket] = set()
        self._busy: set[str] = set()
        standin.state.listeners.append(self._on_event)

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_get("/client/ws", self.get_socket)
        for path, action, shape in (
            ("interactions", self._interact, "{member_id, channel_id, nonce, type, data}"),
            ("messages", self._post_message, "{member_id, channel_id, content}"),
            ("members", self._add_member, "{name, roles}"),
            ("members/{member}/roles", self._set_roles, "{roles: [ids]}"),
        ):
            router.add_post(f"/client/{path}", _serve(action, shape))
        router.add_post("/client/panel/{button}", self.post_panel)

    # frames

    async def get_socket(self, request: web.Request) -> web.StreamResponse:
        """The page's WebSocket: a snapshot, then updates."""
        ws = web.WebSocketResponse(heartbeat=30)
        await ws.prepare(request)
        socket = PageSocket(self._acting(request.query.get("member", "")))
        self._sockets.add(socket)
        socket.send(frame("SNAPSHOT", self.snapshot(self._standin.state.member(socket.member_id))))
        writer = asyncio.create_task(self._write(ws, socket))
        try:
            async for _ in ws:
                pass  # the page sends its actions as POST requests
        finally:
            self._sockets.discard(socket)
            writer.cancel()
        return ws

    def _acting(self, wanted: str) -> int:
        """Return the member a page acts as: the one it names, else an admin."""
        members = self._standin.state.members
        if wanted.isdecimal() and int(wanted) in members and not members[int(wanted)].bot:
            return int(wanted)
        admins = (m.id for m in members.values() if ROLE_IDS["admin"] in m.roles and not m.bot)
        return next(admins, OWNER_ID)

    async def _write(self, ws: web.WebSocketResponse, socket: PageSocket) -> None:
        while (text := await socket.frames.get()) is not None:
            try:
                await ws.send_str(text)
            except (ConnectionError, RuntimeError):
                return
        await ws.close()

    def snapshot(self, me: Member) -> Json:
        state = self._standin.state
        channels = [c for c in state.channels.values() if self._standin.state.may(me, c) and c.type != VOICE]
        written = [c.id for c in channels if c.type != CATEGORY]
        return {
            "guild": {"id": str(GUILD_ID), "name": state.guild_name},
            "me": me.user(),
            "members": [shown_member(member) for member in state.members.values()],
            "roles": [
                {"id": str(r.id), "name": r.name, "color": r.color, "position": r.position}
                for r in state.roles.values()
            ],
            "channels": [shown_channel(channel) for channel in channels],
            "commands": self._commands(me),
            "messages": {str(place): self._standin.store.listed(place)[-HISTORY:] for place in written},
            "application": {"id": str(APPLICATION_ID), "name": state.bot_name, "bot": state.bot.user()},
            "panel": self._panel(),
            "connected": self._standin.connected,
            "away": self._standin.faults.is_away,
        }

    def _commands(self, member: Member) -> list[Json]:
        """List the commands that Discord's client offers the member."""
        mine = self._standin.state.base_permissions(member)

        def offered(command: Json) -> bool:
            needed = command.get("default_member_permissions")
            if needed is None:
                return True
            return mine == ALL or (int(needed) != 0 and mine & int(needed) == int(needed))

        state = self._standin.state
        return [c for c in (*state.guild_commands.all(), *state.global_commands.all()) if offered(c)]

    def _panel(self) -> list[Json]:
        return [button.json(busy=button.id in self._busy) for button in self._standin.panel]

    def _on_event(self, event: GatewayEvent) -> None:
        if not self._sockets:
            return
        name, data = event.name, event.data
        if name in _AS_THEY_ARE:
            self.broadcast(name, data, event.channel_id)
        elif name in _CHANNELS:
            channel = self._standin.state.channels.get(int(data["id"]))
            if data.get("type") == VOICE:  # nothing is written there that the page could show
                return
            shown = shown_channel(channel) if channel is not None else {k: data.get(k) for k in ("id", "parent_id")}
            self.broadcast(name, shown, channel.id if channel is not None else None)
        elif name in ("MESSAGE_REACTION_ADD", "MESSAGE_REACTION_REMOVE"):
            found = self._standin.store.find(int(data["message_id"]))
            if found is not None:
                self.broadcast("MESSAGE_UPDATE", found, event.channel_id)
        elif name in ("GUILD_MEMBER_ADD", "GUILD_MEMBER_UPDATE"):
            self.broadcast("MEMBER_UPDATE", shown_member(self._standin.state.member(int(data["user"]["id"]))))
            self._send_commands()
        elif name == "PRESENCE_UPDATE":
            self.broadcast("PRESENCE", {"user_id": data["user"]["id"], "status": data["status"]})
        elif name == "COMMANDS_UPDATE":
            self._send_commands()

    def _send_commands(self) -> None:
        for socket in tuple(self._sockets):
            member = self._standin.state.members.get(socket.member_id)
            if member is not None:
                socket.send(frame("COMMANDS_UPDATE", self._commands(member)))

    def broadcast(self, name: str, data: object, channel_id: int | None = None) -> None:
        """Send a frame to every page, or to those whose member sees the channel."""
        if not self._sockets:
            return
        text = frame(name, data)
        state = self._standin.state
        channel = state.channels.get(channel_id) if channel_id is not None else None
        for socket in tuple(self._sockets):
            member = state.members.get(socket.member_id)
            if channel is None or (member is not None and self._standin.state.may(member, channel)):
                socket.send(text)

    def send_to(self, member_id: int, name: str, data: Json) -> None:
        for socket in tuple(self._sockets):
            if socket.member_id == member_id:
                socket.send(frame(name, data))

    def send_connection(self) -> None:
        self.broadcast("CONNECTION", {"connected": self._standin.connected, "away": self._standin.faults.is_away})

    def send_panel(self) -> None:
        self.broadcast("PANEL", self._panel())

    def note(self, text: str, level: str) -> None:
        self.broadcast("PANEL_NOTE", {"text": text, "level": level, "at": iso(self._standin.state.clock())})

    def stop(self) -> None:
        for socket in tuple(self._sockets):
            socket.stop()

    # a person's actions

    def _interact(self, _: web.Request, body: Json) -> None:
        data = body.get("data")
        self._standin.interactions.create(
            int(body["member_id"]),
            int(body["channel_id"]),
            body["type"],
            data if isinstance(data, dict) else {},
            nonce=text_id(body.get("nonce")),
            message_id=int(body["message_id"]) if body.get("message_id") else None,
        )

    def _post_message(self, _: web.Request, body: Json) -> Json:
        state = self._standin.state
        member, channel = state.member(int(body["member_id"])), state.channel(int(body["channel_id"]))
        return self._standin.store.send(channel, member, {"content": str(body["content"])}, [])

    def _add_member(self, _: web.Request, body: Json) -> Json:
        name = " ".join(str(body["name"]).split())[:NAME_LENGTH] or "nobody"
        return shown_member(self._standin.state.add_member(name, map(int, body.get("roles") or ())))

    def _set_roles(self, request: web.Request, body: Json) -> None:
        self._standin.state.set_roles(int(request.match_info["member"]), [int(role) for role in body["roles"]])

    async def post_panel(self, request: web.Request) -> web.Response:
        """Press a button of the panel; it is disabled while its action runs."""
        args = await _body(request) or {}
        button = next((b for b in self._standin.panel if b.id == request.match_info["button"]), None)
        if button is None:
            return answer({"message": "There is no such button."}, 404)
        if button.disabled or button.id in self._busy:
            return answer({"ok": False, "text": "This is not possible at the moment."}, 409)
        self._busy.add(button.id)
        self.send_panel()
        try:
            text, ok = await button.action(**args), True
        except Exception as error:
            # Boundary: show any error of a demo action on the page.
            log.warning("panel button %s failed", button.id, exc_info=True)
            text, ok = str(error) or type(error).__name__, False
        finally:
            self._busy.discard(button.id)
            self.send_panel()
        self.note(text, "info" if ok else "error")
        return answer({"ok": ok, "text": text})


async def _body(request: web.Request) -> Json | None:
    try:
        body = json.loads(await request.read() or b"{}")
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _serve(action: Action, shape: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Answer with what the action returns, 400, or Discord's error."""

    async def run(request: web.Request) -> web.Response:
        body = await _body(request)
        if body is None:
            return answer({"message": f"Expected {shape}."}, 400)
        try:
            found = action(request, body)
        except InputError as error:
            return answer({"message": str(error)}, 400)
        except ApiError as error:
            return answer(error.body(), error.status)
        except (KeyError, TypeError, ValueError) as error:
            return answer({"message": f"Expected {shape}: {error}"}, 400)
        return web.Response(status=204) if found is None else answer(found)

    return run


def frame(name: str, data: object) -> str:
    return json.dumps({"t": name, "d": data})


def shown_member(member: Member) -> Json:
    """A member as the page gets it."""
    user = {key: member.user()[key] for key in ("id", "username", "global_name", "avatar")}
    return {
        "user": user | {"bot": member.bot},
        "nick": member.nick,
        "roles": [str(role) for role in member.roles],
        "status": "offline" if member.status == "offline" else "online",
    }


def shown_channel(channel: Channel) -> Json:
    """A channel or thread as the page gets it."""
    shown: Json = {
        "id": str(channel.id),
        "name": channel.name,
        "type": channel.type,
        "topic": channel.topic,
        "parent_id": text_id(channel.parent_id),
    }
    if channel.is_thread:
        shown |= {"archived": channel.archived, "locked": channel.locked}
    return shown
