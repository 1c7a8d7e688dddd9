"""Health: a fold over check results.

`observe` takes what is known of one check and one new result and gives what is known afterwards, and whether the
verdict changed. A check is DOWN after `fall` failures in a row, UP after `rise` successes in a row; in between it keeps
its verdict. Results seen while the service is starting, stopping or being deployed are not folded at all (the shell
does not ask), so that a check cannot count against a start.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Verdict(StrEnum):
    """What is held to be true of a check, or of a service."""

    UNKNOWN = "unknown"
    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What one look saw.

    `seen` says it in words for people ("answered 500", "no answer in 3 s"), and may hold untrusted text.
    """

    ok: bool
    seen: str
    at: datetime
    took: float = 0.0
    """Seconds."""
    known: bool = True
    """False: what it looks at cannot be asked at present. Such a result is shown and never folded."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How many results in a row change the verdict."""

    fall: int = 3
    rise: int = 2


@dataclass(frozen=True, slots=True)
class CheckHealth:
    """What is known of one check. `since` is when the verdict began; a failure streak dates from its first failure."""

    verdict: Verdict = Verdict.UNKNOWN
    since: datetime | None = None
    streak: int = 0
    """Results in a row that agree with each other: positive successes, negative failures."""
    streak_since: datetime | None = None
    last: ProbeResult | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """The verdict changed. `since` is when the streak that changed it began."""

    before: Verdict
    after: Verdict
    since: datetime


def observe(health: CheckHealth, result: ProbeResult, policy: Policy) -> tuple[CheckHealth, Change | None]:
    """What is known after one more result, and the change of verdict if there was one."""
    same = (health.streak > 0) == result.ok and health.streak != 0
    step = 1 if result.ok else -1
    streak = health.streak + step if same else step
    streak_since = health.streak_since if same and health.streak_since else result.at
    verdict = health.verdict
    if streak >= policy.rise or (verdict is Verdict.UNKNOWN and streak > 0):
        # A first success is enough where nothing is known yet: there is nothing to recover from.
        verdict = Verdict.UP
    elif -streak >= policy.fall:
        verdict = Verdict.DOWN
    if verdict is health.verdict:
        return CheckHealth(verdict, health.since, streak, streak_since, result), None
    after = CheckHealth(verdict, streak_since, streak, streak_since, result)
    return after, Change(health.verdict, verdict, streak_since)


def overall(verdicts: list[Verdict]) -> Verdict:
    """A service is down when any check is, unknown while any is not yet known, else up."""
    if Verdict.DOWN in verdicts:
        return Verdict.DOWN
    return Verdict.UNKNOWN if Verdict.UNKNOWN in verdicts else Verdict.UP
