"""Every verb against a daemon, as a process of its own, as people and scripts run it."""

import asyncio
import json
import os
import re
import signal
import sqlite3
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from opsbot.config import Notifier, Secret
from opsbot.control.server import start_control
from opsbot.core.access import Actor, Origin
from opsbot.core.deployment import Hold, Phase
from opsbot.core.health import CheckHealth, ProbeResult, Verdict
from opsbot.core.message import plain
from opsbot.core.model import Dependent, Evidence, Incident, Live
from opsbot.core.windows import WEEK, Window
from opsbot.deploy.poll import PollOutcome
from opsbot.notifications.notifiers import Notifiers
from opsbot.services.port import Activity, LogLine, ManagerError, ServiceState
from opsbot.store import acks, audit, incident_repository, ledger
from tests.cli.conftest import Opsbot
from tests.cli.world import COMMIT, World, configuration, now, world
from tests.fixtures.waiting import until

if TYPE_CHECKING:
    from opsbot.config import Service

HOSTILE = "\x1b]0;pwned\x07\x1b[2Jboo\x9b31m\u202egnp.exe"


def harmless(text: str) -> bool:
    """Nothing in it that a terminal would obey."""
    return not any(letter in text for letter in "\x1b\x07\x9b\u202e")


@pytest.mark.usefixtures("daemon")
async def test_status_tells_how_the_services_stand(opsbot: Opsbot) -> None:
    ended = await opsbot("status")
    assert (ended.code, ended.err) == (0, "")
    assert "api" in ended.out
    assert re.search(r"api +healthy +2 h ", ended.out)
    assert harmless(ended.out), "no colours where the output is no terminal"


async def test_status_exits_1_and_says_why_when_a_check_is_down(daemon: World, opsbot: Opsbot) -> None:
    bad = ProbeResult(False, plain(f"answered 500 {HOSTILE}"), now())
    daemon.watching.checks["api"]["web"] = CheckHealth(Verdict.DOWN, now() - timedelta(minutes=5), -3, now(), bad)
    ended = await opsbot("status")
    assert ended.code == 1
    assert re.search(r"web down for 5 m( \d+ s)?: answered 500", ended.out)
    assert harmless(ended.out)


@pytest.mark.parametrize(
    ("activity", "code"),
    [
        (Activity.RUNNING, 0),
        (Activity.STARTING, 0),
        (Activity.STOPPED, 1),
        (Activity.FAILED, 1),
        (Activity.RETRYING, 1),
    ],
)
async def test_status_exits_by_whether_the_service_runs(
    daemon: World, opsbot: Opsbot, activity: Activity, code: int
) -> None:
    daemon.services.states["api"] = replace(daemon.services.states["api"], activity=activity)
    assert (await opsbot("status")).code == code


async def test_status_shows_hold_silence_and_a_failing_source(daemon: World, opsbot: Opsbot) -> None:
    await daemon.store.write(ledger.put_hold, Hold("api", "alice", plain(f"freeze {HOSTILE}"), now()))
    actor = Actor(Origin.CLI, "unix:bob", "bob", owner=True)
    await daemon.engine.services.silence(actor, "api", timedelta(hours=1), "party")
    state = await daemon.store.read(incident_repository.source, "api")
    failing = replace(state, failing_since=now() - timedelta(minutes=3), failure=plain("no such host"))
    await daemon.store.write(incident_repository.save_source, failing)
    ended = await opsbot("status")
    assert re.search(r"deploys paused by alice since 20.* UTC: freeze", ended.out)
    assert "alerts silenced by bob until 20" in ended.out
    assert re.search(r"no news from the source for 3 m( \d+ s)?: no such host", ended.out)
    assert harmless(ended.out)


