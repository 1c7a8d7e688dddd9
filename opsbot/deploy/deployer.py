"""Deployer: deploys and rolls back; the interface of this package.

`start` decides and claims; a task (`deployment_tasks`) runs the pipeline (`pipeline`). `settle` takes up what an
earlier opsbot left unfinished (`crash_recovery`).
"""

import asyncio
import logging
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from opsbot.config import Config
from opsbot.core.deploy_codes import OutcomeCode, RefusalCode
from opsbot.core.deployment import (
    CHANGED,
    Deployment,
    DeploymentKind,
    DeploymentRequest,
    RefusalReason,
    Refused,
    Release,
    busy,
    decide,
    replaces,
)
from opsbot.core.inhibitors import Inhibitors, first_reason
from opsbot.core.message import Message, message
from opsbot.deploy.crash_recovery import end_left_behind, end_unknown, goes_on
from opsbot.deploy.deployment_run import DeploymentRun
from opsbot.deploy.deployment_tasks import DeploymentTasks
from opsbot.deploy.preconditions import gather, named
from opsbot.deploy.reconcile import put_right
from opsbot.deploy.releases import MARGIN, ReleaseError
from opsbot.deploy.target import DeployTarget
from opsbot.deploy.targets import make_targets
from opsbot.deploy.verify import Verifier
from opsbot.deploy.waiting import Waits
from opsbot.runtime.change_notifier import ChangeNotifier
from opsbot.services.port import ServiceManager
from opsbot.services.run_as import Errands
from opsbot.source.remote import RemoteError
from opsbot.source.repo import Repository, ref_problem
from opsbot.store import Store, ledger

log = logging.getLogger(__name__)


class Deployer:
    """Deploys and rolls back. One installation at a time on the whole host: two would not fit its memory."""

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
        errands: Errands | None = None,
        vetoes: Inhibitors | None = None,
    ) -> None:
        """`managers` by service name; `margin`: bytes that stay free beside one more release.

        again: seconds until a deployment whose end could not be stored is taken up again. redact: removes known secrets
        from what is stored. errands: runs what is deployed as the services' own users. vetoes: asked before an
        automatic deploy begins, and before any deployment replaces what runs.
        """
        self.verifier = verifier
        self._errands = errands
        self._vetoes = vetoes or Inhibitors()
        self._waits = Waits(self._vetoes, lambda: self._paused)
        self._tasks = DeploymentTasks(store, feed, self._waits, self._run, again)
        self._redact = redact
        self._config = config
        self._store = store
        self._feed = feed
        self._clock = clock
        self._targets = make_targets(config, store, managers, verifier, clock, margin, errands)
        self._paused: Message | None = None

    async def start(self, request: DeploymentRequest) -> Deployment | Refused:
        """Begin a deployment and return at once; it continues on its own."""
        target = self._targets.get(request.service)
        if refusal := self._unavailable(request):
            return refusal
        if target is not None and not self.busy(request.service):
            await target.recognise()
        facts = await gather(target, request)
        waiting = self.waiting(request.service)
        if waiting is not None and target is not None:
            fetched = await named(target, request, facts.commit)
            if isinstance(fetched, Refused):
                return fetched
            facts = replace(facts, unfinished=None, commit=fetched)
        verdict = decide(request, facts)
        if isinstance(verdict, Refused):
            return verdict
        if request.actor.automatic and (why := await first_reason(self._vetoes.deploys, request.service)):
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
        """Store it as the service's next deployment, which supersedes the one that waits, and work on it."""
        instead_of = None if waiting is None else waiting.id
        claimed = await self._store.write(
            ledger.claim, request, self._clock(), live=live, release=release, instead_of=instead_of, by=by
        )
        if isinstance(claimed, int):
            return busy(request.service, claimed)
        if instead_of is not None:
            self._waits.supersede(instead_of)
            self._feed.publish("deployment", instead_of)
        self._feed.publish("deployment", claimed.id)
        self._feed.publish("notice")
        self._tasks.launch(claimed, self._targets[claimed.service])
        return claimed

    def _unavailable(self, request: DeploymentRequest) -> Refused | None:
        if self._tasks.closing:
            return Refused(RefusalReason.NOT_READY, message(RefusalCode.STOPPING))
        if self._paused:
            return Refused(RefusalReason.NOT_READY, self._paused)
        if request.kind is DeploymentKind.DEPLOY and request.ref is not None and (problem := ref_problem(request.ref)):
            return Refused(RefusalReason.BAD_REF, problem)
        return None

    async def wait(self, number: int) -> Deployment:
        """The deployment, once it has ended.

        Raises:
            LookupError: there is none of that number.
        """
        return await self._tasks.wait(number)

    def busy(self, service: str) -> bool:
        """Whether a deployment of this service is in progress here. One that waits is not: the service is watched."""
        return self._tasks.busy(service)

    def waiting(self, service: str) -> Deployment | None:
        """The deployment of a service that waits here before its switch."""
        return self._tasks.waiting(service)

    def withdraw(self, number: int, why: Message) -> bool:
        """Have a deployment that waits end as skipped; False if it does not wait."""
        return self._waits.withdraw(number, why)

    def hurry(self, number: int, by: str) -> bool:
        """End the wait of a deployment before its switch; False if it does not wait."""
        return self._waits.hurry(number, by)

    def pause(self, why: Message) -> None:
        """Begin no more deployments until `unpause`; requests are refused with `why`. Those in progress continue."""
        self._paused = why

    def unpause(self) -> None:
        """Begin deployments again."""
        self._paused = None

    async def idle(self) -> None:
        """Wait until no deployment is in progress."""
        await self._tasks.idle()

    def repository(self, service: str) -> Repository:
        """A service's mirror, for readers of its history.

        Raises:
            KeyError: the service has no source.
        """
        return self._targets[service].repository

    def on_finish(self, callback: Callable[[Deployment], None]) -> None:
        """Call this, on the event loop, when a deployment has ended. It must not block."""
        self._tasks.listen(callback)

    def forget_output(self, numbers: Iterable[int]) -> None:
        """Remove what the steps of these deployments printed. Blocks."""
        for number in numbers:
            shutil.rmtree(self._config.state.output / str(number), ignore_errors=True)

    async def close(self, grace: float = 5.0) -> None:
        """Stop. What has changed nothing yet ends as failed; a verification gets `grace` seconds to end.

        One that does not is left unfinished, its release running, for the next process to take up; one that waits, too.
        """
        await self._tasks.close(grace)

    async def settle(self) -> tuple[int, ...]:
        """At startup: take up or end what an earlier opsbot left unfinished; the ids of those taken up.

        Only for the one process that holds the state directory. Those taken up continue on their own (`wait`).
        """
        await end_left_behind(str(self._config.state.directory), self._errands)
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
            self._tasks.launch(each, self._targets[each.service], resumed=True)
        return tuple(each.id for each in going)

    async def _going_on(self, known: Sequence[int]) -> list[Deployment]:
        """Those of the unfinished deployments, but for the known ones, that continue; the others are ended here."""
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
        return DeploymentRun(value, target.service, self._store, self._feed, self._clock, self._redact)
