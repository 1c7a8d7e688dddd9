"""A configuration in a folder, the stand-in for Discord, and the doctor called as its verb calls it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from opsbot.cli.invite import invite_link
from opsbot.config import Config, Discord, Http, ManagerKind, Secret, Service, StateConfig
from opsbot.core.access import Ranks
from opsbot.doctor import Finding, Outcome, Report, examine
from opsbot.standin import Standin

TOKEN = "not-a-real-token"


@pytest.fixture
async def standin() -> AsyncIterator[Standin]:
    async with Standin(port=0, bot_token=TOKEN) as running:
        yield running


@pytest.fixture
def config(tmp_path: Path, standin: Standin, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.setenv("OPSBOT_DOCTOR_TOKEN", TOKEN)
    (tmp_path / "state").mkdir()
    ranks = Ranks(viewer=frozenset({str(standin.roles["viewer"])}), admin=frozenset({str(standin.owner_id)}))
    return Config(
        tmp_path / "config.toml",
        Discord(Secret("OPSBOT_DOCTOR_TOKEN"), standin.guild_id, standin.ops_channel_id, standin.api_url),
        ranks,
        StateConfig(tmp_path / "state"),
        Http(None),
        {"web": Service("web", ManagerKind.PROCESS, command=("sh",))},
    )


Doctor = Callable[[Config], Awaitable[Report]]


@pytest.fixture
def doctor() -> Doctor:
    async def run(config: Config) -> Report:
        return await examine(config, config.state.socket, invite_link, "opsbot doctor")

    return run


def failed(report: Report) -> list[Finding]:
    return [finding for finding in report.findings if finding.outcome is Outcome.FAILED]


def named(report: Report, name: str) -> Finding:
    return next(finding for finding in report.findings if finding.name == name)


def serving(config: Config, service: Service) -> Config:
    return replace(config, services={service.name: service})
