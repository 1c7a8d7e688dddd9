"""What is under way in this process: a task works on each deployment, and what follows when it ends.

The task belongs to nobody who asked. Where not even the end of a deployment can be written down, it is taken up again
after a while. When one ends, those who listen are told and the folders are tidied; where another had stood aside for it
and goes on waiting, a task works on that one again.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable

from opsbot.core.deployment import CHANGED, TAKEN_UP, Deployment, Phase
from opsbot.deploy.crash_recovery import abandon, stopped
from opsbot.deploy.deployment_run import DeploymentRun
from opsbot.deploy.pipeline import go
from opsbot.deploy.reconcile import tidy
from opsbot.deploy.target import DeployTarget
from opsbot.deploy.waiting import Waits
from opsbot.runtime.change_notifier import ChangeNotifier
from opsbot.store import Store, ledger
from opsbot.store.ledger import StaleError

log = logging.getLogger(__name__)


class DeploymentTasks:
    """The deployments that are being worked on, one a service."""

    def __init__(
        self,
        store: Store,
        feed: ChangeNotifier,
        waits: Waits,
        run: Callable[[Deployment, DeployTarget], DeploymentRun],
        again: float,
    ) -> None:
        """again: seconds until a deployment whose end could not be written down is taken up again."""
        self._store = store
        self._feed = feed
        self._waits = waits
        self._course = run
        self._again = again
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._courses: dict[str, DeploymentRun] = {}
        self._after: set[asyncio.Task[None]] = set()
        self._listeners: list[Callable[[Deployment], None]] = []
        self.closing = False
        waits.replaced = self._replaced

    def launch(self, value: Deployment, target: DeployTarget, *, resumed: bool = False) -> None:
        """Have a task work on it."""
        run = self._courses[target.name] = self._course(value, target)
        self._tasks[target.name] = asyncio.get_running_loop().create_task(
            self._run(run, target, resumed=resumed), name=f"deployment {value.id} of {target.name}"
        )

    def listen(self, listener: Callable[[Deployment], None]) -> None:
        """Call this, on the event loop, when a deployment has come to its end. It must not block."""
        self._listeners.append(listener)

    # How it stands

    def busy(self, service: str) -> bool:
        """Whether a deployment of this service is under way here. One that waits is not: what runs is looked after."""
        return service in self._tasks and self._courses[service].value.phase is not Phase.WAITING

    def waiting(self, service: str) -> Deployment | None:
        """The deployment of a service that waits here before its switch."""
        run = self._courses.get(service)
        return run.value if run is not None and run.value.phase is Phase.WAITING else None

    async def idle(self) -> None:
        """Wait until no deployment is under way."""
        while busy := [task for service, task in self._tasks.items() if self.busy(service)]:
            await asyncio.wait(busy)

    async def wait(self, number: int) -> Deployment:
        """The deployment, once it has come to its end.

        Raises:
            LookupError: there is none of that number.
        """
        with self._feed.subscribe() as changes:
            while True:
                found = await self._store.read(ledger.deployment, number)
                if found is None:
                    raise LookupError(f"there is no deployment {number}")
                task = self._tasks.get(found.service)
                if task is not None and self._courses[found.service].value.id == number:
                    await asyncio.wait({task})
                elif found.finished:
                    return found
                else:
                    await changes.wait(1.0)

    async def close(self, grace: float) -> None:
        """Stop; see `Deployer.close`."""
        self.closing = True
        for service, task in self._tasks.items():
            if self._courses[service].value.phase not in CHANGED:
                task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=grace)
        left = [*self._tasks.values(), *self._after]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    # The task

    async def _run(self, run: DeploymentRun, target: DeployTarget, *, resumed: bool) -> None:
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
            if self._courses.get(target.name) is run:
                del self._tasks[target.name], self._courses[target.name]
            if run.value.finished:
                self._finished(run.value, target)

    async def _attempt(self, run: DeploymentRun, target: DeployTarget, *, resumed: bool) -> bool:
        """Bring it to its end; False where even that could not be written down, and is to be tried again."""
        try:
            async with target.lock:
                if resumed and run.value.phase not in TAKEN_UP:
                    await abandon(run, target, "opsbot could not go on: its own state could not be written")
                else:
                    await go(run, target, self._waits, resumed=resumed)
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

    def _replaced(self, deployment: Deployment) -> None:
        self._feed.publish("deployment", deployment.id)
        self._tell(deployment)

    def _tell(self, ended: Deployment) -> None:
        for listener in self._listeners:
            try:
                listener(ended)
            except Exception:
                log.exception("what was to follow the end of deployment %s failed", ended.id)

    async def _follow(self, ended: Deployment, target: DeployTarget) -> None:
        if ended.let_go_on is not None:
            await self._let_go_on(ended.let_go_on, target)
        try:
            await tidy(target)
        except Exception:
            # The edge of a task nobody waits for; the next deployment's tidying tries again.
            log.exception("tidying %s failed", target.name)

    async def _let_go_on(self, number: int, target: DeployTarget) -> None:
        """Work on the one that stood aside again, which waits since the other one has ended."""
        while True:
            try:
                waiting = await self._store.read(ledger.deployment, number)
            except sqlite3.Error:
                log.exception("deployment %s is to go on waiting and cannot be read", number)
                await asyncio.sleep(self._again)
                continue
            if waiting is not None and waiting.phase is Phase.WAITING and waiting.service not in self._tasks:
                self._feed.publish("deployment", number)
                self.launch(waiting, target, resumed=True)
            return
