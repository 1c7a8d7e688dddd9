"""The HTTP endpoint, asked over a real socket."""

import asyncio
import hmac
import io
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import aiohttp
import pytest

from opsbot.config import Http, Secret, Service
from opsbot.core.gauge import Gauge
from opsbot.core.health import CheckHealth, ProbeResult, Verdict
from opsbot.core.message import plain
from opsbot.core.model import AuditEntry, Evidence, Incident, Live
from opsbot.core.status import Activity, StatusFacts, UnitStatus, derive_status
from opsbot.core.threshold import Threshold
from opsbot.core.trend import Forecast
from opsbot.engine.status import ServiceStatus
from opsbot.host.processes import ProcessFigures
from opsbot.services.port import ServiceState
from opsbot.store import Store, audit
from opsbot.web.facts import Sample
from opsbot.web.hooks import BODY_MOST, WRONG_MOST, Hooks
from opsbot.web.live import gauge_samples, service_samples
from opsbot.web.server import start_web
from tests.fixtures.sample import make_service

SECRET = "s3cret"
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@dataclass
class Facts:
    """What the routes show, set by the test."""

    loops: list[str] = field(default_factory=list)
    lacking: list[str] = field(default_factory=list)
    services: dict[str, str] = field(default_factory=dict)
    shown: list[Sample] = field(default_factory=lambda: [("up", (), 1.0)])

    def stuck(self) -> Sequence[str]:
        return self.loops

    async def unready(self) -> Sequence[str]:
        return self.lacking

    async def states(self) -> Mapping[str, str]:
        return self.services

    async def samples(self) -> Sequence[Sample]:
        return self.shown


@dataclass
class Endpoint:
    """The endpoint, and what its hooks woke."""

    url: str
    store: Store
    facts: Facts
    session: aiohttp.ClientSession
    woken: list[str]
    now: list[datetime]

    async def get(self, path: str) -> tuple[int, str]:
        async with self.session.get(self.url + path) as response:
            return response.status, await response.text()

    async def post(self, path: str, body: bytes | str | io.BytesIO, **headers: str) -> int:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.post(self.url + path, data=body, headers=named) as response:
            return response.status

    async def github(self, payload: object, *, secret: str = SECRET, event: str = "push") -> int:
        body = json.dumps(payload).encode()
        digest = hmac.new(secret.encode(), body, sha256).hexdigest()
        kind = {"X_GitHub_Event": event, "Content_Type": "application/json"}
        return await self.post("/hooks/github", body, X_Hub_Signature_256=f"sha256={digest}", **kind)

    async def audit(self) -> list[AuditEntry]:
        return await self.store.read(audit.entries)


def followed(folder: Path, name: str, repository: str, secret: Secret | None, branch: str = "main") -> Service:
    made = make_service(folder, repository, 1, name=name)
    assert made.source is not None
    return replace(made, source=replace(made.source, hook_secret=secret, branch=branch))


@pytest.fixture
async def endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Endpoint]:
    monkeypatch.setenv("HOOK_SECRET", "s3cret")
    (tmp_path / "other").write_text("0ther\n")
    services = [
        followed(tmp_path, "web", "https://github.com/Team/Web.git", Secret(env="HOOK_SECRET")),
        followed(tmp_path, "api", "git@github.com:team/api.git", Secret(file=tmp_path / "other"), "live"),
        followed(tmp_path, "unset", "git@github.com:team/web.git", Secret(env="NEVER_SET")),
        followed(tmp_path, "open", "git@github.com:team/web.git", None),
    ]
    async with Store(tmp_path / "db") as store, aiohttp.ClientSession() as session:
        woken: list[str] = []
        now = [NOON]
        facts = Facts()
        hooks = Hooks({each.name: each for each in services}, store, woken.append, lambda: now[0])
        web = await start_web(Http("127.0.0.1", 0), facts, hooks)
        assert web.address is not None
        yield Endpoint(f"http://127.0.0.1:{web.address[1]}", store, facts, session, woken, now)
        await web.close()


def push(repository: str = "https://github.com/team/web.git", ref: str = "refs/heads/main") -> dict[str, object]:
    return {"ref": ref, "after": "a" * 40, "repository": {"clone_url": repository}}


async def test_healthz_is_well_while_no_loop_is_overdue(endpoint: Endpoint) -> None:
    status, text = await endpoint.get("/healthz")
    assert (status, json.loads(text)) == (200, {"status": "ok", "reasons": []})
    endpoint.facts.loops.append("watch: no end for 40 s")
    status, text = await endpoint.get("/healthz")
    assert (status, json.loads(text)) == (503, {"status": "stuck", "reasons": ["watch: no end for 40 s"]})


