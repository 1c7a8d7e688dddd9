"""The poll: asks what a branch points to, and deploys or reports what is new.

One poll at a time per service; a request meanwhile (a webhook) makes it ask once more. The commit is asked for first,
cheaply; only a new one is fetched. A remote that does not answer is reported once, and once more when it answers again.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from opsbot.config import Config, Source
from opsbot.core.access import Actor, Origin, itself
from opsbot.core.deploy_codes import OutcomeCode, UpdateCode
from opsbot.core.deployment import Deployment, DeploymentKind, DeploymentRequest, Phase, RefusalReason, Refused, follows
from opsbot.core.inhibitors import Inhibitors, first_reason
from opsbot.core.message import Message, message
from opsbot.core.model import SourceState
from opsbot.core.updates import (
    AnnounceUpdate,
    Attention,
    AwaitUpdate,
    NoUpdate,
    UpdateFacts,
    UpdateReason,
    about,
    history_of,
    weigh,
)
from opsbot.messages import render
from opsbot.runtime.change_notifier import ChangeNotifier
from opsbot.runtime.tasks import cancel_all
from opsbot.source.attention import attention, gitignore
from opsbot.source.heads import Heads
from opsbot.source.remote import Failure, RemoteError
from opsbot.source.repo import BadRefError, DamagedError, Repository
from opsbot.source.state import Known, answered, failed, gather, note_update, rewritten
from opsbot.store import Store, incident_repository

log = logging.getLogger(__name__)

SEEN_EVERY = timedelta(minutes=1)
"""How often "asked, nothing new" is written down at most."""
JITTER = 0.1
FIRST_MOST = 30.0
"""Seconds after the start by which a service is first polled."""


class PollOutcome(StrEnum):
    """What a poll came to."""

    NO_SOURCE = "no-source"
    NO_NEWS = "no-news"
    DEPLOYING = "deploying"
    LATER = "later"
    """Something is being deployed; the newest commit follows it."""
    WAITING = "waiting"
    """It failed before, and is retried later."""
    NOTED = "noted"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Polled:
    """What a poll came to."""

    outcome: PollOutcome
    message: Message
    head: str | None = None
    deployment: int | None = None


def covering(patterns: Sequence[str], paths: Sequence[str]) -> tuple[str, ...]:
    """Return the patterns (.gitignore) that cover all paths; () if they do not.

    No path at all is an empty commit, which people make to have something deployed.
    """
    if not paths or not all(map(gitignore(patterns).match_file, paths)):
        return ()
    each = {pattern: gitignore([pattern]) for pattern in patterns}
    return tuple(pattern for pattern, spec in each.items() if any(map(spec.match_file, paths)))


class Deploys(Protocol):
    """What the poll asks of the Deployer."""

    async def start(self, request: DeploymentRequest) -> Deployment | Refused: ...
    def busy(self, service: str) -> bool: ...
    def withdraw(self, number: int, why: Message) -> bool: ...
    def on_finish(self, callback: Callable[[Deployment], None]) -> None: ...
    def repository(self, service: str) -> Repository: ...


CALLS_MOST = 7
"""How many times one poll may talk to the remote, each up to the source's time limit."""


@dataclass(frozen=True, slots=True)
class Job:
    """When one service is to be polled."""

    service: str
    every: timedelta
    jitter: timedelta
    first: timedelta
    limit: timedelta
    """How long one poll may take: a first fetch talks to the remote several times."""


