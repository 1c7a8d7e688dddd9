"""The complete stand-in: REST, gateway, page and driver on local sockets."""

import asyncio
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

from aiohttp import web

from opsbot.standin.changes import Changes
from opsbot.standin.client_api import ClientApi
from opsbot.standin.driver import Person
from opsbot.standin.errors import Json
from opsbot.standin.faults import Faults
from opsbot.standin.files import Files
from opsbot.standin.gateway import Gateway
from opsbot.standin.guild import VOICE, Role
from opsbot.standin.interaction import DEADLINE
from opsbot.standin.interactions import Interactions
from opsbot.standin.messages import Messages
from opsbot.standin.page_files import PageFiles, guard
from opsbot.standin.panel import PanelButton
from opsbot.standin.plumbing import MAX_REQUEST, PREFIX, ApiEdge, LoggedRequest
from opsbot.standin.ratelimit import OLD_PERIOD, PERIOD, RateLimits
from opsbot.standin.rest import Rest
from opsbot.standin.state import (
    APPLICATION_ID,
    BOT_USER_ID,
    GENERAL_CHANNEL_ID,
    GUILD_ID,
    OPS_CHANNEL_ID,
    OWNER_ID,
    ROLE_IDS,
    GatewayEvent,
    StandinState,
)

_HOST = "127.0.0.1"
_SHUTDOWN_SECONDS = 1.0