async def test_the_shape_of_status_in_json_is_kept(daemon: World, opsbot: Opsbot) -> None:
    await daemon.store.write(ledger.set_live, Live("api", "api-old", now(), None))
    reply = json.loads((await opsbot("status", "--json")).out)
    assert set(reply) == {"daemon", "healthy", "services", "alert_path"}
    assert reply["daemon"] is True
    (service,) = reply["services"]
    assert set(service) == {
        *("service", "health", "healthy", "verdict", "state", "cpu", "memory", "tasks", "checks", "live", "live_since"),
        *("release", "deploying", "last_deployment", "hold", "silence", "incident", "source", "auto", "because_of"),
        *("waits", "logins", "discord_away"),
    }
    assert set(service["health"]) == {"state", "text", "since", "by", "reasons", "next"}
    assert (service["health"]["state"], service["healthy"], service["verdict"]) == ("healthy", True, "up")
    assert service["health"]["reasons"] == [
        {"code": "status.checks-pass", "params": {"count": 2}, "text": "2 checks pass"}
    ]
    assert set(service["state"]) == {"activity", "pid", "started_at", "restarts", "exit", "stopped_by_hand"}
    assert set(service["checks"][0]) == {"name", "verdict", "since", "ok", "seen", "at", "took", "streak"}
    assert set(service["release"]) >= {"name", "commit", "title", "at", "good"}


@pytest.mark.usefixtures("daemon")
async def test_the_shape_of_a_deployment_in_json_is_kept(opsbot: Opsbot) -> None:
    ended = await opsbot("deploy", "api", "--json")
    assert ended.code == 0
    reply = json.loads(ended.out)
    assert set(reply) >= {
        *(
            "id",
            "service",
            "kind",
            "phase",
            "by",
            "created_at",
            "updated_at",
            "finished_at",
            "live_at",
            "finished",
            "status",
            "ok",
        ),
        *("ref", "reason", "commit_from", "commit_to", "release_from", "release_to", "commits", "commits_total"),
        *("steps", "failed_in", "note"),
    }
    assert (reply["phase"], reply["ok"], reply["finished"]) == ("live", True, True)
    assert set(reply["steps"][0]) == {"name", "phase", "started_at", "ended_at", "ok", "note", "tail", "output"}
    assert "fetching" in ended.err, "the phases are told beside the result, not in it"


async def test_health_of_a_stopped_service_says_who_stopped_it_and_judges_no_check(
    daemon: World, opsbot: Opsbot
) -> None:
    await daemon.store.write(ledger.set_live, Live("api", "api-old", now(), None))
    daemon.services.states["api"] = ServiceState(Activity.STOPPED, stopped_by_hand=True)
    bad = ProbeResult(False, plain("connection refused"), now())
    daemon.watching.checks["api"]["web"] = CheckHealth(Verdict.UP, now(), last=bad)
    ended = await opsbot("health")
    assert ended.code == 1
    assert "api  stopped by a person. Next: stays stopped until somebody starts it" in ended.out
    assert "FAIL" not in ended.out
    assert ended.out.count("not judged while stopped") == 2


async def test_health_runs_the_checks_and_exits_1_when_one_fails(daemon: World, opsbot: Opsbot) -> None:
    ended = await opsbot("health", "api")
    assert (ended.code, daemon.watching.looked) == (0, ["api"])
    assert "connected" in ended.out
    bad = ProbeResult(False, plain("refused"), now(), 0.001)
    daemon.watching.checks["api"]["web"] = replace(daemon.watching.checks["api"]["web"], last=bad)
    ended = await opsbot("health")
    assert ended.code == 1, "one failure does not change the verdict, and was asked for all the same"
    assert "FAIL  web" in ended.out


async def test_restart_waits_for_the_checks_and_says_what_they_saw(daemon: World, opsbot: Opsbot) -> None:
    ended = await opsbot("restart")
    assert (ended.code, ended.out) == (0, "api restarted: running, pid 4243; all 2 checks passed\n")
    assert daemon.services.ordered("restart") == ["api"]
    assert set(daemon.probing.asked) == {"web", "process"}
    reply = json.loads((await opsbot("restart", "--json")).out)
    assert (reply["verified"], reply["seen"], reply["state"]["pid"]) == (True, "all 2 checks passed", 4244)


async def test_a_restart_that_is_not_waited_for_says_the_new_pid(daemon: World, opsbot: Opsbot) -> None:
    daemon.services.ends_at_once("exit status 1")
    ended = await opsbot("restart", "--no-wait")
    assert (ended.code, ended.out) == (0, "api restarted: running, pid 4243\n")
    assert daemon.probing.asked == []
    assert json.loads((await opsbot("restart", "--no-wait", "--json")).out)["verified"] is None


