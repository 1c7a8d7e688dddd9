"""The gateway: sessions with replay buffers, and their WebSocket connections.

Opcodes and close codes: https://discord.com/developers/docs/topics/opcodes-and-status-codes#gateway.
"""

import asyncio
import json
import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import WSMsgType, web

from opsbot.standin import gateway_data
from opsbot.standin.connection import CloseCode, Connection, reset
from opsbot.standin.errors import Json
from opsbot.standin.state import BOT_USER_ID, GatewayEvent, Intent, StandinState

DISPATCH, HEARTBEAT, IDENTIFY, PRESENCE, VOICE = range(5)
RESUME, RECONNECT, MEMBERS, INVALID, HELLO, ACK = range(6, 12)
MEMBERS_FLAG = 1 << 15
"""The application flag of the members intent."""
RESUME_SECONDS = 180.0  # "a few minutes"; Discord publishes no number
REPLAY_EVENTS = 10_000
SESSION_STARTS = 1000
COMMANDS_PER_MINUTE = 120
PRESENCES = 5
PRESENCE_SECONDS = 20.0
MINUTE = 60.0
_ALL_INTENTS = (1 << 26) - 1
_MASKED = ("content", "embeds", "attachments", "components")


@dataclass(slots=True)
class GatewaySession:
    """One IDENTIFY: what it asked for, and what it has been sent."""

    id: str
    intents: int
    sequence: int = 0
    replay: deque[tuple[int, str]] = field(default_factory=lambda: deque(maxlen=REPLAY_EVENTS))
    connection: Connection | None = None
    lost_at: float | None = None
    presences: deque[float] = field(default_factory=lambda: deque(maxlen=PRESENCES))


