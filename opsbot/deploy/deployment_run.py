"""A deployment in progress: phases and steps are stored before their work begins."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from opsbot.config import Service
from opsbot.core.deploy_codes import NoteCode, StepCode
from opsbot.core.deployment import Deployment, DeploymentKind, DeploymentStep, Hold, Phase, advance
from opsbot.core.message import Message, MessageError, Param, message, redacted
from opsbot.core.updates import failures_in_a_row, retry_after
from opsbot.runtime.change_notifier import ChangeNotifier
from opsbot.store import Store, ledger
from opsbot.store.ledger import StaleError

TEXT_MOST = 2000
"""Characters of each untrusted text in a message."""
PAST = 30
"""Deployments that are searched for earlier failures of a commit."""


class DeployFailure(MessageError):  # noqa: N818 - an expected outcome of a deployment
    """The deployment cannot go on.

    lasting: the commit's own fault, the same would happen again. tail: the last lines of what failed. innocent: it says
    nothing about the commit, though it was to be started: it could not be, or somebody else intervened.
    """

    def __init__(self, why: Message, *, lasting: bool = False, tail: str = "", innocent: bool = False) -> None:
        super().__init__(why)
        self.lasting = lasting
        self.tail = tail
        self.innocent = innocent


@dataclass(slots=True)
class RunningStep:
    """The current step; what is set here is stored with it."""

    note: Message | None = None
    tail: str = ""
    output: str = ""


class DeploymentRun:
    """The deployment as stored, and the only way to move it on."""

    def __init__(
        self,
        value: Deployment,
        service: Service,
        store: Store,
        feed: ChangeNotifier,
        clock: Callable[[], datetime],
        redact: Callable[[str], str],
        superseded: Callable[[Deployment], None],
    ) -> None:
        """`value` is the stored one. redact: removes known secrets from what is stored.

        superseded: called with the deployment that this one, being ready, supersedes.
        """
        self.value = value
        self.service = service
        self.remarks: list[Message] = []
        """What the reader of the outcome should know besides."""
        self.lasting = False
        """While it is rolled back: whether the commit is to blame, as far as this process saw it."""
        self.innocent = False
        """Likewise: whether it surely is not."""
        self._store = store
        self._feed = feed
        self._clock = clock
        self._redact = redact
        self._superseded = superseded

    async def change(self, **changes: Any) -> None:
        """Store more about it; StaleError if another writer moved it on."""
        await self._keep(replace(self.value, updated_at=self._clock(), **changes))

    async def move(self, to: Phase, *, note: Message | None = None, **changes: Any) -> None:
        """Store that the next phase begins."""
        await self._keep(replace(advance(self.value, to, self._clock(), self._clean(note)), **changes))

    async def ready(self, to: Phase) -> None:
        """Store that all is prepared: what was ASIDE for this deployment ends with it."""
        waited = await self._store.read(ledger.aside, self.value)
        await self.move(to)
        if waited is not None:
            self._superseded(replace(waited, phase=Phase.REPLACED))

    async def _keep(self, value: Deployment) -> None:
        await self._written(self._store.write(ledger.save, value))
        self._feed.publish("deployment", self.value.id)

    async def _written(self, write: Coroutine[Any, Any, Deployment]) -> None:
        """Keep `value` equal to what is stored, even if this is cancelled.

        Whoever ends what was cancelled goes by the phase: an outdated one would remove a prepared release that waits.
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
        note: Message | None,
        *,
        live: str | None = None,
        quarantined: str | None = None,
        hold: Hold | None = None,
        lift: bool = False,
        left: str | None = None,
    ) -> None:
        """Store its end and consequences in one transaction; see `ledger.conclude`."""
        now = self._clock()
        ended = advance(self.value, to, now, self._clean(note))
        if hold is not None:
            hold = replace(hold, at=now)  # from now on: what somebody resumed meanwhile is paused again
        await self._written(
            self._store.write(
                ledger.conclude, ended, live=live, quarantined=quarantined, hold=hold, lift=lift, left=left
            )
        )
        self._feed.publish("deployment", self.value.id)
        self._feed.publish("service")

    async def retry_at(self) -> datetime | None:
        """When opsbot retries the commit if this fails now through no fault of the commit."""
        value = self.value
        if not value.actor.automatic or value.kind is not DeploymentKind.DEPLOY:
            return None
        past = await self._store.read(ledger.deployments, value.service, PAST)
        commit = value.commit_to or value.ref or ""
        before = failures_in_a_row([each for each in past if each.id < value.id], commit)
        return self._clock() + retry_after(before + 1)

    async def cut(self, *, failed: bool) -> None:
        """Close steps an earlier process left. Not failed: they are begun again."""
        now, note = self._clock(), message(NoteCode.INTERRUPTED)
        steps = tuple(
            replace(each, ended_at=now, ok=False if failed else None, note=note) if each.ended_at is None else each
            for each in self.value.steps
        )
        if steps != self.value.steps:
            await self.change(steps=steps)

    @asynccontextmanager
    async def step(self, code: StepCode, /, **params: Param) -> AsyncIterator[RunningStep]:
        """Run a block as a step: shown while it runs, failed if it raises."""
        doing = RunningStep()
        name = self._cleaned(message(code, **params))
        await self.change(steps=(*self.value.steps, DeploymentStep(name, self.value.phase, self._clock())))
        try:
            yield doing
        except StaleError:
            raise  # whoever moved the deployment on has closed the step
        except BaseException as error:
            if isinstance(error, MessageError):
                doing.note = error.message
            if isinstance(error, DeployFailure):
                doing.tail = error.tail or doing.tail
            await self._done(doing, ok=False)
            raise
        await self._done(doing, ok=True)

    async def say(self, doing: RunningStep, note: Message | None) -> None:
        doing.note = note
        await self._last(replace(self.value.steps[-1], note=self._clean(note), output=doing.output))

    async def _done(self, doing: RunningStep, *, ok: bool) -> None:
        await self._last(
            replace(
                self.value.steps[-1],
                ended_at=self._clock(),
                ok=ok,
                note=self._clean(doing.note),
                tail=self._redact(doing.tail),
                output=doing.output,
            )
        )

    async def _last(self, step: DeploymentStep) -> None:
        await self.change(steps=(*self.value.steps[:-1], step))

    def _clean(self, value: Message | None) -> Message | None:
        return None if value is None else self._cleaned(value)

    def _cleaned(self, value: Message) -> Message:
        """The message without known secrets, its texts clipped."""
        return redacted(value, lambda text: self._redact(text)[:TEXT_MOST])
