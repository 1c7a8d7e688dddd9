"""What the oracle has found false, each by itself: the texts as people read them."""

import asyncio
import os
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cogs.cards.incident_cards import incident_buttons
from cogs.cards.status_cards import details
from opsbot.config import Source
from opsbot.core.health import CheckHealth, Verdict
from opsbot.core.incident import IncidentEventKind, event
from opsbot.core.message import plain
from opsbot.core.model import Evidence, Incident
from opsbot.core.root_cause import RootCauseFacts, find_root_cause
from opsbot.core.status import HealthState, ServiceHealth
from opsbot.deploy.releases import Releases
from opsbot.engine.status import ServiceStatus
from opsbot.messages.root_cause_line import root_cause_line
from opsbot.services.port import Activity, ServiceState
from opsbot.source.repo import Repository
from tests.fixtures.sample import Remote, make_service
from tests.oracle.checker import Checker
from tests.oracle.driver import play
from tests.oracle.virtual import run
from tests.oracle.world import Template, World

pytestmark = pytest.mark.processes
AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def played(template: Template) -> Callable[..., World]:
    """Play these actions."""

    def of(*actions: str, begins: float = 60.0) -> World:
        world = template.again()
        run(play(world, list(actions)), template.ends + begins)
        return world

    return of


def said(world: World) -> str:
    """All that the channel ever said."""
    return "\n".join(
        f"{shown.content}\n{shown.text}" for post in world.channel.posts.values() for _, shown in post.versions
    )


def answered(world: World, where: str) -> str:
    return "\n".join(f"{each.shown.content}\n{each.shown.text}" for each in world.answers if each.where == where)


def test_no_incident_began_during_the_rollback_that_it_caused(played: Callable[..., World]) -> None:
    world = played("killed", "killed", "commit that exits", "killed")
    reasons = [answer.shown.content for answer in world.answers if "why" in answer.where]
    assert any("rolling back to" in reason for reason in reasons)
    assert [reason for reason in reasons if "during rollback" in reason] == []


def test_what_failed_during_a_deployment_was_no_calm(played: Callable[..., World]) -> None:
    world = played("crashes often", "commit that answers 500", "4 min")
    assert Checker(world).check() == []


def test_a_rollback_that_failed_resolved_nothing(played: Callable[..., World]) -> None:
    world = played("answers 500 for good", "70 s", "mended", "20 s")
    assert "rollback 3 ended: needs attention" in said(world)
    assert "**Resolved:** what opsbot tried did not help; it recovered later" in said(world)
    assert "stuck" not in said(world)


def test_the_name_of_who_asked_is_written_as_it_is(played: Callable[..., World]) -> None:
    world = played("rollback", "5 s")
    assert "Requested by Ben (discord)" in said(world)


def test_a_button_is_offered_where_there_is_something_for_it_to_do(played: Callable[..., World]) -> None:
    incident = Incident(1, "api", plain("x"), AT, Evidence())
    assert "rollback" in [each.action for each in incident_buttons(incident, None)]
    assert "rollback" not in [each.action for each in incident_buttons(incident, None, can_roll_back=False)]
    world = played("hangs for good", "70 s", "dies at each start", "button rollback", "4 min")
    assert not world.problems
    last = [post.shown for post in world.channel.posts.values() if "needs attention" in post.shown.content][-1]
    assert "rollback" not in [each.action for each in last.buttons], "both releases failed"


def test_a_pause_is_dated_from_the_end_of_the_rollback(played: Callable[..., World]) -> None:
    """A person resumes while the rollback goes on: it is paused since then, and not since before."""
    world = played("commit that hangs", "port closes for good", "exits 1", "resume", begins=3000)
    resumed = next(deed.at for deed in world.truth.deeds if deed.what == "resume")
    since = [int(each) for each in re.findall(r"since the rollback from `\w+` at <t:(\d+):", answered(world, "status"))]
    assert since
    assert all(each > resumed.timestamp() for each in since[-1:])


def test_restarts_before_it_was_known_to_flap_are_counted() -> None:
    flapping = event(IncidentEventKind.FLAPPING, AT, count=6, since=AT)
    incident = Incident(4, "api", plain("it died"), AT, Evidence(), (flapping,))
    facts = RootCauseFacts("api", AT, incident, restarts=(AT, AT.replace(minute=1), AT.replace(minute=2)))
    facts = replace(facts, now=AT.replace(minute=3))
    assert "restarted 3 times by opsbot, last 12:02:00" in root_cause_line(find_root_cause(facts))


def test_in_an_account_words_stand_one_space_apart(played: Callable[..., World]) -> None:
    world = played("killed", "20 s")
    assert "started again by its manager (pid " in answered(world, "why")
    assert not re.search(r"\S  \S", answered(world, "why"))


def test_a_check_that_has_not_run_since_the_start_does_not_pass() -> None:
    checks = (("http", CheckHealth(Verdict.UP, AT)),)
    status = ServiceStatus("api", ServiceState(Activity.RUNNING), ServiceHealth(HealthState.DEPLOYING), checks)
    assert "⚪ http has not run since the start" in details(status).text


def test_an_incident_is_as_old_as_it_is_while_a_deployment_goes_on(played: Callable[..., World]) -> None:
    world = played("flaps", "commit that hangs", "5 s")
    ages = re.findall(r"incident \d+ for ([\d a-z]+): ", answered(world, "cli status"))
    assert ages
    assert all(" m" in each for each in ages[1:]), ages


async def test_a_file_with_another_time_is_no_changed_file(tmp_path: Path, remote: Remote) -> None:
    source = make_service(tmp_path, remote.url, 1).source
    assert isinstance(source, Source)
    repository, releases = Repository(source), Releases(source)
    commit = await repository.bring()
    folder, index = await asyncio.to_thread(releases.begin, "r1"), releases.index("r1")
    await repository.export(commit, folder, index)
    files = await asyncio.to_thread(lambda: [file for file in folder.iterdir() if file.is_file()])
    for file in files:
        os.utime(file, (0, 0))  # as after a restored backup
    assert await repository.touched(folder, index) == (frozenset(), frozenset())
    await asyncio.to_thread(files[0].write_text, "another")
    touched = await repository.touched(folder, index)
    assert touched == (frozenset({files[0].name}), frozenset())
