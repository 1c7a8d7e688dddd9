import discord
import pytest

from opsbot.standin import InputError, Standin


async def test_a_real_client_syncs_its_commands_and_is_ready(standin, bot) -> None:
    assert standin.connected
    assert {command["name"] for command in standin.commands} >= {"status", "deploy", "restart"}
    assert bot.ops.name == "ops"
    assert standin.unknown_routes == []


async def test_a_command_is_answered_privately(standin, bot) -> None:
    response = await standin.member("Owner").run("status")
    assert response.failed is None
    assert response.ephemeral
    assert response.content == "all well"
    assert standin.messages() == []
    assert 0 < response.first_response_seconds < 1


async def test_the_first_follow_up_fills_the_public_deferral_whatever_it_says(standin, bot) -> None:
    response = await standin.member("Owner").run("deploy", service="api")
    assert response.deferred
    message = await response.final()
    assert message["content"] == "deployed api at main"
    assert not message["flags"] & 64
    await standin.changes.wait(lambda: response.followups or None, 5, "second follow-up")
    assert response.followups[0]["flags"] & 64
    assert [m["content"] for m in standin.messages()] == ["deployed api at main"]
    assert message["interaction_metadata"]["user"]["username"] == "owner"


async def test_options_are_completed_as_they_are_typed(standin, bot) -> None:
    owner = standin.member("Owner")
    assert await owner.autocomplete("deploy", option="service", value="a") == [{"name": "api", "value": "api"}]


async def test_a_button_outlives_the_bot_that_sent_it(standin, start_bot) -> None:
    first = await start_bot()
    response = await standin.member("Owner").run("restart", service="api")
    await first.close()
    await start_bot()
    clicked = await standin.member("Owner").click(response, "Confirm api")
    assert clicked.content == "confirmed api"
    with pytest.raises(InputError):
        await standin.member("Owner").click(response, "Confirm api")


async def test_a_form_is_opened_checked_and_submitted(standin, bot) -> None:
    owner = standin.member("Owner")
    response = await owner.run("hold")
    with pytest.raises(InputError):
        await owner.submit(response.modal, {"reason": "no"})
    sent = await owner.submit((await owner.run("hold")).modal, {"reason": "testing"})
    assert sent.content == "because testing"
    assert sent.ephemeral


async def test_a_second_first_answer_is_refused(standin, bot) -> None:
    await standin.member("Owner").run("twice")
    await standin.changes.wait(lambda: bot.went_wrong or None, 5, "the refusal") if bot.went_wrong else None
    for _ in range(100):
        if bot.went_wrong:
            break
        await discord.utils.sleep_until(discord.utils.utcnow())
    assert bot.went_wrong[0].code == 40060
