"""A service of several units, to who watches it: which of them is in trouble, and which are left alone. Pure."""

from collections.abc import Iterator

from opsbot.core.health import Verdict
from opsbot.monitoring.monitored_service import MonitoredService
from opsbot.services.port import Activity, ServiceState

UNSETTLED = frozenset({Activity.STARTING, Activity.STOPPING, Activity.RETRYING})
"""The manager itself is at it."""
DOWN = frozenset({Activity.FAILED, Activity.STOPPED})


def left_alone(state: ServiceState) -> bool:
    """Whether a person stopped all of it."""
    if state.parts:
        return all(part.stopped_by_hand for _, part in state.parts)
    return state.stopped_by_hand


def let_go(state: ServiceState) -> bool:
    """Whether somebody has stopped this unit, or is just stopping it."""
    return state.stopped_by_hand or state.activity is Activity.STOPPING


def meant_to_run(state: ServiceState) -> Iterator[tuple[str, ServiceState]]:
    """What nobody has stopped: its units by their names, or the service itself under ""."""
    for name, part in state.parts or (("", state),):
        if not part.stopped_by_hand:
            yield name, part


def idle(state: ServiceState) -> list[str]:
    """The units that nobody has stopped and that do not run all the same, as after a start of the host."""
    return [name for name, part in meant_to_run(state) if part.activity is Activity.STOPPED]


def troubled(watched: MonitoredService, state: ServiceState) -> list[str]:
    """The units that are down by their manager or by a check about them; none where the whole service is, if it is."""
    return [name for name, part in meant_to_run(state) if name and (part.activity in DOWN or _down(watched, name))]


def in_trouble(watched: MonitoredService, state: ServiceState) -> bool:
    """Whether something should be done now: it is down by a check, or not running; not only being watched anew."""
    if left_alone(state):
        return state.activity in DOWN  # the ladder says why nothing is done
    if any(part.activity in DOWN for _, part in meant_to_run(state)):
        return True
    return any(_down(watched, name) for name in {"", *(name for name, _ in meant_to_run(state))})


def _down(watched: MonitoredService, unit: str) -> bool:
    # Down as it was last seen: one that answers again, or that an earlier opsbot saw, may be well already.
    names = [check.name for check in watched.service.checks if check.unit == unit]
    healths = [watched.checks[name] for name in names]
    return any(health.verdict is Verdict.DOWN and health.streak < 0 for health in healths)
