"""What the control API answers, in every endpoint, by a daemon whose state is fixed.

`python -m tests.cli.recorded` writes `tests/recordings/control_api.json` anew. That file is the promise to scripts that
`test_promise.py` holds the code to: record it again only to add to it.
"""

import asyncio
import http.client
import json
import os
import pwd
import re
import socket
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from opsbot.config import Notifier, Secret
from opsbot.control.unix_path import reachable
from opsbot.core.access import Actor, Origin
from opsbot.core.deployment import (
    Commit,
    Deployment,
    DeploymentKind,
    DeploymentRequest,
    DeploymentStep,
    Hold,
    Phase,
    Release,
)
from opsbot.core.flapping import Flaps
from opsbot.core.health import CheckHealth, ProbeResult, Verdict
from opsbot.core.incident import IncidentEvent, IncidentEventKind
from opsbot.core.message import plain
from opsbot.core.model import (
    DeliveryTest,
    Dependent,
    Evidence,
    Incident,
    Live,
    NotificationKind,
    Silence,
    SourceState,
)
from opsbot.core.windows import WEEK, Window, WindowDeploys
from opsbot.deploy.poll import PollOutcome
from opsbot.notifications.notifiers import Notifiers
from opsbot.runtime.signals import ReloadRequests
from opsbot.services.port import Activity, LogLine, ServiceState
from opsbot.store import audit, channel_state, incident_repository, ledger, outbox
from tests.cli.conftest import run
from tests.cli.world import COMMIT, OLD, World, configuration, now, world

FILE = Path(__file__).parents[1] / "recordings" / "control_api.json"
DAY = datetime(2020, 2, 20, 3, 12, tzinfo=UTC)
"""All that is fixed happened on this day; what has another date has it from the clock, and is replaced by `<now>`."""
ALICE = Actor(Origin.DISCORD, "42", "alice", frozenset({"7"}))
BOB = Actor(Origin.CLI, "unix:bob", "bob", owner=True)

READS = (
    "ping",
    "status",
    "status?service=bot",
    "history?limit=5",
    "history?service=bot",
    "incidents",
    "incidents?open=true",
    "incidents?service=host:disk:/",
    "why?service=api",
    "why?service=bot",
    "logs?service=api",
    "logs?service=api&lines=1&since=2020-02-20T03:10&level=error&grep=listen&this_run=true",
    "audit?limit=3",
    "audit?service=api&member=unix:bob",
    "windows",
    "deployments/1",
    "deployments/2",
    "monitor",
    "reload",
    # What is refused
    "status?service=ap",
    "logs",
    "history?limit=0",
    "history?colour=red",
    "deployments/77",
    "nothing",
)
WRITES: tuple[tuple[str, dict[str, object]], ...] = (
    ("health", {}),
    ("health", {"service": "bot"}),
    ("notify", {"notifier": "phone"}),
    ("notify", {"notifier": "pager"}),
    ("restart", {"service": "bot"}),
    ("hold", {"service": "bot", "reason": "freeze"}),
    ("deploy", {"service": "bot"}),
    ("resume", {"service": "bot", "reason": "thaw"}),
    ("resume", {"service": "bot"}),
    ("silence", {"service": "bot", "for": "2h", "reason": "party"}),
    ("silence", {"service": "bot", "for": "ever"}),
    ("ack", {"service": "api", "reason": "on it"}),
    ("ack", {"service": "bot", "reason": "on it"}),
    ("now", {"service": "api"}),
    ("update", {"service": "api"}),
    ("rollback", {"service": "bot", "release": "gone"}),
    ("rollback", {"service": "bot", "reason": "worse"}),
    ("reload", {}),
)
STREAMS = ("deployments/1/follow", "deployments/77/follow", "logs/follow?service=api&lines=2", "monitor/follow")
VERBS = (
    "status",
    "health bot",
    "history -n 5",
    "incidents",
    "why api",
    "logs api",
    "audit -n 3",
    "windows",
    "monitor",
    "ack api --reason mine",
    "deploy api v3",
    "hold api",
    "resume api",
    "silence api --for 1h",
    "restart bot",
    "update bot",
)
OFFLINE = ("status", "history", "incidents", "why bot", "logs api", "audit -n 3", "windows", "monitor")


