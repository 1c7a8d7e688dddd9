"""What is known of the checks of one service, and when they are due."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from opsbot.config import Check, CheckKind, Service
from opsbot.core.dependencies import PATIENCE, FailingCheck, pace
from opsbot.core.health import NONE_SEEN, CheckHealth, ProbeResult, Verdict, VerdictChange, failures, looks, observe

NEVER = datetime.max.replace(tzinfo=UTC)
FAST = timedelta(seconds=1)
"""How often the checks of a service with an incident are run, where their interval is longer."""


class ServiceChecks:
    """The health of each check, kept by what is called here: others only read."""

    def __init__(self, service: Service, now: datetime) -> None:
        self._service = service
        self.healths: dict[str, CheckHealth] = {check.name: CheckHealth() for check in service.checks}
        self._due = {check.name: now for check in service.checks}
        self.next_due = min(self._due.values(), default=NEVER)
        """When the first of them is due."""
        self._awaited: datetime | None = None
        """Until when others wait for the verdict on it: the checks are run often enough for one."""
        self._running: set[str] = set()
        self._passed_in: dict[str, str | None] = {}
        """By check: the run in which it has passed once. Until then its failures are in the grace of a start."""
        self.forgotten = 0
        """How often it was all forgotten: the result of a check that began before is of another run."""
        self.passed: bool = False
        """A check has passed since opsbot was started."""

    # What is known

    @property
    def up_since(self) -> datetime | None:
        """Since when every check of it has passed; None where one has not, or it has none."""
        healths = self.healths.values()
        if not healths or any(health.streak <= 0 or health.streak_since is None for health in healths):
            return None
        return max(health.streak_since for health in healths if health.streak_since is not None)

    @property
    def failing(self) -> list[FailingCheck]:
        """The checks whose last result was a failure."""
        return [
            FailingCheck(check.name, check.kind, check.unit, health.last.seen)
            for check in self._service.checks
            if (health := self.healths[check.name]).last is not None and not health.last.ok
        ]

    def down(self, units: Iterable[str] | None = None) -> list[Check]:
        """The checks that are down by their last results. units: only checks about these, "" for the whole service.

        One that passes again, or that an earlier opsbot saw, may have recovered already.
        """
        return [
            check
            for check in self._service.checks
            if is_down(self.healths[check.name]) and (units is None or check.unit in units)
        ]

    def counts(self, check: str) -> tuple[int | None, int | None]:
        """How many of how many results of a check failed, where that makes it down; None twice where it is not."""
        policy = next(one.policy for one in self._service.checks if one.name == check)
        health = self.healths[check]
        if -health.streak >= policy.fall:
            return policy.fall, policy.fall
        if policy.of is not None and (failed := failures(health.recent, policy.of)) >= policy.fall:
            return failed, min(policy.of, looks(health.recent))
        return None, None

    def has_passed(self, check: str, run: str | None) -> bool:
        return check in self._passed_in and self._passed_in[check] == run

    # When they run

    def hurry(self, now: datetime) -> None:
        """Every check is due."""
        for check in self._due:
            self._due[check] = min(self._due[check], now)
        self.next_due = min(self.next_due, now)

    def wait_for_verdict(self, now: datetime, *, unseen: bool) -> None:
        """Others wait for the verdict on it. unseen: there is no result since they asked."""
        if unseen or self._awaited is None or self._awaited <= now:
            self.hurry(now)
        self._awaited = now + PATIENCE

    def take_due(self, now: datetime, *, fast: bool) -> list[Check]:
        """Take the checks that are due and not running: they are to be run now. fast: the service has an incident."""
        due = self._take(check for check in self._service.checks if self._due[check.name] <= now)
        if due:
            awaited = self._awaited is not None and now < self._awaited
            for check in due:
                self._due[check.name] = now + self._interval(check, fast=fast, awaited=awaited)
            self.next_due = min(self._due.values())
        return due

    def take_all(self) -> list[Check]:
        """Take all checks that are not running: they are to be run now."""
        return self._take(self._service.checks)

    def ended(self, checks: Iterable[Check]) -> None:
        """These run no more."""
        self._running.difference_update(check.name for check in checks)

    def _take(self, checks: Iterable[Check]) -> list[Check]:
        taken = [check for check in checks if check.name not in self._running]
        self._running.update(check.name for check in taken)
        return taken

    def _interval(self, check: Check, *, fast: bool, awaited: bool) -> timedelta:
        # A presence comes late: to ask for it more often would only count its failures faster.
        last = self.healths[check.name].last
        if check.kind is CheckKind.PRESENCE and not (last is not None and last.ok):
            return check.interval
        if fast:
            return min(check.interval, FAST)
        return pace(check.interval, check.policy.fall) if awaited else check.interval

    # What changes

    def restore(
        self,
        healths: Mapping[str, CheckHealth],
        passed_in: Mapping[str, str | None],
        *,
        judge_again: bool,
        seen_long_ago: bool,
    ) -> None:
        """What an earlier opsbot knew. judge_again: what is down is judged again. seen_long_ago: it may be over."""
        self._passed_in |= passed_in
        for check in self.healths:
            health = healths.get(check, CheckHealth())
            if judge_again and health.verdict is Verdict.DOWN:
                health = CheckHealth(last=health.last)
            elif seen_long_ago:
                health = replace(health, streak=0, streak_since=None)
            self.healths[check] = health

    def see(self, check: Check, result: ProbeResult) -> None:
        """Keep a result that does not count."""
        self.healths[check.name] = replace(self.healths[check.name], last=result)

    def judge(self, check: Check, result: ProbeResult, run: str | None) -> tuple[VerdictChange | None, bool]:
        """Judge a result: the change of the verdict, and whether the check passed for the first time in this run."""
        first = result.ok and not self.has_passed(check.name, run)
        if first:
            self._passed_in[check.name] = run
        self.healths[check.name], change = observe(self.healths[check.name], result, check.policy)
        self.passed = self.passed or result.ok
        return change, first

    def judge_again(self, *, deployed: bool = False) -> None:
        """Forget all but what was seen last, which can still be shown. deployed: another release may run."""
        self.forgotten += 1
        for check, health in self.healths.items():
            self.healths[check] = CheckHealth(last=health.last)
        if deployed:
            self._passed_in = {}

    def forget_run(self, unit: str) -> None:
        """What was seen of a process that ended says nothing of the next one. unit: "" for all of them."""
        for check in self._service.checks:
            if check.unit in {"", unit} or not unit:
                known = self.healths[check.name]
                self.healths[check.name] = replace(
                    known,
                    verdict=Verdict.UNKNOWN if known.verdict is Verdict.DOWN else known.verdict,
                    streak=0,
                    streak_since=None,
                    recent=NONE_SEEN,
                    failing_since=None,
                )


def is_down(health: CheckHealth) -> bool:
    """Whether a check is down by its last result."""
    return health.verdict is Verdict.DOWN and health.streak < 0
