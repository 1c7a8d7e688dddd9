"""What was seen false on a running demo, played in a world of the oracle: README.md lists the rows."""

import asyncio
import re
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from cogs.cards.rendered import GREEN, RenderedMessage
from tests.oracle.checker import Checker
from tests.oracle.driver import ACTIONS
from tests.oracle.virtual import run
from tests.oracle.world import Template, World

pytestmark = pytest.mark.processes
Story = Callable[[World], Coroutine[Any, Any, None]]


@pytest.fixture
def told(template: Template) -> Callable[..., World]:
    """Play a story, and look at everything at its end; nothing that is said of it is false.

    begins: seconds after the last deployment, which recovery blames where it is not long ago.
    """

    async def play(world: World, story: Story) -> None:
        await world.open()
        await asyncio.sleep(2)  # on the loop's own clock
        try:
            await story(world)
            await asyncio.sleep(2)  # likewise
            await world.look()
        finally:
            await world.end()

    def of(story: Story, begins: float = 60.0) -> World:
        world = template.again()
        run(play(world, story), template.ends + begins)
        assert Checker(world).check() == []
        return world

    return of


def cards(world: World, mark: str = "#i") -> list[RenderedMessage]:
    return [post.shown for post in world.channel.posts.values() if mark in post.shown.footer]


def ever(world: World) -> str:
    return "\n".join(
        f"{shown.content}\n{shown.text}" for post in world.channel.posts.values() for _, shown in post.versions
    )


def answer(world: World, where: str) -> str:
    return next(f"{each.shown.content}\n{each.shown.text}" for each in world.answers if each.where == where)


async def then(world: World, *actions: str) -> None:
    """Some actions of the driver, with a moment after each."""
    for name in actions:
        await ACTIONS[name](world)
        await asyncio.sleep(2.3)  # on the loop's own clock


async def killed_and_then_refused_by_its_database(world: World) -> None:
    world.host.dies_at_start["api"] = 1
    world.host.crash("api", None, 9)
    await asyncio.sleep(40)  # on the loop's own clock


def test_row_1_the_current_cause_leads_and_the_first_is_in_the_timeline(told: Callable[..., World]) -> None:
    (card,) = cards(told(killed_and_then_refused_by_its_database))
    assert "(exit 1)" in card.content
    assert "SIGKILL" not in card.content
    assert "killed by SIGKILL" in card.text.split("**Timeline**")[1]


def test_row_2_the_last_lines_are_those_of_the_run_that_failed_last(told: Callable[..., World]) -> None:
    async def story(world: World) -> None:
        await killed_and_then_refused_by_its_database(world)
        world.host.mend("api")
        await then(world, "restart", "20 s")

    (card,) = cards(told(story))
    assert card.content.startswith("🟢")
    assert "ends: exit 1" in card.text, "kept on the card of what is over"
    assert "SIGKILL" not in card.text.split("**Its last lines**")[1]


def test_row_3_what_was_tried_is_counted(told: Callable[..., World]) -> None:
    world = told(killed_and_then_refused_by_its_database, begins=3000)
    assert "gave up: its manager gave up starting it, and 3 starts by its manager did not help" in ever(world)
    assert "restarts did not help" not in ever(world)


def test_row_4_an_incident_that_flaps_begins_with_its_recovery(told: Callable[..., World]) -> None:
    async def story(world: World) -> None:
        await then(world, "crashes often")

    last = cards(told(story))[-1]
    assert re.search(r"\*\*Timeline\*\*\n<t:\d+:T> recovered, and is flapping: 6 changes", last.text)


def test_row_5_a_release_that_was_rolled_back_is_not_blamed(told: Callable[..., World]) -> None:
    async def story(world: World) -> None:
        await then(world, "commit that exits", "20 s", "killed")

    assert "after deployment 2 (" in answer(told(story), "why").split("\n")[0]


def test_row_6_resume_lifts_what_the_card_says_it_lifts(told: Callable[..., World]) -> None:
    async def story(world: World) -> None:
        await then(world, "commit that exits", "20 s", "resume as offered")

    world = told(story)
    head = [run for run in world.truth.runs if run.commit == world.repository.head]
    assert len(head) == 2, "it was tried again"


def test_row_7_a_kill_and_many_restarts_by_people_are_no_crash_loop(told: Callable[..., World]) -> None:
    async def story(world: World) -> None:
        await then(world, "killed", "20 s", "restarts often", "restarts often", "restarts often")

    world = told(story)
    assert len([run for run in world.truth.runs if run.by == "Mia"]) == 12
    assert "needs attention" not in ever(world)


def test_row_9_downtime_is_the_time_it_was_down(told: Callable[..., World]) -> None:
    async def story(world: World) -> None:
        await then(world, "flaps", "4 min", "70 s", "20 s")

    last = cards(told(story))[-1]
    down = re.search(r"\*\*Downtime:\*\* ([\d.]+) s", last.text)
    assert down is not None, "it was down for seconds, and stable only after minutes"
    assert "stable again" in ever(told(story))


def test_row_11_health_has_one_state(told: Callable[..., World]) -> None:
    async def story(world: World) -> None:
        await then(world, "answers 500 for good", "5 s")

    world = told(story)
    assert answer(world, "health").startswith("🔴 1 of 1 service down: api.")
    assert answer(world, "health").split("\n")[0] == answer(world, "status").split("\n")[0]


def test_row_12_an_escalation_ends_with_its_incident(told: Callable[..., World]) -> None:
    async def story(world: World) -> None:
        await killed_and_then_refused_by_its_database(world)
        world.host.mend("api")
        await then(world, "restart", "20 s")

    world = told(story)
    (call,) = [shown for shown in cards(world, "#n") if "needed attention" in shown.content]
    assert (call.colour, call.buttons) == (GREEN, ())
    assert "Nothing is left to do." in call.text


def test_row_13_of_all_deployments_one_is_live(told: Callable[..., World]) -> None:
    async def story(world: World) -> None:
        await then(world, "good commit", "20 s", "good commit", "20 s")

    lines = [line for line in answer(told(story), "history").split("\n") if line.startswith("✅")]
    assert [line.split("` ")[1].split(" <")[0] for line in lines] == ["live", "succeeded", "succeeded", "succeeded"]
