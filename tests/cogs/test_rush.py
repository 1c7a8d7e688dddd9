"""Many who ask at once: first responses go before answers, and no answer waits for ever."""

import asyncio

from cogs.interactions.response_priority import ResponsePriority
from tests.cogs.world import World


async def test_an_answer_gives_way_to_those_who_wait_for_a_first_response() -> None:
    rush, said = ResponsePriority(patience=60), []

    async def asks(number: int, seconds: float) -> None:
        with rush.first_response():
            await asyncio.sleep(seconds)  # as long as the first response takes
        said.append(f"first {number}")
        await rush.give_way()
        said.append(f"answer {number}")

    await asyncio.gather(*(asks(number, number / 50) for number in range(1, 4)))
    assert said[:3] == ["first 1", "first 2", "first 3"]
    assert sorted(said[3:]) == ["answer 1", "answer 2", "answer 3"]
    await rush.give_way()


async def test_an_answer_does_not_wait_for_ever_for_a_first_response_that_fails_to_come() -> None:
    rush = ResponsePriority(patience=0.01)
    with rush.first_response():
        await rush.give_way()


async def test_one_whose_acknowledgement_hangs_keeps_nobody_elses_answer_back_for_long(world: World) -> None:
    world.standin.faults.delay(r"/interactions/.*/callback", 2.5)
    slow = asyncio.create_task(world.person("operator").run("status", service="api"))
    await world.until(lambda: not world.standin.faults._rules)
    other = await world.person("viewer").run("status", service="worker")
    assert "worker" in (await other.final())["content"]
    assert not slow.done()
    assert "api" in (await (await slow).final())["content"]
