"""Waiting for a moment at which what runs may be replaced: all is prepared, nothing live has changed.

The wait is a phase of its own. It outlives opsbot: the next one finds the deployment waiting, and waits on. A person
ends it by the card's button.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

from opsbot.core.access import Origin
from opsbot.core.deployment import Deployment, Phase
from opsbot.deploy.course import Course
from opsbot.deploy.vetoes import Vetoes, first

BEAT = 1.0
"""Seconds between two looks."""
STEP = "wait for a quiet moment"


def began_to_wait(deployment: Deployment) -> datetime | None:
    """Since when it waits, also where opsbot was restarted meanwhile."""
    return min((step.started_at for step in deployment.steps if step.phase is Phase.WAITING), default=None)


class Waits:
    """The deployments that wait."""

    def __init__(self, vetoes: Vetoes, paused: Callable[[], str], beat: float = BEAT) -> None:
        """paused: why nothing may begin at the moment, "" where it may."""
        self._vetoes = vetoes
        self._paused = paused
        self._beat = beat
        self._hurried: dict[int, str] = {}
        self._wakes: dict[int, asyncio.Event] = {}

    async def quiet(self, course: Course) -> None:
        """Return once nothing speaks against replacing what runs."""
        value = course.value
        if value.actor.origin is Origin.RECOVERY:  # it is broken: there is nothing to spare
            return
        words = await first(self._vetoes.swings, value.service)
        if not words and value.phase is not Phase.WAITING:
            return
        if course.value.phase is not Phase.WAITING:
            await course.move(Phase.WAITING)
        wake = self._wakes[value.id] = asyncio.Event()
        try:
            async with course.step(STEP) as doing:
                while (words or self._paused()) and value.id not in self._hurried:
                    if words and words != doing.note:
                        await course.say(doing, words)
                    with suppress(TimeoutError):
                        async with asyncio.timeout(self._beat):
                            await wake.wait()
                    words = await first(self._vetoes.swings, value.service)
                by = self._hurried.get(value.id)
                doing.note = f"ended by {by}" if by else "nothing speaks against it any more"
        finally:
            del self._wakes[value.id]
            self._hurried.pop(value.id, None)

    def hurry(self, number: int, by: str) -> bool:
        """End the wait of a deployment; False where it does not wait."""
        if number not in self._wakes:
            return False
        self._hurried[number] = by
        self._wakes[number].set()
        return True
