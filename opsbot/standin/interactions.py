"""Interactions from command or click to the bot's answers, with deadlines.

An interaction is answered once within 3 s; its token then edits and follows up for 15 minutes. Codes: 10062 unknown
or late, 40060 answered already, 10015 followed up before it was answered, 50027 token expired.
"""

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from opsbot.standin import client_input, limits
from opsbot.standin import components as parts
from opsbot.standin.changes import Changes
from opsbot.standin.client_input import InputError
from opsbot.standin.commands import STRING, choice_of
from opsbot.standin.errors import ApiError, Json, refuse
from opsbot.standin.files import Upload
from opsbot.standin.guild import Channel
from opsbot.standin.interaction import (
    AUTOCOMPLETE,
    CHOICES,
    COMMAND,
    COMPONENT,
    DEADLINE,
    DEFER,
    DEFER_UPDATE,
    MESSAGE,
    MODAL,
    MODAL_SUBMIT,
    NO_ANSWER,
    TOKEN_SECONDS,
    UPDATE,
    Interaction,
    origin,
    payload,
    value_options,
)
from opsbot.standin.messages import Messages
from opsbot.standin.permissions import PermissionBit
from opsbot.standin.schema import choice, form, items, required, validate
from opsbot.standin.state import APPLICATION_ID, StandinState

_USERS_ONLY = ("users",)
KEPT_PRIVATE = 2_000


