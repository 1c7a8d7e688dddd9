"""Drive the stand-in as a user of Discord's client, for tests and benchmarks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opsbot.standin import commands as kinds
from opsbot.standin import components as parts
from opsbot.standin import limits
from opsbot.standin.client_input import InputError, find_command
from opsbot.standin.errors import Json
from opsbot.standin.interaction import (
    AUTOCOMPLETE,
    COMMAND,
    COMPONENT,
    DEFER,
    DEFER_UPDATE,
    MODAL_SUBMIT,
    Interaction,
)
from opsbot.standin.state import OPS_CHANNEL_ID

if TYPE_CHECKING:
    from opsbot.standin.server import Standin


class InteractionFailedError(Exception):
    """The client shows a failure; the text is what it shows."""


@dataclass(frozen=True, slots=True)
class Response:
    """One interaction as its user sees it; the properties reflect later edits."""

    standin: "Standin"
    interaction: Interaction

    @property
    def failed(self) -> str | None:
        """The client's error if no response came within 3 s, else None."""
        return self.interaction.failed

    @property
    def type(self) -> int | None:
        """The callback's type: 4 message, 5, 6 deferred, 7 update, 8 choices, 9 modal."""
        return self.interaction.response_type

    @property
    def deferred(self) -> bool:
        return self.interaction.response_type in (DEFER, DEFER_UPDATE)

    @property
    def ephemeral(self) -> bool:
        """Whether only this person sees the answer."""
        message = self.message
        return self.interaction.ephemeral or bool(message and message["flags"] & limits.EPHEMERAL)

    @property
    def message(self) -> Json | None:
        """The current reply or updated message; None for a modal, or if deleted."""
        found = self.interaction.original_id
        if found is None and self.interaction.response_type is not None and self.interaction.message is not None:
            found = int(self.interaction.message["id"])
        return None if found is None else self.standin.seen_message(found)

    @property
    def content(self) -> str:
        return str((self.message or {}).get("content") or "")

    @property
    def embeds(self) -> list[Json]:
        return list((self.message or {}).get("embeds") or [])

    @property
    def components(self) -> list[Json]:
        return list((self.message or {}).get("components") or [])

    @property
    def followups(self) -> list[Json]:
        """The messages that followed, oldest first."""
        ids = [i for i in self.interaction.owned if i != self.interaction.original_id]
        return [message for i in ids if (message := self.standin.seen_message(i)) is not None]

    @property
    def modal(self) -> Json | None:
        """The form that was opened: {custom_id, title, components}."""
        return self.interaction.modal

    @property
    def first_response_seconds(self) -> float | None:
        return self.interaction.first_response_seconds

    async def final(self, timeout: float = 10.0) -> Json:
        """Wait for the answer after a deferral; TimeoutError if none comes in time."""

        def evaluate() -> Json | None:
            if self.interaction.failed:
                raise InteractionFailedError(self.interaction.failed)
            if self.interaction.response_type == DEFER_UPDATE:
                return None if not self.interaction.filled else next(iter(self.followups[-1:]), self.message)
            message = self.message
            return None if message is None or message["flags"] & limits.LOADING else message

        return await self.standin.changes.wait(evaluate, timeout, "the deferred answer")


