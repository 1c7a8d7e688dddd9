"""Deployer: deploys and rolls back; the interface of this package.

`start` decides and claims; a task runs the pipeline (`pipeline`). The task belongs to nobody who requested it. If not
even the end of a deployment can be stored, it is taken up again after a while. At its end listeners are called and the
folders are cleaned up; if another deployment was ASIDE for it and waits on, a task works on that one again. `settle`
takes up what an earlier opsbot left unfinished (`crash_recovery`).
"""

import asyncio
import logging
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial

from opsbot.config import Config, Service, Source, Strategy
from opsbot.core.deploy_codes import FailureCode, OutcomeCode, RefusalCode
from opsbot.core.deployment import (
    CHANGED,
    TAKEN_UP,
    Deployment,
    DeploymentFacts,
    DeploymentKind,
    DeploymentRequest,
    Phase,
    RefusalReason,
    Refused,
    Release,
    busy,
    decide,
    replaces,
)
from opsbot.core.inhibitors import Inhibitors, first_reason
from opsbot.core.message import Message, message
from opsbot.deploy.crash_recovery import end_left_behind, end_unknown, goes_on, stopped
from opsbot.deploy.deployment_run import DeployFailure, DeploymentRun
from opsbot.deploy.pipeline import fail, run_pipeline
from opsbot.deploy.reconcile import put_right, tidy
from opsbot.deploy.releases import MARGIN, ReleaseError, ReleaseFolders, Releases
from opsbot.deploy.steps import steps_of
from opsbot.deploy.target import DeployTarget
from opsbot.deploy.verify import Verifier
from opsbot.deploy.waiting import SwitchGate
from opsbot.runtime.change_notifier import ChangeNotifier
from opsbot.runtime.tasks import cancel_all
from opsbot.services.port import ServiceManager
from opsbot.services.run_as import Errands
from opsbot.source.remote import RemoteError
from opsbot.source.repo import BadRefError, Repository, ref_problem
from opsbot.store import Store, ledger
from opsbot.store.ledger import StaleError

log = logging.getLogger(__name__)