WINDOWS = """
[[windows]]
name = "far"
date = 2220-02-20
start = "03:12"
duration = "1h"
deploys = "only"
"""
"""What the command line reads without a daemon."""


@dataclass(frozen=True)
class Presence:
    """What is known of Discord bots: `bot` is one, and Discord is away."""

    async def starts(self, service: str) -> tuple[Any, int] | None:
        return (Starts(17), 1000) if service == "bot" else None

    def away(self, service: str) -> datetime | None:
        return DAY if service == "bot" else None


@dataclass(frozen=True)
class Starts:
    """How often a bot was started."""

    count: int


def at(minutes: float) -> datetime:
    """So many minutes after the beginning of all that is fixed."""
    return DAY + timedelta(minutes=minutes)


@asynccontextmanager
async def fixed(folder: Path) -> AsyncIterator[World]:
    """The daemon with two services, one in trouble, and something of everything that can be told."""
    windows = (
        Window("night", DAY.time(), timedelta(hours=24), days=WEEK, services=("api",), deploys=WindowDeploys.HOLD),
        Window("once", DAY.time(), timedelta(hours=1), date=DAY.date(), mute=False, recovery=False),
        Window("far", DAY.time(), timedelta(hours=1), date=DAY.replace(year=2220).date(), deploys=WindowDeploys.ONLY),
    )
    config = replace(
        configuration(folder, ("api", "bot")),
        windows=windows,
        notifiers={"phone": Notifier("phone", Secret(file=folder / "missing"))},
    )
    with config.path.open("a") as file:
        file.write(WINDOWS)
    reload_requests = ReloadRequests(lambda: None)
    async with world(config, reload_requests=reload_requests) as here:
        reload_requests.reload(BOB)
        reload_requests.take_reload()
        reload_requests.answered("The configuration was read.", ["host: a → b"])
        await seed(here)
        here.engine.statuses.discord_bots = cast("Any", Presence())
        here.engine.notifiers = Notifiers(config.notifiers, here.store, here.engine.feed, now, "testhost")
        yield here


async def seed(here: World) -> None:
    """Write down all that is fixed."""
    bad = ProbeResult(False, plain("answered 500 \x1b[2J"), at(8), 0.25)
    here.watching.checks["api"] = {
        "web": CheckHealth(Verdict.DOWN, at(3), -5, at(3), bad),
        "process": CheckHealth(last=ProbeResult(False, plain("not asked"), at(8), known=False)),
    }
    up = ProbeResult(True, plain("connected"), at(9), 0.004)
    here.watching.checks["bot"] = {"web": CheckHealth(Verdict.UP, at(0), 9, at(0), up)}
    here.watching.listed["bot"] = "api"
    here.watching.waiting["api"] = f"the window night lasts until <t:{at(60).timestamp():.0f}:f>"
    here.services.states["api"] = ServiceState(
        Activity.RUNNING, os.getpid(), "r1", at(1), 3, plain("killed by SIGKILL"), release=Path("/srv/api/releases/1")
    )
    here.services.states["bot"] = ServiceState(Activity.STOPPED, exit=plain("exit status 1"), stopped_by_hand=True)
    here.services.lines = [
        LogLine(at(1), "listening", "info", "r1"),
        LogLine(at(2), "Main process exited \x1b]0;boo\x07", "error", "r1", "api.service", manager=True),
    ]
    write = here.store.write
    release = Release("api-new", COMMIT, at(4), good=False, title="Say goodbye", abandoned=True)
    await write(ledger.add_release, "api", release)
    await deployments(here)
    await write(ledger.set_live, Live("api", "api-new", at(4), 1))
    await write(ledger.put_hold, Hold("api", "alice", plain("rolled back"), at(5), waits=COMMIT))
    await write(
        incident_repository.put_silence, Silence("api", "bob", "known", at(5), datetime(2120, 1, 1, tzinfo=UTC))
    )
    await write(
        incident_repository.save_source,
        SourceState("api", COMMIT, at(6), at(5), at(5.5), plain("no such host"), told=True, noted=OLD),
    )
    await write(channel_state.save_delivery_test, DeliveryTest(2, at(7), at(6), "no answer", 9))
    await incidents(here)
    for actor, allowed in ((ALICE, False), (BOB, True)):
        await write(audit.record, actor, "restart", "api", at(2), allowed=allowed, detail="now", result="running")
    await write(
        outbox.put, "word:1", NotificationKind.WORD, "api", at(9), body={"text": f"Until <t:{DAY.timestamp():.0f}:R>."}
    )
    await write(outbox.put, "update:1", NotificationKind.UPDATE, "api", at(9), body={"why": "auto is off"})


