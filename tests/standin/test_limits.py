from typing import Any

import discord
import pytest

from opsbot.standin import Standin
from opsbot.standin.emoji import is_emoji
from opsbot.standin.mentions import find
from tests.standin.client import Bot
from tests.standin.conftest import Rest


def button(**keys: object) -> dict[str, object]:
    return {"type": 2, "style": 1, "label": "Go", "custom_id": "go", **keys}


def link(url: str) -> dict[str, object]:
    return {"type": 2, "style": 5, "label": "Go", "url": url}


def row(*components: object) -> dict[str, object]:
    return {"type": 1, "components": list(components)}


def rows(count: int, width: int = 1) -> list[dict[str, object]]:
    return [row(*(button(custom_id=f"{r}.{c}") for c in range(width))) for r in range(count)]


def menu(options: int, **keys: object) -> dict[str, object]:
    offered = [{"label": str(n), "value": str(n)} for n in range(options)]
    return {"type": 3, "custom_id": "menu", "options": offered, **keys}


def text(content: str) -> dict[str, object]:
    return {"type": 10, "content": content}


V2 = 1 << 15
EMBED = {"title": "t", "description": "d"}
REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("content", {"content": "x" * 2001}),
    ("content", {"content": 5}),
    ("nonce", {"content": "x", "nonce": "n" * 26}),
    ("embeds", {"embeds": [EMBED] * 11}),
    ("embeds.0.title", {"embeds": [{"title": "x" * 257}]}),
    ("embeds.0.description", {"embeds": [{"description": "x" * 4097}]}),
    ("embeds.0.description", {"embeds": [{"color": 1}]}),
    ("embeds.0.fields", {"embeds": [{"fields": [{"name": "n", "value": "v"}] * 26}]}),
    ("embeds.0.fields.0.name", {"embeds": [{"fields": [{"name": "x" * 257, "value": "v"}]}]}),
    ("embeds.0.fields.0.value", {"embeds": [{"fields": [{"name": "n", "value": "x" * 1025}]}]}),
    ("embeds.0.fields.0.value", {"embeds": [{"fields": [{"name": "n", "value": " \n"}]}]}),
    ("embeds.0.fields.0.value", {"embeds": [{"fields": [{"name": "n", "value": ""}]}]}),
    ("embeds.0.footer.text", {"embeds": [{"title": "t", "footer": {"text": "x" * 2049}}]}),
    ("embeds.0.author.name", {"embeds": [{"title": "t", "author": {"name": "x" * 257}}]}),
    ("embeds.0.color", {"embeds": [{"title": "t", "color": 0x1000000}]}),
    ("embeds.0.url", {"embeds": [{"title": "t", "url": "http://localhost:3000"}]}),
    ("embeds.0.timestamp", {"embeds": [{"title": "t", "timestamp": "yesterday"}]}),
    ("embeds", {"embeds": [{"description": "x" * 3001}, {"description": "x" * 3000}]}),
    ("components", {"content": "x", "components": rows(6)}),
    ("components.0.components", {"content": "x", "components": [row(*(button(custom_id=str(n)) for n in range(6)))]}),
    ("components.0.components", {"content": "x", "components": [row()]}),
    ("components.0.type", {"content": "x", "components": [button()]}),
    ("components.0.components.1.custom_id", {"content": "x", "components": [row(button(), button())]}),
    ("components.0.components.0.label", {"content": "x", "components": [row(button(label="x" * 81))]}),
    ("components.0.components.0", {"content": "x", "components": [row(button(label=None))]}),
    ("components.0.components.0.custom_id", {"content": "x", "components": [row(button(custom_id="x" * 101))]}),
    ("components.0.components.0.custom_id", {"content": "x", "components": [row(button(custom_id=None))]}),
    ("components.0.components.0.style", {"content": "x", "components": [row(button(style=9))]}),
    ("components.0.components.0.emoji.name", {"content": "x", "components": [row(button(emoji={"name": "✓"}))]}),
    ("components.0.components.0.url", {"content": "x", "components": [row(link("http://localhost:3000"))]}),
    ("components.0.components.0.url", {"content": "x", "components": [row(link("javascript:alert(1)"))]}),
    ("components.0.components.0.options", {"content": "x", "components": [row(menu(26))]}),
    ("components.0.components.0.options", {"content": "x", "components": [row(menu(0))]}),
    ("components.0.components.0.max_values", {"content": "x", "components": [row(menu(2, max_values=3))]}),
    ("components.0.components", {"content": "x", "components": [row(menu(2), button())]}),
    ("allowed_mentions.parse.0", {"content": "x", "allowed_mentions": {"parse": ["all"]}}),
    ("allowed_mentions", {"content": "x", "allowed_mentions": {"parse": ["users"], "users": ["1"]}}),
    ("message_reference", {"content": "x", "message_reference": {"message_id": "5"}}),
    ("content", {"content": "x", "flags": V2, "components": [text("y")]}),
    ("embeds", {"embeds": [EMBED], "flags": V2, "components": [text("y")]}),
    ("components", {"flags": V2, "components": [text("y")] * 41}),
    ("components", {"flags": V2, "components": [{"type": 17, "components": [text("y")] * 40}]}),
    ("components", {"flags": V2, "components": [text("x" * 2001), text("x" * 2000)]}),
    ("components.0.accessory", {"flags": V2, "components": [{"type": 9, "components": [text("y")]}]}),
    ("components.0.type", {"content": "x", "components": [text("y")]}),
]


