import asyncio

import discord
import pytest

from opsbot.standin import InputError, InteractionFailedError, PermissionBit, Standin
from opsbot.standin.errors import ApiError
from tests.standin.client import Bot
from tests.standin.conftest import Rest, StartBot


async def test_a_real_client_syncs_its_commands_and_is_ready(standin: Standin, bot: Bot) -> None:
    assert standin.connected
    assert {command["name"] for command in standin.commands} >= {"status", "deploy", "restart"}
    assert bot.ops.name == "ops"
    assert bot.application_id == standin.application_id


async def test_a_command_is_answered_privately(standin: Standin, bot: Bot) -> None:
    response = await standin.member("Owner").run("status")
    assert response.failed is None
    assert response.ephemeral
    assert response.content == "all well"
    assert standin.messages() == []
    assert bot.ran == ["status"]
    assert response.first_response_seconds is not None
    assert 0 < response.first_response_seconds < 3


async def test_the_first_follow_up_fills_the_public_deferral_whatever_it_says(standin: Standin, bot: Bot) -> None:
    response = await standin.member("Owner").run("deploy", service="api")
    assert response.deferred
    message = await response.final()
    assert message["content"] == "deployed api at main"
    assert not message["flags"] & 64
    await standin.changes.wait(lambda: response.followups or None, 5, "second follow-up")
    assert response.followups[0]["flags"] & 64
    assert [m["content"] for m in standin.messages()] == ["deployed api at main"]
    assert message["interaction_metadata"]["user"]["username"] == "owner"
    assert message["edited_timestamp"] is None
    assert bot.ran == ["deploy api main"]


async def test_options_are_completed_as_they_are_typed(standin: Standin, bot: Bot) -> None:
    owner = standin.member("Owner")
    assert await owner.autocomplete("deploy", option="service", value="a") == [{"name": "api", "value": "api"}]
    assert bot.ran == []


async def test_the_client_itself_refuses_wrong_options(standin: Standin, bot: Bot) -> None:
    owner = standin.member("Owner")
    for options in ({}, {"service": "api", "other": "x"}, {"service": ""}, {"service": 5}):
        with pytest.raises(InputError):
            await owner.run("deploy", **options)
    with pytest.raises(InputError):
        await owner.run("nothing")
    with pytest.raises(InputError):
        await owner.autocomplete("deploy", option="ref", service="api")
    assert bot.ran == []


async def test_a_button_outlives_the_bot_that_sent_it(standin: Standin, start_bot: StartBot) -> None:
    first = await start_bot()
    response = await standin.member("Owner").run("restart", service="api")
    await first.close()
    await start_bot()
    clicked = await standin.member("Owner").click(response, "Confirm api")
    assert clicked.content == "confirmed api"
    assert clicked.type == 7
    with pytest.raises(InputError):
        await standin.member("Owner").click(response, "Confirm api")


async def test_a_form_is_opened_checked_and_submitted(standin: Standin, bot: Bot) -> None:
    owner = standin.member("Owner")
    response = await owner.run("hold")
    assert response.message is None
    with pytest.raises(InputError):
        await owner.submit(response.modal, {"reason": "no"})
    sent = await owner.submit(response.modal, {"reason": "testing"})
    assert sent.content == "because testing"
    assert sent.ephemeral
    with pytest.raises(InputError):
        await owner.submit(response.modal, {"reason": "testing again"})
    assert bot.went_wrong == []


async def test_a_second_first_answer_is_refused(standin: Standin, bot: Bot) -> None:
    response = await standin.member("Owner").run("twice")
    error = await bot.trouble()
    assert (error.status, error.code) == (400, 40060)
    assert response.content == "one"


async def test_an_answer_after_three_seconds_is_unknown_and_the_person_was_told(standin: Standin, bot: Bot) -> None:
    bot.gate.clear()
    began = asyncio.get_running_loop().time()
    response = await standin.member("Owner").run("slow")
    assert response.failed == "The application did not respond"
    assert asyncio.get_running_loop().time() - began > 2.9
    bot.gate.set()
    error = await bot.trouble()
    assert (error.status, error.code) == (404, 10062)
    assert standin.messages() == []
    with pytest.raises(InteractionFailedError):
        await response.final(0.1)