class Person:
    """A member using the client; InputError where the client forbids an action."""

    def __init__(self, standin: "Standin", member_id: int) -> None:
        self.standin = standin
        self.id = member_id

    async def run(self, command: str, /, *, channel_id: int | None = None, **options: object) -> Response:
        """Run a slash command ("deploy", "group sub") until its first response."""
        data = self._command(command, options)
        return await self._act(COMMAND, data, channel_id)

    async def autocomplete(
        self, command: str, /, *, option: str, value: object = "", channel_id: int | None = None, **other: object
    ) -> list[Json]:
        """Type `value` into an option; the choices offered as [{name, value}]."""
        data = self._command(command, {**other, option: value}, focused=option)
        response = await self._act(AUTOCOMPLETE, data, channel_id)
        if response.failed:
            raise InteractionFailedError("Loading options failed")
        return list(response.interaction.choices or [])

    async def click(self, message: Json | Response | int, label_or_custom_id: str) -> Response:
        """Press a button, named by its custom id or its label."""
        current = self._current(message)
        buttons = [c for c in parts.walk(current["components"]) if c.get("type") == parts.BUTTON]
        found = [b for b in buttons if b.get("custom_id") == label_or_custom_id] or [
            b for b in buttons if b.get("label") == label_or_custom_id
        ]
        if not found:
            labels = [b.get("label") or (b.get("emoji") or {}).get("name") for b in buttons]
            raise InputError(f"There is no button {label_or_custom_id!r}, only {labels}.")
        if found[0].get("custom_id") is None:
            raise InputError(f"{label_or_custom_id!r} is a link.")
        data = {"custom_id": found[0]["custom_id"], "component_type": parts.BUTTON}
        return await self._act(COMPONENT, data, int(current["channel_id"]), int(current["id"]))

    async def select(self, message: Json | Response | int, custom_id: str, values: Sequence[str]) -> Response:
        """Choose values in a select menu, named by its custom id."""
        current = self._current(message)
        menu = next((c for c in parts.walk(current["components"]) if c.get("custom_id") == custom_id), None)
        if menu is None:
            raise InputError(f"There is no menu {custom_id!r}.")
        data = {"custom_id": custom_id, "component_type": menu["type"], "values": list(values)}
        return await self._act(COMPONENT, data, int(current["channel_id"]), int(current["id"]))

    async def submit(
        self, modal: Json | None, values: Mapping[str, object], *, channel_id: int | None = None
    ) -> Response:
        """Fill and send a form; a list is a select's values, else a field's value."""
        if modal is None:
            raise InputError("No form is open.")
        opened = self.standin.interactions.modals.get((self.id, str(modal["custom_id"])))
        where = opened.channel_id if opened is not None and channel_id is None else channel_id
        filled = [
            {"custom_id": key, "values": list(value)}
            if isinstance(value, (list, tuple))
            else {"custom_id": key, "value": value}
            for key, value in values.items()
        ]
        return await self._act(MODAL_SUBMIT, {"custom_id": modal["custom_id"], "components": filled}, where)

    async def say(self, text: str, *, channel_id: int | None = None) -> Json:
        state = self.standin.state
        channel = state.channel(channel_id or OPS_CHANNEL_ID)
        return self.standin.store.send(channel, state.member(self.id), {"content": text}, [])

    def _current(self, message: Json | Response | int) -> Json:
        shown = message.message if isinstance(message, Response) else message
        if shown is None:
            raise InputError("There is no message.")
        message_id = shown if isinstance(shown, int) else int(shown["id"])
        current = self.standin.seen_message(message_id, by=self.id)
        if current is None:
            raise InputError("The message is gone.")
        return current

    def _command(self, command: str, options: Mapping[str, object], focused: str | None = None) -> Json:
        name, *path = command.split()
        spec = find_command(self.standin.state, {"name": name})
        chain: list[Json] = []
        for part in path:
            found = next((o for o in spec.get("options") or [] if o["name"] == part), None)
            if found is None:
                raise InputError(f"There is no command /{command}.")
            chain.append(found)
            spec = found
        known = {o["name"]: o for o in spec.get("options") or []}
        given: list[Json] = []
        for key, value in options.items():
            if value is None:
                continue
            kind = known[key]["type"] if key in known else kinds.STRING
            shown = str(value) if kind in (kinds.USER, kinds.ROLE, kinds.CHANNEL, kinds.MENTIONABLE) else value
            given.append({"name": key, "type": kind, "value": shown} | ({"focused": True} if key == focused else {}))
        for part_spec in reversed(chain):
            given = [{"name": part_spec["name"], "type": part_spec["type"], "options": given}]
        return {"name": name, "options": given}

    async def _act(self, kind: int, data: Json, channel_id: int | None, message_id: int | None = None) -> Response:
        interactions = self.standin.interactions
        interaction = interactions.create(self.id, channel_id or OPS_CHANNEL_ID, kind, data, message_id=message_id)

        def settled() -> bool | None:
            return True if interaction.answered or interaction.failed else None

        await self.standin.changes.wait(settled, interactions.deadline + 2.0, "the end of the interaction's 3 s")
        return Response(self.standin, interaction)
