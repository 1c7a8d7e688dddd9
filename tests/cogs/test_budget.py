"""One budget for all that is said and edited: never more than Discord takes, and what wakes people goes first."""

import asyncio
from dataclasses import dataclass, field

import pytest

from cogs.delivery.rate_budget import RateBudget, RateKey, RateLimit, WriteKind, WriteLimits, WritePriority

LIMITS = WriteLimits(send=RateLimit(5, 5.0), edit=RateLimit(5, 5.0), edit_old=RateLimit(3, 6.0), all=RateLimit(50, 1.0))
SEND, EDIT, OLD = (RateKey(kind, 7) for kind in (WriteKind.SEND, WriteKind.EDIT, WriteKind.EDIT_OLD))


@dataclass(eq=False)
class Course:
    """A clock that the test moves, and whoever waits by it."""

    now: float = 1000.0
    sleepers: list[tuple[float, asyncio.Event]] = field(default_factory=list)
    made: list[tuple[float, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.budget = RateBudget(LIMITS, lambda: self.now, self.until)
        self.tasks: list[asyncio.Task[None]] = []

    async def until(self, go: asyncio.Event, seconds: float) -> None:
        self.sleepers.append((self.now + seconds, go))
        await go.wait()

    async def ask(self, name: str, rank: WritePriority, *keys: RateKey) -> None:
        """Somebody begins to ask."""

        async def work() -> None:
            await self.budget.take(rank, *keys)
            self.made.append((self.now - 1000.0, name))

        self.tasks.append(asyncio.create_task(work()))
        await self.settle()

    async def settle(self) -> None:
        for _ in range(50):
            await asyncio.sleep(0)

    async def pass_by(self, seconds: float) -> None:
        end = self.now + seconds
        while due := sorted((at, number) for number, (at, _) in enumerate(self.sleepers) if at <= end):
            self.now = max(self.now, due[0][0])
            self.sleepers.pop(due[0][1])[1].set()
            await self.settle()
        self.now = end

    def at(self, when: float) -> list[str]:
        """Who was let go then; in which order they take their next step is the event loop's affair."""
        return sorted(name for at, name in self.made if at == pytest.approx(when))

    def names(self) -> list[str]:
        return [name for _, name in self.made]


@pytest.fixture
def course() -> Course:
    return Course()


async def test_no_five_seconds_see_more_than_five(course: Course) -> None:
    for number in range(23):
        await course.ask(str(number), WritePriority.ALARM, SEND)
        await course.pass_by(0.3)
    await course.pass_by(60)
    times = [at for at, _ in course.made]
    assert course.names() == [str(number) for number in range(23)], "first come, first served"
    assert all(later - earlier >= 5.0 for earlier, later in zip(times, times[5:], strict=False))
    assert times[-1] <= 4 * 5.0 + 5 * 0.3, "and none is given away"


async def test_what_wakes_people_goes_first_then_lines_cards_and_live_tails(course: Course) -> None:
    for number in range(5):
        await course.ask(f"before {number}", WritePriority.ALARM, SEND)
    for rank in (WritePriority.TAIL, WritePriority.CARD, WritePriority.LINE, WritePriority.ALARM):
        for number in range(2):
            await course.ask(f"{rank.name} {number}", rank, SEND)
            await course.pass_by(0.1)
    await course.pass_by(60)
    assert course.at(5.0) == sorted(("ALARM 0", "ALARM 1", "LINE 0", "LINE 1", "CARD 0"))
    assert course.at(10.0) == sorted(("CARD 1", "TAIL 0", "TAIL 1"))


async def test_a_tail_leaves_one_for_a_card(course: Course) -> None:
    for number in range(20):
        await course.ask(f"tail {number}", WritePriority.TAIL, EDIT)
    assert len(course.made) == 4
    await course.ask("card", WritePriority.CARD, EDIT)
    assert course.made[-1] == (0.0, "card"), "at once"
    await course.pass_by(60)
    assert len(course.made) == 21


async def test_edits_of_old_messages_are_counted_apart_and_keep_no_others_waiting(course: Course) -> None:
    for number in range(6):
        await course.ask(f"old {number}", WritePriority.CARD, EDIT, OLD)
    await course.ask("young", WritePriority.CARD, EDIT)
    assert course.at(0.0) == course.names() == ["old 0", "old 1", "old 2"], (
        "two places are kept for those that came before"
    )
    await course.pass_by(5.1)
    assert course.at(5.0) == ["young"]
    await course.pass_by(1.0)
    assert course.at(6.0) == ["old 3", "old 4", "old 5"]


async def test_channels_are_counted_apart_and_all_of_them_together(course: Course) -> None:
    for number in range(120):
        await course.ask(str(number), WritePriority.LINE, RateKey(WriteKind.SEND, number))
    assert len(course.made) == 50
    await course.ask("alarm", WritePriority.ALARM, SEND)
    await course.pass_by(1.0)
    assert len(course.at(1.0)) == 50
    assert "alarm" in course.at(1.0), "before seventy that came earlier"
    await course.pass_by(1.0)
    assert len(course.made) == 121
    assert len(course.budget._buckets) <= 121


async def test_a_turn_is_waited_for_and_not_taken(course: Course) -> None:
    for number in range(5):
        await course.ask(str(number), WritePriority.CARD, EDIT)
    assert course.budget.rest(WritePriority.CARD, EDIT) == 5.0
    waiting = asyncio.create_task(course.budget.turn(WritePriority.CARD, EDIT))
    await course.settle()
    assert not waiting.done()
    await course.pass_by(5.0)
    assert waiting.done()
    assert course.budget.rest(WritePriority.TAIL, EDIT) == 0.0


async def test_one_that_gives_up_holds_nobody_up(course: Course) -> None:
    for number in range(5):
        await course.ask(str(number), WritePriority.ALARM, SEND)
    await course.ask("gives up", WritePriority.ALARM, SEND)
    await course.ask("next", WritePriority.TAIL, SEND)
    course.tasks[-2].cancel()
    await course.settle()
    await course.pass_by(5.0)
    assert course.names()[5:] == ["next"]
