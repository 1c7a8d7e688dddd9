"""Messages: posting, editing, deleting, pinning, reactions, and recent nonces."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from opsbot.standin import components as parts
from opsbot.standin import limits, mentions
from opsbot.standin.emoji import is_emoji
from opsbot.standin.errors import Json, bad_form, refuse
from opsbot.standin.files import Files, Upload, place_media
from opsbot.standin.guild import CATEGORY, OBJECTS, PUBLIC_THREAD, Channel, Member, iso, moment_of
from opsbot.standin.permissions import PermissionBit
from opsbot.standin.schema import form, snowflake, validate
from opsbot.standin.state import BOT_USER_ID, GUILD_ID, GatewayEvent, Intent, StandinState

NONCE_SECONDS = 300.0
OLD_MESSAGE_SECONDS = 3600.0
PINS = 250
KEPT_PER_CHANNEL = 20_000
_EDITABLE_FLAGS = limits.SUPPRESS_EMBEDS | limits.V2
_CREATE_FLAGS = _EDITABLE_FLAGS | limits.SUPPRESS_NOTIFICATIONS


@dataclass(frozen=True, slots=True)
class MessagePing:
    """Who got a notification from a new message (edits never notify)."""

    message_id: int
    users: tuple[int, ...]
    roles: tuple[int, ...]
    everyone: bool


@dataclass(slots=True)
class Messages:
    """All messages by channel, in Discord's shape; an edit makes a new dict."""

    state: StandinState
    files: Files
    by_channel: dict[int, dict[int, Json]] = field(default_factory=dict)
    pings: list[MessagePing] = field(default_factory=list)
    aged: dict[int, float] = field(default_factory=dict)
    _nonces: dict[tuple[int, str], tuple[float, int, int]] = field(default_factory=dict)
    _pinned_at: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.state.listeners.append(self._on_event)

    def _on_event(self, event: GatewayEvent) -> None:
        if event.name != "THREAD_UPDATE" or event.data["parent_id"] is None:
            return
        beginning = self.by_channel.get(int(event.data["parent_id"]), {})
        message = beginning.get(int(event.data["id"]))
        if message is not None:
            beginning[int(message["id"])] = {**message, "thread": event.data}

    # looking up

    def get(self, channel_id: int, message_id: int) -> Json:
        """The message, or ApiError 10008."""
        found = self.by_channel.get(channel_id, {}).get(message_id)
        if found is None:
            raise refuse("unknown_message")
        return found

    def find(self, message_id: int) -> Json | None:
        for messages in self.by_channel.values():
            if message_id in messages:
                return messages[message_id]
        return None

    def listed(self, channel_id: int) -> list[Json]:
        """A channel's messages, oldest first."""
        return list(self.by_channel.get(channel_id, {}).values())

    def history(
        self, channel_id: int, *, limit: int, before: int | None, after: int | None, around: int | None
    ) -> list[Json]:
        """Return a page of history, newest first, as GET /messages does."""
        messages = self.listed(channel_id)
        if around is not None:
            older = [m for m in messages if int(m["id"]) < around][-(limit // 2) :] if limit > 1 else []
            newer = [m for m in messages if int(m["id"]) >= around][: limit - len(older)]
            messages = older + newer
        elif after is not None:
            messages = [m for m in messages if int(m["id"]) > after][:limit]
        else:
            messages = [m for m in messages if before is None or int(m["id"]) < before][-limit:]
        return messages[::-1]

    def age(self, message_id: int) -> float:
        """How old a message is, in seconds, `age_message` included."""
        return self.state.clock() - moment_of(message_id) + self.aged.get(message_id, 0.0)

    # posting

    def build(
        self,
        channel: Channel,
        author: Member,
        payload: Json,
        uploads: Iterable[Upload] = (),
        *,
        default_mentions: Collection[str] = mentions.KINDS,
        extra: Json | None = None,
        flags: int = 0,
    ) -> Json:
        """A message object from a checked body, not yet in the channel."""
        message_id = self.state.new_id()
        attachments = self.files.attach(channel.id, payload.get("attachments"), uploads)
        message: Json = OBJECTS["message"] | {
            "id": str(message_id),
            "channel_id": str(channel.id),
            "guild_id": str(GUILD_ID),
            "author": author.user(),
            "member": author.json(user=False),
            "content": (payload.get("content") or "").strip(),
            "timestamp": iso(self.state.clock()),
            "tts": bool(payload.get("tts")),
            "attachments": attachments,
            "components": parts.number(payload.get("components") or []),
            "flags": (int(payload.get("flags") or 0) & _CREATE_FLAGS) | flags,
            **(extra or {}),
        }
        place_media(message, payload.get("embeds") or [])
        self._mention(message, author, channel, payload.get("allowed_mentions"), default_mentions)
        return message

    def post(self, channel: Channel, message: Json) -> Json:
        """Add a built message to its channel and emit the event."""
        message_id = int(message["id"])
        store = self.by_channel.setdefault(channel.id, {})
        store[message_id] = message
        if len(store) > KEPT_PER_CHANNEL:
            del store[next(iter(store))]
        channel.last_message_id = message_id
        if channel.is_thread:
            channel.total_sent += 1
            channel.message_count += 1
            message["position"] = channel.total_sent
        users, roles = (int(u["id"]) for u in message["mentions"]), map(int, message["mention_roles"])
        self.pings.append(MessagePing(message_id, tuple(users), tuple(roles), bool(message["mention_everyone"])))
        del self.pings[:-KEPT_PER_CHANNEL]
        self.state.emit("MESSAGE_CREATE", message, Intent.MESSAGES, channel.id)
        return message

    def send(self, channel: Channel, author: Member, payload: Json, uploads: list[Upload]) -> Json:
        """POST /channels/{id}/messages: permissions, limits, the nonce, the reply."""
        self._check_may_send(channel, author, payload, uploads)
        limits.check_message(payload, files=len(uploads))
        known = self._same_nonce(author.id, payload)
        if known is not None:
            return known
        extra = self._reply(channel, payload)
        message = self.build(channel, author, payload, uploads, extra=extra)
        if payload.get("nonce") is not None:
            message["nonce"] = payload["nonce"]
            self._nonces[(author.id, str(payload["nonce"]))] = (self.state.clock(), channel.id, int(message["id"]))
        self._add_replied_user(message, payload)
        if channel.is_thread and channel.archived:
            self.state.unarchive(channel)
        return self.post(channel, message)

    def _check_may_send(self, channel: Channel, author: Member, payload: Json, uploads: list[Upload]) -> None:
        self.state.require(channel, by=author)
        if channel.type == CATEGORY:
            raise refuse("not_text_channel")
        needed = [PermissionBit.SEND_MESSAGES_IN_THREADS if channel.is_thread else PermissionBit.SEND_MESSAGES]
        needed += [PermissionBit.EMBED_LINKS] if payload.get("embeds") else []
        needed += [PermissionBit.ATTACH_FILES] if uploads else []
        if channel.is_thread and channel.locked and not self.state.may(author, channel, PermissionBit.MANAGE_THREADS):
            raise refuse("thread_archived" if channel.archived else "missing_permissions")
        self.state.require(channel, *needed, by=author)

    def _same_nonce(self, author_id: int, payload: Json) -> Json | None:
        now = self.state.clock()
        for key in [k for k, (at, _, _) in self._nonces.items() if now - at > NONCE_SECONDS]:
            del self._nonces[key]
        if not payload.get("enforce_nonce") or payload.get("nonce") is None:
            return None
        known = self._nonces.get((author_id, str(payload["nonce"])))
        return None if known is None else self.by_channel.get(known[1], {}).get(known[2])

    def _reply(self, channel: Channel, payload: Json) -> Json:
        reference = payload.get("message_reference")
        if not isinstance(reference, dict) or reference.get("message_id") is None:
            return {}
        validate(form({"message_reference": form({"message_id": snowflake})}), payload)
        target = self.by_channel.get(channel.id, {}).get(int(reference["message_id"]))
        if target is None and reference.get("fail_if_not_exists", True):
            raise bad_form(["message_reference"], "REPLIES_UNKNOWN_MESSAGE")
        return {} if target is None else self.reply_fields(target)

    def reply_fields(self, target: Json) -> Json:
        """Return the fields that make a message a reply to `target`."""
        shown = {k: v for k, v in target.items() if k != "referenced_message"}
        return _reference(19, target["channel_id"], target["id"]) | {"referenced_message": shown}

    def _add_replied_user(self, message: Json, payload: Json) -> None:
        target = message.get("referenced_message")
        allowed = payload.get("allowed_mentions")
        if not target or (allowed is not None and not allowed.get("replied_user")):
            return
        if all(user["id"] != target["author"]["id"] for user in message["mentions"]):
            message["mentions"].append(target["author"])

    # editing and deleting

    def edited(
        self,
        channel: Channel,
        before: Json,
        payload: Json,
        uploads: list[Upload],
        *,
        default_mentions: Collection[str] = mentions.KINDS,
        filling: bool = False,
    ) -> Json:
        """A new message from `before` and changes. filling: a deferral's content."""
        after = {**before}
        if "content" in payload:
            after["content"] = (payload.get("content") or "").strip()
        if "components" in payload:
            after["components"] = parts.number(payload.get("components") or [])
        if payload.get("flags") is not None:
            wanted = int(payload["flags"]) & _EDITABLE_FLAGS
            after["flags"] = (before["flags"] & ~limits.SUPPRESS_EMBEDS) | wanted
        if "attachments" in payload or uploads:
            kept = before["attachments"]
            if payload.get("attachments") is not None:
                ids = {str(a.get("id")) for a in payload["attachments"]}
                kept = [a for a in kept if a["id"] in ids]
            after["attachments"] = kept + self.files.attach(channel.id, payload.get("attachments"), uploads)
        if "embeds" in payload:
            after["embeds"] = []
        place_media(after, (payload.get("embeds") or []) if "embeds" in payload else [])
        author = self.state.members.get(int(before["author"]["id"])) or self.state.bot
        self._mention(after, author, channel, payload.get("allowed_mentions"), default_mentions)
        if filling:
            after["flags"] &= ~limits.LOADING
        else:
            after["edited_timestamp"] = iso(self.state.clock())
        return after

    def replace(self, channel: Channel, message: Json) -> Json:
        store = self.by_channel.get(channel.id, {})
        if int(message["id"]) not in store:
            raise refuse("unknown_message")
        store[int(message["id"])] = message
        self.state.emit("MESSAGE_UPDATE", message, Intent.MESSAGES, channel.id)
        return message

    def edit(self, channel: Channel, message_id: int, payload: Json, uploads: list[Upload]) -> Json:
        before = self.get(channel.id, message_id)
        if int(before["author"]["id"]) != BOT_USER_ID:
            raise refuse("not_your_message")
        if before["type"] not in (0, 19, 20):
            raise refuse("system_message")
        channel.require_open()
        if uploads:
            self.state.require(channel, PermissionBit.ATTACH_FILES)
        limits.check_message(payload, files=len(uploads), before=before)
        loading = bool(before["flags"] & limits.LOADING)
        return self.replace(channel, self.edited(channel, before, payload, uploads, filling=loading))

    def delete(self, channel: Channel, message_id: int, *, by_webhook: bool = False) -> None:
        """Delete a message: the bot's own, or anyone's with MANAGE_MESSAGES."""
        message = self.get(channel.id, message_id)
        channel.require_open()
        if int(message["author"]["id"]) != BOT_USER_ID and not by_webhook:
            self.state.require(channel, PermissionBit.MANAGE_MESSAGES)
        del self.by_channel[channel.id][message_id]
        if channel.is_thread:
            channel.message_count -= 1
        data = {"id": str(message_id), "channel_id": str(channel.id)}
        self.state.emit("MESSAGE_DELETE", data, Intent.MESSAGES, channel.id)

    # pins, reactions, threads

    def pin(self, channel: Channel, message_id: int, *, pinned: bool) -> None:
        """Pin or unpin; pinning posts a system message."""
        self.state.require(channel, PermissionBit.PIN_MESSAGES)
        message = self.get(channel.id, message_id)
        if message["pinned"] == pinned:
            return
        if pinned and sum(1 for m in self.listed(channel.id) if m["pinned"]) >= PINS:
            raise refuse("too_many_pins")
        now = self.state.clock()
        self._pinned_at[message_id] = now
        channel.last_pin = now if pinned else channel.last_pin
        self.replace(channel, {**message, "pinned": pinned})
        last_pin = None if channel.last_pin is None else iso(channel.last_pin)
        data = {"channel_id": str(channel.id), "last_pin_timestamp": last_pin}
        self.state.emit("CHANNEL_PINS_UPDATE", data, channel_id=channel.id)
        if pinned:
            self._post_system_message(channel, _reference(6, channel.id, message["id"]))

    def pins(self, channel: Channel, *, limit: int, before: float | None) -> Json:
        pinned = [(self._pinned_at.get(int(m["id"]), 0.0), m) for m in self.listed(channel.id) if m["pinned"]]
        pinned = sorted((p for p in pinned if before is None or p[0] < before), key=lambda p: p[0], reverse=True)
        items = [{"pinned_at": iso(at), "message": m} for at, m in pinned[:limit]]
        return {"items": items, "has_more": len(pinned) > limit}

    def react(self, channel: Channel, message_id: int, emoji: str, *, add: bool) -> None:
        """Add or remove the bot's own reaction."""
        if not is_emoji(emoji):
            raise refuse("unknown_emoji")
        channel.require_open()
        message = self.get(channel.id, message_id)
        reactions = [r for r in message.get("reactions", []) if r["emoji"]["name"] != emoji]
        if add:
            self.state.require(channel, PermissionBit.READ_MESSAGE_HISTORY, PermissionBit.ADD_REACTIONS)
            reactions.append(OBJECTS["reaction"] | {"emoji": {"id": None, "name": emoji}})
        self.by_channel[channel.id][message_id] = {**message, "reactions": reactions}
        data = {
            "user_id": str(BOT_USER_ID),
            "channel_id": str(channel.id),
            "message_id": str(message_id),
            "emoji": {"id": None, "name": emoji},
            "burst": False,
            "type": 0,
        }
        self.state.emit(f"MESSAGE_REACTION_{'ADD' if add else 'REMOVE'}", data, Intent.REACTIONS, channel.id)

    def start_thread(self, parent: Channel, payload: Json, *, message_id: int | None = None) -> Channel:
        """Start a thread, from a message or bare, and post Discord's own messages."""
        message = None if message_id is None else self.get(parent.id, message_id)
        thread = self.state.create_thread(parent, payload, message_id=message_id)
        if message is not None:
            shown = {**message, "flags": message["flags"] | limits.HAS_THREAD, "thread": thread.json(GUILD_ID)}
            self.replace(parent, shown)
            self._post_system_message(thread, _reference(21, parent.id, message["id"]))
        elif thread.type == PUBLIC_THREAD:
            self._post_system_message(parent, _reference(18, thread.id), thread.name)
        return thread

    # parts of a message

    def _post_system_message(self, channel: Channel, extra: Json, content: str = "") -> None:
        author, payload = self.state.bot, {"content": content}
        self.post(channel, self.build(channel, author, payload, default_mentions=(), extra=extra))

    def _mention(
        self, message: Json, author: Member, channel: Channel, allowed: Json | None, default: Collection[str]
    ) -> None:
        state = self.state
        found = mentions.find(
            mentions.visible_text(message),
            allowed,
            default=default,
            known_roles=set(state.roles) - {GUILD_ID},
            known_users=state.members.keys(),
            mentionable_roles={r.id for r in state.roles.values() if r.mentionable},
            may_mention_everyone=bool(state.permissions(author, channel) & PermissionBit.MENTION_EVERYONE),
        )
        message["mentions"] = [
            state.members[i].user() | {"member": state.members[i].json(user=False)} for i in found.users
        ]
        message["mention_roles"] = [str(i) for i in found.roles]
        message["mention_everyone"] = found.everyone


def _reference(kind: int, channel_id: object, message_id: str | None = None) -> Json:
    """The fields of a message that refers to a channel or to a message in it."""
    reference = {"type": 0, "channel_id": str(channel_id), "guild_id": str(GUILD_ID)}
    if message_id is not None:
        reference["message_id"] = message_id
    return {"type": kind, "message_reference": reference}
