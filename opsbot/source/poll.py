"""The poll: what a branch points to is asked again and again, and what is new is deployed, or told once.

For each service one poll at a time; whoever asks meanwhile (a webhook) makes it look once more. The commit is asked for
first, cheaply; only a new one is fetched. A remote that cannot be asked is told once, and once more when it is over.
"""

import asyncio
import logging
import random
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from opsbot.config import Config, Source
from opsbot.core.access import Actor, Origin, itself
from opsbot.core.deployment import (
    Commit,
    Deployment,
    DeploymentKind,
    DeploymentRequest,
    Phase,
    RefusalReason,
    Refused,
    follows,
)
from opsbot.core.inhibitors import Inhibitors, first_reason
from opsbot.core.model import SourceState
from opsbot.core.updates import (
    AnnounceUpdate,
    Attention,
    AwaitUpdate,
    NoUpdate,
    UpdateFacts,
    UpdateReason,
    about,
    weigh,
)
from opsbot.messages import render
from opsbot.runtime.change_notifier import ChangeNotifier
from opsbot.source.attention import attention, gitignore
from opsbot.source.heads import HeadProblem, Heads
from opsbot.source.remote import RemoteError, Trouble
from opsbot.source.repo import BadRefError, DamagedError
from opsbot.source.state import Known, answered, failed, gather, note_update, rewritten
from opsbot.store import Store, incident_repository

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

SEEN_EVERY = timedelta(minutes=1)
"""How often "asked, nothing new" is written down at most."""
JITTER = 0.1
FIRST_MOST = 30.0
"""Seconds after the start by which a service is first asked for."""


class Outcome(StrEnum):
    """What a poll came to."""

    NO_SOURCE = "no-source"
    NO_NEWS = "no-news"
    DEPLOYING = "deploying"
    LATER = "later"
    """Something is being deployed; the newest commit follows it."""
    WAITING = "waiting"
    """It failed before, and is tried again later."""
    NOTED = "noted"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Polled:
    """What a poll came to. `text` says it to a person, and may hold untrusted text."""

    outcome: Outcome
    text: str = ""
    head: str | None = None
    deployment: int | None = None


class History(Protocol):
    """What the poll asks of a service's mirror (`opsbot.source.repo.Repository`)."""

    async def bring(self, ref: str | None = None) -> str:
        """The commit the tracked branch is at now, fetched. Raises RemoteError, BadRefError, DamagedError."""

    async def commits_between(self, old: str | None, new: str) -> tuple[tuple[Commit, ...], int]:
        """The newest commits of `new` that `old` lacks, and how many there are in all."""

    async def changed_paths(self, old: str, new: str) -> tuple[str, ...]:
        """The files that differ; none where one of them is unknown."""

    async def is_ancestor(self, old: str, new: str) -> bool:
        """Whether `new` has all of `old`; False where one of them is unknown."""

    async def content(self, commit: str, path: str, most: int) -> str | None:
        """A file as text, "" where there is none; None where it is larger than `most` bytes, or no file."""


def covering(patterns: Sequence[str], paths: Sequence[str]) -> tuple[str, ...]:
    """The patterns (as in .gitignore) that cover every one of these paths; none where they do not, or there is no path.

    No path at all is an empty commit, which people make to have something deployed.
    """
    if not paths or not all(map(gitignore(patterns).match_file, paths)):
        return ()
    each = {pattern: gitignore([pattern]) for pattern in patterns}
    return tuple(pattern for pattern, spec in each.items() if any(map(spec.match_file, paths)))


def _first_most(source: Source) -> float:
    return max(0.5, min(FIRST_MOST, source.poll.total_seconds() / 2))


class Deploys(Protocol):
    """What the poll asks of the Deployer."""

    async def start(self, request: DeploymentRequest) -> Deployment | Refused:
        """Begin a deployment."""

    def busy(self, service: str) -> bool:
        """Whether one is under way."""

    def withdraw(self, number: int, why: str) -> bool:
        """Have one that waits not be done."""

    def on_finish(self, callback: Callable[[Deployment], None]) -> None:
        """Call this when one has come to its end."""

    def repository(self, service: str) -> History:
        """A service's mirror."""