@dataclass(slots=True)
class Gateway:
    """All sessions; forwards the state's events to those that asked for them.

    `allowed_privileged`: the privileged intents switched on. `url` is called when it is needed, `on_sent` after each
    frame that was written, `changed` when the bot's connection changes. `mute`: heartbeats remain unanswered.
    """

    state: StandinState
    token: str
    allowed_privileged: int
    url: Callable[[], str]
    identify_interval: float
    heartbeat_seconds: float
    on_sent: Callable[[], None]
    sessions: dict[str, GatewaySession] = field(default_factory=dict)
    connections: set[Connection] = field(default_factory=set)
    starts: int = 0
    unknown: list[str] = field(default_factory=list)
    changed: list[Callable[[], None]] = field(default_factory=list)
    refused: bool = False
    mute: bool = False
    open: asyncio.Event = field(default_factory=asyncio.Event)
    _last_identify: float = -1e9

    def __post_init__(self) -> None:
        self.open.set()
        self.state.listeners.append(self._dispatch_event)

    @property
    def unsent(self) -> int:
        """How many frames wait to be written to a live connection."""
        return sum(each.unsent for each in self.connections if not each.closing)

    @property
    def connected(self) -> bool:
        """Whether a session is ready and has a live connection."""
        return any(s.connection is not None and not s.connection.closing for s in self.sessions.values())

    # events

    def _dispatch_event(self, event: GatewayEvent) -> None:
        for session in tuple(self.sessions.values()):
            if self._wants(session, event):
                self._dispatch(session, event.name, self._masked(session, event))

    def dispatch(self, name: str, data: Json) -> bool:
        """Send an event to every session, whatever its intents; whether there is any."""
        for session in tuple(self.sessions.values()):
            self._dispatch(session, name, data)
        return bool(self.sessions)

    def _wants(self, session: GatewaySession, event: GatewayEvent) -> bool:
        if event.internal or (event.intent and not session.intents & event.intent):
            return False
        channel = self.state.channels.get(event.channel_id) if event.channel_id is not None else None
        return channel is None or self.state.may(self.state.bot, channel)

    def _masked(self, session: GatewaySession, event: GatewayEvent) -> Json:
        if event.intent != Intent.MESSAGES or session.intents & Intent.MESSAGE_CONTENT or "author" not in event.data:
            return event.data
        own = event.data["author"]["id"] == str(BOT_USER_ID)
        mentioned = any(user["id"] == str(BOT_USER_ID) for user in event.data.get("mentions", ()))
        if own or mentioned:
            return event.data
        return event.data | {key: "" if key == "content" else [] for key in _MASKED}

    def _dispatch(self, session: GatewaySession, name: str, data: object) -> None:
        session.sequence += 1
        frame = json.dumps({"op": DISPATCH, "t": name, "s": session.sequence, "d": data})
        session.replay.append((session.sequence, frame))
        if session.connection is not None:
            session.connection.send(frame)

    # connections

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """GET /gateway: one WebSocket, from HELLO to its end."""
        self._expire()
        if self.refused:
            reset(request.transport)
            return web.Response(status=503)
        ws = web.WebSocketResponse(max_msg_size=4096, autoping=True, compress=False)
        await ws.prepare(request)
        connection = Connection(ws, request.transport, request.query.get("compress", ""), self.on_sent)
        self.connections.add(connection)
        watchdog = asyncio.create_task(self._watch_heartbeat(connection))
        try:
            await self.open.wait()  # while the gateway is held, a client waits for HELLO
            connection.send_op(HELLO, {"heartbeat_interval": int(self.heartbeat_seconds * 1000), "_trace": []})
            await self._serve(connection)
        finally:
            watchdog.cancel()
            connection.stop()
            self.connections.discard(connection)
            self._detach(connection, ws.close_code)
            self.on_sent()
        return ws

    async def _serve(self, connection: Connection) -> None:
        received: deque[float] = deque(maxlen=COMMANDS_PER_MINUTE)
        async for message in connection.ws:
            if message.type is not WSMsgType.TEXT:
                await connection.close(CloseCode.DECODE_ERROR, "Error while decoding payload.")
                return
            now = _now()
            if len(received) == COMMANDS_PER_MINUTE and now - received[0] < MINUTE:
                await connection.close(CloseCode.RATE_LIMITED, "You are being rate limited.")
                return
            received.append(now)
            try:
                payload = json.loads(message.data)
                op, data = payload["op"], payload.get("d")
            except (ValueError, TypeError, KeyError):
                await connection.close(CloseCode.DECODE_ERROR, "Error while decoding payload.")
                return
            refused = self._receive(connection, op, data)
            if refused is not None:
                await connection.close(*refused)
                return

    def _receive(self, connection: Connection, op: object, data: object) -> tuple[int, str] | None:
        if op == HEARTBEAT:
            connection.last_heartbeat = time.monotonic()  # sent by a thread of discord.py
            if not self.mute:
                connection.send_op(ACK, None)
            return None
        fields = data if isinstance(data, dict) else {}
        if op in (IDENTIFY, RESUME):
            if connection.session is not None:
                return CloseCode.ALREADY_AUTHENTICATED, "Already authenticated."
            if fields.get("token") != self.token:
                return CloseCode.AUTHENTICATION_FAILED, "Authentication failed."
            return (self._identify if op == IDENTIFY else self._resume)(connection, fields)
        session = connection.session
        if session is None:
            return CloseCode.NOT_AUTHENTICATED, "Not authenticated."
        if op == PRESENCE:
            self._presence(session, fields)
        elif op == MEMBERS:
            chunk = gateway_data.members_chunk(self.state, session.intents, fields)
            if chunk is not None:
                self._dispatch(session, "GUILD_MEMBERS_CHUNK", chunk)
        elif op == VOICE:
            self.unknown.append("gateway op 4 (voice state)")
        else:
            self.unknown.append(f"gateway op {op}")
            return CloseCode.UNKNOWN_OPCODE, "Unknown opcode."
        return None

    def _identify(self, connection: Connection, data: Json) -> tuple[int, str] | None:
        intents = data.get("intents")
        if not isinstance(intents, int) or isinstance(intents, bool) or intents & ~_ALL_INTENTS or intents < 0:
            return CloseCode.INVALID_INTENTS, "Invalid intent(s)."
        if intents & Intent.PRIVILEGED & ~self.allowed_privileged:
            return CloseCode.DISALLOWED_INTENTS, "Disallowed intent(s)."
        now = _now()
        if now - self._last_identify < self.identify_interval:
            connection.send_op(INVALID, data=False)
            return None
        self._last_identify = now
        self.starts += 1
        session = GatewaySession(secrets.token_hex(16), intents)
        self.sessions[session.id] = session
        connection.session, session.connection, session.lost_at = session, connection, None
        ready = gateway_data.ready(self.state, session.id, self.url(), self.application_flags)
        self._dispatch(session, "READY", ready)
        if intents & Intent.GUILDS:
            self._dispatch(session, "GUILD_CREATE", gateway_data.guild_create(self.state, intents))
        presence = data.get("presence")
        self.state.set_presence(BOT_USER_ID, _status(presence if isinstance(presence, dict) else {}))
        self._changed()
        return None

    def _resume(self, connection: Connection, data: Json) -> tuple[int, str] | None:
        self._expire()
        session = self.sessions.get(str(data.get("session_id")))
        sequence = data.get("seq")
        if session is None or not isinstance(sequence, int):
            connection.send_op(INVALID, data=False)
            return None
        if sequence > session.sequence:
            return CloseCode.INVALID_SEQ, "Invalid seq."
        if session.replay and session.replay[0][0] > sequence + 1:
            self._drop(session)
            connection.send_op(INVALID, data=False)
            return None
        if session.connection is not None:
            session.connection.abort()
        connection.session, session.connection, session.lost_at = session, connection, None
        for number, frame in tuple(session.replay):
            if number > sequence:
                connection.send(frame)
        self._dispatch(session, "RESUMED", {"_trace": []})
        self._changed()
        return None

    def _detach(self, connection: Connection, close_code: int | None) -> None:
        session = self._lose(connection)
        if session is None:
            return
        if close_code in (1000, 1001) and not connection.closing:
            self._drop(session)  # a regular close: the session ends and the bot goes offline immediately
        self._changed()

    def _lose(self, connection: Connection) -> GatewaySession | None:
        """Detach a session: its events only go to the replay buffer from now on."""
        session = connection.session
        if session is None or session.connection is not connection:
            return None
        session.connection, session.lost_at = None, _now()
        return session

    def _expire(self) -> None:
        now = _now()
        for session in tuple(self.sessions.values()):
            if session.lost_at is not None and now - session.lost_at > RESUME_SECONDS:
                self._drop(session)

    def _drop(self, session: GatewaySession) -> None:
        self.sessions.pop(session.id, None)
        if not self.sessions:
            self.state.set_presence(BOT_USER_ID, "offline")

    def _changed(self) -> None:
        for listener in tuple(self.changed):
            listener()

    async def _watch_heartbeat(self, connection: Connection) -> None:
        while True:
            await asyncio.sleep(self.heartbeat_seconds)
            if time.monotonic() - connection.last_heartbeat > 2 * self.heartbeat_seconds:
                await connection.close(CloseCode.SESSION_TIMED_OUT, "Session timed out.")
                return

    # faults

    def drop(self, *, resumable: bool, reconnect_op: bool = False) -> None:
        """Cut every connection or send op 7; not resumable: forget the sessions."""
        if not resumable:
            self.sessions.clear()
        for connection in tuple(self.connections):
            if reconnect_op:
                connection.send_op(RECONNECT, None)
            else:
                connection.abort()
                self._lose(connection)
        self._changed()

    async def stop(self) -> None:
        self.open.set()
        for connection in tuple(self.connections):
            connection.abort()

    @property
    def application_flags(self) -> int:
        """The application flags of the privileged intents (limited variants)."""
        pairs = ((Intent.PRESENCES, 1 << 13), (Intent.MEMBERS, MEMBERS_FLAG), (Intent.MESSAGE_CONTENT, 1 << 19))
        return sum(flag for intent, flag in pairs if self.allowed_privileged & intent)

    def _presence(self, session: GatewaySession, data: Json) -> None:
        now = _now()
        if len(session.presences) == PRESENCES and now - session.presences[0] < PRESENCE_SECONDS:
            return  # Discord silently drops presence updates above the limit
        session.presences.append(now)
        self.state.set_presence(BOT_USER_ID, _status(data))


def _now() -> float:
    """Return the time on the clock of the loop's timers."""
    return asyncio.get_running_loop().time()


def _status(presence: Json) -> str:
    status = str(presence.get("status") or "online")
    return "offline" if status == "invisible" else status
