"""Which release of a service runs: deploy, roll back, update from its branch, end a deployment's wait."""

from collections.abc import Mapping

from opsbot.config import Config
from opsbot.core.access import Action, Actor
from opsbot.core.deploy_codes import RefusalCode, UpdateCode
from opsbot.core.deployment import (
    Deployment,
    DeploymentKind,
    DeploymentRequest,
    Hold,
    Quarantine,
    RefusalReason,
    Refused,
    Release,
)
from opsbot.core.message import Message, message, plain
from opsbot.core.model import Live
from opsbot.deploy.deployer import Deployer
from opsbot.deploy.poll import Polled, Poller, PollOutcome
from opsbot.engine.authorization import Authorization
from opsbot.messages import render
from opsbot.monitoring import ServiceMonitor
from opsbot.store import Store, ledger


class ReleaseActions:
    """Has the deployer begin what a person asks for."""

    def __init__(
        self,
        access: Authorization,
        config: Config,
        store: Store,
        deployer: Deployer,
        watcher: ServiceMonitor,
        poller: Poller | None = None,
    ) -> None:
        """poller: asks the remotes; without one nothing can be updated."""
        self._access = access
        self._config = config
        self._store = store
        self._deployer = deployer
        self._watcher = watcher
        self._poller = poller

    async def deploy(
        self, actor: Actor, service: str, ref: str | None = None, reason: str | Message = ""
    ) -> Deployment | Refused:
        """Begin a deployment; its card and `history` show how it goes."""
        request = DeploymentRequest(service, DeploymentKind.DEPLOY, actor, ref=ref or None, reason=_reason(reason))
        return await self._start(Action.DEPLOY, request)

    async def rollback(
        self, actor: Actor, service: str, release: str | None = None, reason: str | Message = ""
    ) -> Deployment | Refused:
        """Begin to return to a kept release; None: the previous good one."""
        request = DeploymentRequest(
            service, DeploymentKind.ROLLBACK, actor, release=release or None, reason=_reason(reason)
        )
        return await self._start(Action.ROLLBACK, request)

    async def update(self, actor: Actor, service: str) -> Polled | Refused:
        """Ask the remote now, and begin to deploy what is new; with `auto` off too, as somebody asked for it.

        Holds, the wait after a rollback and the quarantine are kept: they are for people as well as for the poll here.
        """
        refusal = await self._access.admit(actor, Action.DEPLOY, service, "update")
        if refusal:
            return refusal
        source = self._config.services[service].source
        if self._poller is None or source is None:
            words = message(RefusalCode.NO_SOURCE, service=service)
            return await self._access.refuse(actor, Action.DEPLOY, service, "update", RefusalReason.NO_SOURCE, words)
        polled = await self._poller.poll(service, actor.origin, actor)
        quarantined = await self._store.read(ledger.quarantined, service)
        hold = await self._store.read(ledger.hold, service)
        if polled.outcome is PollOutcome.NO_NEWS:
            polled = _kept_back(polled, quarantined, hold)
        elif (
            polled.outcome is PollOutcome.NOTED and not source.auto and hold is None and polled.head not in quarantined
        ):
            begun = await self.deploy(actor, service, polled.head, "update")
            if isinstance(begun, Refused):
                return begun
            deploying = message(UpdateCode.DEPLOYING, commit=polled.head)
            polled = Polled(PollOutcome.DEPLOYING, deploying, polled.head, begun.id)
        await self._access.note(actor, Action.DEPLOY, service, "update", render(polled.message))
        return polled

    async def _start(self, action: Action, request: DeploymentRequest) -> Deployment | Refused:
        detail = request.ref or request.release or ""
        refusal = await self._access.admit(request.actor, action, request.service, detail)
        if refusal:
            return refusal
        begun = await self._deployer.start(request)
        await self._access.note(
            request.actor,
            action,
            request.service,
            detail,
            begun if isinstance(begun, Refused) else f"deployment {begun.id}",
        )
        return begun

    async def now(self, actor: Actor, service: str, number: int | None = None) -> Deployment | Refused:
        """End what a deployment waits for before it replaces what runs; it goes on by itself.

        number: the one that was looked at; refused where that one does not wait. None: the service's that waits.
        """
        detail = "" if number is None else str(number)
        refusal = await self._access.admit(actor, Action.NOW, service, detail)
        if refusal:
            return refusal
        found = self._deployer.waiting(service)
        if found is None or number not in {None, found.id} or not self._deployer.hurry(found.id, actor.name):
            words = self._not_waiting(service, number)
            return await self._access.refuse(actor, Action.NOW, service, detail, RefusalReason.NOT_WAITING, words)
        await self._access.note(actor, Action.NOW, service, detail, f"deployment {found.id} continues")
        return found

    def _not_waiting(self, service: str, number: int | None) -> Message:
        if number is not None:
            return message(RefusalCode.WAITS_NO_LONGER, service=service, deployment=number)
        if kept := self._watcher.waits(service):
            return message(RefusalCode.RECOVERY_WAITS, service=service, reason=kept)
        return message(RefusalCode.NOT_WAITING, service=service)

    async def kept(self, actor: Actor, service: str) -> list[Release]:
        """The kept releases but the live one, newest first; none for who may not roll back (for autocompletion)."""
        if not self._access.allows(actor, Action.ROLLBACK) or service not in self._config.services:
            return []
        live = await self._store.read(ledger.live, service)
        return [r for r in await self._store.read(ledger.releases, service) if live is None or r.name != live.release]

    async def live_and_earlier(self, service: str) -> tuple[Live | None, Release | None]:
        """What is live, and the release that a rollback would return to."""
        return await self._store.read(ledger.live_and_earlier, service)

    async def latest(self, service: str) -> Deployment | None:
        return next(iter(await self._store.read(ledger.deployments, service, 1)), None)


def _reason(given: str | Message) -> Message | None:
    return given if isinstance(given, Message) else plain(given) if given else None


def _kept_back(polled: Polled, quarantined: Mapping[str, Quarantine], hold: Hold | None) -> Polled:
    """What the poll found, if it is no news for the poll but it is for a person: a commit that is not deployed."""
    if polled.head is not None and (blocked := quarantined.get(polled.head)):
        return Polled(PollOutcome.WAITING, message(UpdateCode.QUARANTINED, at=blocked.at), polled.head)
    if hold is not None and polled.head == hold.waits:
        return Polled(PollOutcome.WAITING, message(UpdateCode.ROLLED_BACK_COMMIT), polled.head)
    return polled