CALLS_MOST = 7
"""How many times one poll may talk to the remote, each up to the source's time limit."""


@dataclass(frozen=True, slots=True)
class Job:
    """When one service is to be asked for."""

    service: str
    every: timedelta
    jitter: timedelta
    first: timedelta
    limit: timedelta
    """How long one poll may take: a first fetch talks to the remote several times."""


class Poller:
    """Asks, decides, and has deployed."""

    def __init__(
        self,
        config: Config,
        store: Store,
        feed: ChangeNotifier,
        deployer: Deploys,
        clock: Callable[[], datetime],
        rng: random.Random | None = None,
        vetoes: Inhibitors | None = None,
    ) -> None:
        """Take the parts; the first poll is for the loops to ask for, see `jobs`."""
        self._sources = {name: each.source for name, each in config.services.items() if each.source is not None}
        self._store = store
        self._feed = feed
        self._deployer = deployer
        self._clock = clock
        self._vetoes = vetoes or Inhibitors()
        self._rng = rng or random.Random()  # noqa: S311 - spreads requests, guards nothing
        self._heads = Heads()
        self._running: dict[str, asyncio.Task[Polled]] = {}
        self._again: dict[str, Actor] = {}
        self._woken: set[asyncio.Task[None]] = set()
        self._waiting: set[str] = set()
        self._closed = False
        self._fetched: dict[str, str] = {}
        self._noted: dict[str, tuple[str, UpdateReason]] = {}
        self._compared: dict[str, tuple[tuple[tuple[str, ...], str], tuple[str, ...]]] = {}
        self._looked: dict[str, tuple[tuple[str, str], Attention]] = {}
        self.failures: dict[str, int] = dict.fromkeys(self._sources, 0)
        """Polls that failed since the start, by service, for the figures."""
        deployer.on_finish(self._finished)

    async def close(self) -> None:
        """End what is under way; nothing is begun after it."""
        self._closed = True
        tasks = [*self._woken, *self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._heads.close()

    def jobs(self) -> tuple[Job, ...]:
        """When each service with a source is to be asked for; the first time shortly after the start."""
        return tuple(
            Job(
                name,
                source.poll,
                source.poll * JITTER,
                timedelta(seconds=self._rng.uniform(0.5, _first_most(source))),
                source.timeout * CALLS_MOST,
            )
            for name, source in self._sources.items()
        )

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

        A poll that is under way is joined, and looks once more. actor: who asks, opsbot itself where not given; what a
        person asks for is deployed with `auto` off, too.
        """
        if service not in self._sources:
            return Polled(Outcome.NO_SOURCE, f"{service} has no source")
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
        if isinstance(head, HeadProblem):
            return await self._failed(known, source, head)
        outdated = self._outdated(known, source, head)
        if outdated is not None and head == known.live:
            words = f"{source.branch} points to {head[:10]} again, which runs"
            self._deployer.withdraw(outdated.id, words)
            await self._answered(known, source, head)
            return Polled(Outcome.NO_NEWS, words, head)
        if head == known.live or (outdated is None and self._busy(known)):
            await self._answered(known, source, head if head == known.live else None)
            return self._settled(service, known, head)
        try:
            old = known.state.head
            history, head = await self._fetch(service, head)
            strange = old is not None and old != head and not await history.is_ancestor(old, head)
            sight = await self._sight(known, source, history, head, asked=not actor.automatic)
        except RemoteError as error:
            return await self._failed(known, source, HeadProblem(error.kind, error.text))
        except (BadRefError, DamagedError) as error:
            return await self._failed(known, source, HeadProblem(Trouble.OTHER, str(error)))
        if strange and old is not None:
            await self._write(rewritten, replace(known.state, head=head), source, old, self._clock())
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
            return Polled(Outcome.NO_NEWS, f"{service} runs {head[:10]}, the newest", head)
        under_way = known.unfinished
        if under_way is not None and under_way.phase is Phase.WAITING and about(under_way, head):
            return Polled(Outcome.DEPLOYING, f"{head[:10]} waits for a quiet moment", head, under_way.id)
        if under_way is not None and about(under_way, head):
            return Polled(Outcome.DEPLOYING, f"{head[:10]} is being deployed", head, under_way.id)
        self._waiting.add(service)
        return Polled(Outcome.LATER, f"{head[:10]} follows the deployment under way", head)

    async def _fetch(self, service: str, head: str) -> tuple[History, str]:
        """The mirror with that commit in it, or with a still newer one."""
        history = self._deployer.repository(service)
        if self._fetched.get(service) != head:
            head = self._fetched[service] = await history.bring()
        return history, head

    async def _sight(self, known: Known, source: Source, history: History, head: str, *, asked: bool) -> UpdateFacts:
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
            # Whoever asks for it has looked.
            attention=Attention() if asked else await self._attention(known, source, history, head),
            deployments=known.deployments,
            kept="" if asked else render(await first_reason(self._vetoes.deploys, known.state.service)),
        )

    async def _only(self, known: Known, source: Source, history: History, head: str) -> tuple[str, ...]:
        """The ignore patterns, where all that differs from the live commit is covered by them.

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

    async def _attention(self, known: Known, source: Source, history: History, head: str) -> Attention:
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

    async def _act(self, known: Known, sight: UpdateFacts, history: History, actor: Actor, *, strange: bool) -> Polled:
        service, head = known.state.service, sight.head
        verdict = weigh(sight)
        if isinstance(verdict, NoUpdate):
            return Polled(Outcome.NO_NEWS, f"{head[:10]} is known", head)
        if isinstance(verdict, AwaitUpdate):
            return Polled(Outcome.WAITING, f"{head[:10]} failed; tried again from {verdict.until:%H:%M} UTC", head)
        if isinstance(verdict, AnnounceUpdate):
            return await self._note(known, history, head, verdict)
        reason = f"the history of {self._sources[service].branch} was rewritten" if strange else ""
        begun = await self._deployer.start(
            DeploymentRequest(service, DeploymentKind.DEPLOY, actor, ref=head, reason=reason)
        )
        if not isinstance(begun, Refused):
            return Polled(Outcome.DEPLOYING, f"{head[:10]} is being deployed", head, begun.id)
        if begun.why is RefusalReason.BUSY:
            self._waiting.add(service)
            return Polled(Outcome.LATER, begun.text, head, begun.deployment)
        if begun.why is RefusalReason.NOT_NOW:
            return Polled(Outcome.WAITING, begun.text, head)
        if begun.why is RefusalReason.ALREADY_LIVE:
            return Polled(Outcome.NO_NEWS, begun.text, head)
        return await self._note(known, history, head, AnnounceUpdate(UpdateReason.REFUSED, begun.text))

    async def _note(self, known: Known, history: History, head: str, note: AnnounceUpdate) -> Polled:
        service, branch = known.state.service, self._sources[known.state.service].branch
        text = f"{service}: new commit {head[:10]} on {branch}, not deployed: {note.text}"
        if self._noted.get(service) != (head, note.because):
            commits, total = await history.commits_between(known.live, head)
            await self._write(note_update, known.state, head, note.because, text, commits, total, self._clock())
            self._noted[service] = (head, note.because)
        return Polled(Outcome.NOTED, text, head)

    async def _write(
        self, deed: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """One transaction that may have put a notice."""
        result = await self._store.write(deed, *args, **kwargs)
        self._feed.publish("notice")
        return result

    async def _answered(self, known: Known, source: Source, head: str | None) -> SourceState:
        """The remote answered; `head` where all about that commit is settled or about to be."""
        now, state = self._clock(), known.state
        after = replace(state, asked_at=now, answered_at=now, head=head or state.head)
        if state.failing_since is not None:
            return await self._write(answered, after, source, now)
        if after.head != state.head or state.asked_at is None or now - state.asked_at >= SEEN_EVERY:
            await self._store.write(incident_repository.save_source, after)
        return after

    async def _failed(self, known: Known, source: Source, problem: HeadProblem) -> Polled:
        self.failures[known.state.service] += 1
        log.warning("%s: the repository cannot be asked: %s", known.state.service, problem.text)
        await self._write(failed, known.state, source, problem, self._clock())
        return Polled(Outcome.FAILED, problem.text)
