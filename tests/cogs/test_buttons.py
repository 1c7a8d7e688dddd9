"""Buttons outlive restarts, mean what they meant when they were posted, and do it once."""

import asyncio
import time

import pytest

from cogs.cards.rendered import Button
from cogs.interactions.views import view_of
from opsbot.core.deployment import Phase
from opsbot.core.model import Live
from opsbot.store import ledger
from tests.cogs.world import START, Json, World, buttons_of, text_of


async def incident_card(world: World) -> Json:
    await world.live("api", "r1", "r2")
    await world.incident()
    card = await world.standin.wait_for_message(lambda m: "#i1" in text_of(m))
    await world.all_told()
    return card


async def test_buttons_work_after_opsbot_was_killed_and_started_again(world: World) -> None:
    card = await incident_card(world)
    await world.kill()
    await world.start()
    response = await world.person("operator").click(card, "Restart")
    assert "was restarted" in (await response.final())["content"]
    assert response.ephemeral
    assert world.manager.restarts == ["api"]


async def test_a_rollback_is_asked_once_more_and_then_begun(world: World) -> None:
    card = await incident_card(world)
    question = await world.person("deployer").click(card, "Roll back")
    asked = await question.final()
    assert question.ephemeral
    assert "from `r2` to `r1`" in asked["content"]
    assert await world.store.read(ledger.deployments, "api") == []
    answer = await world.person("deployer").click(question, "Confirm")
    await world.until(lambda: "started" in answer.content)
    (begun,) = await world.store.read(ledger.deployments, "api")
    assert begun.release_to == "r1"
    assert begun.actor.name == "deployer"
    assert answer.components == [], "the question's buttons are gone"


async def test_a_confirmation_works_after_a_restart_and_a_cancel_does_nothing(world: World) -> None:
    card = await incident_card(world)
    first = await world.person("deployer").click(card, "Roll back")
    await first.final()
    second = await world.person("deployer").click(card, "Roll back")
    await second.final()
    await world.kill()
    await world.start()
    cancelled = await world.person("deployer").click(second, "Cancel")
    await world.until(lambda: "was not rolled back" in cancelled.content)
    assert await world.store.read(ledger.deployments, "api") == []
    confirmed = await world.person("deployer").click(first, "Confirm")
    await world.until(lambda: "started" in confirmed.content)


async def test_a_question_that_is_a_minute_old_has_ended(world: World) -> None:
    card = await incident_card(world)
    question = await world.person("deployer").click(card, "Roll back")
    message = await question.final()
    confirm = message["components"][0]["components"][0]
    expires, digest = confirm["custom_id"].removeprefix("ops:1:yes:api:").split(".")
    assert 55 <= int(expires) - time.time() <= 61
    old = f"ops:1:yes:api:{int(expires) - 61}.{digest}"
    channel = world.standin.state.channel(world.standin.ops_channel_id)
    payload = {"content": "?", "components": [{"type": 1, "components": [confirm | {"custom_id": old}]}]}
    forged = world.standin.store.send(channel, world.standin.state.bot, payload, [])
    answer = await world.person("deployer").click(forged, "Confirm")
    await world.until(lambda: "This confirmation has expired" in answer.content)
    assert await world.store.read(ledger.deployments, "api") == []


async def test_only_what_the_question_named_is_rolled_back(world: World) -> None:
    card = await incident_card(world)
    question = await world.person("deployer").click(card, "Roll back")
    await question.final()
    await world.live("api", "r1", "r2", "r3")
    answer = await world.person("deployer").click(question, "Confirm")
    await world.until(lambda: "runs `r3` now" in answer.content)
    assert await world.store.read(ledger.deployments, "api") == []