async def test_a_click_while_the_socket_is_down_is_replayed_late_and_its_answer_refused(
    standin: Standin, bot: Bot
) -> None:
    standin.faults.hold_gateway()
    response = await standin.member("Owner").run("slow")
    assert response.failed
    assert bot.ran == []
    standin.faults.release()
    error = await bot.trouble()
    assert bot.ran == ["slow"]
    assert bot.resumed == 1
    assert (error.status, error.code) == (404, 10062)


async def test_the_token_ends_after_fifteen_minutes(standin: Standin, rest: Rest, bot: Bot) -> None:
    response = await standin.member("Owner").run("status")
    path = f"/webhooks/{standin.application_id}/{response.interaction.token}"
    assert (await rest("GET", f"{path}/messages/@original"))["content"] == "all well"
    response.interaction.created -= 15 * 60 + 1
    late = await rest("POST", path, {"content": "late"})
    assert (late["status"], late["code"]) == (401, 50027)
    assert bot.went_wrong == []


async def test_a_follow_up_before_the_answer_has_no_webhook_yet(standin: Standin, rest: Rest, bot: Bot) -> None:
    bot.gate.clear()
    running = asyncio.create_task(standin.member("Owner").run("slow"))
    await standin.changes.wait(lambda: standin.interactions.by_token or None, 2, "the interaction")
    token = next(iter(standin.interactions.by_token))
    early = await rest("POST", f"/webhooks/{standin.application_id}/{token}", {"content": "early"})
    assert (early["status"], early["code"]) == (404, 10015)
    bot.gate.set()
    assert (await running).content == "late"


async def test_a_refused_answer_leaves_the_interaction_open(standin: Standin, rest: Rest, bot: Bot) -> None:
    bot.gate.clear()
    running = asyncio.create_task(standin.member("Owner").run("slow"))
    await standin.changes.wait(lambda: standin.interactions.by_token or None, 2, "the interaction")
    found = next(iter(standin.interactions.by_token.values()))
    path = f"/interactions/{found.id}/{found.token}/callback"
    too_long = await rest("POST", path, {"type": 4, "data": {"content": "x" * 2001}})
    assert too_long["errors"]["data"]["content"]["_errors"][0]["code"] == "BASE_TYPE_MAX_LENGTH"
    for kind in (1, 6, 7, 8, 12, "4"):
        assert (await rest("POST", path, {"type": kind}))["code"] == 50035
    assert (await rest("POST", path, {"type": 4, "data": {}}))["code"] == 50006
    assert (await rest("POST", f"{path}?with_response=1", {"type": 4, "data": {"content": "ok"}}))["status"] == 200
    assert (await running).content == "ok"
    bot.gate.set()
    assert (await bot.trouble()).code == 40060


async def test_autocompletion_takes_25_choices_of_100_characters_and_no_deferral(
    standin: Standin, rest: Rest, bot: Bot
) -> None:
    bot.gate.clear()
    bot.complete_when_let = True
    typing = asyncio.create_task(standin.member("Owner").autocomplete("deploy", option="service", value="a"))
    await standin.changes.wait(lambda: standin.interactions.by_token or None, 2, "the interaction")
    found = next(iter(standin.interactions.by_token.values()))
    path = f"/interactions/{found.id}/{found.token}/callback"
    assert (await rest("POST", path, {"type": 5}))["code"] == 50035
    choice = {"name": "a", "value": "a"}
    refused: list[list[dict[str, str]]]
    refused = [[choice] * 26, [{"name": "a" * 101, "value": "a"}], [{"name": "a", "value": "a" * 101}], [{}]]
    for choices in refused:
        assert (await rest("POST", path, {"type": 8, "data": {"choices": choices}}))["code"] == 50035
    assert (await rest("POST", path, {"type": 8, "data": {"choices": [choice] * 25}}))["status"] == 204
    assert len(await typing) == 25
    bot.gate.set()


async def test_an_answer_needs_no_permission_to_send_but_a_message_does(standin: Standin, bot: Bot) -> None:
    standin.set_permissions(standin.bot_user_id, standin.ops_channel_id, deny=PermissionBit.SEND_MESSAGES)
    response = await standin.member("Owner").run("restart", service="api")
    assert response.content == "Restart api?"
    with pytest.raises(discord.Forbidden) as refused:
        await bot.ops.send("hello")
    assert refused.value.code == 50013


