from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from opsbot.config import Config, ManagerKind, Service
from opsbot.core.deployment import Phase
from opsbot.core.message import plain
from opsbot.core.model import Dependent, Evidence
from opsbot.core.windows import WEEK, Window, WindowDeploys
from opsbot.services.port import LogLine
from opsbot.store import incident_repository
from tests.cogs.world import START, World, buttons_of, open_world, text_of


async def test_every_command_of_the_promised_surface_is_registered_in_the_guild(world: World) -> None:
    names = {command["name"]: [o["name"] for o in command.get("options", [])] for command in world.standin.commands}
    assert names == {
        "status": ["service"],
        "health": ["service"],
        "history": ["service"],
        "windows": [],
        "incidents": ["service", "open"],
        "why": ["service"],
        "logs": ["service", "lines", "since", "level", "grep", "this_run", "follow"],
        "restart": ["service"],
        "silence": ["service", "for", "reason"],
        "deploy": ["service", "ref"],
        "rollback": ["service", "release"],
        "hold": ["service", "reason"],
        "resume": ["service", "reason"],
        "audit": ["service", "member"],
    }


async def test_windows_tells_the_open_one_and_the_next_three_as_timestamps(tmp_path: Path) -> None:
    at = datetime.now(UTC).replace(second=0, microsecond=0)
    hour = timedelta(hours=1)
    now = Window("now*", at.time(), hour, date=at.date(), services=("api",), deploys=WindowDeploys.HOLD, recovery=False)
    daily = Window("daily", (at - hour).time(), timedelta(minutes=30), days=WEEK)
    async with open_world(tmp_path, changed=lambda config: replace(config, windows=(now, daily))) as world:
        await world.start()
        response = await world.person("viewer").run("windows")
        shown = text_of(await response.final())
    assert response.ephemeral
    end = int((at + hour).timestamp())
    assert (
        f"**now\\*** until <t:{end}:F> (<t:{end}:R>): api; alerts wait, automatic deploys wait, recovery waits" in shown
    )
    for day in (1, 2, 3):
        begin = int((at - hour + timedelta(days=day)).timestamp())
        assert f"**daily** <t:{begin}:F> (<t:{begin}:R>)" in shown


async def test_status_shows_a_line_for_each_service_and_one_for_the_host(world: World) -> None:
    response = await world.person("viewer").run("status")
    shown = text_of(await response.final())
    assert response.ephemeral
    assert "**api**" in shown
    assert "**worker**" in shown
    assert "**blue**" in shown


@pytest.mark.processes
async def test_a_deployment_is_one_card_that_fills_in_and_a_failure_is_told_anew(world: World) -> None:
    response = await world.person("deployer").run("deploy", service="api")
    answer = await response.final()
    assert response.ephemeral
    assert "Deployment 1 of api started" in answer["content"]
    card = await world.standin.wait_for_message(lambda m: "#d1" in text_of(m) and "api: fetch of" in m["content"])
    outcome = await world.standin.wait_for_message(lambda m: m["type"] == 19)
    assert outcome["message_reference"]["message_id"] == card["id"]
    assert buttons_of(card) == ["Retry", "Logs"]
    assert len(world.posted()) == 2


async def test_logs_are_private_and_a_file_where_they_are_long(world: World) -> None:
    world.manager.log["api"] = [LogLine(START + timedelta(seconds=n), f"\x1b[31mline {n}\x1b[0m") for n in range(500)]
    short = await world.person("operator").run("logs", service="api", lines=3)
    content = (await short.final())["content"]
    assert short.ephemeral
    assert "line 499" in content
    assert "\x1b" not in content
    long = await world.person("operator").run("logs", service="api", lines=500)
    assert [a["filename"] for a in (await long.final())["attachments"]] == ["api.log.txt"]


async def test_logs_can_be_of_the_present_run_and_say_which_unit_and_whose_words_they_are(world: World) -> None:
    world.manager.write("hello", part="api@1.service")
    world.manager.write("Main process exited", part="api@2.service", manager=True)
    response = await world.person("operator").run("logs", service="api", this_run=True)
    content = (await response.final())["content"]
    assert world.manager.queries[-1].this_run
    assert "api@1: hello" in content
    assert "api@2: [systemd] Main process exited" in content


async def test_restart_answers_for_all_to_see(world: World) -> None:
    response = await world.person("operator").run("restart", service="api")
    assert "api was restarted by operator" in (await response.final())["content"]
    assert not response.ephemeral
    assert world.manager.restarts == ["api"]


def unsoaked(config: Config) -> Config:
    """A service is verified at once when its checks pass."""
    return replace(config, services={name: replace(one, soak=timedelta(0)) for name, one in config.services.items()})


async def test_the_answer_to_a_restart_is_edited_when_the_checks_have_passed(tmp_path: Path) -> None:
    async with open_world(tmp_path, changed=unsoaked) as world:
        await world.start()
        response = await world.person("operator").run("restart", service="api")
        await world.until(lambda: response.content.startswith("🟢"))
        assert response.content == "🟢 api was restarted by operator (process 1): it kept running."


@pytest.mark.processes
async def test_the_answer_to_a_restart_says_that_the_process_died(tmp_path: Path) -> None:
    def ends(config: Config) -> Config:
        api = Service("api", ManagerKind.PROCESS, command=("false",), working_directory=str(tmp_path))
        return replace(config, services={"api": api})

    async with open_world(tmp_path, changed=ends, supervised=True) as world:
        await world.start()
        response = await world.person("operator").run("restart", service="api")
        await world.until(lambda: response.content.startswith("🔴"))
        assert response.content.startswith(
            "🔴 api was restarted by operator, but verification failed: the service died "
        )
        incident = await world.incident()
        card = await world.standin.wait_for_message(lambda m: f"#i{incident.id}" in text_of(m) and bool(buttons_of(m)))
        response = await world.person("operator").click(card, "Restart")
        await world.until(lambda: "api was restarted, but verification failed: the service died " in response.content)


