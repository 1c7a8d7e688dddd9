"""One deployment under way: every phase and every step is in the store before it is done, and shown from there."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from opsbot.config import Service
from opsbot.core.deployment import Deployment, DeploymentKind, DeploymentStep, Hold, Phase, advance
from opsbot.runtime.change_notifier import ChangeNotifier
from opsbot.store import Store, ledger

NOTE_MOST = 2000


class DeployFailure(Exception):  # noqa: N818 - an expected outcome of a deployment
    """The deployment cannot go on. The text is for people and may hold untrusted words.

    lasting: the commit's own fault, the same would happen again. tail: the last lines of what failed. innocent: it says
    nothing of the commit, though it was to be started: it could not be, or somebody else came in between.
    """

    def __init__(self, text: str, *, lasting: bool = False, tail: str = "", innocent: bool = False) -> None:
        """Keep all four."""
        super().__init__(text)
        self.lasting = lasting
        self.tail = tail
        self.innocent = innocent


def tried_again(value: Deployment) -> str:
    """What is to be said of a deployment whose commit is not to blame for its end."""
    again = value.actor.automatic and value.kind is DeploymentKind.DEPLOY
    return " It is tried again later." if again else ""


def sentence(text: str) -> str:
    """The text with a full stop, where it has no end."""
    return text if text.endswith((".", "!", "?")) else f"{text}."


@dataclass(slots=True)
class Doing:
    """The step that is being done; what is set here is kept with it."""

    note: str = ""
    tail: str = ""
    output: str = ""


class DeploymentRun:
    """The deployment as it stands, and the only way to move it on."""

    def __init__(
        self,
        value: Deployment,
        service: Service,
        store: Store,
        feed: ChangeNotifier,
        clock: Callable[[], datetime],
        redact: Callable[[str], str] = str,
    ) -> None:
        """`value` is the stored one. `redact` takes known secrets out of what is written down."""
        self._redact = redact
        self.value = value
        self.service = service
        self.remarks: list[str] = []
        """What the one who reads the outcome should know besides."""
        self.lasting = False
        """Of a deployment that is being undone: whether the commit is to blame, as far as this process saw it."""
        self.innocent = False
        """Likewise: whether it surely is not."""
        self._store = store
        self._feed = feed
        self._clock = clock

    async def change(self, **changes: Any) -> None:
        """Write down more of it.

        Raises:
            StaleError: another process has it.
        """
        await self._keep(replace(self.value, updated_at=self._clock(), **changes))

    async def move(self, to: Phase, *, note: str | None = None, **changes: Any) -> None:
        """Write down that the next phase begins."""
        moved = advance(self.value, to, self._clock(), None if note is None else self._redact(note)[:NOTE_MOST])
        await self._keep(replace(moved, **changes))

    async def _keep(self, value: Deployment) -> None:
        await self._written(self._store.write(ledger.save, value))
        self._feed.publish("deployment", self.value.id)

    async def _written(self, write: Coroutine[Any, Any, Deployment]) -> None:
        """Keep what is stored in mind, also where this is cancelled: a write that has begun comes to its end.

        Who ends what was cancelled goes by the phase: one that is behind would have a prepared release removed that the
        store says is waiting.
        """
        writing = asyncio.ensure_future(write)
        try:
            self.value = await asyncio.shield(writing)
        except asyncio.CancelledError:
            while not writing.done():
                with suppress(asyncio.CancelledError):  # once more, by one who has no patience left
                    await asyncio.shield(writing)
            self.value = writing.result()
            raise

    async def end(
        self,
        to: Phase,
        note: str,
        *,
        live: str | None = None,
        quarantined: str | None = None,
        hold: Hold | None = None,
        lift: bool = False,
        left: str | None = None,
    ) -> None:
        """Write down its end and all that follows from it, in one go; see `ledger.conclude`."""
        ended = advance(self.value, to, self._clock(), self._redact(note)[:NOTE_MOST])
        await self._written(
            self._store.write(
                ledger.conclude, ended, live=live, quarantined=quarantined, hold=hold, lift=lift, left=left
            )
        )
        self._feed.publish("deployment", self.value.id)
        self._feed.publish("service")

    async def cut(self, why: str, *, failed: bool) -> None:
        """Close the steps that a process began and did not live to end; not failed: they are begun anew."""
        now = self._clock()
        steps = tuple(
            replace(each, ended_at=now, ok=False if failed else None, note=why) if each.ended_at is None else each
            for each in self.value.steps
        )
        if steps != self.value.steps:
            await self.change(steps=steps)

    @asynccontextmanager
    async def step(self, name: str) -> AsyncIterator[Doing]:
        """Do something as a step: shown while it is done, well when the block ends, failed when it raises."""
        doing = Doing()
        begun = DeploymentStep(name, self.value.phase, self._clock())
        await self.change(steps=(*self.value.steps, begun))
        try:
            yield doing
        except BaseException as error:
            if isinstance(error, DeployFailure):
                doing.note, doing.tail = str(error), error.tail or doing.tail
            await self._done(doing, ok=False)
            raise
        await self._done(doing, ok=True)

    async def say(self, doing: Doing, note: str) -> None:
        """Show how the step goes."""
        doing.note = note
        await self._last(replace(self.value.steps[-1], note=self._redact(note)[:NOTE_MOST], output=doing.output))

    async def _done(self, doing: Doing, *, ok: bool) -> None:
        await self._last(
            replace(
                self.value.steps[-1],
                ended_at=self._clock(),
                ok=ok,
                note=self._redact(doing.note)[:NOTE_MOST],
                tail=self._redact(doing.tail),
                output=doing.output,
            )
        )

    async def _last(self, step: DeploymentStep) -> None:
        await self.change(steps=(*self.value.steps[:-1], step))
