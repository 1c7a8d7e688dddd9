"""What the page in the browser talks to: its files, one WebSocket per open page, and a person's actions.

Only for this machine's own browser: other Hosts and Origins are refused (DNS rebinding, cross-site requests).
"""

import asyncio
import json
import logging
import mimetypes
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from opsbot.standin.client_input import InputError
from opsbot.standin.errors import ApiError, Json
from opsbot.standin.guild import Channel, Member, iso
from opsbot.standin.interaction import AUTOCOMPLETE, COMMAND, COMPONENT, MODAL_SUBMIT
from opsbot.standin.permissions import ALL, Permission
from opsbot.standin.plumbing import answer, nothing
from opsbot.standin.state import APPLICATION_ID, GUILD_ID, OWNER_ID, ROLE_IDS, Event

if TYPE_CHECKING:
    from opsbot.standin.server import Standin

log = logging.getLogger(__name__)

PAGE = Path(__file__).with_name("page")
HISTORY = 100
QUEUED_FRAMES = 5_000
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css", ".html": "text/html",
          ".svg": "image/svg+xml", ".woff2": "font/woff2", ".json": "application/json"}
_SHOWN_INLINE = ("image/png", "image/jpeg", "image/gif", "image/webp")
_AS_THEY_ARE = {"MESSAGE_CREATE", "MESSAGE_UPDATE", "MESSAGE_DELETE", "TYPING_START"}
_CHANNELS = {"CHANNEL_CREATE", "CHANNEL_UPDATE", "CHANNEL_DELETE", "THREAD_CREATE", "THREAD_UPDATE", "THREAD_DELETE"}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse every Host but this machine's, and every Origin but the page's own."""
    if request.path.startswith("/api/") or request.path.rstrip("/") == "/gateway":
        return await handler(request)
    try:
        host = urlsplit(f"//{request.host}")
        origin = urlsplit(request.headers.get(hdrs.ORIGIN) or f"http://{request.host}")
        same = (origin.hostname in _LOOPBACK and host.hostname in _LOOPBACK and origin.port == host.port)
    except ValueError:
        same = False
    if not same or request.headers.get("Sec-Fetch-Site") == "cross-site":
        return answer({"message": "This page is for this machine's own browser only."}, 403)
    response = await handler(request)
    if not response.prepared:
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
    return response


@dataclass(slots=True, eq=False)
class PageSocket:
    """One open page."""

    member_id: int
    frames: asyncio.Queue[str | None] = field(default_factory=lambda: asyncio.Queue(QUEUED_FRAMES))

    def send(self, frame: str) -> None:
        """Queue a frame; a page that reads nothing is cut off, and reconnects with a fresh snapshot."""
        if self.frames.full():
            self.stop()
        else:
            self.frames.put_nowait(frame)

    def stop(self) -> None:
        """End the socket after what is queued was dropped."""
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
        """Register the routes."""
        router.add_get("/", self.get_index)
        router.add_get("/static/{path:.*}", self.get_static)
        router.add_get("/attachments/{channel}/{file}/{name}", self.get_attachment)
        router.add_get("/client/ws", self.get_socket)
        router.add_post("/client/interactions", self.post_interaction)
        router.add_post("/client/messages", self.post_message)
        router.add_post("/client/members", self.post_member)
        router.add_post("/client/members/{member}/roles", self.post_roles)
        router.add_post("/client/panel/{button}", self.post_panel)

    # files

    async def get_index(self, _: web.Request) -> web.StreamResponse:
        """The page."""
        return await self._file("index.html")

    async def get_static(self, request: web.Request) -> web.StreamResponse:
        """A file of the page."""
        return await self._file(request.match_info["path"])

    async def _file(self, name: str) -> web.StreamResponse:
        def read() -> bytes | None:
            path = (PAGE / name).resolve()
            return path.read_bytes() if path.is_relative_to(PAGE.resolve()) and path.is_file() else None

        try:
            data = await asyncio.to_thread(read)
        except (OSError, ValueError):
            data = None
        if data is None:
            return answer({"message": "404: Not Found"}, 404)
        kind = _TYPES.get(Path(name).suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
        charset = "utf-8" if kind.startswith("text/") else None
        return web.Response(body=data, content_type=kind, charset=charset, headers={"Cache-Control": "no-cache"})

    async def get_attachment(self, request: web.Request) -> web.Response:
        """An uploaded file: images and text are shown, all else is a download, nothing runs on the page's origin."""
        key = request.match_info["file"]
        stored = self._standin.store.files.stored.get(int(key)) if key.isdecimal() else None
        if stored is None:
            return answer({"message": "404: Not Found"}, 404)
        kind = stored.content_type
        if kind not in _SHOWN_INLINE:
            kind = "text/plain" if kind.startswith("text/") and kind != "text/html" else "application/octet-stream"
        charset = "utf-8" if kind == "text/plain" else None
        headers = {"Cache-Control": "private, max-age=3600", "Content-Security-Policy": "sandbox"}
        if kind == "application/octet-stream":
            headers["Content-Disposition"] = "attachment"
        return web.Response(body=stored.data, content_type=kind, charset=charset, headers=headers)

    # frames

    async def get_socket(self, request: web.Request) -> web.StreamResponse:
        """The page's WebSocket: a snapshot, then what happens."""
        ws = web.WebSocketResponse(heartbeat=30)
        await ws.prepare(request)
        socket = PageSocket(self._acting(request.query.get("member", "")))
        self._sockets.add(socket)
        socket.send(frame("SNAPSHOT", self.snapshot(self._standin.state.member(socket.member_id))))
        writer = asyncio.create_task(self._write(ws, socket))
        try:
            async for _ in ws:
                pass  # the page only listens here; its actions are POSTs
        finally:
            self._sockets.discard(socket)
            writer.cancel()
        return ws

    def _acting(self, wanted: str) -> int:
        """The member a page acts as: the one it names; an admin for a page just opened, or older than this server."""
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
        """Everything one member sees."""
        state = self._standin.state
        channels = [c for c in state.channels.values() if self._sees(me, c)]
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
            "messages": {str(c.id): self._standin.store.listed(c.id)[-HISTORY:] for c in channels if c.type != 4},
            "application": {"id": str(APPLICATION_ID), "name": state.bot_name, "bot": state.bot.user()},
            "panel": self._panel(),
            "connected": self._standin.connected,
            "away": self._standin.faults.is_away,
        }

    def _sees(self, member: Member, channel: Channel) -> bool:
        return bool(self._standin.state.permissions(member, channel) & Permission.VIEW_CHANNEL)

    def _commands(self, member: Member) -> list[Json]:
        """The commands Discord's client would offer: `default_member_permissions` hides, and only hides."""
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

    def _on_event(self, event: Event) -> None:
        if not self._sockets:
            return
        name, data = event.name, event.data
        if name in _AS_THEY_ARE:
            self.broadcast(name, data, event.channel_id)
        elif name in _CHANNELS:
            channel = self._standin.state.channels.get(int(data["id"]))
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
            if channel is None or (member is not None and self._sees(member, channel)):
                socket.send(text)

    def tell(self, member_id: int, name: str, data: Json) -> None:
        """Send a frame to one member's pages."""
        for socket in tuple(self._sockets):
            if socket.member_id == member_id:
                socket.send(frame(name, data))

    def tell_connection(self) -> None:
        """Say whether the bot is connected, and whether Discord is away."""
        self.broadcast("CONNECTION", {"connected": self._standin.connected, "away": self._standin.faults.is_away})

    def tell_panel(self) -> None:
        """Send the panel anew."""
        self.broadcast("PANEL", self._panel())

    def note(self, text: str, level: str) -> None:
        """A line below the panel."""
        self.broadcast("PANEL_NOTE", {"text": text, "level": level, "at": iso(self._standin.state.clock())})

    def stop(self) -> None:
        """End every socket."""
        for socket in tuple(self._sockets):
            socket.stop()

    # a person's actions

    async def post_interaction(self, request: web.Request) -> web.Response:
        """A command, a click, a key stroke in an option, a submitted form."""
        body = await _body(request)
        if body is None or body.get("type") not in (COMMAND, COMPONENT, AUTOCOMPLETE, MODAL_SUBMIT):
            return answer({"message": "Expected {member_id, channel_id, nonce, type, data}."}, 400)
        data = body.get("data")
        try:
            self._standin.interactions.create(
                int(body["member_id"]), int(body["channel_id"]), body["type"], data if isinstance(data, dict) else {},
                nonce=None if body.get("nonce") is None else str(body["nonce"]),
                message_id=int(body["message_id"]) if body.get("message_id") else None,
            )
        except (InputError, KeyError, TypeError, ValueError) as error:
            return answer({"message": str(error)}, 400)
        except ApiError as error:
            return answer(error.body(), error.status)
        return nothing()

    async def post_message(self, request: web.Request) -> web.Response:
        """A person says something."""
        body = await _body(request)
        try:
            if body is None:
                raise ValueError("Expected {member_id, channel_id, content}.")
            state = self._standin.state
            member, channel = state.member(int(body["member_id"])), state.channel(int(body["channel_id"]))
            message = self._standin.store.send(channel, member, {"content": str(body["content"])}, [])
        except (KeyError, TypeError, ValueError) as error:
            return answer({"message": str(error)}, 400)
        except ApiError as error:
            return answer(error.body(), error.status)
        return answer(message)

    async def post_member(self, request: web.Request) -> web.Response:
        """A new member."""
        body = await _body(request)
        try:
            if body is None or not str(body.get("name") or "").strip():
                raise ValueError("Expected {name, roles}.")
            member = self._standin.state.add_member(str(body["name"])[:32], [int(r) for r in body.get("roles") or ()])
        except (TypeError, ValueError) as error:
            return answer({"message": str(error)}, 400)
        except ApiError as error:
            return answer(error.body(), error.status)
        return answer(shown_member(member))

    async def post_roles(self, request: web.Request) -> web.Response:
        """Other roles for a member."""
        body = await _body(request)
        try:
            if body is None:
                raise ValueError("Expected {roles}.")
            self._standin.state.set_roles(int(request.match_info["member"]), [int(r) for r in body["roles"]])
        except (KeyError, TypeError, ValueError) as error:
            return answer({"message": str(error)}, 400)
        except ApiError as error:
            return answer(error.body(), error.status)
        return nothing()

    async def post_panel(self, request: web.Request) -> web.Response:
        """Press a button of the panel; it is disabled while its action runs."""
        args = await _body(request) or {}
        button = next((b for b in self._standin.panel if b.id == request.match_info["button"]), None)
        if button is None:
            return answer({"message": "There is no such button."}, 404)
        if button.disabled or button.id in self._busy:
            return answer({"ok": False, "text": "This is not possible at the moment."}, 409)
        self._busy.add(button.id)
        self.tell_panel()
        try:
            text, ok = await button.action(**args), True
        except Exception as error:  # noqa: BLE001 - the edge: whatever a demo action raises is shown on the page
            log.warning("panel button %s failed", button.id, exc_info=True)
            text, ok = str(error) or type(error).__name__, False
        finally:
            self._busy.discard(button.id)
            self.tell_panel()
        self.note(text, "info" if ok else "error")
        return answer({"ok": ok, "text": text})


async def _body(request: web.Request) -> Json | None:
    try:
        body = json.loads(await request.read() or b"{}")
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def frame(name: str, data: object) -> str:
    """One frame of the page's WebSocket."""
    return json.dumps({"t": name, "d": data})


def shown_member(member: Member) -> Json:
    """A member as the page gets it."""
    user = member.user()
    keys = ("id", "username", "global_name", "avatar")
    return {
        "user": {key: user[key] for key in keys} | {"bot": member.bot},
        "nick": member.nick,
        "roles": [str(role) for role in member.roles],
        "status": "offline" if member.status == "offline" else "online",
    }


def shown_channel(channel: Channel) -> Json:
    """A channel or thread as the page gets it."""
    shown: Json = {
        "id": str(channel.id), "name": channel.name, "type": channel.type, "topic": channel.topic,
        "parent_id": None if channel.parent_id is None else str(channel.parent_id),
    }
    if channel.is_thread:
        shown |= {"archived": channel.archived, "locked": channel.locked}
    return shown