@dataclass(slots=True)
class Interactions:
    """Recent interactions. `dispatch` sends to the gateway, `send` to one page."""

    state: StandinState
    messages: Messages
    changes: Changes
    dispatch: Callable[[str, Json], bool]
    send: Callable[[int, str, Json], None]
    deadline: float = DEADLINE
    by_token: dict[str, Interaction] = field(default_factory=dict)
    private: dict[int, tuple[int, Json]] = field(default_factory=dict)  # ephemeral messages: id -> (member, message)
    modals: dict[tuple[int, str], Interaction] = field(default_factory=dict)

    # from the person to the bot

    def create(
        self,
        member_id: int,
        channel_id: int,
        kind: int,
        data: Json,
        *,
        nonce: str | None = None,
        message_id: int | None = None,
    ) -> Interaction:
        """Check a member's command, click, key stroke or form and send it to the bot.

        Raises InputError if Discord's client would prevent it, ApiError for an unknown member or channel.
        """
        member = self.state.member(member_id)
        channel = self.state.channel(channel_id)
        self.state.require(channel, by=member)
        channel.require_open()
        if kind in (COMMAND, AUTOCOMPLETE):
            self.state.require(channel, PermissionBit.USE_APPLICATION_COMMANDS, by=member)
        message, parent = None, None
        if kind in (COMMAND, AUTOCOMPLETE):
            sent = client_input.command_data(self.state, data, autocomplete=kind == AUTOCOMPLETE)
        elif kind == COMPONENT:
            message = self._seen(member_id, channel_id, message_id)
            sent = client_input.component_data(self.state, message, data)
        elif kind == MODAL_SUBMIT:
            parent = self.modals.get((member_id, str(data.get("custom_id"))))
            if parent is None or parent.modal is None:
                raise InputError("This form is not open.")
            message = parent.message
            sent = client_input.modal_data(self.state, parent.modal, data.get("components"))
            del self.modals[(member_id, str(data.get("custom_id")))]
        else:
            raise InputError(f"There is no interaction of type {kind}.")
        self._forget_old()
        interaction = Interaction(
            self.state.new_id(),
            secrets.token_urlsafe(48),
            kind,
            member.id,
            channel.id,
            sent,
            self.state.clock(),
            asyncio.get_running_loop().time(),
            nonce,
            message,
            parent,
        )
        self.by_token[interaction.token] = interaction
        interaction.timer = asyncio.get_running_loop().call_later(self.deadline, self._give_up, interaction)
        self.dispatch("INTERACTION_CREATE", payload(self.state, interaction, member, channel))
        self.changes.notify()
        return interaction

    def _seen(self, member_id: int, channel_id: int, message_id: int | None) -> Json:
        if message_id in self.private and self.private[message_id][0] == member_id:
            return self.private[message_id][1]
        return self.messages.get(channel_id, message_id or 0)

    def _give_up(self, interaction: Interaction) -> None:
        if not interaction.answered:
            interaction.failed = NO_ANSWER
            found = {"nonce": interaction.nonce, "id": str(interaction.id), "reason": NO_ANSWER}
            self.send(interaction.member_id, "INTERACTION_FAILURE", found)
            self.changes.notify()

    def _forget_old(self) -> None:
        now = self.state.clock()
        while self.by_token:
            oldest = next(iter(self.by_token.values()))
            if now - oldest.created <= 2 * TOKEN_SECONDS:
                return
            del self.by_token[oldest.token]

    # the bot's first answer

    def respond(self, interaction_id: int, token: str, body: Json, uploads: list[Upload]) -> Json:
        """POST /interactions/{id}/{token}/callback; return the body of the answer."""
        interaction = self.by_token.get(token)
        if interaction is None or interaction.id != interaction_id:
            raise refuse("unknown_interaction")
        if interaction.answered:
            raise refuse("already_acknowledged")
        if interaction.failed or self.state.clock() - interaction.created > max(self.deadline, DEADLINE):
            raise refuse("unknown_interaction")
        validate(form({"type": required(choice(*interaction.allowed_types())), "data": form({})}), body)
        kind, data = int(body["type"]), body.get("data") or {}
        channel = self.state.channel(interaction.channel_id)
        try:
            resource = self._answer(interaction, channel, kind, data, uploads)
        except ApiError as error:
            if error.errors is not None:  # in a callback the body's problems are shown below `data`
                raise ApiError(error.status, error.code, error.message, {"data": error.errors}) from error
            raise
        return self._acknowledge(interaction, kind, resource)

    def _answer(
        self, interaction: Interaction, channel: Channel, kind: int, data: Json, uploads: list[Upload]
    ) -> Json | None:
        if kind in (MESSAGE, DEFER):
            if kind == MESSAGE:
                limits.check_message(data, files=len(uploads))
            interaction.ephemeral = _is_ephemeral(data)
            if kind == DEFER:
                return self._post(interaction, channel, {}, [], original=True, flags=limits.LOADING)
            return self._post(interaction, channel, data, uploads, original=True)
        if kind in (UPDATE, DEFER_UPDATE) and interaction.message is not None:
            interaction.original_id = int(interaction.message["id"])
            interaction.owned.append(interaction.original_id)
            if kind == UPDATE:
                return self._change(interaction, channel, interaction.original_id, data, uploads)
        elif kind == CHOICES:
            interaction.choices = self._check_choices(interaction, data)
        elif kind == MODAL:
            parts.check_modal(data)
            interaction.modal = {**data, "components": parts.number(data["components"])}
            self.modals[(interaction.member_id, str(data["custom_id"]))] = interaction
        return None

    def _check_choices(self, interaction: Interaction, data: Json) -> list[Json]:
        options = value_options(interaction.data.get("options"))
        kind = next((int(o["type"]) for o in options if o.get("focused")), STRING)
        validate(form({"choices": items(choice_of(kind), 25)}), data)
        return [{"name": choice["name"], "value": choice["value"]} for choice in data.get("choices") or ()]

    def _acknowledge(self, interaction: Interaction, kind: int, message: Json | None) -> Json:
        interaction.response_type = kind
        interaction.first_response_seconds = asyncio.get_running_loop().time() - interaction.dispatched
        if interaction.timer is not None:
            interaction.timer.cancel()
        self._send_acknowledged(interaction, kind)
        self.changes.notify()
        about: Json = {"id": str(interaction.id), "type": interaction.type}
        if interaction.original_id is not None:
            about["response_message_id"] = str(interaction.original_id)
            about["response_message_loading"] = kind == DEFER
            about["response_message_ephemeral"] = interaction.ephemeral
        body: Json = {"interaction": about}
        if message is not None:
            body["resource"] = {"type": kind, "message": message}
        return body

    def _send_acknowledged(self, interaction: Interaction, kind: int) -> None:
        about: Json = {"nonce": interaction.nonce, "id": str(interaction.id)}
        if kind == MODAL:
            self.send(interaction.member_id, "MODAL", about | {"modal": interaction.modal})
        elif kind == CHOICES:
            self.send(interaction.member_id, "AUTOCOMPLETE", about | {"choices": interaction.choices})
        elif kind == DEFER:
            self.send(interaction.member_id, "INTERACTION_DEFERRED", about | {"ephemeral": interaction.ephemeral})
        self.send(interaction.member_id, "INTERACTION_SUCCESS", about)

    # messages of an interaction

    def _post(
        self,
        interaction: Interaction,
        channel: Channel,
        data: Json,
        uploads: list[Upload],
        *,
        original: bool,
        flags: int = 0,
        ephemeral: bool | None = None,
    ) -> Json:
        private = interaction.ephemeral if ephemeral is None else ephemeral
        flags |= limits.EPHEMERAL if private else 0
        extra = self._origin(interaction, original=original)
        message = self.messages.build(
            channel, self.state.bot, data, uploads, default_mentions=_USERS_ONLY, extra=extra, flags=flags
        )
        message_id = int(message["id"])
        if original:
            interaction.original_id = message_id
        interaction.owned.append(message_id)
        if private:
            self.private[message_id] = (interaction.member_id, message)
            if len(self.private) > KEPT_PRIVATE:
                del self.private[next(iter(self.private))]
            self.send(interaction.member_id, "EPHEMERAL", message)
            self.changes.notify()
        else:
            self.messages.post(channel, message)
        return message

    def _origin(self, interaction: Interaction, *, original: bool) -> Json:
        extra = origin(self.state, interaction, original=original)
        target = interaction.message if original else self._original(interaction)
        return extra if target is None else extra | self.messages.reply_fields(target)

    def _original(self, interaction: Interaction) -> Json | None:
        return None if interaction.original_id is None else self._find(interaction, interaction.original_id)

    def _find(self, interaction: Interaction, message_id: int) -> Json | None:
        if message_id in self.private:
            return self.private[message_id][1]
        return self.messages.by_channel.get(interaction.channel_id, {}).get(message_id)

    def _change(
        self, interaction: Interaction, channel: Channel, message_id: int, data: Json, uploads: list[Upload]
    ) -> Json:
        before = self._find(interaction, message_id)
        if before is None:
            raise refuse("unknown_message")
        channel.require_open()
        limits.check_message(data, files=len(uploads), before=before)
        filling = bool(before["flags"] & limits.LOADING)
        after = self.messages.edited(channel, before, data, uploads, default_mentions=_USERS_ONLY, filling=filling)
        if message_id == interaction.original_id:
            interaction.filled = True
        if message_id in self.private:
            self.private[message_id] = (self.private[message_id][0], after)
            self.send(self.private[message_id][0], "EPHEMERAL_UPDATE", after)
            self.changes.notify()
        else:
            self.messages.replace(channel, after)
        return after

    # later answers, by token

    def _of_token(self, application_id: int, token: str) -> tuple[Interaction, Channel]:
        if application_id != APPLICATION_ID:
            raise refuse("unknown_webhook")
        interaction = self.by_token.get(token)
        if interaction is None or self.state.clock() - interaction.created > TOKEN_SECONDS:
            raise refuse("token_expired")
        if not interaction.answered:
            raise refuse("unknown_webhook")
        return interaction, self.state.channel(interaction.channel_id)

    def follow_up(self, application_id: int, token: str, data: Json, uploads: list[Upload]) -> Json:
        """POST /webhooks/{app}/{token}; the first one fills a deferred message."""
        interaction, channel = self._of_token(application_id, token)
        original = self._original(interaction)
        if interaction.response_type == DEFER and original is not None and original["flags"] & limits.LOADING:
            # Its own ephemeral flag is ignored: the deferral decided who sees it.
            return self._change(interaction, channel, int(original["id"]), data, uploads)
        limits.check_message(data, files=len(uploads))
        interaction.filled = True
        return self._post(interaction, channel, data, uploads, original=False, ephemeral=_is_ephemeral(data))

    def _message_id(self, interaction: Interaction, which: str) -> int:
        message_id = interaction.original_id if which == "@original" else (int(which) if which.isdecimal() else None)
        if message_id is None or message_id not in interaction.owned:
            raise refuse("unknown_message")
        return message_id

    def get(self, application_id: int, token: str, which: str) -> Json:
        interaction, _ = self._of_token(application_id, token)
        found = self._find(interaction, self._message_id(interaction, which))
        if found is None:
            raise refuse("unknown_message")
        return found

    def edit(self, application_id: int, token: str, which: str, data: Json, uploads: list[Upload]) -> Json:
        interaction, channel = self._of_token(application_id, token)
        return self._change(interaction, channel, self._message_id(interaction, which), data, uploads)

    def delete(self, application_id: int, token: str, which: str) -> None:
        interaction, channel = self._of_token(application_id, token)
        message_id = self._message_id(interaction, which)
        if message_id in self.private:
            member_id, _ = self.private.pop(message_id)
            gone = {"id": str(message_id), "channel_id": str(channel.id)}
            self.send(member_id, "EPHEMERAL_DELETE", gone)
            self.changes.notify()
        else:
            self.messages.delete(channel, message_id, by_webhook=True)

    @property
    def pending(self) -> bool:
        """Whether the bot has an interaction to answer, and time left for it."""
        return any(not (each.answered or each.failed) for each in self.by_token.values())

    def stop(self) -> None:
        for interaction in self.by_token.values():
            if interaction.timer is not None:
                interaction.timer.cancel()


def _is_ephemeral(data: Json) -> bool:
    return bool(int(data.get("flags") or 0) & limits.EPHEMERAL)
