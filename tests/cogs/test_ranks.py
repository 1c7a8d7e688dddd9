"""Members of each rank and of none try every command and every button: every cell of the table."""

from typing import Any

import pytest

from opsbot.core.access import Action, Rank
from opsbot.core.deployment import Phase
from opsbot.core.model import NotificationKind
from opsbot.store import audit, outbox
from tests.cogs.world import RANKS, World, commits, text_of

PEOPLE = ("nobody", *RANKS)
COMMANDS: dict[str, dict[str, Any]] = {
    "status": {},
    "health": {},
    "history": {},
    "incidents": {},
    "why": {"service": "api"},
    "logs": {"service": "api"},
    "restart": {"service": "api"},
    "silence": {"service": "api", "for": "10m"},
    "deploy": {"service": "api"},
    "rollback": {"service": "api"},
    "hold": {"service": "api"},
    "resume": {"service": "api"},
    "audit": {},
    "windows": {},
}
# Written out, and not taken from the code: the table is what PRODUCT.md promises.
ALLOWED = {
    "status": "viewer operator deployer admin",
    "health": "viewer operator deployer admin",
    "history": "viewer operator deployer admin",
    "incidents": "viewer operator deployer admin",
    "why": "viewer operator deployer admin",
    "logs": "operator deployer admin",
    "restart": "operator deployer admin",
    "silence": "operator deployer admin",
    "deploy": "deployer admin",
    "rollback": "deployer admin",
    "hold": "deployer admin",
    "resume": "deployer admin",
    "audit": "admin",
    "windows": "viewer operator deployer admin",
}
BUTTONS = {
    "Logs": "operator deployer admin",
    "Restart": "operator deployer admin",
    "Silence 1 h": "operator deployer admin",
    "Roll back": "deployer admin",
    "Retry": "deployer admin",
    "Deploy": "deployer admin",
    "Confirm": "deployer admin",
    "Stop": "operator deployer admin",
}


def test_the_table_has_every_command() -> None:
    hidden = {Action.RELOAD, Action.NOTIFY, Action.ACK, Action.NOW}
    assert set(ALLOWED) == set(COMMANDS) == {str(action) for action in Action} - hidden
    for name, people in ALLOWED.items():
        assert Action(name).least_rank is Rank[people.split()[0].upper()]


async def refused(world: World, who: str, shown: str) -> bool:
    """Whether it was refused for lack of rank: both in words and in the audit log."""
    entries = await world.store.read(audit.entries, None, str(world.people[who]), 1)
    said = shown.startswith("✋ You may not use")
    assert entries, "everything asked is in the audit log"
    assert said is not entries[0].allowed
    return said


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.processes
async def test_each_rank_may_use_the_commands_of_its_row_and_no_other(world: World, command: str) -> None:
    await world.live("api", "r1", "r2")
    for who in PEOPLE:
        before = len(world.posted())
        response = await world.person(who).run(command, **COMMANDS[command])
        shown = text_of(await response.final())
        assert await refused(world, who, shown) is (who not in ALLOWED[command].split()), (command, who, shown)
        if who not in ALLOWED[command].split():
            assert response.ephemeral
            assert len(world.posted()) == before, "a refusal is for the one who asked alone"
        assert "Internal error" not in shown


async def scene(world: World, button: str) -> dict[str, Any]:
    """A message that carries this button."""
    await world.live("api", "r1", "r2")
    if button == "Deploy":
        await world.engine.store.write(put_update, world)
        world.feed.publish("notice")
    elif button == "Retry":
        await world.deployment(commits=commits("one"), phase=Phase.FAILED, failed_in=Phase.FETCHING)
    elif button == "Stop":
        await (await world.person("admin").run("logs", service="api", follow=True)).final()
    else:
        await world.incident()
    label = "Roll back" if button == "Confirm" else button
    return await world.standin.wait_for_message(lambda m: label in str(m["components"]))


def put_update(db: Any, world: World) -> None:
    body: dict[str, object] = {"text": "new", "commit": "a" * 40}
    outbox.put(db, "update:1", NotificationKind.UPDATE, "api", world.now(), body=body)


@pytest.mark.parametrize("button", BUTTONS)
@pytest.mark.processes
async def test_each_rank_may_press_the_buttons_of_its_row_and_no_other(world: World, button: str) -> None:
    message = await scene(world, button)
    for who in PEOPLE:
        if button == "Confirm":
            question = await world.person("admin").click(message, "Roll back")
            private = await question.final()
            # Somebody else's private question cannot be seen; its custom id can be forged.
            forged = private["components"][0]["components"][0]["custom_id"]
            response = await press_forged(world, who, message, forged)
        elif button == "Stop":
            # The first who may takes it away; its custom id can be forged.
            response = await press_forged(world, who, message, message["components"][0]["components"][0]["custom_id"])
        else:
            response = await world.person(who).click(message, button)
        shown = text_of(await response.final())
        assert await refused(world, who, shown) is (who not in BUTTONS[button].split()), (button, who, shown)
        assert "Internal error" not in shown
    if button == "Restart":
        assert len(world.manager.restarts) == 1, "of three who press within seconds one restarts it"


async def press_forged(world: World, who: str, message: dict[str, Any], custom_id: str) -> Any:
    """Press a button with that custom id, posted by a bot that others could make say anything."""
    channel = world.standin.state.channel(world.standin.ops_channel_id)
    payload = {
        "content": "forged",
        "components": [
            {"type": 1, "components": [{"type": 2, "style": 4, "label": "Confirm", "custom_id": custom_id}]}
        ],
    }
    forged = world.standin.store.send(channel, world.standin.state.bot, payload, [])
    del message
    return await world.person(who).click(forged, "Confirm")


async def test_a_role_taken_away_counts_at_the_next_click(world: World) -> None:
    await world.live("api", "r1", "r2")
    await world.incident()
    card = await world.standin.wait_for_message(lambda m: "Restart" in str(m["components"]))
    world.standin.set_roles(world.people["operator"], [])
    response = await world.person("operator").click(card, "Restart")
    assert "You may not use" in (await response.final())["content"]
    assert world.manager.restarts == []


async def test_autocompletion_tells_nothing_to_who_has_no_rank(world: World) -> None:
    assert await world.person("nobody").autocomplete("status", option="service", value="") == []
    assert await world.person("viewer").autocomplete("restart", option="service", value="") == []
    found = await world.person("operator").autocomplete("restart", option="service", value="a")
    assert [choice["value"] for choice in found] == ["api"]


async def test_the_kept_releases_are_offered_to_who_may_roll_back(world: World) -> None:
    await world.live("api", "r1", "r2", "r3")
    found = await world.person("deployer").autocomplete("rollback", option="release", value="", service="api")
    assert [choice["value"] for choice in found] == ["r2", "r1"]
    assert await world.person("operator").autocomplete("rollback", option="release", value="", service="api") == []
    assert await world.person("deployer").autocomplete("rollback", option="release", value="", service="nope") == []
