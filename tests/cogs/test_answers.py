"""The traps of answering: late clicks, lost answers, private and public, mistakes inside a command."""

import asyncio
from dataclasses import replace

import pytest

from opsbot.core.message import plain
from opsbot.services.port import ManagerError
from opsbot.store import audit
from tests.cogs.world import World, text_of
from tests.fixtures.waiting import passes

CALLBACK = r"/interactions/.*/callback"
WEBHOOK = r"/webhooks/.*"


async def test_a_click_replayed_by_resume_seconds_later_restarts_nothing(world: World) -> None:
    await world.incident()
    card = await world.standin.wait_for_message(lambda m: "Restart" in str(m["components"]))
    await world.all_told()
    world.standin.faults.hold_gateway()
    world.standin.interactions.deadline = 0.5
    command = asyncio.create_task(world.person("operator").run("restart", service="worker"))
    response = await world.person("operator").click(card, "Restart")
    assert response.failed == "The application did not respond"
    assert (await command).failed == "The application did not respond"
    world.standin.faults.release()
    await world.standin.wait_connected()
    await world.until(
        lambda: sum(r.path.endswith("/callback") and r.status == 404 for r in world.standin.requests) == 2
    )
    await passes(0.3)
    assert world.manager.restarts == []
    assert world.standin.gateway.starts == 1, "it was a RESUME"


async def test_an_acknowledgement_whose_answer_was_lost_counts_and_the_deed_is_done_once(world: World) -> None:
    world.standin.faults.answer("POST", CALLBACK, status=500, after_store=True)
    response = await world.person("operator").run("restart", service="api")
    assert "was restarted" in (await response.final())["content"]
    world.standin.faults.answer("POST", CALLBACK, reset=True, after_store=True)
    response = await world.person("operator").run("restart", service="worker")
    assert "was restarted" in (await response.final())["content"]
    assert world.manager.restarts == ["api", "worker"]


async def test_an_acknowledgement_that_somebody_else_gave_is_not_acted_upon(world: World) -> None:
    world.standin.interactions.deadline = 0.5
    world.standin.faults.answer(
        "POST", CALLBACK, status=400, body={"code": 40060, "message": "Interaction has already been acknowledged."}
    )
    response = await world.person("operator").run("restart", service="api")
    assert response.failed
    assert world.manager.restarts == []


async def test_a_connection_reset_before_the_acknowledgement_is_asked_again(world: World) -> None:
    world.standin.faults.answer("POST", CALLBACK, reset=True, times=2)
    response = await world.person("operator").run("restart", service="api")
    assert "was restarted" in (await response.final())["content"]
    assert world.manager.restarts == ["api"]


@pytest.mark.parametrize("fault", ["reset", "503"])
async def test_an_answer_that_fails_is_sent_again_and_shown_once(world: World, fault: str) -> None:
    world.standin.faults.answer("PATCH", WEBHOOK, reset=fault == "reset", times=1, after_store=True)
    response = await world.person("operator").run("restart", service="api")
    await world.until(lambda: "was restarted" in response.content)
    assert response.followups == []
    assert world.manager.restarts == ["api"]


async def test_a_refusal_of_a_public_command_is_private(world: World) -> None:
    for who, service in (("viewer", "api"), ("operator", "no-such-service")):
        response = await world.person(who).run("restart", service=service)
        assert (await response.final())["content"].startswith("✋")
        assert response.ephemeral
    response = await world.person("operator").run("silence", service="api", **{"for": "soon"})
    assert "Invalid duration" in (await response.final())["content"]
    assert response.ephemeral
    assert world.posted() == []


async def test_a_deed_that_was_allowed_and_failed_is_shown_to_all(world: World) -> None:
    world.manager.refusal = ManagerError(plain("it dies at once"))
    response = await world.person("operator").run("restart", service="api")
    assert "it dies at once" in (await response.final())["content"]
    assert not response.ephemeral