async def deployments(here: World) -> None:
    """One that came through, one that failed with all there is to say, a rollback."""
    store = here.store
    first = await store.write(
        ledger.claim, DeploymentRequest("api", DeploymentKind.DEPLOY, ALICE, "v2", reason=plain("asked for")), at(3)
    )
    assert isinstance(first, Deployment)
    commits = (Commit(COMMIT, "Fix the greeting \x1b[2J", "Ada", at(0)), Commit(OLD, "Say hello", "Bob", at(-60)))
    until = plain(f"until <t:{at(3.6).timestamp():.0f}:f>")
    steps = (
        DeploymentStep(plain("fetch"), Phase.FETCHING, at(3), at(3.5), ok=True, note=plain("2 commits")),
        DeploymentStep(
            plain("wait"),
            Phase.WAITING,
            at(3.5),
            at(3.6),
            ok=True,
            note=until,
        ),
        DeploymentStep(plain("verify"), Phase.VERIFYING, at(3.6), at(4), ok=True, output="/var/lib/opsbot/steps/1"),
    )
    done = replace(
        first,
        phase=Phase.LIVE,
        updated_at=at(4),
        commit_from=OLD,
        commit_to=COMMIT,
        release_from="api-old",
        release_to="api-new",
        commits=commits,
        commits_total=7,
        steps=steps,
        finished_at=at(4),
        live_at=at(4),
    )
    await store.write(ledger.save, done)
    second = await store.write(
        ledger.claim, DeploymentRequest("api", DeploymentKind.ROLLBACK, BOB, release="api-old"), at(6)
    )
    assert isinstance(second, Deployment)
    ended = replace(steps[0], ok=False, tail="line one\nnpm ERR! broke")
    failed = replace(
        second,
        phase=Phase.UNDONE,
        updated_at=at(7),
        steps=(ended, DeploymentStep(plain("undo"), Phase.UNDOING, at(6.5))),
        failed_in=Phase.VERIFYING,
        note=plain("did not get well"),
        finished_at=at(7),
    )
    await store.write(ledger.save, failed)


async def incidents(here: World) -> None:
    """An open one that flaps and has a dependent, one that is over, one of the host."""
    write = here.store.write
    over = Incident(0, "bot", plain("killed by SIGKILL"), at(1), Evidence(exit=plain("killed by SIGKILL")))
    await write(incident_repository.open_incident, over)
    await write(incident_repository.close_incident, "bot", plain("restart 1 of 3"), at(2))
    evidence = Evidence(
        (("web", plain("answered 500")),),
        plain("exit status 1"),
        ("INFO listening", "boo \x1b[2J"),
        (("page", plain("503")),),
    )
    events = (
        _legacy(at(4), f"restart 1 of 3, again at <t:{at(5).timestamp():.0f}:T>"),
        _legacy(at(5), "restarted by bob"),
    )
    dependents = (Dependent("bot", plain("refused"), at(3.5)), Dependent("web", plain("refused"), at(3.5), at(4)))
    flaps = Flaps((), at(2), 8, at(5))
    trouble = Incident(
        0, "api", plain("web answered 500"), at(3), evidence, events, 1, dependents=dependents, flaps=flaps
    )
    opened = await write(incident_repository.open_incident, trouble)
    await write(incident_repository.escalate, opened.id, plain("3 restarts did not help"), at(6), evidence)
    await write(incident_repository.open_incident, Incident(0, "host:disk:/", plain("95 % full"), at(3), Evidence()))


_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?Z?( UTC)?")
_KEPT = ("2020", "2220", "2120")
ME = pwd.getpwuid(os.geteuid()).pw_name
_MEASURED = {"cpu", "memory", "tasks", "pid", "latency"}