class Poller:
    """Asks, decides, and starts deployments."""

    def __init__(
        self,
        config: Config,
        store: Store,
        feed: ChangeNotifier,
        deployer: Deploys,
        clock: Callable[[], datetime],
        rng: random.Random | None = None,
        inhibitors: Inhibitors | None = None,
    ) -> None:
        self._sources = {name: each.source for name, each in config.services.items() if each.source is not None}
        self._store = store
        self._feed = feed
        self._deployer = deployer
        self._clock = clock
        self._inhibitors = inhibitors or Inhibitors()
        self._rng = rng or random.Random()  # noqa: S311 - spreads requests, guards nothing
        self._heads = Heads()
        self._running: dict[str, asyncio.Task[Polled]] = {}
        self._again: dict[str, Actor] = {}
        self._woken: set[asyncio.Task[None]] = set()
        self._waiting: set[str] = set()
        self._resumed: set[str] = set()
        self._closed = False
        self._fetched: dict[str, str] = {}
        self._noted: dict[str, tuple[str, UpdateReason]] = {}
        self._compared: dict[str, tuple[tuple[tuple[str, ...], str], tuple[str, ...]]] = {}
        self._looked: dict[str, tuple[tuple[str, str], Attention]] = {}
        self.failures: dict[str, int] = dict.fromkeys(self._sources, 0)
        """Polls that failed since the start, by service, for the figures."""
        deployer.on_finish(self._finished)

    async def close(self) -> None:
        self._closed = True
        tasks = [*self._woken, *self._running.values()]
        await cancel_all(*tasks)
        await self._heads.close()

    def jobs(self) -> tuple[Job, ...]:
        """When each service is polled; the first time shortly after the start."""
        jobs = []
        for name, source in self._sources.items():
            first = self._rng.uniform(0.5, max(0.5, min(FIRST_MOST, source.poll.total_seconds() / 2)))
            limit = source.timeout * CALLS_MOST
            jobs.append(Job(name, source.poll, source.poll * JITTER, timedelta(seconds=first), limit))
        return tuple(jobs)

    def resume(self, service: str) -> None:
        """Poll soon, and retry a commit that failed at once: somebody resumed the service."""
        self._resumed.add(service)
        self.wake(service, Origin.POLL)

    def wake(self, service: str, origin: Origin = Origin.WEBHOOK) -> None:
        """Poll soon, without waiting for what comes of it."""
        if self._closed:
            return
        task = asyncio.get_running_loop().create_task(self._wake(service, origin), name=f"poll {service}")
        self._woken.add(task)
        task.add_done_callback(self._woken.discard)

    async def _wake(self, service: str, origin: Origin) -> None:
        try:
            await self.poll(service, origin)
        except Exception:
            # The edge of a task nobody waits for. The regular poll comes all the same.
            log.exception("the poll of %s failed", service)

    def _finished(self, deployment: Deployment) -> None:
        if deployment.service in self._waiting:
            self._waiting.discard(deployment.service)
            self.wake(deployment.service, Origin.POLL)

    async def poll(self, service: str, origin: Origin = Origin.POLL, actor: Actor | None = None) -> Polled:
        """Look what the branch points to and act on it.

        A poll in progress is joined, and asks once more. actor: who asks, opsbot itself if not given; what a
        person asks for is deployed with `auto` off, too.
        """
        if service not in self._sources:
            return Polled(PollOutcome.NO_SOURCE, message(UpdateCode.NO_SOURCE, service=service))
        asking = actor or itself(origin)
        running = self._running.get(service)
        if running is not None and not running.done():
            before = self._again.get(service)
            self._again[service] = asking if before is None or before.automatic else before
        else:
            running = asyncio.get_running_loop().create_task(self._run(service, asking), name=f"polling {service}")
            self._running[service] = running
        return await asyncio.shield(running)

    async def _run(self, service: str, actor: Actor) -> Polled:
        while True:
            result = await self._look(service, self._sources[service], actor)
            again = self._again.pop(service, None)
            if again is None:
                return result
            actor = again

    async def _look(self, service: str, source: Source, actor: Actor) -> Polled:
        head = await self._heads.ask(source)
        known = await self._store.read(gather, service)
        if isinstance(head, RemoteError):
            return await self._failed(known, source, head)
        outdated = self._outdated(known, source, head)
        if outdated is not None and head == known.live:
            self._deployer.withdraw(outdated.id, message(OutcomeCode.WITHDRAWN, branch=source.branch, commit=head))
            await self._answered(known, source, head)
            again = message(UpdateCode.LIVE_AGAIN, branch=source.branch, commit=head)
            return Polled(PollOutcome.NO_NEWS, again, head)
        if head == known.live or (outdated is None and self._busy(known)):
            await self._answered(known, source, head if head == known.live else None)
            return self._settled(service, known, head)
        try:
            old = known.state.head
            history, head = await self._fetch(service, head)
            strange = old is not None and old != head and not await history.is_ancestor(old, head)
            sight = await self._sight(known, source, history, head, asked=not actor.automatic)
        except RemoteError as error:
            return await self._failed(known, source, error)
        except (BadRefError, DamagedError) as error:
            return await self._failed(known, source, RemoteError(Failure.OTHER, error.message))
        if strange and old is not None:
            await self._store.write(rewritten, replace(known.state, head=head), source, old, self._clock())
            self._feed.publish("notice")
        state = await self._answered(known, source, head)
        return await self._act(replace(known, state=state), sight, history, actor, strange=strange)

    def _outdated(self, known: Known, source: Source, head: str) -> Deployment | None:
        """The deployment that waits with another commit, where it is to follow the branch."""
        found = known.unfinished
        if found is None or found.phase is not Phase.WAITING or about(found, head):
            return None
        return found if follows(found, source.branch) else None

    def _busy(self, known: Known) -> bool:
        return self._deployer.busy(known.state.service) or known.unfinished is not None

    def _settled(self, service: str, known: Known, head: str) -> Polled:
        if not self._busy(known):
            return Polled(PollOutcome.NO_NEWS, message(UpdateCode.LIVE, service=service, commit=head), head)
        under_way = known.unfinished
        if under_way is not None and about(under_way, head):
            code = UpdateCode.WAITING if under_way.phase is Phase.WAITING else UpdateCode.DEPLOYING
            return Polled(PollOutcome.DEPLOYING, message(code, commit=head), head, under_way.id)
        self._waiting.add(service)
        return Polled(PollOutcome.LATER, message(UpdateCode.NEXT, commit=head), head)

    async def _fetch(self, service: str, head: str) -> tuple[Repository, str]:
        """The mirror with that commit in it, or with a still newer one."""
        history = self._deployer.repository(service)
        if self._fetched.get(service) != head:
            head = self._fetched[service] = await history.bring()
        return history, head

    async def _sight(self, known: Known, source: Source, history: Repository, head: str, *, asked: bool) -> UpdateFacts:
        waits = known.hold.waits if known.hold else None
        return UpdateFacts(
            head=head,
            now=self._clock(),
            auto=source.auto or asked,
            live=known.live,
            hold=known.hold,
            older_than_hold=bool(waits and waits != head and await history.is_ancestor(head, waits)),
            quarantined=known.quarantined,
            unchanged=known.state.head == head,
            only=await self._only(known, source, history, head),
            # Whoever asks for it has approved.
            attention=Attention() if asked else await self._attention(known, source, history, head),
            deployments=known.deployments,
            kept=None if asked else await first_reason(self._inhibitors.deploys, known.state.service),
            resumed=known.state.service in self._resumed,
        )

    async def _only(self, known: Known, source: Source, history: Repository, head: str) -> tuple[str, ...]:
        """The ignore patterns, if they cover all that differs from the live commit.

        Or from the commit that failed last: it is not tried again because a word in the README changed.
        """
        if not source.ignore or known.live is None:
            return ()
        failed = known.deployments[0].commit_to if known.deployments else None
        olds = (known.live, failed) if failed and failed in known.quarantined else (known.live,)
        before = self._compared.get(known.state.service)
        if before is not None and before[0] == (olds, head):
            return before[1]
        found = [covering(source.ignore, await history.changed_paths(old, head)) for old in olds]
        only = next((patterns for patterns in found if patterns), ())
        self._compared[known.state.service] = ((olds, head), only)
        return only

    async def _attention(self, known: Known, source: Source, history: Repository, head: str) -> Attention:
        """What differs from the live commit that a person should look at."""
        if not source.ask_when_changed or known.live is None:
            return Attention()
        pair = (known.live, head)
        before = self._looked.get(known.state.service)
        if before is None or before[0] != pair:
            before = self._looked[known.state.service] = (
                pair,
                await attention(source.ask_when_changed, history, *pair),
            )
        return before[1]

    async def _act(
        self, known: Known, sight: UpdateFacts, history: Repository, actor: Actor, *, strange: bool
    ) -> Polled:
        service, head = known.state.service, sight.head
        verdict = weigh(sight)
        self._resumed.discard(service)
        if isinstance(verdict, NoUpdate):
            return Polled(PollOutcome.NO_NEWS, message(UpdateCode.KNOWN, commit=head), head)
        if isinstance(verdict, AwaitUpdate):
            return Polled(PollOutcome.WAITING, message(UpdateCode.RETRY, commit=head, at=verdict.until), head)
        if isinstance(verdict, AnnounceUpdate):
            return await self._note(known, history, head, verdict)
        branch = self._sources[service].branch
        reason = message(OutcomeCode.HISTORY_REWRITTEN, branch=branch) if strange else None
        begun = await self._deployer.start(
            DeploymentRequest(service, DeploymentKind.DEPLOY, actor, ref=head, reason=reason)
        )
        if not isinstance(begun, Refused):
            return Polled(PollOutcome.DEPLOYING, message(UpdateCode.DEPLOYING, commit=head), head, begun.id)
        if begun.why is RefusalReason.BUSY:
            self._waiting.add(service)
            return Polled(PollOutcome.LATER, begun.message, head, begun.deployment)
        if begun.why is RefusalReason.NOT_NOW:
            return Polled(PollOutcome.WAITING, begun.message, head)
        if begun.why is RefusalReason.ALREADY_LIVE:
            return Polled(PollOutcome.NO_NEWS, begun.message, head)
        return await self._note(known, history, head, AnnounceUpdate(UpdateReason.REFUSED, begun.message))

    async def _note(self, known: Known, history: Repository, head: str, note: AnnounceUpdate) -> Polled:
        service, branch = known.state.service, self._sources[known.state.service].branch
        before = history_of(known.deployments, head)
        code = UpdateCode.NEW_COMMIT if before is None else UpdateCode.KNOWN_COMMIT
        said = message(code, service=service, commit=head, branch=branch, reason=note.reason, before=before)
        if self._noted.get(service) != (head, note.because):
            commits, total = await history.commits_between(known.live, head)
            update = (head, note.because, said, commits, total, self._clock())
            await self._store.write(note_update, known.state, *update)
            self._feed.publish("notice")
            self._noted[service] = (head, note.because)
        return Polled(PollOutcome.NOTED, said, head)

    async def _answered(self, known: Known, source: Source, head: str | None) -> SourceState:
        """The remote answered; `head` if all about that commit is settled or about to be."""
        now, state = self._clock(), known.state
        after = replace(state, asked_at=now, answered_at=now, head=head or state.head)
        if state.failing_since is not None:
            after = await self._store.write(answered, after, source, now)
            self._feed.publish("notice")
        elif after.head != state.head or state.asked_at is None or now - state.asked_at >= SEEN_EVERY:
            await self._store.write(incident_repository.save_source, after)
        return after

    async def _failed(self, known: Known, source: Source, problem: RemoteError) -> Polled:
        self.failures[known.state.service] += 1
        log.warning("%s: the repository does not answer: %s", known.state.service, render(problem.message))
        await self._store.write(failed, known.state, source, problem, self._clock())
        self._feed.publish("notice")
        return Polled(PollOutcome.FAILED, problem.message)