async def test_a_restarted_process_that_dies_is_no_success(daemon: World, opsbot: Opsbot) -> None:
    daemon.services.ends_at_once(f"exit status 1 {HOSTILE}")
    ended = await opsbot("restart")
    assert ended.code == 1
    assert re.match(
        r"api restarted, but verification failed: the service died .* after its start \(exit status 1 .*\)", ended.out
    )
    assert ended.out.endswith("(now failed)\n")
    assert harmless(ended.out)
    entries = await daemon.store.read(audit.entries, "api")
    assert [entry.result.partition(":")[0] for entry in entries] == ["verification failed", "running, pid 4243"]


async def test_a_check_that_fails_after_a_restart_is_no_success(daemon: World, opsbot: Opsbot) -> None:
    daemon.probing.seen["web"] = "connection refused"
    ended = await opsbot("restart")
    assert ended.code == 1
    assert "api restarted, but verification failed: " in ended.out
    assert "web: connection refused (now running, pid 4243)" in ended.out
    reply = json.loads((await opsbot("restart", "--json")).out)
    assert (reply["verified"], reply["state"]["activity"]) == (False, "running")


async def test_a_restart_that_fails_exits_1_with_the_reason(daemon: World, opsbot: Opsbot) -> None:
    daemon.services.refusal = ManagerError(plain("the command node is not there"))
    ended = await opsbot("restart")
    assert (ended.code, ended.err) == (1, "opsbot: api did not restart: the command node is not there\n")


async def test_deploy_prints_each_phase_on_a_line_and_exits_0_when_live(daemon: World, opsbot: Opsbot) -> None:
    daemon.deploying.pause = 0.05
    daemon.deploying.title = f"Fix {HOSTILE}"
    ended = await opsbot("deploy", "api", "main", "--reason", "friday")
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert lines[0].startswith("deployment 1 of api: deploy of main by ")
    assert "c0ffee0 Fix" in lines[1]
    assert lines[1].endswith("(and 2 more)")
    steps = [line.split()[-1] for line in lines if line.startswith("  ✓")]
    assert steps == ["fetching", "preparing", "installing", "switching", "restarting", "verifying"]
    assert lines[-1].endswith(": live")
    assert harmless(ended.out)
    stored = await daemon.store.read(ledger.deployment, 1)
    assert stored is not None
    assert stored.reason == plain("friday")


async def test_a_failed_deploy_exits_1_with_the_tail_of_its_step(daemon: World, opsbot: Opsbot) -> None:
    daemon.deploying.fails_in = Phase.INSTALLING
    ended = await opsbot("deploy")
    assert ended.code == 1
    assert any(line.startswith("  ✗") and line.endswith("installing") for line in ended.out.splitlines())
    assert "failed in installing; nothing live was changed: npm ci ended with status 1" in ended.out
    assert "  | npm ERR! \\x1b]0;boo\\x07broke" in ended.out


async def test_no_wait_comes_back_at_once(daemon: World, opsbot: Opsbot) -> None:
    daemon.deploying.pause = 5.0
    async with asyncio.timeout(4):
        ended = await opsbot("deploy", "api", "--no-wait")
    assert (ended.code, len(ended.out.splitlines())) == (0, 1)


async def test_a_second_deploy_is_refused_with_4(daemon: World, opsbot: Opsbot) -> None:
    daemon.deploying.pause = 5.0
    await opsbot("deploy", "--no-wait")
    ended = await opsbot("deploy")
    assert (ended.code, ended.err) == (4, "opsbot: api is being deployed already (deployment 1)\n")


