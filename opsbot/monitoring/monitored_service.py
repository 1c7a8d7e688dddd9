"""What is known of one service between two ticks: values with one writer each."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field

from opsbot.config import Service
from opsbot.core.message import Message
from opsbot.core.model import Incident
from opsbot.monitoring.incident_state import IncidentState
from opsbot.monitoring.service_checks import ServiceChecks
from opsbot.services.port import Activity, ServiceState

UNSETTLED = frozenset({Activity.STARTING, Activity.STOPPING, Activity.RETRYING})
"""The manager itself acts."""
DOWN = frozenset({Activity.FAILED, Activity.STOPPED})


@dataclass(slots=True)
class RecoveryProgress:
    """What recovery does about a service now. Written by `RecoveryRunner`.

    What it has tried is stored with the incident: `incident.recovery`. waits: what it waits for; None while it does
    not. restarting: it is restarting the service. hands: how many restarts by people are under way: it takes no step
    beside them.
    """

    waits: Message | None = None
    restarting: bool = False
    hands: int = 0

    @property
    def busy(self) -> bool:
        """Whether it is being restarted by recovery or by a person."""
        return self.restarting or self.hands > 0


@dataclass(slots=True)
class MonitoredService:
    """One service. checks: changed by its methods; incidents: by `IncidentManager` and its parts."""

    service: Service
    checks: ServiceChecks
    incidents: IncidentState
    recovery: RecoveryProgress = field(default_factory=RecoveryProgress)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while something about it is decided and recorded: events of its manager, results of its checks and steps of
    recovery are handled one at a time, in their order. Otherwise records would depend on how fast the store is. A start
    that follows a death belongs to the incident that the death opens."""
    has_release: bool = False
    """It has a release to run; before its first deploy there is nothing to watch. Written by `ServiceMonitor`."""

    @property
    def name(self) -> str:
        return self.service.name

    @property
    def incident(self) -> Incident | None:
        return self.incidents.incident

    @property
    def affected(self) -> bool:
        """Whether it has an incident, or is listed in another's as down."""
        return self.incidents.affected

    def troubled_units(self, state: ServiceState) -> list[str]:
        """The units that are down by their manager or by a check about them; none where it has only one."""
        return [
            unit
            for unit, part in meant_to_run(state)
            if unit and (part.activity in DOWN or self.checks.down(units={unit}))
        ]

    def needs_recovery(self, state: ServiceState) -> bool:
        """Whether something should be done now: it is down by a check, or not running; not only being judged again."""
        if left_alone(state):
            return state.activity in DOWN  # recovery says why nothing is done
        running = dict(meant_to_run(state))
        return any(part.activity in DOWN for part in running.values()) or bool(self.checks.down(units={"", *running}))


def left_alone(state: ServiceState) -> bool:
    """Whether a person stopped all of it."""
    if state.parts:
        return all(part.stopped_by_hand for _, part in state.parts)
    return state.stopped_by_hand


def meant_to_run(state: ServiceState) -> Iterator[tuple[str, ServiceState]]:
    """What nobody has stopped: its units by their names, or the service itself under ""."""
    for name, part in state.parts or (("", state),):
        if not part.stopped_by_hand:
            yield name, part
