"""Recovery: asks the ladder what to do about a service in trouble, and does it."""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime

from opsbot.core.access import Origin, itself
from opsbot.core.deployment import Kind, Refused, Request, previous_good
from opsbot.core.recovery import Next, Rung, Trouble, next_rung
from opsbot.deploy.deployer import Deployer
from opsbot.services.port import Activity, ManagerError, ServiceManager, ServiceState
from opsbot.store import Store, ledger, watchbook
from opsbot.watch.casebook import Casebook
from opsbot.watch.family import Family
from opsbot.watch.watched import Watched

log = logging.getLogger(__name__)

UNSETTLED = frozenset({Activity.STARTING, Activity.STOPPING, Activity.RETRYING})
"""The manager itself is at it."""


class Climber:
    """Climbs the ladder of each service in trouble."""

    def __init__(
        self,
        watched: Mapping[str, Watched],
        store: Store,
        managers: Mapping[str, ServiceManager],
        deployer: Deployer,
        casebook: Casebook,
        family: Family,
        clock: Callable[[], datetime],
    ) -> None:
        """Take the parts; `watched` is the watcher's own."""
        self._watched = watched
        self._store = store
        self._managers = managers
        self._deployer = deployer
        self._casebook = casebook
        self._family = family
        self._clock = clock

    async def act(self, name: str) -> None:
        """Take the next step about a service in trouble, where one is due. Never twice at a time."""
        watched = self._watched[name]
        if watched.acting:
            return
        watched.acting = True
        try:
            state = await self._managers[name].state(name)
            if self._in_trouble(watched, state):
                await self._climb(name, state)
        except ManagerError as error:
            log.warning("%s: its state cannot be read: %s", name, error)
        finally:
            watched.acting = False

    def _in_trouble(self, watched: Watched, state: ServiceState) -> bool:
        """Whether something should be done now: it is down by a check, or not running; not only being watched anew."""
        if watched.incident is None:
            return False
        if state.activity in {Activity.FAILED, Activity.STOPPED}:
            return True
        return watched.down

    async def _climb(self, name: str, state: ServiceState) -> None:
        watched = self._watched[name]
        incident = watched.incident
        if incident is None:
            return
        now, ladder = self._clock(), watched.service.recovery
        needs = self._family.needs_failing(name)
        if needs and not watched.waits_for:
            await self._casebook.note(name, f"left alone while {needs}, which it needs, is not well")
        watched.waits_for = needs
        live = await self._store.read(ledger.live, name)
        releases = await self._store.read(ledger.releases, name)
        quarantined = frozenset(await self._store.read(ledger.quarantined, name))
        trouble = Trouble(
            since=incident.opened_at,
            restarts=watched.restarts,
            recent=await self._store.read(watchbook.recoveries, name, now - ladder.window),
            live_since=live.since if live else None,
            can_roll_back=previous_good(releases, live.release if live else None, quarantined) is not None,
            rolled_back=watched.rolled_back,
            called=watched.called,
            deploying=self._deployer.busy(name),
            stopped_by_hand=state.stopped_by_hand,
            silenced_by_manager=state.activity in UNSETTLED,
            needs_failing=needs,
            restart_cannot_help=state.activity is Activity.FAILED and not state.revivable,
        )
        await self._take(name, next_rung(trouble, ladder, now), now)

    async def _take(self, name: str, step: Next, now: datetime) -> None:
        match step.rung:
            case Rung.RESTART:
                await self._restart(name, step, now)
            case Rung.ROLL_BACK:
                await self._roll_back(name, step)
            case Rung.CALL_HUMAN:
                await self._casebook.call(name, step.why, now)
            case Rung.WAIT | Rung.NOTHING:
                return

    async def _restart(self, name: str, step: Next, now: datetime) -> None:
        watched = self._watched[name]
        # Written down before it is done: a restart of opsbot in between must not make the budget forget it.
        await self._store.write(watchbook.add_recovery, name, now)
        watched.restarts = (*watched.restarts, now)
        watched.last_deed = "restarted by opsbot"
        await self._casebook.note(name, step.why)
        watched.judge_anew()
        try:
            state = await self._managers[name].restart(name)
        except ManagerError as error:
            await self._casebook.note(name, f"the restart failed: {error}")
            return
        watched.run, watched.answered = state.run, set()
        watched.hurry(self._clock())

    async def _roll_back(self, name: str, step: Next) -> None:
        watched = self._watched[name]
        watched.rolled_back = True
        begun = await self._deployer.start(
            Request(name, Kind.ROLLBACK, itself(Origin.RECOVERY), reason=f"{step.why}; restarts did not help")
        )
        if isinstance(begun, Refused):
            await self._casebook.note(name, f"no rollback: {begun.text}")
            return
        await self._casebook.note(name, f"rolling back to {begun.release_to}: {step.why}")