async def test_the_bot_is_told_the_members_roles_and_permissions_at_the_time_of_the_click(
    standin: Standin, bot: Bot
) -> None:
    ada = standin.add_member("Ada", [standin.roles["viewer"]])
    await standin.member(ada).run("restart", service="api")
    assert bot.last is not None
    assert isinstance(bot.last.user, discord.Member)
    assert [role.id for role in bot.last.user.roles if role.id != standin.guild_id] == [standin.roles["viewer"]]
    standin.set_roles(ada, [standin.roles["admin"]])
    await standin.member("Ada").run("status")
    assert isinstance(bot.last.user, discord.Member)
    assert {role.name for role in bot.last.user.roles} == {"@everyone", "admin"}
    assert bot.last.permissions.send_messages
    assert bot.last.app_permissions.pin_messages


async def test_private_messages_can_be_seen_and_changed_by_their_token_only(
    standin: Standin, rest: Rest, bot: Bot
) -> None:
    response = await standin.member("Owner").run("status")
    assert response.message is not None
    path = f"{rest.ops}/messages/{response.message['id']}"
    assert (await rest("GET", path))["code"] == 10008
    assert (await rest("PATCH", path, {"content": "x"}))["code"] == 10008
    webhook = f"/webhooks/{standin.application_id}/{response.interaction.token}/messages/@original"
    assert (await rest("PATCH", webhook, {"content": "changed"}))["content"] == "changed"
    assert response.content == "changed"
    assert (await rest("DELETE", webhook))["status"] == 204
    assert standin.seen_message(int(path.rsplit("/", 1)[1])) is None
    assert bot.went_wrong == []


async def test_a_command_in_an_archived_thread_is_refused(standin: Standin, bot: Bot) -> None:
    thread = await bot.ops.create_thread(name="incident", type=discord.ChannelType.public_thread)
    assert (await standin.member("Owner").run("status", channel_id=thread.id)).content == "all well"
    await thread.edit(archived=True)
    with pytest.raises(ApiError, match="50083"):
        await standin.member("Owner").run("status", channel_id=thread.id)


async def test_twenty_at_a_time_are_answered_five_hundred_times(standin: Standin, bot: Bot) -> None:
    standin.interactions.deadline = 60.0  # a busy machine is no bot that does not answer
    owner = standin.member("Owner")
    left = iter(range(500))
    taken: list[float] = []

    async def worker() -> None:
        for _ in left:
            response = await owner.run("status")
            assert response.failed is None
            assert response.first_response_seconds is not None
            taken.append(response.first_response_seconds)

    await asyncio.gather(*(worker() for _ in range(20)))
    assert len(taken) == 500
    assert len(bot.ran) == 500


async def test_a_private_message_can_be_clicked_long_after_its_token_ended(standin: Standin, bot: Bot) -> None:
    response = await standin.member("Owner").run("ask")
    response.interaction.created -= 3600
    await standin.member("Owner").run("status")
    clicked = await standin.member("Owner").click(response, "Confirm quietly")
    assert clicked.content == "confirmed quietly"
    assert clicked.ephemeral
    with pytest.raises(InputError):
        await standin.member(standin.add_member("Ada")).click(response, "Confirm quietly")
    assert bot.went_wrong == []


async def test_a_deferral_filled_through_the_channel_is_filled(standin: Standin, bot: Bot) -> None:
    bot.gate.clear()
    response = await standin.member("Owner").run("deploy", service="api")
    assert response.message is not None
    await bot.ops.get_partial_message(int(response.message["id"])).edit(content="by hand")
    assert (await response.final())["content"] == "by hand"
    bot.gate.set()
    await standin.changes.wait(lambda: True if len(response.followups) == 2 else None, 5, "two follow-ups")
    assert response.content == "by hand"


async def test_what_a_menu_offers_can_be_selected(standin: Standin, bot: Bot) -> None:
    owner = standin.member("Owner")
    response = await owner.run("pick")
    selected = await owner.select(response, "menu", ["b"])
    assert selected.deferred
    assert (await selected.final())["content"] == "picked b"
    again = await owner.run("pick")
    for values in ([], ["c"], ["a", "b"]):
        with pytest.raises(InputError):
            await owner.select(again, "menu", values)
    assert bot.went_wrong == []
