"""What a person does to a service beside its releases: restart it, hold its deploys, silence it, resume."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from opsbot.config import Config
from opsbot.core.access import Action, Actor, Origin
from opsbot.core.deployment import Hold, RefusalReason, Refused
from opsbot.core.inhibitors import Inhibitors
from opsbot.core.message import Message
from opsbot.core.model import Silence
from opsbot.deploy.deployer import Deployer
from opsbot.deploy.rolling import SETTLE, restart_in_turn
from opsbot.engine.authorization import Authorization
from opsbot.formatting import duration
from opsbot.messages import describe, render
from opsbot.monitoring import ServiceMonitor
from opsbot.runtime.change_notifier import ChangeNotifier
from opsbot.services.port import ManagerError, ServiceManager, ServiceState
from opsbot.source.poll import Poller
from opsbot.store import Store, incident_repository, ledger

SILENCE = timedelta(hours=1)
"""How long a silence lasts when nothing is said."""


@dataclass(frozen=True, slots=True)
class RestartOutcome:
    """Whether a restarted service passed its checks, what was seen, and its state afterwards.

    `seen` may be untrusted text.
    """

    ok: bool
    seen: str
    state: ServiceState


class ServiceActions:
    """Does at once what a person asks for."""

    def __init__(
        self,
        door: Authorization,
        config: Config,
        store: Store,
        feed: ChangeNotifier,
        managers: Mapping[str, ServiceManager],
        deployer: Deployer,
        watcher: ServiceMonitor,
        clock: Callable[[], datetime],
        poller: Poller | None = None,
        vetoes: Inhibitors | None = None,
    ) -> None:
        """poller: woken when a hold ends. vetoes: what recovery and deploys ask before they act; advice to a person."""
        self._door = door
        self._config = config
        self._store = store
        self._feed = feed
        self._managers = managers
        self._deployer = deployer
        self._watcher = watcher
        self._clock = clock
        self._poller = poller
        self._vetoes = Inhibitors() if vetoes is None else vetoes

    async def advice(self, service: str) -> Message | None:
        """What speaks against a restart of the service at this moment, for a person who asks for one; None: nothing."""
        return await self._vetoes.advice(service) if service in self._config.services else None

    async def restart(self, actor: Actor, service: str) -> ServiceState | Refused:
        """Restart a service now, and forget what recovery counted against it. What speaks against it is advice only.

        Several units are restarted one after the other: the next one when the one before is well again.
        """
        refusal = await self._door.admit(actor, Action.RESTART, service)
        if refusal:
            return refusal
        if self._deployer.busy(service):
            words = f"{service} is being deployed; it is restarted by that."
            return await self._door.refuse(actor, Action.RESTART, service, "", RefusalReason.BUSY, words)
        against = await self.advice(service)
        advice = f", against advice: {render(against)}" if against else ""
        self._watcher.touched(service, f"restarted by {actor.name}{advice}")
        try:
            with self._watcher.in_hand(service):
                state = await self._restart(service)
        except ManagerError as error:
            words = f"{service} did not restart: {describe(error)}"
            return await self._door.refuse(actor, Action.RESTART, service, "", RefusalReason.NOT_READY, words)
        await self._door.note(actor, Action.RESTART, service, "", f"running, pid {state.pid}")
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
            await self._door.note(actor, Action.RESTART, service, "", f"verification failed: {judged.text}")
        return RestartOutcome(judged.ok, judged.text, state)

    async def _restart(self, service: str) -> ServiceState:
        manager = self._managers[service]
        if not manager.parts(service):
            return await manager.restart(service)
        return await restart_in_turn(manager, self._deployer.verifier, self._config.services[service])

    async def hold(self, actor: Actor, service: str, reason: str = "") -> Hold | Refused:
        """No deploys until resumed."""
        refusal = await self._door.admit(actor, Action.HOLD, service, reason)
        if refusal:
            return refusal
        hold = Hold(service, actor.name, reason[:300], self._clock())
        await self._store.write(ledger.put_hold, hold)
        await self._door.note(actor, Action.HOLD, service, reason, "held")
        self._feed.publish("service")
        return hold

    async def silence(
        self, actor: Actor, service: str, length: timedelta | None = None, reason: str = ""
    ) -> Silence | Refused:
        """No alerts of a service for so long (an hour where nothing is said, never longer than the configured most)."""
        refusal = await self._door.admit(actor, Action.SILENCE, service, reason)
        if refusal:
            return refusal
        now = self._clock()
        wanted = SILENCE if length is None else length
        most = self._config.limits.silence_max
        if not timedelta(0) < wanted <= most:
            words = f"A silence lasts up to {duration(most)}; {duration(wanted)} is not possible."
            return await self._door.refuse(actor, Action.SILENCE, service, reason, RefusalReason.BAD_INPUT, words)
        silence = Silence(service, actor.name, reason[:300], now, now + wanted)
        await self._store.write(incident_repository.put_silence, silence)
        await self._door.note(actor, Action.SILENCE, service, reason, f"until {silence.until:%Y-%m-%d %H:%M} UTC")
        self._feed.publish("service")
        self._feed.publish("incident")
        return silence

    async def resume(self, actor: Actor, service: str, reason: str = "") -> bool | Refused:
        """End the hold, the wait after a rollback and the silence of a service; whether there was any."""
        refusal = await self._door.admit(actor, Action.RESUME, service, reason)
        if refusal:
            return refusal
        held = await self._store.write(ledger.lift_hold, service)
        silenced = await self._store.write(incident_repository.lift_silence, service, self._clock())
        await self._watcher.resumed(service, actor.name)
        await self._door.note(
            actor, Action.RESUME, service, reason, "resumed" if held or silenced else "nothing was held"
        )
        self._feed.publish("service")
        if held and self._poller is not None:
            self._poller.wake(service, Origin.POLL)
        return held or silenced
