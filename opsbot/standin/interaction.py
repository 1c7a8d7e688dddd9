"""One interaction: its state, and its representation in events and messages."""

import asyncio
from dataclasses import dataclass, field

from opsbot.standin import limits
from opsbot.standin.errors import Json
from opsbot.standin.guild import OBJECTS, Channel, Member
from opsbot.standin.state import APPLICATION_ID, GUILD_ID, StandinState

COMMAND, COMPONENT, AUTOCOMPLETE, MODAL_SUBMIT = 2, 3, 4, 5
MESSAGE, DEFER, DEFER_UPDATE, UPDATE, CHOICES, MODAL = 4, 5, 6, 7, 8, 9
DEADLINE = 3.0
TOKEN_SECONDS = 15 * 60.0
NO_ANSWER = "The application did not respond"


@dataclass(slots=True, eq=False)
class Interaction:
    """One interaction and its outcome. message: what holds the component."""

    id: int
    token: str
    type: int
    member_id: int
    channel_id: int
    data: Json
    created: float
    dispatched: float
    nonce: str | None
    message: Json | None = None
    parent: "Interaction | None" = None
    response_type: int | None = None
    first_response_seconds: float | None = None
    failed: str | None = None
    original_id: int | None = None
    ephemeral: bool = False
    filled: bool = False  # after a deferral: something was edited or sent since
    modal: Json | None = None
    choices: list[Json] | None = None
    owned: list[int] = field(default_factory=list)
    timer: asyncio.TimerHandle | None = None

    @property
    def answered(self) -> bool:
        return self.response_type is not None

    def allowed_types(self) -> tuple[int, ...]:
        """The callback types Discord takes for it."""
        if self.type == AUTOCOMPLETE:
            return (CHOICES,)
        types: tuple[int, ...] = (MESSAGE, DEFER)
        if self.message is not None:
            types += (DEFER_UPDATE, UPDATE)
        return types if self.type == MODAL_SUBMIT else (*types, MODAL)


def payload(state: StandinState, interaction: Interaction, member: Member, channel: Channel) -> Json:
    """Build the INTERACTION_CREATE event with the member's current permissions."""
    allowed = state.permissions(member, channel)
    found: Json = OBJECTS["interaction"] | {
        "id": str(interaction.id),
        "application_id": str(APPLICATION_ID),
        "type": interaction.type,
        "token": interaction.token,
        "data": interaction.data,
        "guild_id": str(GUILD_ID),
        "guild": {"id": str(GUILD_ID), "locale": "en-US", "features": []},
        "channel_id": str(channel.id),
        "channel": channel.json(GUILD_ID) | {"permissions": str(allowed)},
        "member": member.json(permissions=allowed),
        "app_permissions": str(state.permissions(state.bot, channel)),
        "authorizing_integration_owners": {"0": str(GUILD_ID)},
        "attachment_size_limit": limits.FILE_BYTES,
    }
    if interaction.message is not None:
        found["message"] = interaction.message
    return found


def metadata(state: StandinState, interaction: Interaction, *, original: bool) -> Json:
    """The `interaction_metadata` of a message that answers it (`original`) or follows."""
    found: Json = {
        "id": str(interaction.id),
        "type": interaction.type,
        "user": state.member(interaction.member_id).user(),
        "authorizing_integration_owners": {"0": str(GUILD_ID)},
    }
    if interaction.type == COMMAND:
        found["name"] = interaction.data["name"]
        found["command_type"] = interaction.data["type"]
    if interaction.type == COMPONENT and interaction.message is not None:
        found["interacted_message_id"] = interaction.message["id"]
    if interaction.parent is not None:
        found["triggering_interaction_metadata"] = metadata(state, interaction.parent, original=True)
    if not original and interaction.original_id is not None:
        found["original_response_message_id"] = str(interaction.original_id)
    return found


def origin(state: StandinState, interaction: Interaction, *, original: bool) -> Json:
    """Return the fields that every message of an interaction has besides its content."""
    extra: Json = {
        "webhook_id": str(APPLICATION_ID),
        "application_id": str(APPLICATION_ID),
        "interaction_metadata": metadata(state, interaction, original=original),
    }
    if interaction.type == COMMAND and original:
        extra["type"] = 20
        extra["interaction"] = {
            "id": str(interaction.id),
            "type": COMMAND,
            "name": interaction.data["name"],
            "user": state.member(interaction.member_id).user(),
        }
    return extra


def value_options(options: object) -> list[Json]:
    """The value options of a command's data, those of sub-commands included."""
    found: list[Json] = []
    for option in options if isinstance(options, list) else []:
        found += value_options(option["options"]) if "options" in option else [option]
    return found
