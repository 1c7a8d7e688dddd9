"""Combines the states of several units of a service."""

from collections.abc import Sequence

from opsbot.core import exits
from opsbot.services.port import Activity, ServiceState

_LEAST_WELL = (
    *(Activity.FAILED, Activity.RETRYING, Activity.STOPPED, Activity.STOPPING, Activity.STARTING, Activity.RUNNING),
)


def together(parts: Sequence[tuple[str, ServiceState]]) -> ServiceState:
    states = [state for _, state in parts]
    worst = min(states, key=lambda state: _LEAST_WELL.index(state.activity))
    idle = [state for state in states if state.activity is Activity.STOPPED]
    releases = {state.release for state in states}
    started = [state.started_at for state in states if state.started_at is not None]
    ends = [end for unit, state in parts if (end := exits.of_unit(unit, state.exit)) is not None]
    return ServiceState(
        worst.activity,
        pid=next((state.pid for state in states if state.pid), None),
        run="+".join(state.run or "" for state in states),
        started_at=max(started) if worst.activity is Activity.RUNNING and started else None,
        restarts=sum(state.restarts for state in states),
        exit=exits.of_units(ends),
        stopped_by_hand=bool(idle) and all(state.stopped_by_hand for state in idle),
        revivable=worst.revivable,
        release=releases.pop() if len(releases) == 1 else None,
        parts=tuple(parts),
        groups=tuple(group for state in states for group in state.groups),
    )
