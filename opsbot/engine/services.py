"""What a person does to a service beside its releases: restart it, hold its deploys, silence it, resume."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from opsbot.config import Config
from opsbot.core.access import Action, Actor
from opsbot.core.deploy_codes import RefusalCode
from opsbot.core.deployment import SHORT, Hold, RefusalReason, Refused
from opsbot.core.inhibitors import Inhibitors
from opsbot.core.message import Message, message, plain
from opsbot.core.model import Silence
from opsbot.deploy.deployer import Deployer
from opsbot.deploy.deployment_run import DeployFailure
from opsbot.deploy.poll import Poller
from opsbot.deploy.target import SETTLE, restart_in_turn
from opsbot.engine.authorization import Authorization
from opsbot.messages import render
from opsbot.monitoring import ServiceMonitor
from opsbot.runtime.change_notifier import ChangeNotifier
from opsbot.services.port import ManagerError, ServiceManager, ServiceState
from opsbot.store import Store, incident_repository, ledger

SILENCE = timedelta(hours=1)
"""How long a silence lasts when nothing is said."""


@dataclass(frozen=True, slots=True)
class RestartOutcome:
    """Whether a restarted service passed its checks, what was seen, and its state afterwards."""

    ok: bool
    seen: Message
    state: ServiceState


@dataclass(frozen=True, slots=True)
class Resumed:
    """What a resume ended. commits: those that were blocked, and may be deployed automatically again."""

    anything: bool
    commits: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether there was anything to resume."""
        return self.anything or bool(self.commits)


class ServiceActions:
    """Does at once what a person requests."""

    def __init__(
        self,
        access: Authorization,
        config: Config,
        store: Store,
        feed: ChangeNotifier,
        managers: Mapping[str, ServiceManager],
        deployer: Deployer,
        watcher: ServiceMonitor,
        clock: Callable[[], datetime],
        poller: Poller | None = None,
        inhibitors: Inhibitors | None = None,
    ) -> None:
        """poller: woken when a hold ends. inhibitors: asked before recovery and deploys act."""
        self._access = access
        self._config = config
        self._store = store
        self._feed = feed
        self._managers = managers
        self._deployer = deployer
        self._watcher = watcher
        self._clock = clock
        self._poller = poller
        self._inhibitors = Inhibitors() if inhibitors is None else inhibitors

    async def advice(self, service: str) -> Message | None:
        """What speaks against a restart of the service at this moment, for a person who asks for one; None: nothing."""
        return await self._inhibitors.advice(service) if service in self._config.services else None

    async def restart(self, actor: Actor, service: str) -> ServiceState | Refused:
        """Restart a service now, and forget what recovery counted against it. What speaks against it is advice only.

        Several units are restarted one after the other: the next one once the one before has recovered.
        """
        refusal = await self._access.admit(actor, Action.RESTART, service)
        if refusal:
            return refusal
        if self._deployer.busy(service):
            words = message(RefusalCode.BUSY_RESTART, service=service)
            return await self._access.refuse(actor, Action.RESTART, service, "", RefusalReason.BUSY, words)
        against = await self.advice(service)
        self._watcher.touched(service, actor.name, against)
        try:
            with self._watcher.by_hand(service):
                state = await self._restart(service)
        except (ManagerError, DeployFailure) as error:
            words = message(RefusalCode.RESTART_FAILED, service=service, cause=error.message)
            return await self._access.refuse(actor, Action.RESTART, service, "", RefusalReason.NOT_READY, words)
        await self._access.note(actor, Action.RESTART, service, "", f"running, pid {state.pid}")
        return state

    async def verify_restart(self, actor: Actor, service: str, started: ServiceState) -> RestartOutcome:
        """Wait until a service that the actor has just restarted passes its checks and stays alive, or fails.

        started: what `restart` answered. It takes as long as the verify timeout of the service at most; recovery acts
        meanwhile as always. A failure is written into the audit log, which says of the restart that the service runs.
        """
        configured, manager = self._config.services[service], self._managers[service]
        judged = await self._deployer.verifier.verify(
            configured, started, None, soak=min(SETTLE, configured.soak), within=configured.verify_timeout
        )
        try:
            state = await manager.state(service)
        except ManagerError:
            state = started
        if not judged.ok:
            await self._access.note(
                actor, Action.RESTART, service, "", f"verification failed: {render(judged.message)}"
            )
        return RestartOutcome(judged.ok, judged.message, state)

    async def _restart(self, service: str) -> ServiceState:
        manager = self._managers[service]
        if not manager.parts(service):
            return await manager.restart(service)
        return await restart_in_turn(manager, self._deployer.verifier, self._config.services[service])

    async def hold(self, actor: Actor, service: str, reason: str = "") -> Hold | Refused:
        """No deploys until resumed."""
        refusal = await self._access.admit(actor, Action.HOLD, service, reason)
        if refusal:
            return refusal
        hold = Hold(service, actor.name, plain(reason[:300]) if reason else None, self._clock())
        await self._store.write(ledger.put_hold, hold)
        await self._access.note(actor, Action.HOLD, service, reason, "held")
        self._feed.publish("service")
        return hold

    async def silence(
        self, actor: Actor, service: str, length: timedelta | None = None, reason: str = ""
    ) -> Silence | Refused:
        """No alerts of a service for so long (an hour where nothing is said, never longer than the configured most)."""
        refusal = await self._access.admit(actor, Action.SILENCE, service, reason)
        if refusal:
            return refusal
        now = self._clock()
        wanted = SILENCE if length is None else length
        most = self._config.limits.silence_max
        if not timedelta(0) < wanted <= most:
            words = message(RefusalCode.SILENCE_LENGTH, most=most, wanted=wanted)
            return await self._access.refuse(actor, Action.SILENCE, service, reason, RefusalReason.BAD_INPUT, words)
        silence = Silence(service, actor.name, reason[:300], now, now + wanted)
        await self._store.write(incident_repository.put_silence, silence)
        await self._access.note(actor, Action.SILENCE, service, reason, f"until {silence.until:%Y-%m-%d %H:%M} UTC")
        self._feed.publish("service")
        self._feed.publish("incident")
        return silence

    async def resume(self, actor: Actor, service: str, reason: str = "") -> Resumed | Refused:
        """End the hold, the wait after a rollback, the quarantine of commits and the silence of a service."""
        refusal = await self._access.admit(actor, Action.RESUME, service, reason)
        if refusal:
            return refusal
        held = await self._store.write(ledger.lift_hold, service)
        commits = await self._store.write(ledger.lift_quarantine, service)
        silenced = await self._store.write(incident_repository.lift_silence, service, self._clock())
        resumed = Resumed(held or silenced, commits)
        await self._watcher.resumed(service, actor.name)
        unblocked = "".join(f", {commit[:SHORT]} unblocked" for commit in commits)
        result = f"{'resumed' if resumed else 'nothing to resume'}{unblocked}"
        await self._access.note(actor, Action.RESUME, service, reason, result)
        self._feed.publish("service")
        if (held or commits) and self._poller is not None:
            self._poller.resume(service)
        return resumed