async def test_resume_lifts_the_block_of_a_commit_and_says_so(daemon: World, opsbot: Opsbot) -> None:
    def block(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO quarantine (service, commit_id, reason, at) VALUES ('api', ?, '', 0)", (COMMIT,))

    await daemon.store.write(block)
    ended = await opsbot("resume")
    assert f"{COMMIT[:7]} may be deployed automatically again" in ended.out
    assert await daemon.store.read(ledger.quarantined, "api") == {}
    assert daemon.polling.woken == ["api"], "it is tried again at once"


async def test_a_held_service_is_not_deployed_until_resumed(daemon: World, opsbot: Opsbot) -> None:
    assert (await opsbot("hold", "--reason", "freeze")).code == 0
    ended = await opsbot("deploy")
    assert ended.code == 4
    assert "paused by" in ended.err
    assert "is resumed" in (await opsbot("resume")).out
    assert daemon.polling.woken == ["api"]
    assert "neither paused nor silenced" in (await opsbot("resume")).out
    assert (await opsbot("deploy")).code == 0


async def test_now_ends_a_wait_follows_the_deploy_and_is_in_the_audit_log(daemon: World, opsbot: Opsbot) -> None:
    ended = await opsbot("now")
    assert (ended.code, ended.err) == (4, "opsbot: No deployment of api is waiting.\n")
    daemon.deploying.waits = True
    assert (await opsbot("deploy", "--no-wait")).code == 0
    await until(lambda: daemon.deploying.waiting("api") is not None, 5)
    ended = await opsbot("now", "api")
    assert ended.code == 0
    assert "deployment 1 of api after" in ended.out
    assert ": live" in ended.out
    kept = [(each.action, each.result) for each in await daemon.store.read(audit.entries, "api", None, 10)]
    assert ("now", "deployment 1 continues") in kept
    assert ("now", "refused: No deployment of api is waiting.") in kept


@pytest.mark.usefixtures("daemon")
async def test_rollback_goes_to_the_good_release(opsbot: Opsbot) -> None:
    ended = await opsbot("rollback", "api", "api-old")
    assert ended.code == 0
    assert "rollback to api-old" in ended.out
    ended = await opsbot("rollback", "api", "nonesuch")
    assert (ended.code, "keeps no release nonesuch" in ended.err) == (2, True)


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (PollOutcome.NO_NEWS, 0),
        (PollOutcome.LATER, 0),
        (PollOutcome.NOTED, 4),
        (PollOutcome.WAITING, 4),
        (PollOutcome.FAILED, 1),
    ],
)
async def test_update_exits_by_what_came_of_asking(
    daemon: World, opsbot: Opsbot, outcome: PollOutcome, code: int
) -> None:
    daemon.polling.outcome, daemon.polling.text = outcome, f"said {HOSTILE}"
    ended = await opsbot("update")
    assert ended.code == code
    assert ended.out.startswith("api: said")
    assert harmless(ended.out)


async def test_update_deploys_what_is_only_announced_where_auto_is_off(daemon: World, opsbot: Opsbot) -> None:
    service = daemon.config.services["api"]
    assert service.source is not None
    services = cast("dict[str, Service]", daemon.config.services)
    services["api"] = replace(service, source=replace(service.source, auto=False))
    daemon.polling.outcome = PollOutcome.NOTED
    ended = await opsbot("update")
    assert (ended.code, "deployment 1 of api: deploy of c0ffee0 by" in ended.out) == (0, True)
    await opsbot("hold")
    assert (await opsbot("update")).code == 4


async def test_update_keeps_to_the_wait_after_a_rollback(daemon: World, opsbot: Opsbot) -> None:
    await daemon.store.write(ledger.put_hold, Hold("api", "alice", plain("rolled back"), now(), waits=COMMIT))
    ended = await opsbot("update")
    assert (ended.code, "paused until a newer commit is pushed" in ended.out) == (4, True)


async def test_update_follows_what_it_began_for_each_service(two: World, opsbot: Opsbot) -> None:
    two.polling.outcome = PollOutcome.DEPLOYING
    ended = await opsbot("update")
    assert ended.code == 0
    assert "deployment 1 of api" in ended.out
    assert "deployment 2 of bot" in ended.out
    reply = json.loads((await opsbot("update", "bot", "--json")).out)
    assert [one["deployment"]["phase"] for one in reply] == ["live"]


@pytest.mark.usefixtures("daemon")
async def test_silence_takes_a_length_and_refuses_an_endless_one(opsbot: Opsbot) -> None:
    ended = await opsbot("silence", "--for", "2h", "--reason", "party")
    assert (ended.code, "api is silenced until" in ended.out) == (0, True)
    assert (await opsbot("silence", "--for", "30d")).code == 2
    ended = await opsbot("silence", "--for", "ever")
    assert (ended.code, "is no length of time" in ended.err) == (2, True)


@pytest.mark.usefixtures("daemon")
async def test_where_there_are_no_windows_that_is_told(opsbot: Opsbot) -> None:
    assert (await opsbot("windows")).out == "no maintenance window is open, and none is to come\n"