@pytest.mark.parametrize(("where", "body"), REFUSED, ids=[f"{n}-{where}" for n, (where, _) in enumerate(REFUSED)])
async def test_a_body_discord_would_refuse_is_refused_with_the_place(
    standin: Standin, rest: Rest, where: str, body: dict[str, Any]
) -> None:
    found = await rest.send(**body)
    assert (found["status"], found["code"], found["message"]) == (400, 50035, "Invalid Form Body")
    node = found["errors"]
    for key in where.split("."):
        node = node[key]
    assert node["_errors"][0]["message"]
    assert standin.messages() == []


@pytest.mark.parametrize(
    "body",
    [
        {"content": "x" * 2000},
        {"content": "é" * 2000},
        {"embeds": [{"description": "x" * 4096}, {"description": "x" * 1904}]},
        {"embeds": [{"fields": [{"name": "n", "value": "v"}] * 25}]},
        {"content": "x", "components": rows(5, 5)},
        {"content": "x", "components": [row(menu(25, max_values=25))]},
        {"content": "x", "components": [row(button(emoji={"name": "✅"}, label=None), link("http://10.0.0.5:3000"))]},
        {"flags": V2, "components": [text("x" * 4000)]},
        {
            "flags": V2,
            "components": [
                {
                    "type": 17,
                    "components": [
                        {"type": 9, "components": [text("a")], "accessory": button()},
                        {"type": 14},
                        row(menu(2)),
                    ],
                }
            ],
        },
        {"content": "quiet", "flags": 1 << 12},
    ],
)
async def test_a_body_at_the_limit_is_taken(standin: Standin, rest: Rest, body: dict[str, Any]) -> None:
    assert (await rest.send(**body))["status"] == 200
    assert len(standin.messages()) == 1


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"content": ""},
        {"content": " \n "},
        {"embeds": []},
        {"components": rows(1)},
        {"flags": V2, "components": []},
    ],
)
async def test_an_empty_message_is_refused(rest: Rest, body: dict[str, Any]) -> None:
    found = await rest.send(**body)
    assert (found["status"], found["code"]) == (400, 50006)


async def test_a_components_v2_message_stays_one(rest: Rest) -> None:
    sent = await rest.send(flags=V2, components=[text("a")])
    edited = await rest.edit(sent, flags=0, components=[text("b")])
    assert edited["flags"] & V2
    assert (await rest.edit(sent, content="c"))["code"] == 50035


async def test_an_old_message_becomes_components_v2_only_when_its_text_goes(rest: Rest) -> None:
    sent = await rest.send(content="old", embeds=[EMBED])
    assert (await rest.edit(sent, flags=V2, components=[text("b")]))["code"] == 50035
    edited = await rest.edit(sent, flags=V2, components=[text("b")], content=None, embeds=[])
    assert (edited["status"], edited["content"], edited["embeds"]) == (200, "", [])


async def test_silence_is_set_at_creation_only(rest: Rest) -> None:
    sent = await rest.send(content="loud")
    assert not (await rest.edit(sent, flags=1 << 12))["flags"] & 1 << 12
    quiet = await rest.send(content="quiet", flags=1 << 12)
    assert (await rest.edit(quiet, flags=0))["flags"] & 1 << 12


async def test_an_edit_that_leaves_nothing_is_refused(rest: Rest) -> None:
    sent = await rest.send(content="x")
    assert (await rest.edit(sent, content=""))["code"] == 50006
    assert (await rest.edit(sent, content="", embeds=[EMBED]))["status"] == 200


# who is mentioned


async def test_a_plain_message_without_allowed_mentions_pings_everyone_it_can(standin: Standin, rest: Rest) -> None:
    role = standin.add_role("on-call", mentionable=True)
    sent = await rest.send(content=f"@everyone <@{standin.owner_id}> <@&{role}> <@999>")
    assert sent["mention_everyone"]
    assert [user["id"] for user in sent["mentions"]] == [str(standin.owner_id)]
    assert sent["mention_roles"] == [str(role)]
    assert standin.store.pings[-1].everyone


async def test_allowed_mentions_pings_only_those_it_names(standin: Standin, rest: Rest) -> None:
    content = f"@here <@{standin.owner_id}> <@&{standin.roles['admin']}>"
    sent = await rest.send(content=content, allowed_mentions={"parse": []})
    assert (sent["mention_everyone"], sent["mentions"], sent["mention_roles"]) == (False, [], [])
    named = await rest.send(content=content, allowed_mentions={"parse": [], "users": [str(standin.owner_id)]})
    assert (len(named["mentions"]), named["mention_everyone"]) == (1, False)


