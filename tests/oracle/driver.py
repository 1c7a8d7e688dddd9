"""What can happen in a world, by name: the driver picks from these at random, and knows what it did."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from cogs.cards.rendered import Button
from tests.oracle.reality import Behaviour, Deed, Fault
from tests.oracle.world import Post, World

Action = Callable[[World], Awaitable[None]]


def killed(signal: int) -> Action:
    async def act(world: World) -> None:
        world.host.crash("api", None, signal)

    return act


def exits(status: int) -> Action:
    async def act(world: World) -> None:
        world.host.crash("api", status)

    return act


def breaks(fault: Fault, *, sticky: bool) -> Action:
    async def act(world: World) -> None:
        world.host.inject("api", fault, sticky=sticky)

    return act


def dies_at_start(status: int) -> Action:
    async def act(world: World) -> None:
        """From now on no run of it lives: its database refuses, say."""
        world.host.dies_at_start["api"] = status
        world.host.crash("api", status)

    return act


async def mends(world: World) -> None:
    world.host.mend("api")


def pushes(behaviour: Behaviour) -> Action:
    async def act(world: World) -> None:
        world.push(behaviour)

    return act


async def restarts(world: World) -> None:
    await world.restart("Mia")


async def deploys(world: World) -> None:
    await world.deploy("Mia")


async def rolls_back(world: World) -> None:
    await world.roll_back("Ben")


async def resumes(world: World) -> None:
    await world.resume("Ben")


async def acknowledges(world: World) -> None:
    await world.acknowledge("Ben")


async def silences(world: World) -> None:
    await world.silence("Mia")


async def restarted_outside(world: World) -> None:
    world.truth.deeds.append(Deed(world.now(), "api", "host", "outside restart"))
    await world.host.outside_restart("api")


async def stopped_outside(world: World) -> None:
    world.truth.deeds.append(Deed(world.now(), "api", "host", "stop"))
    world.host.outside_stop("api")


def away(seconds: float) -> Action:
    async def act(world: World) -> None:
        await world.restart_opsbot(seconds)

    return act


def passes(seconds: float) -> Action:
    async def act(_: World) -> None:
        await asyncio.sleep(seconds)  # on the loop's own clock

    return act


async def flaps(world: World) -> None:
    """It comes and goes."""
    for _ in range(4):
        world.host.inject("api", Fault.ERRORS, sticky=True)
        await asyncio.sleep(8)  # on the loop's own clock
        world.host.mend("api")
        await asyncio.sleep(8)  # likewise


async def crashes_often(world: World) -> None:
    for _ in range(3):
        world.host.crash("api", 7)
        await asyncio.sleep(12)  # on the loop's own clock


async def restarts_often(world: World) -> None:
    """A person restarts it again and again, though nothing is wrong."""
    for _ in range(4):
        await world.restart("Mia")
        await asyncio.sleep(5)  # on the loop's own clock


def pressed(action: str) -> Action:
    """Somebody presses that button where it is offered at present."""

    async def act(world: World) -> None:
        found = offered(world, action)
        if found is None:
            return
        post, button = found
        busy = world.deployer.busy("api")
        shown = await world.press("Ben", button)
        if not busy and not works(shown.content):
            said = post.shown.content[:80]
            world.problems.append(
                f"{world.now():%H:%M:%S} the button {button.label!r} of {said!r} answers {shown.content!r}"
            )

    return act


def works(answer: str) -> bool:
    """Whether a press did what the button says."""
    return not answer.startswith("✋") and not any(
        words in answer for words in ("no longer", "is newer", "was resolved", "has expired", "nothing was")
    )


def offered(world: World, action: str) -> tuple[Post, Button] | None:
    """The newest message that offers it."""
    for post in reversed(world.channel.posts.values()):
        for button in post.shown.buttons:
            if button.action == action:
                return post, button
    return None


async def offered_resume(world: World) -> None:
    """A commit that the channel says /resume unblocks is deployed again after it."""
    says = [post for post in world.channel.posts.values() if "/resume lifts this" in post.shown.text]
    head = world.repository.head
    if not says or world.deployer.busy("api") or await world.host.live("api") == head:
        return
    at = world.now()
    await world.resume("Mia")
    await asyncio.sleep(3)  # on the loop's own clock
    stopped = world.truth.run_at("api", at) is None
    if not stopped and not any(run.commit == head and run.began >= at for run in world.truth.runs):
        world.problems.append(f"{world.now():%H:%M:%S} {head[:10]} is not deployed after /resume")


GOOD, EXITS, ANSWERS_500, HANGS = (
    Behaviour(),
    Behaviour(exits=3),
    Behaviour(faults=(Fault.ERRORS,)),
    Behaviour(faults=(Fault.HANGS,)),
)
DIES_LATER = Behaviour(exits=9, after=20.0)
ACTIONS: dict[str, Action] = {
    "killed": killed(9),
    "terminated": killed(11),
    "exits 1": exits(1),
    "exits 0": exits(0),
    "hangs": breaks(Fault.HANGS, sticky=False),
    "hangs for good": breaks(Fault.HANGS, sticky=True),
    "answers 500": breaks(Fault.ERRORS, sticky=False),
    "answers 500 for good": breaks(Fault.ERRORS, sticky=True),
    "port closes": breaks(Fault.CLOSED, sticky=False),
    "port closes for good": breaks(Fault.CLOSED, sticky=True),
    "leaks": breaks(Fault.LEAKS, sticky=False),
    "dies at each start": dies_at_start(1),
    "mended": mends,
    "good commit": pushes(GOOD),
    "commit that exits": pushes(EXITS),
    "commit that answers 500": pushes(ANSWERS_500),
    "commit that hangs": pushes(HANGS),
    "commit that dies later": pushes(DIES_LATER),
    "restart": restarts,
    "deploy": deploys,
    "rollback": rolls_back,
    "resume": resumes,
    "resume as offered": offered_resume,
    "acknowledge": acknowledges,
    "silence": silences,
    "restarted outside": restarted_outside,
    "stopped outside": stopped_outside,
    "opsbot restarted": away(0),
    "opsbot away": away(30),
    "opsbot long away": away(200),
    "flaps": flaps,
    "crashes often": crashes_often,
    "restarts often": restarts_often,
    "button restart": pressed("restart"),
    "button rollback": pressed("rollback"),
    "button retry": pressed("retry"),
    "button silence": pressed("silence"),
    "button logs": pressed("logs"),
    "button deploy": pressed("deploy"),
    "1 s": passes(1),
    "5 s": passes(5),
    "20 s": passes(20),
    "70 s": passes(70),
    "4 min": passes(240),
}


async def play(world: World, actions: list[str]) -> None:
    """One after the other; somebody looks at everything after each."""
    await world.open()
    try:
        await asyncio.sleep(2)  # on the loop's own clock
        for name in actions:
            await asyncio.sleep(0.3)  # likewise: nothing happens at the very moment at which somebody looked
            await ACTIONS[name](world)
            await asyncio.sleep(2)  # likewise
            await world.look()
        await asyncio.sleep(45)  # likewise: what was begun comes to its end, and every message is brought up to date
        await world.look()
    finally:
        await world.end()


SETTLED = timedelta(seconds=45)
