"""Which service's trouble is whose: asks the rule (`opsbot.core.dependencies`) with what the watcher has seen."""

from collections.abc import Callable, Mapping
from datetime import datetime

from opsbot.core.dependencies import (
    PATIENCE,
    AwaitVerdict,
    CausedBy,
    DependencyState,
    Needs,
    OwnFault,
    above,
    attribute,
    below,
)
from opsbot.core.flapping import Flaps
from opsbot.core.message import Message
from opsbot.monitoring.incident_state import ListedUnder, PendingCause
from opsbot.monitoring.monitored_service import MonitoredService


class DependencyTracker:
    """The watched services, and which of them need which."""

    def __init__(self, watched: Mapping[str, MonitoredService], busy: Callable[[str], bool]) -> None:
        """busy: whether a service is being deployed; `watched` is the watcher's own."""
        self._watched = watched
        self._busy = busy
        self._needs: Needs = {name: one.service.depends_on for name, one in watched.items()}
        self._below = {name: below(self._needs, name) for name in watched}

    def below(self, service: str) -> tuple[str, ...]:
        """All that need a service."""
        return self._below.get(service, ())

    def standing(self, service: str, asked: datetime) -> DependencyState:
        """How a service stands for those that need it. asked: when they asked; a look before that says nothing."""
        watched = self._watched.get(service)
        if watched is None or not watched.meant_to_run:
            return DependencyState.WELL
        if watched.incident is not None:
            return DependencyState.DOWN
        if watched.pending is not None or watched.unwell or self._busy(service):
            return DependencyState.FAILING
        lasts = [health.last for health in watched.checks.values()]
        if any(last is not None and not last.ok for last in lasts) or watched.down:
            return DependencyState.FAILING
        if any(last is None or last.at < asked for last in lasts):
            return DependencyState.UNSEEN
        return DependencyState.WELL

    def whose(self, service: str, asked: datetime, now: datetime) -> OwnFault | CausedBy | AwaitVerdict:
        """Whose trouble it is that a service fails."""
        up = above(self._needs, service)
        return attribute(service, self._needs, {name: self.standing(name, asked) for name in up}, asked, now)

    def needs_failing(self, service: str) -> str:
        """A service it needs that is not well: restarting what hangs below cannot help. "" where there is none."""
        for name in above(self._needs, service):
            watched = self._watched.get(name)
            if watched is None or not watched.meant_to_run:
                continue
            if watched.unwell or watched.pending is not None or watched.failing:
                return name
        return ""

    def wait(self, watched: MonitoredService, pending: PendingCause, on: tuple[str, ...], now: datetime) -> None:
        """It waits for the verdict on others, which are looked at now and often."""
        watched.pending = pending
        for name in on:
            other = self._watched[name]
            new = other.awaited is None or other.awaited <= now
            if new or self.standing(name, pending.asked) is DependencyState.UNSEEN:
                other.hurry(now)
            other.awaited = now + PATIENCE

    def take(self, root: str, number: int, listed: Mapping[str, tuple[Message, datetime]]) -> None:
        """These are in the root's incident now: each with what was seen of it, and since when."""
        for name, (cause, failed_at) in listed.items():
            if name in self._watched:
                watched = self._watched[name]
                watched.pending, watched.under = None, ListedUnder(root, number, cause, failed_at)
                watched.case.incident, watched.case.flaps = None, Flaps()

    def is_over(self, under: ListedUnder) -> bool:
        """Whether the incident it is listed in is over."""
        root = self._watched.get(under.root)
        return root is None or root.incident is None or root.incident.id != under.incident