async def test_windows_are_told(tmp_path: Path, opsbot: Opsbot) -> None:
    at = now().replace(second=0, microsecond=0)
    open_ = Window(HOSTILE, at.time(), timedelta(hours=2), date=at.date())
    daily = Window("daily", (at - timedelta(hours=3)).time(), timedelta(hours=1), days=WEEK, mute=False)
    async with world(replace(configuration(tmp_path), windows=(open_, daily))):
        ended = await opsbot("windows")
        reply = json.loads((await opsbot("windows", "--json")).out)
    assert ended.code == 0
    first, *rest = ended.out.splitlines()
    assert first.startswith("now ")
    assert first.endswith("everything; alerts wait")
    assert [
        f"daily: {at - timedelta(hours=3) + timedelta(days=day):%Y-%m-%d %H:%M}" in line
        for day, line in enumerate(rest, 1)
    ] == [True] * 3
    assert harmless(ended.out)
    assert [len(reply["active"]), len(reply["coming"])] == [1, 3]
    assert reply["coming"][0]["timezone"] == "UTC"


async def test_a_notifier_is_tried_and_what_comes_of_it_is_told(daemon: World, opsbot: Opsbot, tmp_path: Path) -> None:
    unknown = await opsbot("notify", "phone")
    assert (unknown.code, "There is no notifier 'phone'" in unknown.err) == (2, True)
    (tmp_path / "url").write_text("json://127.0.0.1:1/")
    phone = Notifier("phone", Secret(file=tmp_path / "url"))
    engine = daemon.engine
    engine.config = replace(engine.config, notifiers={"phone": phone})
    engine.notifiers = Notifiers({"phone": phone}, engine.store, engine.feed, engine.clock, "blue")
    ended = await opsbot("notify", "phone")
    assert ended.code == 1
    assert ended.out.startswith("phone did not take it: ")
    assert "refused" in ended.out


async def test_ack_takes_the_open_incident_of_a_service_and_nothing_else(daemon: World, opsbot: Opsbot) -> None:
    ended = await opsbot("ack", "--reason", "on it")
    assert (ended.code, "no open incident" in ended.err) == (4, True)
    draft = Incident(0, "api", plain("check http: answered 500"), daemon.engine.clock(), Evidence())
    await daemon.store.write(incident_repository.open_incident, draft)
    assert (await opsbot("ack", "--reason", " ")).code == 2
    ended = await opsbot("ack", "--reason", "on it")
    assert (ended.code, "incident 1 is yours" in ended.out) == (0, True)
    found = await daemon.store.read(acks.acknowledgement, 1)
    assert found is not None
    assert found.reason == "on it"


async def test_history_shows_deployments_with_the_note_of_a_failed_one(daemon: World, opsbot: Opsbot) -> None:
    daemon.deploying.fails_in = Phase.INSTALLING
    await opsbot("deploy")
    ended = await opsbot("history")
    assert ended.code == 0
    assert "#1" in ended.out
    assert "npm ci ended with status 1" in ended.out
    reply = json.loads((await opsbot("history", "--json", "-n", "1")).out)
    assert set(reply) == {"daemon", "deployments", "incidents"}


async def test_incidents_are_told_with_what_hangs_below_and_exit_1_while_one_is_open(
    daemon: World, opsbot: Opsbot
) -> None:
    assert ((await opsbot("incidents")).code, (await opsbot("incidents")).out) == (0, "  none\n")
    dependents = (Dependent("bot", plain(f"no answer {HOSTILE}"), now()),)
    draft = Incident(0, "api", plain("check web: answered 500"), now(), Evidence(), dependents=dependents)
    await daemon.store.write(incident_repository.open_incident, draft)
    disk = Incident(0, "host:disk:/", plain("93 % full"), now(), Evidence())
    await daemon.store.write(incident_repository.open_incident, disk)
    daemon.watching.listed["api"] = "postgres"
    ended = await opsbot("incidents")
    assert ended.code == 1
    assert "check web: answered 500  open for" in ended.out
    assert "and bot: no answer" in ended.out
    assert "the host's disk /" in ended.out
    assert harmless(ended.out)
    assert "incident 1 for" in (await opsbot("status")).out
    assert "api" not in (await opsbot("incidents", "host:disk:/")).out
    await daemon.store.write(incident_repository.close_incident, "api", plain("by itself"), now())
    assert "check web" not in (await opsbot("incidents", "--open")).out
    reply = json.loads((await opsbot("incidents", "api", "--json")).out)
    assert [one["dependents"][0]["service"] for one in reply["incidents"]] == ["bot"]