def scrubbed(value: Any, folder: str, key: str = "") -> Any:
    """The value without what differs from run to run."""
    if isinstance(value, dict):
        if key == "host":
            return {name: [] if name == "disks" else name if name == "name" else 0 for name in value}
        return {name: scrubbed(one, folder, name) for name, one in value.items()}
    if isinstance(value, list):
        return [scrubbed(one, folder, key) for one in value]
    if key in _MEASURED and value is not None:
        return 0
    if key == "at" and isinstance(value, float):  # a time in the parameters of a message
        return 0
    if key == "version":
        return "<version>"
    if value in {ME, f"unix:{ME}"}:
        return value.replace(ME, "<me>")
    if isinstance(value, str):
        return _TIME.sub(
            lambda found: found[0] if found[0][:4] in _KEPT else "<now>", value.replace(folder, "<folder>")
        )
    return value


def request(path: Path, method: str, route: str, values: object = None) -> tuple[int, str]:
    """The status and the body, as a script gets them."""
    connection = http.client.HTTPConnection("localhost", timeout=30)
    connection.sock = socket.socket(socket.AF_UNIX)
    with reachable(path) as name:
        connection.sock.connect(name)
    connection.request(method, f"/v1/{route}", None if values is None else json.dumps(values).encode())
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    return response.status, body


def first_of(path: Path, route: str) -> list[Any]:
    """The first values of a stream."""
    connection = http.client.HTTPConnection("localhost", timeout=30)
    connection.sock = socket.socket(socket.AF_UNIX)
    with reachable(path) as name:
        connection.sock.connect(name)
    connection.request("GET", f"/v1/{route}")
    response = connection.getresponse()
    wanted = 2 if route.startswith("logs") else 1
    found = [json.loads(response.readline()) for _ in range(wanted)]
    connection.close()
    return [response.status, *found]


async def answers(folder: Path) -> dict[str, Any]:
    """Every endpoint's answer, by what was asked."""
    found: dict[str, Any] = {}
    async with fixed(folder) as here:

        async def put(name: str, status: int, body: str) -> None:
            found[name] = {"status": status, "answer": scrubbed(json.loads(body), str(folder))}

        for route in READS:
            await put(f"GET {route}", *await asyncio.to_thread(request, here.socket, "GET", route))
        for route in STREAMS:
            status, *lines = await asyncio.to_thread(first_of, here.socket, route)
            found[f"GET {route}"] = {"status": status, "answer": scrubbed(lines, str(folder))}
        for number, (route, values) in enumerate(WRITES):
            name = f"POST {route} {json.dumps(values)} ({number})"
            await put(name, *await asyncio.to_thread(request, here.socket, "POST", route, values))
        await settled(here)
        here.polling.outcome, here.deploying.pause = PollOutcome.DEPLOYING, 3600.0
        await put(
            "POST update, news", *await asyncio.to_thread(request, here.socket, "POST", "update", {"service": "bot"})
        )
    return found


async def settled(here: World) -> None:
    """No deployment is under way."""
    await asyncio.gather(*here.deploying.tasks)


async def printed(folder: Path) -> dict[str, Any]:
    """What each verb prints with `--json`, with a daemon and without."""
    found: dict[str, Any] = {}

    async def put(name: str, verb: str) -> None:
        word, *rest = verb.split()
        ended = await run(word, "-c", str(folder / "config.toml"), *rest, "--json")
        answer = scrubbed(json.loads(ended.out), str(folder)) if ended.out else scrubbed(ended.err, str(folder))
        found[f"{name} {verb}"] = {"code": ended.code, "answer": answer}

    async with fixed(folder) as here:
        for verb in VERBS:
            await put("opsbot", verb)
            await settled(here)
    for verb in OFFLINE:
        await put("without a daemon: opsbot", verb)
    return found


async def record() -> dict[str, Any]:
    """All of it."""
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        return await answers(Path(one)) | await printed(Path(two))


def main() -> None:
    """Write the file."""
    found = asyncio.run(record())
    lines = [f"{json.dumps(asked)}: {json.dumps(one, sort_keys=True)}" for asked, one in sorted(found.items())]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()


def _legacy(when: datetime, text: str) -> IncidentEvent:
    """An entry that an earlier version stored as a sentence."""
    return IncidentEvent(IncidentEventKind.LEGACY, when, {"text": text})