async def test_an_interactions_answer_pings_users_only_and_an_embed_nobody(standin: Standin, rest: Rest) -> None:
    everyone = f"@everyone <@{standin.owner_id}> <@&{standin.roles['admin']}>"
    sent = await rest.send(embeds=[{"description": everyone}])
    assert (sent["mention_everyone"], sent["mentions"], sent["mention_roles"]) == (False, [], [])
    shown = await rest.send(flags=V2, components=[text(everyone)])
    assert shown["mention_everyone"]


def test_code_mentions_nobody_unless_the_text_breaks_out_of_it() -> None:
    def everyone(content: str) -> bool:
        return find(
            content,
            None,
            default=("everyone",),
            known_roles=(),
            known_users=(),
            mentionable_roles=(),
            may_mention_everyone=True,
        ).everyone

    assert not everyone("```\n@everyone\n```")
    assert not everyone("`@everyone`")
    assert everyone("```\n``` @everyone ```\n```")
    assert everyone("` @everyone")
    assert not everyone("@everyones")


def test_a_check_mark_is_no_emoji_but_a_check_mark_button_is() -> None:
    assert all(map(is_emoji, "✅⚠▶🔁⏪❌🟢"))
    assert is_emoji("⚠️")
    assert is_emoji("1️⃣")
    assert is_emoji("👩‍💻")
    assert not any(map(is_emoji, "✓●→x1 "))
    assert not is_emoji("")
    assert not is_emoji(":white_check_mark:")


# commands


@pytest.mark.parametrize(
    ("where", "command"),
    [
        ("0.name", {"name": "Deploy", "description": "d"}),
        ("0.name", {"name": "de ploy", "description": "d"}),
        ("0.name", {"name": "x" * 33, "description": "d"}),
        ("0.description", {"name": "deploy"}),
        ("0.description", {"name": "deploy", "description": "x" * 101}),
        (
            "0.options",
            {
                "name": "deploy",
                "description": "d",
                "options": [{"type": 3, "name": f"o{n}", "description": "d"} for n in range(26)],
            },
        ),
        (
            "0.options.1",
            {
                "name": "deploy",
                "description": "d",
                "options": [
                    {"type": 3, "name": "a", "description": "d"},
                    {"type": 3, "name": "b", "description": "d", "required": True},
                ],
            },
        ),
        (
            "0.options.1.name",
            {
                "name": "deploy",
                "description": "d",
                "options": [{"type": 3, "name": "a", "description": "d"}, {"type": 3, "name": "a", "description": "d"}],
            },
        ),
        (
            "0.options.0.choices",
            {
                "name": "deploy",
                "description": "d",
                "options": [
                    {"type": 3, "name": "a", "description": "d", "choices": [{"name": "n", "value": "v"}] * 26}
                ],
            },
        ),
        (
            "0.options.0.autocomplete",
            {
                "name": "deploy",
                "description": "d",
                "options": [
                    {
                        "type": 3,
                        "name": "a",
                        "description": "d",
                        "autocomplete": True,
                        "choices": [{"name": "n", "value": "v"}],
                    }
                ],
            },
        ),
    ],
)
async def test_a_command_discord_would_refuse_is_refused(
    standin: Standin, rest: Rest, where: str, command: dict[str, Any]
) -> None:
    path = f"/applications/{standin.application_id}/guilds/{standin.guild_id}/commands"
    found = await rest("PUT", path, [command])
    assert (found["status"], found["code"]) == (400, 50035)
    node = found["errors"]
    for key in where.split("."):
        node = node[key]
    assert node["_errors"]
    assert standin.commands == []


async def test_commands_keep_their_id_and_are_limited_in_number(standin: Standin, rest: Rest) -> None:
    path = f"/applications/{standin.application_id}/guilds/{standin.guild_id}/commands"
    one = {"name": "one", "description": "d"}
    first = await rest("PUT", path, [one])
    again = await rest("PUT", path, [one | {"description": "e"}, {"name": "two", "description": "d"}])
    assert again[0]["id"] == first[0]["id"]
    assert again[0]["description"] == "e"
    many = [{"name": f"c{n}", "description": "d"} for n in range(101)]
    assert (await rest("PUT", path, many))["code"] == 30032
    assert (await rest("PUT", path, [one, one]))["code"] == 50035
    assert (await rest("POST", path, {"name": "three", "description": "d"}))["status"] == 201
    changed = await rest("PATCH", f"{path}/{again[1]['id']}", {"description": "other"})
    assert changed["description"] == "other"
    assert (await rest("DELETE", f"{path}/{first[0]['id']}"))["status"] == 204
    assert [c["name"] for c in await rest("GET", path)] == ["two", "three"]
    assert (await rest("GET", f"{path}/{first[0]['id']}"))["code"] == 10063
    for batch in range(2):
        await rest("PUT", path, [{"name": f"b{batch}n{n}", "description": "d"} for n in range(98)])
    assert (await rest("PUT", path, [{"name": f"last{n}", "description": "d"} for n in range(5)]))["code"] == 30034


async def test_discord_py_raises_what_it_should_for_a_text_too_long(bot: Bot) -> None:
    with pytest.raises(discord.HTTPException) as refused:
        await bot.ops.send("x" * 2001)
    assert refused.value.code == 50035
    assert "content" in refused.value.text
