"""/why: stories, each with the one line that is told of it."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from opsbot.core.access import Actor, Origin
from opsbot.core.deploy_codes import StepCode
from opsbot.core.deployment import Deployment, DeploymentKind, DeploymentStep, Phase
from opsbot.core.flapping import Flaps
from opsbot.core.incident import IncidentCause, IncidentEventKind, Resolution, event
from opsbot.core.journal_reasons import PATTERN, reasons, stop
from opsbot.core.message import message, plain
from opsbot.core.model import AuditEntry, Dependent, Evidence, Incident
from opsbot.core.root_cause import RootCauseFacts, TimelineEntryKind, find_root_cause
from opsbot.messages import render
from opsbot.messages.root_cause_line import root_cause_line

T0 = datetime(2026, 3, 1, 14, 5, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


ALICE = Actor(Origin.DISCORD, "1", "alice")
POLL = Actor(Origin.POLL, "opsbot:poll", "opsbot")
DEPLOYED = Deployment(
    12,
    "api",
    DeploymentKind.DEPLOY,
    Phase.LIVE,
    ALICE,
    at(-1400),
    at(-1320),
    commit_to="abc1234567890",
    live_at=at(-1320),
)
FIRST = replace(DEPLOYED, phase=Phase.UNDONE, live_at=None, finished_at=at(101))
VERIFYING = (DeploymentStep(message(StepCode.VERIFY), Phase.VERIFYING, at(-1)),)
OWN = Incident(5, "api", plain("check http: no answer in 3 s"), at(0), Evidence())
OVER = replace(
    OWN,
    events=(event(IncidentEventKind.RESTARTING, at(10), attempt=1, of=3),),
    closed_at=at(31),
    down_for=timedelta(seconds=31),
    resolution=message(Resolution.RESTARTED),
)
DIED = Incident(
    5,
    "api",
    message(IncidentCause.PROCESS_DIED, exit=plain("killed by SIGKILL")),
    at(0),
    Evidence(exit=plain("killed by SIGKILL")),
)
ROOT = Incident(
    4, "postgres", plain("check tcp: connection refused"), at(-5), Evidence(),
    dependents=(Dependent("api", plain("check http: no answer"), at(0)), Dependent("web", plain("no answer"), at(2))),
)  # fmt: skip
OOM = (
    (at(0), "api.service: A process of this unit has been killed by the OOM killer."),
    (at(0), "api.service: Main process exited, code=killed, status=9/KILL"),
    (at(0), "api.service: Failed with result 'oom-kill'."),
)
NOW = at(600)


def pressed(action: str, seconds: float) -> AuditEntry:
    return AuditEntry(1, at(seconds), "discord", "1", "alice", action, "api", "", True, "running, pid 5")


STORIES = [
    (
        "what began because of another, and stayed",
        RootCauseFacts(
            "api", NOW, OVER, before=Incident(4, "db", plain("it died"), at(0), Evidence(), closed_at=at(20))
        ),
        (
            "2026-03-01 14:05:00 api went down: check http: no answer in 3 s, at first because of db, which "
            "recovered 14:05:20; restarted by opsbot 14:05:10; recovered 14:05:31 after 31 s (restarted by opsbot)."
        ),
    ),
    (
        "killed for lack of memory after a deploy",
        RootCauseFacts("api", NOW, OVER, deployments=[DEPLOYED], said=OOM),
        (
            "2026-03-01 14:05:00 api went down: check http: no answer in 3 s; the kernel killed it for lack of "
            "memory, 22 min after deployment 12 (abc1234) by alice; restarted by opsbot 14:05:10; recovered "
            "14:05:31 after 31 s (restarted by opsbot)."
        ),
    ),
    (
        "a deploy by opsbot itself, not mended yet",
        RootCauseFacts("api", NOW, OWN, deployments=[replace(DEPLOYED, actor=POLL)]),
        (
            "2026-03-01 14:05:00 api went down: check http: no answer in 3 s, 22 min after deployment 12 "
            "(abc1234) by opsbot itself; still down after 10 min."
        ),
    ),
    (
        "a deploy that was rolled back before is not to blame, the release that is live again is",
        RootCauseFacts(
            "api", NOW, OWN, deployments=[replace(FIRST, id=13, release_from="r1", finished_at=at(-60)), DEPLOYED]
        ),
        (
            "2026-03-01 14:05:00 api went down: check http: no answer in 3 s, 22 min after deployment 12 "
            "(abc1234) by alice; still down after 10 min."
        ),
    ),
    (
        "a deploy that was rolled back before is not to blame, nor what was live long before it",
        RootCauseFacts(
            "api", NOW, OWN, deployments=[replace(FIRST, finished_at=at(-60)), replace(DEPLOYED, live_at=at(-9000))]
        ),
        "2026-03-01 14:05:00 api went down: check http: no answer in 3 s; still down after 10 min.",
    ),
    (
        "what began while a deploy was verified, which was rolled back then",
        RootCauseFacts("api", NOW, OWN, deployments=[replace(FIRST, id=13, steps=VERIFYING), DEPLOYED]),
        (
            "2026-03-01 14:05:00 api went down: check http: no answer in 3 s, during deployment 13 (abc1234) by "
            "alice, which was rolled back; still down after 10 min."
        ),
    ),
    (
        "an old deploy is not to blame",
        RootCauseFacts("api", NOW, OWN, deployments=[replace(DEPLOYED, live_at=at(-90_000))]),
        "2026-03-01 14:05:00 api went down: check http: no answer in 3 s; still down after 10 min.",
    ),
    (
        "a watchdog",
        RootCauseFacts("api", NOW, DIED, said=[(at(-1), "api.service: Watchdog timeout (limit 30s)!"), *OOM[1:2]]),
        (
            "2026-03-01 14:05:00 api went down: process died (killed by SIGKILL); systemd's watchdog had not heard of "
            "it in time; still down after 10 min."
        ),
    ),
    (
        "started too often",
        RootCauseFacts(
            "api",
            NOW,
            replace(OWN, cause=plain("it died again and again (exit status 1)")),
            said=[
                (at(1), "api.service: Main process exited, code=exited, status=1/FAILURE"),
                (at(2), "api.service: Start request repeated too quickly."),
            ],
        ),
        (
            "2026-03-01 14:05:00 api went down: it died again and again (exit status 1); it was started too often "
            "too fast; still down after 10 min."
        ),
    ),
    (
        "a person restarted it a moment before",
        RootCauseFacts("api", NOW, OWN, deployments=[DEPLOYED], actions=[pressed("restart", -40)]),
        (
            "2026-03-01 14:05:00 api went down: check http: no answer in 3 s, 40 s after alice restarted it; "
            "still down after 10 min."
        ),
    ),
    (
        "what it needs was down",
        RootCauseFacts("api", NOW, None, ROOT, deployments=[DEPLOYED]),
        (
            "2026-03-01 14:05:00 api was down (check http: no answer) because of postgres: check tcp: connection "
            "refused (incident 4), since 14:04:55; both are still down after 10 min."
        ),
    ),
    (
        "what it needs was down, and both are well",
        RootCauseFacts(
            "api",
            NOW,
            None,
            replace(
                ROOT, closed_at=at(60), dependents=(Dependent("api", plain("check http: no answer"), at(0), at(66)),)
            ),
        ),
        (
            "2026-03-01 14:05:00 api was down (check http: no answer) because of postgres: check tcp: connection "
            "refused (incident 4), since 14:04:55; recovered 14:06:06."
        ),
    ),
    (
        "its own incident turned out to be part of another",
        RootCauseFacts("api", NOW, replace(OWN, part_of=4, closed_at=at(5)), ROOT),
        (
            "2026-03-01 14:05:00 api was down (check http: no answer in 3 s) because of postgres: check tcp: "
            "connection refused (incident 4), since 14:04:55; both are still down after 10 min."
        ),
    ),
    (
        "flapping",
        RootCauseFacts("api", NOW, replace(OWN, flaps=Flaps((), at(0), 9, at(500)))),
        (
            "2026-03-01 14:05:00 api flapped, 9 changes in 8 min: check http: no answer in 3 s; it last changed "
            "14:13:20, and is over once it is calm."
        ),
    ),
    (
        "restarts that did not help",
        RootCauseFacts(
            "api",
            NOW,
            replace(
                OWN,
                events=(
                    event(IncidentEventKind.RESTARTING, at(10), attempt=1, of=3),
                    event(IncidentEventKind.RESTARTING, at(40), attempt=2, of=3),
                    event(IncidentEventKind.ESCALATED, at(90), why=plain("enough")),
                ),
            ),
        ),
        (
            "2026-03-01 14:05:00 api went down: check http: no answer in 3 s; restarted 2 times by opsbot, last "
            "14:05:40; automatic recovery gave up: enough 14:06:30; still down after 10 min."
        ),
    ),
    (
        "what systemd said of the run before explains nothing",
        RootCauseFacts(
            "api",
            NOW,
            DIED,
            said=[
                (at(-30), "api.service: Start request repeated too quickly."),
                (at(-20), "Stopping api.service..."),
                (at(0), "api.service: Failed with result 'oom-kill'."),
                (at(1), "Stopped api.service."),
            ],
        ),
        (
            "2026-03-01 14:05:00 api went down: process died (killed by SIGKILL); the kernel killed it for lack of "
            "memory; still down after 10 min."
        ),
    ),
    (
        "what systemd said of the run before is not its death's reason",
        RootCauseFacts(
            "api",
            NOW,
            DIED,
            said=[
                (at(-30), "api.service: Start request repeated too quickly."),
                (at(-20), "Stopping api.service..."),
                (at(0), "api.service: Main process exited, code=killed, status=9/KILL"),
            ],
        ),
        (
            "2026-03-01 14:05:00 api went down: process died (killed by SIGKILL); its process was killed by SIGKILL; "
            "still down after 10 min."
        ),
    ),
    (
        "stopped by hand, and the journal says when",
        RootCauseFacts(
            "api", NOW, OVER, stopped_by_hand=True, running=False, said=[(at(100), "Stopped api.service - The API.")]
        ),
        "api was stopped by hand at 2026-03-01 14:06:40: it is left alone until somebody starts it.",
    ),
    (
        "stopped by hand, nobody knows when",
        RootCauseFacts("api", NOW, stopped_by_hand=True, running=False),
        "api was stopped by hand; when is not known: it is left alone until somebody starts it.",
    ),
    (
        "stopped by opsbot, since there was nothing to go back to",
        RootCauseFacts(
            "api",
            NOW,
            stopped_by_hand=True,
            running=False,
            deployments=[FIRST],
            said=[(at(100), "Stopped api.service.")],
        ),
        (
            "api was stopped by opsbot at 2026-03-01 14:06:40: deployment 12 (abc1234) by alice was rolled back, "
            "and there was no earlier release. The next deploy starts it."
        ),
    ),
    (
        "stopped by hand, days after the first deployment was undone",
        RootCauseFacts(
            "api",
            NOW,
            stopped_by_hand=True,
            running=False,
            deployments=[FIRST],
            said=[(at(590), "Stopped api.service.")],
        ),
        "api was stopped by hand at 2026-03-01 14:14:50: it is left alone until somebody starts it.",
    ),
    (
        "nothing ever happened",
        RootCauseFacts("api", NOW, started_at=at(-1318), deployments=[DEPLOYED]),
        "No incident of api is known. It runs, started 2026-03-01 13:43:02 by deployment 12 (abc1234) by alice.",
    ),
    (
        "it does not run, and nobody knows why",
        RootCauseFacts("api", NOW, running=False, exit=plain("exit status 3"), said=None),
        "api does not run: exit status 3. More is not known.",
    ),
]


@pytest.mark.parametrize(("facts", "line"), [story[1:] for story in STORIES], ids=[story[0] for story in STORIES])
def test_each_story_is_told_in_one_line(facts: RootCauseFacts, line: str) -> None:
    assert root_cause_line(find_root_cause(facts)) == line


def test_what_the_line_rests_on_is_told_in_order() -> None:
    found = find_root_cause(
        RootCauseFacts("api", NOW, OVER, deployments=[DEPLOYED], actions=[pressed("restart", -40)], said=OOM)
    )
    assert [event.kind for event in found.events] == [
        TimelineEntryKind.DEPLOY,
        TimelineEntryKind.PERSON,
        TimelineEntryKind.MANAGER,
        TimelineEntryKind.MANAGER,
        TimelineEntryKind.MANAGER,
        TimelineEntryKind.DOWN,
        TimelineEntryKind.ACTION,
        TimelineEntryKind.RECOVERED,
    ]
    assert found.known
    assert not find_root_cause(RootCauseFacts("api", NOW)).known


def test_what_systemd_said_long_before_is_no_reason() -> None:
    old = [(moment - timedelta(hours=1), text) for moment, text in OOM]
    assert "memory" not in root_cause_line(find_root_cause(RootCauseFacts("api", NOW, OWN, said=old)))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x.service: Failed with result 'watchdog'.", "systemd's watchdog had not heard of it in time"),
        ("x.service: Failed with result 'timeout'.", "it took too long to start or to stop"),
        ("x.service: start operation timed out. Terminating.", "it took too long to start or to stop"),
        ("x.service: Main process exited, code=dumped, status=11/SEGV", "it crashed and dumped its core"),
        ("x.service: Main process exited, code=killed, status=9/KILL", "its process was killed by SIGKILL"),
        ("x.service: Main process exited, code=exited, status=3/NOTIMPLEMENTED", "its process ended with status 3"),
        ("x.service: Failed with result 'start-limit-hit'.", "it was started too often too fast"),
        ("x.service: Failed with result 'protocol'.", "it did not say that it is ready as its unit promises"),
        ("x.service: Scheduled restart job, restart counter is at 5.", None),
    ],
)
def test_the_words_of_systemd_are_reasons(text: str, reason: str | None) -> None:
    assert (render(next(reasons([(T0, text)]), None)) or None) == reason


def test_the_log_is_searched_for_all_that_is_understood() -> None:
    for _, text in (*OOM, (T0, "Stopped x.service - X."), (T0, "Stopping x.service - X...")):
        assert re.search(PATTERN, text)
    assert stop([(at(1), "Stopping x.service - X..."), (at(2), "Stopped x.service - X.")]) == at(2)