async def test_a_roll_back_button_of_a_deployment_that_is_not_live_any_more_says_so(world: World) -> None:
    await world.live("api", "r1", "r2")
    first = await world.deployment(release_from="r1", release_to="r2")
    await world.change(first, phase=Phase.LIVE, live_at=world.now())
    await world.store.write(ledger.set_live, Live("api", "r2", START, first.id))
    card = await world.standin.wait_for_message(lambda m: "#d1" in text_of(m) and "Roll back" in buttons_of(m))
    question = await world.person("deployer").click(card, "Roll back")
    assert "from `r2` to `r1`" in (await question.final())["content"]
    await world.store.write(ledger.set_live, Live("api", "r1", START, None))
    stale = await world.person("deployer").click(card, "Roll back")
    shown = (await stale.final())["content"]
    assert "api no longer runs deployment" in shown or "no earlier good release" in shown


@pytest.mark.processes
async def test_a_retry_of_a_deployment_that_another_came_after_says_so(world: World) -> None:
    first = await world.deployment()
    await world.change(first, phase=Phase.FAILED, failed_in=Phase.FETCHING)
    card = await world.standin.wait_for_message(lambda m: "#d1" in text_of(m) and "Retry" in buttons_of(m))
    retried = await world.person("deployer").click(card, "Retry")
    assert "Deployment 2 of api started" in (await retried.final())["content"]
    again = await world.person("deployer").click(card, "Retry")
    shown = (await again.final())["content"]
    assert "Deployment 2 of api is newer" in shown


async def test_a_double_click_restarts_once(world: World) -> None:
    card = await incident_card(world)
    world.manager.slow = 0.2
    first, second = await asyncio.gather(
        world.person("operator").click(card, "Restart"), world.person("admin").click(card, "Restart")
    )
    answers = sorted([(await first.final())["content"], (await second.final())["content"]])
    assert world.manager.restarts == ["api"]
    assert "was just restarted" in "".join(answers)


async def test_a_restart_button_of_an_incident_that_is_over_restarts_nothing(world: World) -> None:
    card = await incident_card(world)
    stale = replace_buttons(card)
    await world.recover()
    await world.all_told()
    await world.standin.wait_for_message(lambda m: m["id"] == card["id"] and buttons_of(m) == ["Logs"])
    channel = world.standin.state.channel(world.standin.ops_channel_id)
    old = world.standin.store.send(channel, world.standin.state.bot, stale, [])
    response = await world.person("operator").click(old, "Restart")
    assert "the incident was resolved" in (await response.final())["content"]
    assert world.manager.restarts == []


def replace_buttons(card: Json) -> Json:
    return {"content": "as it was", "components": card["components"]}


async def test_a_button_of_another_version_is_answered_politely(world: World) -> None:
    channel = world.standin.state.channel(world.standin.ops_channel_id)
    for custom_id in ("ops:9:restart:api:1", "ops:1:dance:api:1"):
        button = {"type": 2, "style": 1, "label": "Old", "custom_id": custom_id}
        payload = {"content": "old", "components": [{"type": 1, "components": [button]}]}
        old = world.standin.store.send(channel, world.standin.state.bot, payload, [])
        response = await world.person("operator").click(old, "Old")
        assert "another version of opsbot" in (await response.final())["content"]


async def test_the_logs_button_shows_the_log_privately(world: World) -> None:
    card = await incident_card(world)
    response = await world.person("operator").click(card, "Logs")
    assert "api: no line fits." in (await response.final())["content"]
    assert response.ephemeral


async def test_a_silence_button_silences_for_an_hour(world: World) -> None:
    card = await incident_card(world)
    response = await world.person("operator").click(card, "Silence 1 h")
    assert "No alerts of api until" in (await response.final())["content"]


async def test_a_button_of_a_service_that_is_configured_no_more_is_refused(world: World) -> None:
    await world.incident("former")
    card = await world.standin.wait_for_message(lambda m: "#i1" in text_of(m))
    response = await world.person("operator").click(card, "Restart")
    assert "There is no service" in (await response.final())["content"]


async def test_no_button_is_posted_whose_custom_id_discord_would_refuse() -> None:
    longest = "a" * 64
    view = view_of([Button("yes", "Confirm", longest, f"{2**31}.{'f' * 14}"), Button("logs", "Logs", "b" * 90, "1")])
    assert view is not None
    assert [len(item.custom_id) <= 100 for item in view.children if hasattr(item, "custom_id")] == [True]
