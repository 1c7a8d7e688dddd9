from datetime import timedelta

from opsbot.services.port import LogLine
from tests.cogs.world import START, World, buttons_of, text_of


async def test_every_command_of_the_promised_surface_is_registered_in_the_guild(world: World) -> None:
    names = {command["name"]: [o["name"] for o in command.get("options", [])] for command in world.standin.commands}
    assert names == {
        "status": ["service"],
        "health": ["service"],
        "history": ["service"],
        "logs": ["service", "lines", "since", "level", "grep"],
        "restart": ["service"],
        "silence": ["service", "for", "reason"],
        "deploy": ["service", "ref"],
        "rollback": ["service", "release"],
        "hold": ["service", "reason"],
        "resume": ["service", "reason"],
        "audit": ["service", "member"],
    }


async def test_status_shows_a_line_for_each_service_and_one_for_the_host(world: World) -> None:
    response = await world.person("viewer").run("status")
    shown = text_of(await response.final())
    assert response.ephemeral
    assert "**api**" in shown
    assert "**worker**" in shown
    assert "**blue**" in shown


async def test_a_deployment_is_one_card_that_fills_in_and_a_failure_is_told_anew(world: World) -> None:
    response = await world.person("deployer").run("deploy", service="api")
    answer = await response.final()
    assert response.ephemeral
    assert "Deployment 1 of api began" in answer["content"]
    card = await world.standin.wait_for_message(lambda m: "#d1" in text_of(m) and "failed in fetch" in m["content"])
    outcome = await world.standin.wait_for_message(lambda m: m["type"] == 19)
    assert outcome["message_reference"]["message_id"] == card["id"]
    assert buttons_of(card) == ["Retry", "Logs"]
    assert len(world.posted()) == 2


async def test_logs_are_private_and_a_file_where_they_are_long(world: World) -> None:
    world.manager.lines = [LogLine(START + timedelta(seconds=n), f"\x1b[31mline {n}\x1b[0m") for n in range(500)]
    short = await world.person("operator").run("logs", service="api", lines=3)
    content = (await short.final())["content"]
    assert short.ephemeral
    assert "line 499" in content
    assert "\x1b" not in content
    long = await world.person("operator").run("logs", service="api", lines=500)
    assert [a["filename"] for a in (await long.final())["attachments"]] == ["api.log.txt"]


async def test_restart_answers_for_all_to_see(world: World) -> None:
    response = await world.person("operator").run("restart", service="api")
    assert "api was restarted by operator" in (await response.final())["content"]
    assert not response.ephemeral
    assert world.manager.restarts == ["api"]
