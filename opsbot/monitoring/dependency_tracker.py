"""Which service's failure is whose: asks the rule (`opsbot.core.dependencies`) with what the checks have seen."""

from collections.abc import Callable, Mapping
from datetime import datetime

from opsbot.core.dependencies import AwaitVerdict, CausedBy, DependencyState, Needs, OwnFault, above, attribute, below
from opsbot.monitoring.incident_state import ListedUnder
from opsbot.monitoring.monitored_service import MonitoredService


class DependencyTracker:
    """The watched services, and which of them need which. Only reads."""

    def __init__(self, watched: Mapping[str, MonitoredService], busy: Callable[[str], bool]) -> None:
        """busy: whether a service is being deployed."""
        self._watched = watched
        self.busy = busy
        self._needs: Needs = {name: one.service.depends_on for name, one in watched.items()}
        self._below = {name: below(self._needs, name) for name in watched}

    def below(self, service: str) -> tuple[str, ...]:
        """All that need a service."""
        return self._below.get(service, ())

    def state(self, service: str, asked: datetime) -> DependencyState:
        """The state of a service for those that need it. asked: when they asked; a result before that says nothing."""
        watched = self._watched.get(service)
        if watched is None or not watched.has_release:
            return DependencyState.WELL
        if watched.incident is not None:
            return DependencyState.DOWN
        if watched.incidents.pending is not None or watched.affected or self.busy(service):
            return DependencyState.FAILING
        if watched.checks.failing or watched.checks.down():
            return DependencyState.FAILING
        lasts = [health.last for health in watched.checks.healths.values()]
        unseen = any(last is None or last.at < asked for last in lasts)
        return DependencyState.UNSEEN if unseen else DependencyState.WELL

    def attribute(self, service: str, asked: datetime, now: datetime) -> OwnFault | CausedBy | AwaitVerdict:
        """Which service is to blame that this one fails."""
        up = above(self._needs, service)
        return attribute(service, self._needs, {name: self.state(name, asked) for name in up}, asked, now)

    def failing_dependency(self, service: str) -> str:
        """A service it needs that is down: restarting what needs it cannot help. "" where there is none."""
        for name in above(self._needs, service):
            watched = self._watched.get(name)
            if watched is None or not watched.has_release:
                continue
            if watched.affected or watched.incidents.pending is not None or watched.checks.failing:
                return name
        return ""

    def is_over(self, under: ListedUnder) -> bool:
        """Whether the incident it is listed in is over."""
        root = self._watched.get(under.root)
        return root is None or root.incident is None or root.incident.id != under.incident
