"""The status that is shown while a real service is deployed, stopped, and deployed for the first time in vain."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cogs.cards.status_cards import health
from opsbot.core.deployment import Deployment, Phase
from opsbot.core.status import HealthState, StatusCode, StoppedBy
from opsbot.daemon.wiring import Parts, open_engine
from opsbot.engine.status import ServiceStatus
from tests.fixtures.sample import Remote, make_config, make_service, person


@pytest.fixture
async def parts(tmp_path: Path, remote: Remote, port: int) -> AsyncIterator[Parts]:
    """Everything but Discord and the periodic jobs: checks run only where a test asks for them."""
    async with open_engine(make_config(tmp_path, make_service(tmp_path, remote.url, port))) as made:
        yield made


async def deploy(parts: Parts) -> Deployment:
    begun = await parts.engine.releases.deploy(person(), "web")
    assert isinstance(begun, Deployment), begun
    return await parts.deployer.wait(begun.id)


async def status(parts: Parts) -> ServiceStatus:
    (found,) = await parts.engine.statuses.of(["web"])
    return found


async def look(parts: Parts) -> ServiceStatus:
    found = await parts.engine.queries.health(person(), "web")
    assert isinstance(found, list)
    return found[0]


async def test_right_after_going_live_it_is_healthy_and_nothing_of_the_release_before_is_shown(
    parts: Parts, remote: Remote
) -> None:
    assert (await status(parts)).health.reasons[0].code == StatusCode.NO_RELEASE
    assert (await deploy(parts)).phase is Phase.LIVE
    before = (await look(parts)).state.pid
    remote.version("2")
    assert (await deploy(parts)).phase is Phase.LIVE

    found = await status(parts)

    assert found.health.state is HealthState.HEALTHY
    assert [reason.code for reason in found.health.reasons] == [StatusCode.VERIFIED]
    assert found.state.pid not in {None, before}
    assert all(check.last is None for _, check in found.checks), "no check has run in this release yet"
    assert [reason.code for reason in (await look(parts)).health.reasons] == [StatusCode.CHECKS_PASS]


async def test_a_stopped_service_is_stopped_and_its_checks_say_nothing(parts: Parts) -> None:
    await deploy(parts)
    await look(parts)
    await parts.engine.managers["web"].stop("web")

    found = await look(parts)

    assert (found.health.state, found.health.by) == (HealthState.STOPPED, StoppedBy.PERSON)
    assert all(check.last is None for _, check in found.checks)
    shown = health([found])
    assert shown.content == "⏹️ 1 service: stopped by a person."
    assert "🔴" not in shown.text
    assert shown.text.count("not judged while stopped") == 2


async def test_a_first_deployment_that_fails_leaves_a_service_that_opsbot_stopped(parts: Parts, remote: Remote) -> None:
    remote.version("bad", status=500)
    assert (await deploy(parts)).phase is Phase.UNDONE

    found = await status(parts)

    assert (found.health.state, found.health.by) == (HealthState.STOPPED, StoppedBy.OPSBOT)
    assert [reason.code for reason in found.health.reasons] == [StatusCode.DEPLOYMENT_UNDONE]
    assert found.health.next[0].code == StatusCode.NEXT_DEPLOYMENT
