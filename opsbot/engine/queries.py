"""What people read: status, what happened and why, who requested what."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from opsbot.config import Config
from opsbot.core.access import Action, Actor
from opsbot.core.deployment import Deployment, Refused
from opsbot.core.model import AuditEntry, Incident, Notification, Storm
from opsbot.core.subjects import is_host
from opsbot.core.windows import Maintenance, maintenance
from opsbot.engine.authorization import Authorization
from opsbot.engine.status import ServiceStatus, StatusReader
from opsbot.monitoring import ServiceMonitor
from opsbot.services.port import ServiceManager
from opsbot.store import Store, audit, incident_repository, ledger, storms

if TYPE_CHECKING:
    from opsbot.chart import Memory
    from opsbot.core.root_cause import RootCause
    from opsbot.monitoring.leak_monitor import Growth


class Queries:
    """Shows what is known, to who may see it; what is wanted for a card that is shown already asks no rank."""

    def __init__(
        self,
        access: Authorization,
        config: Config,
        store: Store,
        managers: Mapping[str, ServiceManager],
        watcher: ServiceMonitor,
        statuses: StatusReader,
        clock: Callable[[], datetime],
        redact: Callable[[str], str],
        growth: Mapping[str, "Growth"],
    ) -> None:
        """growth: how the memory of each service was last judged. redact: takes known secrets out of text."""
        self._access = access
        self._config = config
        self._store = store
        self._managers = managers
        self._watcher = watcher
        self._statuses = statuses
        self._clock = clock
        self._redact = redact
        self._growth = growth

    async def status(self, actor: Actor, service: str | None = None) -> list[ServiceStatus] | Refused:
        refusal = await self._access.admit(actor, Action.STATUS, service)
        if refusal:
            return refusal
        await self._access.note(actor, Action.STATUS, service, "", "shown")
        return await self._statuses.of([service] if service else list(self._config.services))

    async def health(self, actor: Actor, service: str | None = None) -> list[ServiceStatus] | Refused:
        """Run the checks now; the status of the services after them."""
        refusal = await self._access.admit(actor, Action.HEALTH, service)
        if refusal:
            return refusal
        names = [service] if service else list(self._config.services)
        await self._watcher.look(names)
        await self._access.note(actor, Action.HEALTH, service, "", "checked")
        return await self._statuses.of(names)

    async def why(self, actor: Actor, service: str) -> "RootCause | Refused":
        """The root cause of a service's state: one causal line, and what it rests on."""
        refusal = await self._access.admit(actor, Action.WHY, service)
        if refusal:
            return refusal
        from opsbot.core.root_cause import find_root_cause  # noqa: PLC0415 - seldom asked, and it takes room
        from opsbot.monitoring.root_cause import facts  # noqa: PLC0415

        found = find_root_cause(await facts(self._store, self._managers[service], service, self._clock(), self._redact))
        await self._access.note(actor, Action.WHY, service, "", "shown")
        return found

    async def maintenance(self, actor: Actor) -> Maintenance | Refused:
        """The maintenance windows that are open, and the next three."""
        refusal = await self._access.admit(actor, Action.WINDOWS)
        if refusal:
            return refusal
        await self._access.note(actor, Action.WINDOWS, None, "", "shown")
        return maintenance(self._config.windows, self._clock())

    async def history(
        self, actor: Actor, service: str | None = None, limit: int = 20
    ) -> tuple[list[Deployment], list[Incident]] | Refused:
        """The latest deployments and incidents, newest first."""
        refusal = await self._access.admit(actor, Action.HISTORY, service)
        if refusal:
            return refusal
        await self._access.note(actor, Action.HISTORY, service, "", "shown")
        return (
            await self._store.read(ledger.deployments, service, limit),
            await self._store.read(incident_repository.incidents, service, limit),
        )

    async def incidents(
        self, actor: Actor, service: str | None = None, limit: int = 20, *, still_open: bool = False
    ) -> list[Incident] | Refused:
        """The latest incidents, newest first; `still_open`: only those that are not over."""
        # What is of the host has incidents, too, and is no service: it is asked for by its subject.
        known = service is not None and is_host(service)
        refusal = await self._access.admit(actor, Action.INCIDENTS, None if known else service)
        if refusal:
            return refusal
        await self._access.note(actor, Action.INCIDENTS, service, "open" if still_open else "", "shown")
        return await self._store.read(incident_repository.incidents, service, limit, still_open=still_open)

    async def audit(
        self, actor: Actor, service: str | None = None, member: str | None = None, limit: int = 50
    ) -> list[AuditEntry] | Refused:
        """The audit log, newest first. `member`: only what this id did."""
        refusal = await self._access.admit(actor, Action.AUDIT, service)
        if refusal:
            return refusal
        await self._access.note(actor, Action.AUDIT, service, member or "", "shown")
        return await self._store.read(audit.entries, service, member, limit)

    # For cards

    async def deployment(self, number: int) -> Deployment | None:
        return await self._store.read(ledger.deployment, number)

    async def incident(self, number: int) -> Incident | None:
        return await self._store.read(incident_repository.incident, number)

    async def storm(self, number: int) -> Storm:
        """The state of a storm; number: its notification. Without incidents once it is deleted."""
        return await self._store.read(storms.seen, number)

    async def memory(self, service: str, span: timedelta = timedelta(hours=24)) -> "Memory | None":
        """What is to be drawn of a service's memory; None where too little is known. For who was shown its status."""
        now = self._clock()
        from opsbot.monitoring.memory_chart import memory_of  # noqa: PLC0415 - seldom drawn, and it takes room

        return await memory_of(self._store, service, now - span, now, self._growth.get(service))

    async def kept_memory(self, notice: Notification) -> "Memory | None":
        """What is to be drawn beside a notice; None where it has no chart."""
        kept = notice.body.get("chart")
        from opsbot.monitoring.memory_chart import drawn_again  # noqa: PLC0415 - seldom drawn, and it takes room

        return await drawn_again(self._store, notice.service, kept) if isinstance(kept, dict) and kept else None