async def test_why_is_one_line_and_what_it_rests_on(daemon: World, opsbot: Opsbot) -> None:
    ended = await opsbot("why")
    assert (ended.code, ended.out.startswith("No incident of api is known.")) == (0, True)
    await daemon.store.write(
        incident_repository.open_incident, Incident(0, "api", plain(f"check web: {HOSTILE}"), now(), Evidence())
    )
    daemon.services.lines = [LogLine(now(), "api.service: Failed with result 'oom-kill'.", manager=True)]
    ended = await opsbot("why", "api")
    first, *rest = ended.out.splitlines()
    assert "; the kernel killed it for lack of memory; still down after" in first
    assert any("oom-kill" in line for line in rest)
    assert harmless(ended.out)
    reply = json.loads((await opsbot("why", "--json")).out)
    assert (reply["known"], set(reply)) == (True, {"daemon", "service", "known", "line", "events"})
    assert (await opsbot("why", "nothing")).code == 2


@pytest.mark.usefixtures("daemon")
async def test_audit_tells_who_asked_for_what(opsbot: Opsbot) -> None:
    await opsbot("restart")
    ended = await opsbot("audit", "api")
    assert ended.code == 0
    assert "restart api" in ended.out
    reply = json.loads((await opsbot("audit", "--json", "-n", "1")).out)
    assert set(reply["entries"][0]) >= {"id", "at", "by", "action", "service", "detail", "allowed", "result"}
    assert reply["entries"][0]["by"]["origin"] == "cli"


async def test_logs_are_harmless_on_a_terminal_and_whole_in_json(daemon: World, opsbot: Opsbot) -> None:
    daemon.services.lines = [LogLine(now(), f"\x1b[31mred\x1b[0m {HOSTILE}", "error")]
    ended = await opsbot("logs", "api")
    assert ended.code == 0
    assert "red \\x1b]0;pwned\\x07\\x1b[2Jboo\\u202egnp.exe" in ended.out
    assert harmless(ended.out)
    ended = await opsbot("logs", "--json")
    assert harmless(ended.out)
    assert json.loads(ended.out)["lines"][0]["text"] == f"\x1b[31mred\x1b[0m {HOSTILE}"


async def test_logs_says_which_unit_and_whose_words_and_can_be_of_this_run(daemon: World, opsbot: Opsbot) -> None:
    daemon.services.lines = [
        LogLine(now(), "hello", part="api@1.service"),
        LogLine(now(), "Main process exited", part="api@2.service", manager=True),
    ]
    out = (await opsbot("logs", "--this-run")).out.splitlines()
    assert [line.split(" ", 2)[2] for line in out] == ["api@1: hello", "api@2: [systemd] Main process exited"]
    await opsbot("logs")
    assert [query.this_run for query in daemon.services.queries] == [True, False]
    reply = json.loads((await opsbot("logs", "--json")).out)
    assert [(line["part"], line["manager"]) for line in reply["lines"]] == [
        ("api@1.service", False),
        ("api@2.service", True),
    ]


async def test_logs_takes_lines_and_since(daemon: World, opsbot: Opsbot) -> None:
    daemon.services.lines = [LogLine(now() - timedelta(minutes=20 - n), f"line {n}") for n in range(20)]
    assert [line.split()[-1] for line in (await opsbot("logs", "-n", "2")).out.splitlines()] == ["18", "19"]
    assert len((await opsbot("logs", "--since", "5m")).out.splitlines()) == 4


@pytest.mark.parametrize(
    "arguments",
    [
        ("logs", "-n", "0"),
        ("logs", "-n", "10001"),
        ("logs", "--level", "loud"),
        ("logs", "--grep", "("),
        ("logs", "--since", "yesterday"),
        ("deploy", "api", "main", "more"),
        ("status", "apo"),
        ("frobnicate",),
    ],
)
@pytest.mark.usefixtures("daemon")
async def test_a_mistake_in_the_command_exits_2(opsbot: Opsbot, arguments: tuple[str, ...]) -> None:
    ended = await opsbot(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert "Traceback" not in ended.err


async def child(*arguments: str, **how: object) -> asyncio.subprocess.Process:
    """A verb that goes on."""
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "opsbot",
        *arguments,
        stdout=pipe,
        stderr=pipe,
        **how,  # type: ignore[arg-type]
    )