async def test_readyz_says_what_is_missing(endpoint: Endpoint) -> None:
    endpoint.facts.services["web"] = "unknown"
    status, text = await endpoint.get("/readyz")
    assert (status, json.loads(text)) == (200, {"status": "ready", "reasons": [], "services": {"web": "unknown"}})
    endpoint.facts.lacking.append("not connected to Discord")
    status, text = await endpoint.get("/readyz")
    assert status == 503
    assert "not connected to Discord" in text


async def test_a_signed_push_to_the_tracked_branch_wakes_the_poll_of_its_service(endpoint: Endpoint) -> None:
    assert await endpoint.github(push()) == 202
    assert endpoint.woken == ["web"]
    (entry,) = await endpoint.audit()
    assert (entry.origin, entry.action, entry.service, entry.allowed) == ("webhook", "hook", "web", True)
    assert "main" in entry.detail
    assert await endpoint.github(push()) == 202, "a replay is one look more"


async def test_a_push_of_another_branch_repository_or_event_wakes_nobody(endpoint: Endpoint) -> None:
    for payload in (push(ref="refs/heads/live"), push("https://github.com/team/x.git"), push(ref="refs/tags/main"), 7):
        assert await endpoint.github(payload) == 204
    assert await endpoint.github(push(), event="issues") == 204
    assert endpoint.woken == []


async def test_one_service_s_secret_opens_no_other(endpoint: Endpoint) -> None:
    theirs = push("https://github.com/team/api.git", "refs/heads/live")
    assert await endpoint.github(theirs) == 204, "signed with web's secret"
    assert await endpoint.github(theirs, secret="0ther") == 202
    assert endpoint.woken == ["api"]


async def test_a_ping_is_answered_when_it_is_signed(endpoint: Endpoint) -> None:
    assert await endpoint.github({"zen": "x"}, event="ping") == 200
    assert await endpoint.github({"zen": "x"}, event="ping", secret="wrong") == 401


async def test_gitlab_and_gitea_are_understood_in_their_own_way(endpoint: Endpoint) -> None:
    gitlab = {"ref": "refs/heads/main", "project": {"git_ssh_url": "git@github.com:team/web.git"}}
    body = json.dumps(gitlab)
    status = await endpoint.post("/hooks/gitlab", body, X_Gitlab_Token="s3cret", X_Gitlab_Event="Push Hook")
    assert status == 202
    assert await endpoint.post("/hooks/gitlab", body, X_Gitlab_Token="nope", X_Gitlab_Event="Push Hook") == 401
    body = json.dumps(push())
    digest = hmac.new(b"s3cret", body.encode(), sha256).hexdigest()
    assert await endpoint.post("/hooks/gitea", body, X_Gitea_Signature=digest, X_Gitea_Event="push") == 202
    assert await endpoint.post("/hooks/gitea", body + " ", X_Gitea_Signature=digest, X_Gitea_Event="push") == 401
    assert endpoint.woken == ["web", "web"]


async def test_an_unknown_forge_a_get_and_too_large_a_body_are_refused(endpoint: Endpoint) -> None:
    assert await endpoint.post("/hooks/sourceforge", b"{}") == 404
    assert (await endpoint.get("/hooks/github"))[0] == 405
    assert await endpoint.post("/hooks/github", io.BytesIO(b"x" * (BODY_MOST + 1))) == 413
    assert endpoint.woken == []


async def test_a_burst_of_wrong_signatures_is_limited_and_the_right_one_still_let_in(endpoint: Endpoint) -> None:
    statuses = [await endpoint.github(push(), secret="wrong") for _ in range(WRONG_MOST + 5)]
    assert statuses == [401] * WRONG_MOST + [429] * 5
    assert await endpoint.github(push()) == 202
    entries = await endpoint.audit()
    assert len([entry for entry in entries if not entry.allowed]) == WRONG_MOST
    endpoint.now[0] += timedelta(minutes=2)
    assert await endpoint.github(push(), secret="wrong") == 401
    assert any(entry.detail.startswith("5 more within a minute") for entry in await endpoint.audit())


async def test_without_any_hook_secret_there_is_no_hook(tmp_path: Path) -> None:
    service = followed(tmp_path, "web", "https://github.com/team/web.git", None)
    async with Store(tmp_path / "db") as store, aiohttp.ClientSession() as session:
        hooks = Hooks({"web": service}, store, lambda _name: None, lambda: NOON)
        web = await start_web(Http("127.0.0.1", 0), Facts(), hooks)
        assert web.address is not None
        async with session.post(f"http://127.0.0.1:{web.address[1]}/hooks/github", data=b"{}") as response:
            assert response.status == 404
        await web.close()


