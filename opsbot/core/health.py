"""Health: a fold over check results.

`observe` takes what is known of one check and one new result and gives what is known afterwards, and whether the
verdict changed. A check is DOWN after `fall` failures in a row, or after `fall` failures of the last `of`; UP after
`rise` successes in a row, once fewer than `fall` of the last `of` failed; in between it keeps its verdict. Results seen
while the service is starting, stopping or being deployed are not folded at all (the shell does not ask), so that a
check cannot count against a start.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from opsbot.core.keys import Key


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


KEEP = 50
"""How many of the last results are kept: the most that `of` can be."""
NONE_SEEN = 1
_ALL_WELL = 1 << KEEP


@dataclass(frozen=True, slots=True)
class CheckPolicy:
    """How many results change the verdict."""

    fall: Annotated[int, Key(least=1, most=1000)] = 3
    """Failures in a row before it counts as down. Three forgive a hiccup; with `presence` the default is 10, since a
    bot that loses its connection may take minutes to come back by itself."""
    rise: Annotated[int, Key(least=1, most=1000)] = 2
    """Successes in a row before it counts as up again."""
    of: Annotated[int | None, Key(least=2, most=KEEP, example="5", unset="only failures in a row count")] = None
    """`fall` failures among this many of the last results count as down as well, even if no two were in a row: with
    `fall = 3` and `of = 5`, three of the last five. For a service that fails now and then."""


@dataclass(frozen=True, slots=True)
class CheckHealth:
    """What is known of one check. `since` is when the verdict began; a failure streak dates from its first failure."""

    verdict: Verdict = Verdict.UNKNOWN
    since: datetime | None = None
    streak: int = 0
    """Results in a row that agree with each other: positive successes, negative failures."""
    streak_since: datetime | None = None
    last: ProbeResult | None = None
    recent: int = NONE_SEEN
    """The last results as bits, the newest lowest, 1 for a failure; the highest bit that is set only marks the end."""
    failing_since: datetime | None = None
    """The first of the failures that are among the last `of` results (where no `of` is given, of the streak)."""

    @property
    def unasked(self) -> bool:
        """Whether what it looks at could not be asked the last time."""
        return self.last is not None and not self.last.known


@dataclass(frozen=True, slots=True)
class VerdictChange:
    """The verdict changed. `since` is when the streak that changed it began."""

    before: Verdict
    after: Verdict
    since: datetime


def looks(recent: int) -> int:
    """How many results are known."""
    return recent.bit_length() - 1


def failures(recent: int, last: int) -> int:
    """How many of the last so many results were failures."""
    count = min(last, looks(recent))
    return (recent & ((1 << count) - 1)).bit_count()


def alternations(recent: int, last: int) -> int:
    """How often, among the last so many results, one differs from the one before it."""
    count = min(last, looks(recent))
    if count < 2:  # noqa: PLR2004 - nothing to compare
        return 0
    return ((recent ^ (recent >> 1)) & ((1 << (count - 1)) - 1)).bit_count()


def _push(recent: int, *, failed: bool) -> int:
    longer = recent << 1 | failed
    return longer if looks(longer) <= KEEP else longer & ((1 << KEEP) - 1) | 1 << KEEP


def observe(health: CheckHealth, result: ProbeResult, policy: CheckPolicy) -> tuple[CheckHealth, VerdictChange | None]:
    """What is known after one more result, and the change of verdict if there was one."""
    if result.ok and health.recent == _ALL_WELL and health.verdict is Verdict.UP:
        # Nearly always, and thousands of times an hour: it was well all the while, and is.
        return CheckHealth(Verdict.UP, health.since, health.streak + 1, health.streak_since, result, _ALL_WELL), None
    same = (health.streak > 0) == result.ok and health.streak != 0
    step = 1 if result.ok else -1
    streak = health.streak + step if same else step
    streak_since = health.streak_since if same and health.streak_since else result.at
    recent = _push(health.recent, failed=not result.ok)
    failed = failures(recent, policy.of) if policy.of else -min(streak, 0)
    since = (health.failing_since or (result.at if policy.of else streak_since)) if failed else None
    verdict = health.verdict
    if verdict is Verdict.UNKNOWN and streak > 0:
        # A first success is enough where nothing is known yet: there is nothing to recover from.
        verdict = Verdict.UP
    elif streak >= policy.rise and failed < policy.fall:
        verdict = Verdict.UP
    elif failed >= policy.fall and not result.ok:
        verdict = Verdict.DOWN
    after = CheckHealth(verdict, health.since, streak, streak_since, result, recent, since)
    if verdict is health.verdict:
        return after, None
    began = since if verdict is Verdict.DOWN and since is not None else streak_since
    return replace(after, since=began), VerdictChange(health.verdict, verdict, began)