async def test_follow_shows_each_line_once_as_it_is_written_until_ctrl_c(daemon: World, tmp_path: Path) -> None:
    daemon.services.write("before")
    process = await child("logs", "-f", "-c", str(tmp_path / "config.toml"), "--grep", "o")
    assert process.stdout is not None
    async with asyncio.timeout(15):
        assert (await process.stdout.readline()).endswith(b"before\n")
        daemon.services.write("nothing here: filtered")
        daemon.services.write("unseen")
        daemon.services.write("now")
        assert (await process.stdout.readline()).endswith(b"nothing here: filtered\n")
        assert (await process.stdout.readline()).endswith(b"now\n")
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
    assert (process.returncode, err) == (130, b"")


async def test_ctrl_c_while_waiting_says_that_the_deployment_goes_on(daemon: World, tmp_path: Path) -> None:
    daemon.deploying.pause = 1.0
    process = await child("deploy", "-c", str(tmp_path / "config.toml"))
    assert process.stdout is not None
    async with asyncio.timeout(15):
        await process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
    assert process.returncode == 130
    assert b"deployment 1 goes on without you" in err
    assert b"Traceback" not in err


async def test_a_reader_that_has_seen_enough_ends_it_quietly(daemon: World, tmp_path: Path) -> None:
    daemon.services.lines = [LogLine(now(), "x" * 1000) for _ in range(5000)]
    here, there = os.pipe()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "opsbot", "logs", "-n", "5000", "-c", str(tmp_path / "config.toml")),
        stdout=there,
        stderr=asyncio.subprocess.PIPE,
    )
    os.close(there)
    await asyncio.to_thread(os.read, here, 100)
    os.close(here)
    async with asyncio.timeout(15):
        _, err = await process.communicate()
    assert (process.returncode, err) == (141, b"")


async def test_following_ends_when_its_reader_is_gone_though_nothing_is_written(daemon: World, tmp_path: Path) -> None:
    daemon.services.write("one line")
    here, there = os.pipe()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "opsbot", "logs", "-f", "-c", str(tmp_path / "config.toml")),
        stdout=there,
        stderr=asyncio.subprocess.PIPE,
    )
    os.close(there)
    await asyncio.to_thread(os.read, here, 100)
    os.close(here)
    async with asyncio.timeout(20):
        _, err = await process.communicate()
        await daemon.services.left.wait()
    assert (process.returncode, err) == (141, b"")


async def test_the_old_names_stand_for_the_new_verbs(daemon: World, tmp_path: Path) -> None:
    daemon.services.write("a line")
    code = "import sys; from opsbot import cli; sys.argv[0] = sys.argv.pop(1); sys.exit(cli.former_command())"
    for name, verb in (("bot-status", b"SERVICE"), ("bot-health", b"connected"), ("bin/bot-restart", b"restarted")):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", code, name, "-c", str(tmp_path / "config.toml")), stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate()
        assert process.returncode == 0
        assert verb in out
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code, "bot-logs", "-c", str(tmp_path / "config.toml")), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(10):
        assert (await process.stdout.readline()).endswith(b"a line\n")
        await asyncio.sleep(0.3)  # what must not happen would have by then
        assert process.returncode is None, "it goes on, as the old one did"
        process.send_signal(signal.SIGINT)
        await process.communicate()


async def test_a_deployment_is_followed_over_the_end_of_the_stream(daemon: World, tmp_path: Path) -> None:
    daemon.deploying.pause = 0.6
    process = await child("deploy", "-c", str(tmp_path / "config.toml"))
    assert process.stdout is not None
    async with asyncio.timeout(20):
        await process.stdout.readline()
        await daemon.control.close()
        again = await start_control(daemon.engine, daemon.socket, now)
        out, err = await process.communicate()
        await again.close()
    assert (process.returncode, err) == (0, b"")
    assert out.count(b"fetching") == 1, "no step is told twice"


@pytest.mark.usefixtures("daemon")
async def test_reload_needs_a_daemon_that_can(opsbot: Opsbot) -> None:
    ended = await opsbot("reload")
    assert ended.code == 1
    assert "cannot reload its configuration" in ended.err
