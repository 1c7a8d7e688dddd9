"""What this process works on: one task per deployment, and what follows its end.

The task belongs to nobody who requested it. If not even the end of a deployment can be stored, it is taken up again
after a while. At its end listeners are called and the folders are cleaned up; if another deployment was ASIDE for it
and waits on, a task works on that one again.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable

from opsbot.core.deploy_codes import FailureCode
from opsbot.core.deployment import CHANGED, TAKEN_UP, Deployment, Phase
from opsbot.core.message import message
from opsbot.deploy.crash_recovery import abandon, stopped
from opsbot.deploy.deployment_run import DeploymentRun
from opsbot.deploy.pipeline import run_pipeline
from opsbot.deploy.reconcile import tidy
from opsbot.deploy.target import DeployTarget
from opsbot.deploy.waiting import Waits
from opsbot.runtime.change_notifier import ChangeNotifier
from opsbot.store import Store, ledger
from opsbot.store.ledger import StaleError

log = logging.getLogger(__name__)


class DeploymentTasks:
    """The deployments that are worked on, one a service."""

    def __init__(
        self,
        store: Store,
        feed: ChangeNotifier,
        waits: Waits,
        run: Callable[[Deployment, DeployTarget], DeploymentRun],
        again: float,
    ) -> None:
        """again: seconds until a deployment whose end could not be stored is taken up again."""
        self._store = store
        self._feed = feed
        self._waits = waits
        self._run = run
        self._again = again
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._current: dict[str, DeploymentRun] = {}
        self._after: set[asyncio.Task[None]] = set()
        self._listeners: list[Callable[[Deployment], None]] = []
        self.closing = False

    def launch(self, value: Deployment, target: DeployTarget, *, resumed: bool = False) -> None:
        """Have a task work on it."""
        run = self._current[target.name] = self._run(value, target)
        self._tasks[value.id] = asyncio.get_running_loop().create_task(
            self._work(run, target, resumed=resumed), name=f"deployment {value.id} of {target.name}"
        )

    def listen(self, listener: Callable[[Deployment], None]) -> None:
        """Call this, on the event loop, when a deployment has ended. It must not block."""
        self._listeners.append(listener)

    def busy(self, service: str) -> bool:
        """Whether a deployment of this service is in progress here. One that waits is not: the service is watched."""
        return service in self._current and self._current[service].value.phase is not Phase.WAITING

    def waiting(self, service: str) -> Deployment | None:
        """The deployment of a service that waits here before its switch."""
        run = self._current.get(service)
        return run.value if run is not None and run.value.phase is Phase.WAITING else None

    async def idle(self) -> None:
        """Wait until no deployment is in progress."""
        while busy := [self._tasks[run.value.id] for name, run in self._current.items() if self.busy(name)]:
            await asyncio.wait(busy)

    async def wait(self, number: int) -> Deployment:
        """The deployment, once it has ended.

        Raises:
            LookupError: there is none of that number.
        """
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

    async def close(self, grace: float) -> None:
        """Stop; see `Deployer.close`."""
        self.closing = True
        for run in self._current.values():
            if run.value.phase not in CHANGED:
                self._tasks[run.value.id].cancel()
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=grace)
        left = [*self._tasks.values(), *self._after]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

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
        """Bring it to its end; False if even that could not be stored, and is to be tried again."""
        try:
            async with target.lock:
                if resumed and run.value.phase not in TAKEN_UP:
                    await abandon(run, target, message(FailureCode.STATE_NOT_WRITTEN))
                else:
                    await run_pipeline(run, target, self._waits, self._superseded, resumed=resumed)
        except StaleError:
            raise
        except Exception:
            # The edge of a task nobody waits for: most likely the disk with the state directory is full.
            log.exception("deployment %s of %s could not be brought to its end", run.value.id, target.name)
            return False
        return True

    def _finished(self, deployment: Deployment, target: DeployTarget) -> None:
        self._tell(deployment)
        if not self.closing:
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
        """Work again on the deployment that was ASIDE and waits on since the other one has ended."""
        while True:
            try:
                waiting = await self._store.read(ledger.deployment, number)
            except sqlite3.Error:
                log.exception("deployment %s is to wait on and cannot be read", number)
                await asyncio.sleep(self._again)
                continue
            if waiting is not None and waiting.phase is Phase.WAITING and waiting.service not in self._current:
                self._feed.publish("deployment", number)
                self.launch(waiting, target, resumed=True)
            return
