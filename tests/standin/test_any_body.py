"""Whatever JSON is sent, the answer is Discord's refusal or a message: never a mistake of the stand-in's own."""

import contextlib
import time
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from opsbot.standin import components, limits
from opsbot.standin.commands import Commands
from opsbot.standin.errors import ApiError
from opsbot.standin.files import Files
from opsbot.standin.messages import Messages
from opsbot.standin.state import APPLICATION_ID, GUILD_ID, OPS_CHANNEL_ID, StandinState

KEYS = [
    "content",
    "embeds",
    "components",
    "flags",
    "nonce",
    "enforce_nonce",
    "allowed_mentions",
    "attachments",
    "type",
    "title",
    "description",
    "fields",
    "name",
    "value",
    "footer",
    "author",
    "text",
    "image",
    "thumbnail",
    "url",
    "color",
    "timestamp",
    "custom_id",
    "label",
    "style",
    "emoji",
    "options",
    "accessory",
    "component",
    "items",
    "media",
    "file",
    "parse",
    "users",
    "roles",
    "replied_user",
    "message_reference",
    "message_id",
    "id",
    "required",
    "choices",
    "autocomplete",
    "min_values",
    "max_values",
    "min_length",
    "max_length",
    "inline",
    "icon_url",
    "poll",
    "tts",
]
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 40),
    st.sampled_from([1 << 15, 1 << 6, 5]),
    st.floats(allow_nan=False),
    st.sampled_from(["", " ", "x", "users", "http://", "http://a.b", "attachment://x", "http://[", "✅", "1", "```"]),
)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)),
    max_leaves=8,
)
COMPONENT = st.fixed_dictionaries(
    {"type": st.sampled_from(range(1, 24))},
    optional={
        "components": st.lists(JSON, max_size=3),
        "custom_id": JSON,
        "label": JSON,
        "style": JSON,
        "media": JSON,
        "items": JSON,
        "accessory": JSON,
        "component": JSON,
        "options": JSON,
        "file": JSON,
        "content": JSON,
    },
)
BODY = st.fixed_dictionaries(
    {},
    optional={
        "content": JSON,
        "embeds": JSON,
        "components": st.one_of(JSON, st.lists(COMPONENT, max_size=3)),
        "flags": LEAVES,
        "nonce": LEAVES,
        "allowed_mentions": JSON,
        "attachments": JSON,
        "message_reference": JSON,
        "enforce_nonce": LEAVES,
        "tts": LEAVES,
    },
)


@settings(max_examples=60, deadline=None)
@given(BODY, BODY)
def test_any_message_is_taken_or_refused(first: dict[str, Any], second: dict[str, Any]) -> None:
    state = StandinState(time.time, "guild")
    messages = Messages(state, Files(lambda: "http://127.0.0.1:1", state.new_id))
    channel = state.channel(OPS_CHANNEL_ID)
    with contextlib.suppress(ApiError):
        sent = messages.send(channel, state.bot, first, [])
        messages.edit(channel, int(sent["id"]), second, [])


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from(["custom_id", "title", "components"]), st.one_of(JSON, st.lists(COMPONENT))))
def test_any_form_is_taken_or_refused(modal: dict[str, Any]) -> None:
    with contextlib.suppress(ApiError):
        components.check_modal(modal)
        components.number(modal["components"])


@settings(max_examples=60, deadline=None)
@given(st.one_of(JSON, st.lists(st.dictionaries(st.sampled_from(KEYS), JSON, max_size=6), max_size=3)))
def test_any_command_is_taken_or_refused(payload: object) -> None:
    state = StandinState(time.time, "guild")
    commands = Commands(APPLICATION_ID, GUILD_ID)
    with contextlib.suppress(ApiError):
        commands.overwrite(payload, state.ids(), 0.0)


def test_the_limits_are_discords_own() -> None:
    assert (limits.CONTENT, limits.EMBEDS, limits.EMBED_TOTAL, limits.FILES) == (2000, 10, 6000, 10)