class Standin:
    """A Discord with one guild.

    Start it, point the bot at `api_url` and `gateway_url`, and act through `member`.

    `clock` gives seconds since 1970. `privileged_intents` are those switched on for the application. With `api_port`
    (0: any) Discord's side gets a separate port, so that `faults.away(hard=True)` can close it. `rate_limits` False
    lets every request pass. `identify_interval` is the least time between two IDENTIFYs (Discord: 5 s; the default of
    0 lets a bot be restarted at once).
    """

    def __init__(
        self,
        *,
        bot_token: str = "standin-token",  # noqa: S107 - no secret: the stand-in is this machine\'s own
        port: int = 0,
        clock: Callable[[], float] = time.time,
        privileged_intents: int = 0,
        api_port: int | None = None,
        rate_limits: bool = True,
        limit_seconds: float = PERIOD,
        identify_interval: float = 0.0,
        interaction_deadline: float = DEADLINE,
        heartbeat_seconds: float = 41.25,
    ) -> None:
        """Nothing listens before `start`.

        limit_seconds: the window of the limits on messages; that on edits of old ones is longer in proportion.
        """
        self.token = bot_token
        self.application_id = APPLICATION_ID
        self.bot_user_id = BOT_USER_ID
        self.guild_id = GUILD_ID
        self.ops_channel_id = OPS_CHANNEL_ID
        self.general_channel_id = GENERAL_CHANNEL_ID
        self.owner_id = OWNER_ID
        self.roles = dict(ROLE_IDS)
        self._ports = (port, api_port)
        self._page_port = self._api_port = 0
        self._panel: list[PanelButton] = []
        self._runners: list[web.AppRunner] = []
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._latest: Json | None = None
        self.changes = Changes()
        self.state = StandinState(clock)
        self.set_roles, self.set_role_permissions = self.state.set_roles, self.state.set_role_permissions
        self.set_presence, self.set_voice = self.state.set_presence, self.state.set_voice
        self.set_permissions, self.remove_channel = self.state.set_permissions, self.state.remove_channel
        self.store = Messages(self.state, Files(lambda: self.url, self.state.new_id))
        self.limits = RateLimits(
            lambda: asyncio.get_running_loop().time(), rate_limits, limit_seconds, OLD_PERIOD * limit_seconds / PERIOD
        )
        self.gateway = Gateway(
            self.state,
            token=bot_token,
            allowed_privileged=privileged_intents,
            url=lambda: self.gateway_url,
            identify_interval=identify_interval,
            heartbeat_seconds=heartbeat_seconds,
            on_sent=self.changes.notify,
        )
        self._client = ClientApi(self)
        self.faults = Faults(self.gateway, self.store, self._set_away, self._client.send_connection)
        self._edge = ApiEdge(self.faults, f"Bot {bot_token}", clock, self.changes.notify)
        self.interactions = Interactions(
            self.state, self.store, self.changes, self.gateway.dispatch, self._client.send_to, interaction_deadline
        )
        self.state.listeners.append(self._on_event)
        self.gateway.changed += [self._client.send_connection, self.changes.notify]

    # life

    async def start(self) -> None:
        """Listen. Raises OSError when a port is in use."""
        port, api_port = self._ports
        guards = [guard, self._edge.run]
        page = web.Application(middlewares=guards, client_max_size=MAX_REQUEST)
        PageFiles(self.store.files).add_routes(page.router)
        self._client.add_routes(page.router)
        api = page if api_port is None else web.Application(middlewares=guards, client_max_size=MAX_REQUEST)
        Rest(self.state, self.store, self.interactions, self.gateway, self.limits).add_routes(api.router)
        api.router.add_get("/gateway", self.gateway.handle)
        api.router.add_get("/gateway/", self.gateway.handle)
        try:
            self._page_port = self._api_port = await self._listen(page, port)
            if api_port is not None:
                self._api_port = await self._listen(api, api_port)
        except OSError:
            await self.stop()
            raise

    async def _listen(self, app: web.Application, port: int) -> int:
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
        await runner.setup()
        self._runners.append(runner)
        return await self._open(runner, port)

    async def _open(self, runner: web.AppRunner, port: int) -> int:
        assert runner.server is not None  # noqa: S101 - set up above
        server = await asyncio.get_running_loop().create_server(runner.server, _HOST, port)
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Close every connection and stop listening; nothing is left running."""
        self.faults.stop()
        self.interactions.stop()
        await self.gateway.stop()
        self._client.stop()
        for server in self._servers:
            server.close()
        for task in tuple(self._tasks):
            task.cancel()
        for runner in self._runners:
            await runner.cleanup()
        self._servers.clear()
        self._runners.clear()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def _set_away(self, away: bool, hard: bool) -> None:  # noqa: FBT001 - one caller
        if away and hard:
            if len(self._servers) < 2:  # noqa: PLR2004 - the page's and Discord's
                raise ValueError("away(hard=True) needs a separate port for Discord: Standin(api_port=0)")
            self._servers.pop().close()
        elif not away and len(self._servers) < len(self._runners):
            task = asyncio.create_task(self._reopen())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _reopen(self) -> None:
        await self._open(self._runners[-1], self._api_port)

    # where

    @property
    def url(self) -> str:
        return f"http://{_HOST}:{self._page_port}"

    @property
    def api_url(self) -> str:
        """REST: for `discord.http.Route.BASE`."""
        return f"http://{_HOST}:{self._api_port}{PREFIX}"

    @property
    def gateway_url(self) -> str:
        """The gateway: for `discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY`."""
        return f"ws://{_HOST}:{self._api_port}/gateway"

    # people and channels

    def add_member(self, name: str, roles: Iterable[int] = ()) -> int:
        return self.state.add_member(name, roles).id

    def add_bot(self, name: str) -> int:
        """Another bot in the server, offline at first; returns its user id."""
        return self.state.add_member(name, bot=True).id

    def add_voice_channel(self, name: str) -> int:
        return self.state.add_channel(name, kind=VOICE).id

    def add_role(self, name: str, *, permissions: int = 0, mentionable: bool = False) -> int:
        role = Role(self.state.new_id(), name, len(self.state.roles), permissions, mentionable=mentionable)
        self.state.roles[role.id] = role
        self.state.emit("GUILD_ROLE_CREATE", {"role": role.json()})
        return role.id

    def add_channel(self, name: str) -> int:
        return self.state.add_channel(name).id

    def member(self, member_id_or_name: int | str) -> Person:
        """The driver of a member, by id or by name. KeyError when there is none."""
        for member in self.state.members.values():
            if member_id_or_name in (member.id, str(member.id), member.username, member.global_name):
                return Person(self, member.id)
        raise KeyError(member_id_or_name)

    # observation

    def messages(self, channel_id: int | None = None) -> list[Json]:
        """The messages of a channel (of all, for None), oldest first."""
        if channel_id is not None:
            return self.store.listed(channel_id)
        found = [message for messages in self.store.by_channel.values() for message in messages.values()]
        return sorted(found, key=lambda message: int(message["id"]))

    def message(self, message_id: int | str) -> Json:
        """A channel message as it is now. KeyError when there is none."""
        found = self.store.find(int(message_id))
        if found is None:
            raise KeyError(message_id)
        return found

    def seen_message(self, message_id: int, by: int | None = None) -> Json | None:
        """Return a message, including private ones (all, or those shown to `by`)."""
        private = self.interactions.private.get(message_id)
        if private is not None:
            return private[1] if by in (None, private[0]) else None
        return self.store.find(message_id)

    def delete_message(self, message_id: int | str) -> None:
        message = self.message(message_id)
        self.store.delete(self.state.channel(int(message["channel_id"])), int(message_id), by_webhook=True)

    async def wait_for_message(
        self, predicate: Callable[[Json], bool], timeout: float = 10.0, channel_id: int | None = None
    ) -> Json:
        """Wait for the first message that satisfies `predicate`; TimeoutError."""
        known = next((message for message in self.messages(channel_id) if predicate(message)), None)
        if known is not None:
            return known
        seen = self._latest

        def evaluate() -> Json | None:
            latest = self._latest
            if latest is None or latest is seen or (channel_id is not None and latest["channel_id"] != str(channel_id)):
                return None
            return latest if predicate(latest) else None

        return await self.changes.wait(evaluate, timeout, "the message")

    @property
    def connected(self) -> bool:
        """Whether the bot has a ready session with a live connection."""
        return self.gateway.connected

    async def wait_connected(self, timeout: float = 10.0) -> None:
        await self.changes.wait(lambda: True if self.connected else None, timeout, "the bot's connection")

    @property
    def idle(self) -> bool:
        """Whether no request, no unsent event and no open interaction is in flight."""
        return not (self._edge.open or self.gateway.unsent or self.interactions.pending)

    async def wait_idle(self, timeout: float = 10.0) -> None:
        await self.changes.wait(lambda: True if self.idle else None, timeout, "the end of what is in flight")

    @property
    def commands(self) -> list[Json]:
        return self.state.guild_commands.all()

    @property
    def requests(self) -> list[LoggedRequest]:
        """The last 10 000 requests to REST; status 0 for a connection that was reset."""
        return list(self._edge.requests)

    @property
    def invalid_requests(self) -> int:
        """Number of 401, 403, 429 in 10 minutes; Discord bans an address at 10 000."""
        since = self.state.clock() - 600
        return sum(1 for r in self._edge.requests if r.t >= since and r.status in (401, 403, 429))

    @property
    def unknown_routes(self) -> list[str]:
        """The requested routes and gateway operations that are not modelled."""
        return self._edge.unknown + self.gateway.unknown

    # the panel

    @property
    def panel(self) -> list[PanelButton]:
        """The buttons beside the channel; assign a list to change them."""
        return self._panel

    @panel.setter
    def panel(self, buttons: Iterable[PanelButton]) -> None:
        self._panel = list(buttons)
        self._client.send_panel()

    def note(self, text: str, level: str = "info") -> None:
        """A line below the panel: "info" or "error"."""
        self._client.note(text, level)

    def _on_event(self, event: GatewayEvent) -> None:
        if event.name in ("MESSAGE_CREATE", "MESSAGE_UPDATE"):
            self._latest = event.data
        self.changes.notify()