async def test_a_mistake_in_opsbot_gives_the_person_a_number_and_the_log_the_traceback(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.manager.refusal = ZeroDivisionError("secret detail")
    response = await world.person("operator").run("restart", service="api")
    content = (await response.final())["content"]
    assert "Internal error" in content
    assert "secret" not in content
    number = content.split("error ")[1].split(";")[0]
    (record,) = [record for record in caplog.records if number in record.getMessage()]
    assert record.exc_info is not None


async def test_a_member_of_another_guild_holds_no_rank(world: World) -> None:
    elsewhere = replace(world.config.discord, guild_id=5)
    world.engine.config = replace(world.config, discord=elsewhere)
    response = await world.person("admin").run("restart", service="api")
    assert "You may not use" in (await response.final())["content"]
    assert world.manager.restarts == []


async def test_options_that_make_no_sense_are_refused_in_words(world: World) -> None:
    for options, words in (
        ({"since": "yesterday"}, "Invalid duration"),
        ({"since": "999999999d"}, "longer ago than there is a date for"),
        ({"grep": "("}, "not a regular expression"),
    ):
        response = await world.person("operator").run("logs", service="api", **options)
        assert words in (await response.final())["content"]
    assert world.manager.queries == []
    response = await world.person("operator").run("logs", service="api", since="10m", level="error", grep="boom")
    await response.final()
    (query,) = world.manager.queries
    assert (query.lines, query.level, query.grep) == (50, "error", "boom")
    assert query.since is not None


async def test_everything_asked_is_in_the_audit_log_and_an_admin_can_read_it(world: World) -> None:
    await (await world.person("operator").run("restart", service="api")).final()
    await (await world.person("viewer").run("restart", service="api")).final()
    member = world.people["viewer"]
    response = await world.person("admin").run("audit", member=member)
    shown = text_of(await response.final())
    assert response.ephemeral
    assert "⛔" in shown
    assert "running, pid" not in shown
    assert len(await world.store.read(audit.entries)) == 3


async def test_what_was_allowed_by_rank_and_refused_all_the_same_is_not_shown_as_done(world: World) -> None:
    await (await world.person("deployer").run("rollback", service="api", release="none-such")).final()
    shown = text_of(await (await world.person("admin").run("audit")).final())
    (line,) = [line for line in shown.splitlines() if "rollback" in line]
    assert line.startswith("✋")
    assert "refused" in line


async def test_the_first_response_does_not_wait_for_the_deed(world: World) -> None:
    world.manager.slow = 1.0
    response = await world.person("operator").run("restart", service="api")
    assert response.deferred
    assert "was restarted" in (await response.final())["content"]


async def test_twenty_at_a_time_are_acknowledged_each(world: World) -> None:
    took = []
    for _ in range(5):
        responses = await asyncio.gather(*(world.person("viewer").run("status") for _ in range(20)))
        took += [response.first_response_seconds for response in responses]
        await asyncio.gather(*(response.final() for response in responses))
    assert len(took) == 100
    assert None not in took


@pytest.mark.parametrize(("command", "told"), [("restart", True), ("logs", False)])
async def test_an_answer_after_its_fifteen_minutes_goes_to_the_channel_unless_it_is_private(
    world: World, command: str, told: bool
) -> None:
    world.standin.faults.answer(
        "PATCH", WEBHOOK, status=401, body={"code": 50027, "message": "Invalid Webhook Token"}, times=9
    )
    await world.person("operator").run(command, service="api")
    await world.until(lambda: any(r.method == "PATCH" and r.status == 401 for r in world.standin.requests))
    await passes(0.3)
    assert ["api was restarted" in message["content"] for message in world.posted() if message["content"]] == [
        True
    ] * told


async def test_an_answer_that_discord_refuses_is_sent_as_its_sentence(world: World) -> None:
    world.standin.faults.answer("PATCH", WEBHOOK, status=400, body={"code": 50035, "message": "Invalid Form Body"})
    response = await world.person("viewer").run("status")
    assert "services" in (await response.final())["content"]
    assert response.embeds == []