class Deployer:
    """Deploys and rolls back. One installation at a time: two need too much memory."""

    def __init__(
        self,
        config: Config,
        store: Store,
        feed: ChangeNotifier,
        managers: Mapping[str, ServiceManager],
        verifier: Verifier,
        clock: Callable[[], datetime],
        *,
        margin: int = MARGIN,
        again: float = 10.0,
        redact: Callable[[str], str] = str,
        run_as: Errands | None = None,
        inhibitors: Inhibitors | None = None,
    ) -> None:
        """managers: by service. margin: bytes that stay free beside one more release.

        again: seconds until a deployment whose end could not be stored is taken up again. redact: removes known secrets
        from what is stored. run_as: runs what is deployed as the services' users. inhibitors: asked before an automatic
        deploy begins, and before any deployment replaces what runs.
        """
        self.verifier = verifier
        self._config = config
        self._store = store
        self._feed = feed
        self._clock = clock
        self._run_as = run_as
        self._inhibitors = inhibitors or Inhibitors()
        self._gate = SwitchGate(self._inhibitors)
        self._again = again
        self._redact = redact
        self._margin = margin
        self._installing = asyncio.Semaphore(1)
        self._targets = {
            name: self._target(service, service.source, managers[name])
            for name, service in config.services.items()
            if service.source is not None
        }
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._current: dict[str, DeploymentRun] = {}
        self._after: set[asyncio.Task[None]] = set()
        self._listeners: list[Callable[[Deployment], None]] = []
        self._closing = False

    def _target(self, service: Service, source: Source, manager: ServiceManager) -> DeployTarget:
        state, mark = self._config.state, str(self._config.state.directory)
        shared = (manager, self.verifier, self._gate, self._store, self._clock, self._installing)
        steps = partial(steps_of, service, self._run_as, source.directory / "releases", mark)
        if source.strategy is Strategy.RELEASES:
            repository, releases = Repository(source, mark), Releases(source, self._margin)
            folders = ReleaseFolders(repository, releases, state.output, steps)
            return DeployTarget(service, source, repository, releases, folders, *shared)
        # Two modules that most hosts have no use for.
        from opsbot.deploy.checkout import Checkout  # noqa: PLC0415
        from opsbot.deploy.in_place import InPlace  # noqa: PLC0415

        # Not in the checkout, where it would be one more file that git does not know.
        repository = Repository(source, mark, state.directory / "mirrors" / f"{service.name}.git")
        checkout = Checkout(source, repository.mirror, self._margin, mark)
        parts = (service, source, repository, checkout, state.output, steps)
        in_place = InPlace(*parts, self._store, self._clock, self._installing)
        return DeployTarget(service, source, repository, checkout, in_place, *shared)

    async def start(self, request: DeploymentRequest) -> Deployment | Refused:
        """Begin a deployment and return at once; it continues on its own."""
        target = self._targets.get(request.service)
        if refusal := self._unavailable(request):
            return refusal
        if target is not None and not self.busy(request.service):
            await target.recognise()
        facts = await target.facts_for(request) if target is not None else DeploymentFacts(has_source=False)
        waiting = self.waiting(request.service)
        if waiting is not None and target is not None:
            try:
                facts = replace(facts, unfinished=None, commit=await _named(target, request, facts.commit))
            except BadRefError as error:
                return Refused(RefusalReason.BAD_REF, error.message)
            except RemoteError as error:
                return Refused(RefusalReason.NOT_READY, error.message)
        verdict = decide(request, facts)
        if isinstance(verdict, Refused):
            return verdict
        if request.actor.automatic and (why := await first_reason(self._inhibitors.deploys, request.service)):
            return Refused(RefusalReason.NOT_NOW, why)
        by: Message | None = None
        if waiting is not None and target is not None:
            commit, branch = facts.commit, target.source.branch
            rollback = request.kind is DeploymentKind.ROLLBACK
            if not replaces(request, verdict.release if rollback else commit, waiting, branch):
                words = message(RefusalCode.BUSY_WAITING, service=request.service, deployment=waiting.id)
                return Refused(RefusalReason.BUSY, words, waiting.id)
            by = message(
                OutcomeCode.SUPERSEDED,
                commit=None if rollback else commit,
                release=verdict.release,
                branch=branch,
                by=None if request.actor.automatic else request.actor.name,
            )
        # A caller that is cancelled in between must not leave a claim behind that nobody works on.
        claiming = self._claim(request, facts.live, verdict.release, waiting, by)
        return await asyncio.shield(asyncio.create_task(claiming))

    async def _claim(
        self,
        request: DeploymentRequest,
        live: Release | None,
        release: str | None,
        waiting: Deployment | None,
        by: Message | None,
    ) -> Deployment | Refused:
        """Store it as the service's next deployment and work on it."""
        instead_of = None if waiting is None else waiting.id
        claimed = await self._store.write(
            ledger.claim, request, self._clock(), live=live, release=release, instead_of=instead_of, by=by
        )
        if isinstance(claimed, int):
            return busy(request.service, claimed)
        if instead_of is not None:
            self._gate.end(instead_of, superseded=True)
            self._feed.publish("deployment", instead_of)
        self._feed.publish("deployment", claimed.id)
        self._feed.publish("notice")
        self._launch(claimed, self._targets[claimed.service])
        return claimed

    def _unavailable(self, request: DeploymentRequest) -> Refused | None:
        if self._closing:
            return Refused(RefusalReason.NOT_READY, message(RefusalCode.STOPPING))
        if self._gate.paused:
            return Refused(RefusalReason.NOT_READY, self._gate.paused)
        if request.kind is DeploymentKind.DEPLOY and request.ref is not None and (problem := ref_problem(request.ref)):
            return Refused(RefusalReason.BAD_REF, problem)
        return None

    async def wait(self, number: int) -> Deployment:
        """Return the deployment once it has ended; LookupError for an unknown number."""
        with self._feed.subscribe() as changes:
            while True:
                found = await self._store.read(ledger.deployment, number)
                if found is None:
                    raise LookupError(f"there is no deployment {number}")
                task = self._tasks.get(number)
                if task is not None:
                    await asyncio.wait({task})
                elif found.finished:
                    return found
                else:
                    await changes.wait(1.0)

    def busy(self, service: str) -> bool:
        """Whether a deployment of the service is in progress. One that waits is not."""
        return service in self._current and self.waiting(service) is None

    def waiting(self, service: str) -> Deployment | None:
        run = self._current.get(service)
        return run.value if run is not None and run.value.phase is Phase.WAITING else None

    def withdraw(self, number: int, why: Message) -> bool:
        """Have a deployment that waits end as skipped; False if it does not wait."""
        return self._gate.end(number, withdrawn=why)

    def hurry(self, number: int, by: str) -> bool:
        """End the wait of a deployment before its switch; False if it does not wait."""
        return self._gate.end(number, hurried_by=by)

    def pause(self, why: Message) -> None:
        """Refuse requests with `why` until `unpause`. Running deployments continue."""
        self._gate.paused = why

    def unpause(self) -> None:
        self._gate.paused = None

    async def idle(self) -> None:
        while busy := [self._tasks[run.value.id] for name, run in self._current.items() if self.busy(name)]:
            await asyncio.wait(busy)

    def repository(self, service: str) -> Repository:
        """Return a service's mirror; KeyError if it has no source."""
        return self._targets[service].repository

    def on_finish(self, callback: Callable[[Deployment], None]) -> None:
        """Call this, on the event loop, when a deployment has ended. It must not block."""
        self._listeners.append(callback)

    def forget_output(self, numbers: Iterable[int]) -> None:
        """Remove what the steps of these deployments printed. Blocks."""
        for number in numbers:
            shutil.rmtree(self._config.state.output / str(number), ignore_errors=True)

    async def close(self, grace: float = 5.0) -> None:
        """Stop. What changed nothing fails; a verification gets `grace` seconds to end.

        One that does not is left unfinished, its release running, for the next process to take up; one that waits, too.
        """
        self._closing = True
        for run in self._current.values():
            if run.value.phase not in CHANGED:
                self._tasks[run.value.id].cancel()
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=grace)
        left = [*self._tasks.values(), *self._after]
        await cancel_all(*left)

    async def settle(self) -> tuple[int, ...]:
        """Continue or end what an earlier opsbot left; return the ids that continue.

        Only for the one process that holds the state directory. Those taken up continue on their own (`wait`).
        """
        await end_left_behind(str(self._config.state.directory), self._run_as)
        going = await self._going_on([])
        # What was ASIDE for one that was ended just now waits again.
        going += await self._going_on([each.id for each in going])
        # Their folders are reconciled before any of them continues: one that waited may switch in that very moment.
        changing = {each.service for each in going if each.phase in CHANGED}
        for target in self._targets.values():
            try:
                await put_right(target, busy=target.name in changing)
            except (OSError, RemoteError, ReleaseError) as error:
                # One service whose folders cannot be worked in does not keep opsbot from the others.
                log.warning("the releases of %s could not be reconciled: %s", target.name, error)
        for each in going:
            self._launch(each, self._targets[each.service], resumed=True)
        return tuple(each.id for each in going)

    async def _going_on(self, known: Sequence[int]) -> list[Deployment]:
        """Return the unfinished deployments that continue, except known; end the others."""
        going = []
        for deployment in await self._store.read(ledger.unfinished):
            target = self._targets.get(deployment.service)
            if deployment.id in known:
                continue
            if target is None:
                await self._store.write(end_unknown, deployment, self._clock())
                continue
            run = self._run(deployment, target)
            if await goes_on(run, target):
                going.append(run.value)
        return going

    def _run(self, value: Deployment, target: DeployTarget) -> DeploymentRun:
        on_end = self._superseded
        return DeploymentRun(value, target.service, self._store, self._feed, self._clock, self._redact, on_end)

    def _launch(self, value: Deployment, target: DeployTarget, *, resumed: bool = False) -> None:
        run = self._current[target.name] = self._run(value, target)
        self._tasks[value.id] = asyncio.get_running_loop().create_task(
            self._work(run, target, resumed=resumed), name=f"deployment {value.id} of {target.name}"
        )

    async def _work(self, run: DeploymentRun, target: DeployTarget, *, resumed: bool) -> None:
        try:
            while not await self._attempt(run, target, resumed=resumed):
                await asyncio.sleep(self._again)
                resumed = True
        except StaleError:
            log.exception("another process moved on deployment %s of %s", run.value.id, target.name)
        except asyncio.CancelledError:
            await stopped(run, target)
            raise
        finally:
            del self._tasks[run.value.id]
            if self._current.get(target.name) is run:
                del self._current[target.name]
            if run.value.finished:
                self._finished(run.value, target)

    async def _attempt(self, run: DeploymentRun, target: DeployTarget, *, resumed: bool) -> bool:
        """Bring it to its end; False if that could not be stored, and is tried again."""
        try:
            async with target.lock:
                if resumed and run.value.phase not in TAKEN_UP:
                    await fail(run, target, DeployFailure(message(FailureCode.STATE_NOT_WRITTEN)))
                else:
                    await run_pipeline(run, target, resumed=resumed)
        except StaleError:
            raise
        except Exception:
            # The edge of a task nobody waits for: most likely the disk with the state directory is full.
            log.exception("deployment %s of %s could not be brought to its end", run.value.id, target.name)
            return False
        return True

    def _finished(self, deployment: Deployment, target: DeployTarget) -> None:
        self._tell(deployment)
        if not self._closing:
            task = asyncio.get_running_loop().create_task(self._follow(deployment, target), name=f"tidy {target.name}")
            self._after.add(task)
            task.add_done_callback(self._after.discard)

    def _superseded(self, deployment: Deployment) -> None:
        self._feed.publish("deployment", deployment.id)
        self._tell(deployment)

    def _tell(self, ended: Deployment) -> None:
        for listener in self._listeners:
            try:
                listener(ended)
            except Exception:
                log.exception("a listener failed at the end of deployment %s", ended.id)

    async def _follow(self, ended: Deployment, target: DeployTarget) -> None:
        if ended.let_go_on is not None:
            await self._wait_on(ended.let_go_on, target)
        try:
            await tidy(target)
        except Exception:
            # The edge of a task nobody waits for; the next deployment's cleanup tries again.
            log.exception("cleaning up %s failed", target.name)

    async def _wait_on(self, number: int, target: DeployTarget) -> None:
        """Continue the deployment that was ASIDE, since the other one has ended."""
        while True:
            try:
                waiting = await self._store.read(ledger.deployment, number)
            except sqlite3.Error:
                log.exception("deployment %s is to wait on and cannot be read", number)
                await asyncio.sleep(self._again)
                continue
            if waiting is not None and waiting.phase is Phase.WAITING and waiting.service not in self._current:
                self._feed.publish("deployment", number)
                self._launch(waiting, target, resumed=True)
            return


async def _named(target: DeployTarget, request: DeploymentRequest, commit: str | None) -> str | None:
    """Fetch the commit a person names; automatic requests name it in full."""
    if request.kind is DeploymentKind.ROLLBACK or commit is not None or request.actor.automatic:
        return commit
    return await target.repository.bring(request.ref)