@pytest.mark.processes
async def test_deploy_answers_with_a_link_to_the_card(world: World) -> None:
    response = await world.person("deployer").run("deploy", service="api")
    content = (await response.final())["content"]
    card = await world.standin.wait_for_message(lambda m: "#d1" in text_of(m))
    channel = f"https://discord.com/channels/{world.standin.guild_id}/{world.standin.ops_channel_id}"
    assert content == f"Deployment 1 of api started: {channel}/{card['id']}"


async def test_a_second_deploy_is_refused_with_a_link_to_the_first(world: World) -> None:
    await world.deployment()
    card = await world.standin.wait_for_message(lambda m: "#d1" in text_of(m))
    await world.all_told()
    response = await world.person("deployer").run("deploy", service="api")
    content = (await response.final())["content"]
    assert "is being deployed already" in content
    assert content.endswith(card["id"])


async def test_status_of_one_service_shows_its_release_trouble_hold_and_silence(world: World) -> None:
    await world.live("api", "r1", "r2")
    await world.incident()
    for command, options in (("hold", {"reason": "week end"}), ("silence", {"for": "2h"})):
        await (await world.person("admin").run(command, service="api", **options)).final()
    response = await world.person("viewer").run("status", service="api")
    shown = text_of(await response.final())
    for words in (
        "`r2`",
        "title of r2",
        "answered 500",
        "Deploys are paused by admin",
        "week end",
        "Silenced by admin",
    ):
        assert words in shown, words
    overview = text_of(await (await world.person("viewer").run("status")).final())
    for words in ("down since <t:", "deploys paused by admin", "alerts silenced by admin until <t:"):
        assert words in overview, words


async def test_hold_and_resume_are_shown_to_all(world: World) -> None:
    held = await world.person("deployer").run("hold", service="api", reason="release day")
    assert "Deploys are paused by deployer" in (await held.final())["content"]
    resumed = await world.person("deployer").run("resume", service="api")
    assert "api was resumed" in (await resumed.final())["content"]
    assert not held.ephemeral
    assert not resumed.ephemeral


async def test_history_lists_deployments_and_incidents_newest_first(world: World) -> None:
    value = await world.deployment()
    await world.change(value, phase=Phase.FAILED, failed_in=Phase.FETCHING, note=plain("no such branch"))
    await world.incident()
    await world.recover()
    response = await world.person("viewer").run("history", service="api")
    shown = text_of(await response.final())
    assert shown.index("incident 1") < shown.index("deploy 1")
    assert "no such branch" in shown
    everything = text_of(await (await world.person("viewer").run("history")).final())
    assert "**api**" in everything


async def test_health_shows_what_the_checks_saw(world: World) -> None:
    response = await world.person("viewer").run("health")
    shown = text_of(await response.final())
    assert "no checks configured" in shown
    assert response.ephemeral


async def test_a_service_that_does_not_exist_is_refused_with_the_nearest_name(world: World) -> None:
    response = await world.person("viewer").run("status", service="apl")
    assert "Did you mean api?" in (await response.final())["content"]


async def test_incidents_are_listed_with_what_hangs_below_them(world: World) -> None:
    opened = await world.incident()
    listed = [Dependent("worker", plain("check http: no answer"), world.now())]
    await world.store.write(incident_repository.put_dependents, opened.id, listed)
    shown = text_of(await (await world.person("viewer").run("incidents")).final())
    assert "1 open of the last 1 incidents." in shown
    assert "(and 1 because of it)" in shown
    await world.recover()
    nothing = await (await world.person("viewer").run("incidents", open=True)).final()
    assert nothing["content"] == "No incident is open."


async def test_why_is_one_line_with_discords_own_times_and_what_it_rests_on(world: World) -> None:
    at = world.now()
    world.manager.log["api"] = [
        LogLine(at, "api.service: Failed with result 'oom-kill'.", manager=True),
        LogLine(at, "a line of the service: OOM killer `rm -rf`"),
    ]
    await world.incident()
    answer = await (await world.person("viewer").run("why", service="api")).final()
    stamp = int(at.timestamp())
    assert answer["content"].startswith(f"<t:{stamp}:D> <t:{stamp}:T> api went down: http: answered 500; the kernel")
    assert "oom-kill" in text_of(answer)
    assert "rm -rf" not in text_of(answer), "what the service writes is for operators"


async def test_why_says_so_where_nothing_is_known(world: World) -> None:
    answer = await (await world.person("viewer").run("why", service="worker")).final()
    assert answer["content"].startswith("No incident of worker is known.")


async def test_an_incident_of_the_host_can_be_acknowledged_and_nothing_else(world: World) -> None:
    await world.incident("host:disk:/", "93 % full", evidence=Evidence((("disk", plain("93 % full")),)))
    card = await world.standin.wait_for_message(lambda m: "#i1" in text_of(m))
    assert card["content"].startswith("🔴 The host's disk /: 93 % full since <t:")
    assert list(buttons_of(card)) == ["Acknowledge"]
    assert "Last deploy" not in text_of(card)
    shown = text_of(await (await world.person("viewer").run("incidents", service="host:disk:/")).final())
    assert "the host's disk /" in shown