async def test_turned_off_it_listens_nowhere_and_a_port_in_use_is_an_error(tmp_path: Path) -> None:
    async with Store(tmp_path / "db") as store:
        hooks = Hooks({}, store, lambda _name: None, lambda: NOON)
        off = await start_web(Http(None), Facts(), hooks)
        assert off.address is None
        await off.close()
        first = await start_web(Http("127.0.0.1", 0), Facts(), hooks)
        assert first.address is not None
        with pytest.raises(
            OSError, match=r"http\.listen: cannot listen on 127\.0\.0\.1:\d+: address already in use; choose"
        ):
            await start_web(Http("127.0.0.1", first.address[1]), Facts(), hooks)
        await first.close()


async def test_metrics_show_every_figure_in_prometheus_format(endpoint: Endpoint) -> None:
    bad = ProbeResult(False, plain("answered 500"), NOON, 0.25)
    service = ServiceStatus(
        "web",
        ServiceState(Activity.RUNNING),
        derive_status(StatusFacts(NOON, (UnitStatus("", Activity.RUNNING),))),
        (("health", CheckHealth(Verdict.DOWN, NOON, -3, NOON, bad)),),
        ProcessFigures(1.0, 1000, None, None, NOON, 0, 2.5),
        live=Live("web", "r1", NOON, 1),
        incident=Incident(1, "web", plain("answered 500"), NOON, Evidence()),
    )
    unknown = ServiceStatus(
        "new", ServiceState(Activity.STOPPED), derive_status(StatusFacts(NOON, manager_error="no bus")), ()
    )
    endpoint.facts.shown += [
        ("build_info", ("1.2.3",), 1),
        *service_samples(service),
        *service_samples(unknown),
        *gauge_samples(Gauge("host:disk:/", 91.5, Threshold(90.0, 85.0), "", "", "", Forecast(3600.0, 1800.0, 7200.0))),
        ("deployments_total", ("web", "live"), 3),
        ("recoveries_total", ("web",), 2),
        ("gateway_latency_seconds", (), None),
        ("certificate_expiry_timestamp_seconds", ("a.example",), NOON.timestamp()),
    ]
    status, text = await endpoint.get("/metrics")
    assert status == 200
    lines = text.splitlines()
    for line in (
        "opsbot_up 1.0",
        'opsbot_build_info{version="1.2.3"} 1.0',
        'opsbot_service_state{service="web",state="healthy"} 1.0',
        'opsbot_service_state{service="web",state="unknown"} 0.0',
        'opsbot_service_state{service="new",state="unknown"} 1.0',
        'opsbot_service_up{service="web"} 1.0',
        'opsbot_service_up{service="new"} 0.0',
        'opsbot_service_verdict{service="new",verdict="unknown"} 1.0',
        'opsbot_check_up{check="health",service="web"} 0.0',
        'opsbot_check_duration_seconds{check="health",service="web"} 0.25',
        'opsbot_service_resident_memory_bytes{service="web"} 1000.0',
        'opsbot_service_cpu_seconds{service="web"} 2.5',
        'opsbot_last_deploy_timestamp_seconds{service="web"} 1.7723664e+09',
        'opsbot_incidents_open{service="web"} 1.0',
        'opsbot_deployments_total{outcome="live",service="web"} 3.0',
        'opsbot_recoveries_total{service="web"} 2.0',
        'opsbot_host_figure{what="disk:/"} 91.5',
        'opsbot_host_threshold{what="disk:/"} 90.0',
        'opsbot_host_used_up_seconds{what="disk:/"} 3600.0',
        'opsbot_certificate_expiry_timestamp_seconds{server="a.example"} 1.7723664e+09',
    ):
        assert line in lines, text
    assert any(line.startswith("process_resident_memory_bytes ") for line in lines)
    assert 'opsbot_service_resident_memory_bytes{service="new"}' not in text
    assert not any(line.startswith("opsbot_gateway_latency_seconds ") for line in lines)
    assert "# HELP opsbot_gateway_latency_seconds " in text


async def test_metrics_asked_many_times_at_once_are_each_whole(endpoint: Endpoint) -> None:
    answers = await asyncio.gather(*(endpoint.get("/metrics") for _ in range(20)))
    assert all(status == 200 and "opsbot_up 1.0" in text for status, text in answers)
