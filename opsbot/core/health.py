"""Health: a fold over check results.

`observe` folds one new result into the health of a check and says whether the verdict changed. A check is DOWN after
`fall` failures in a row, or after `fall` failures of the last `of`; UP after `rise` successes in a row, once fewer than
`fall` of the last `of` failed; in between it keeps its verdict. Results seen while the service is starting, stopping or
being deployed are not folded (the caller skips them), so that a check cannot count against a start.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from opsbot.core.keys import Key
from opsbot.core.message import Message, MessageCode


class Verdict(StrEnum):
    """The judgement on a check or a service."""

    UNKNOWN = "unknown"
    UP = "up"
    DOWN = "down"


class ProbeCode(MessageCode):
    """What a probe can see, without durations, so that equal results are equal."""

    ONLINE = "probe.online"  # status: as Discord names it ("online", "idle", "dnd")
    OFFLINE = "probe.offline"
    PRESENCE_UNAVAILABLE = "probe.presence-unavailable"
    """why: opsbot's own connection is lost (a message, or what Discord said)."""
    NO_DISCORD = "probe.no-discord"
    DISCORD_LOST = "probe.discord-lost"

    PROCESS_RUNNING = "probe.process-running"  # pid
    PROCESS_GONE = "probe.process-gone"  # pid
    PROCESS_ZOMBIE = "probe.process-zombie"  # pid
    PROCESS_FROZEN = "probe.process-frozen"  # pid: by SIGSTOP
    MEMORY_USED = "probe.memory-used"  # pids, used (bytes)
    MEMORY_ABOVE_LIMIT = "probe.memory-above-limit"  # pids, used and limit (bytes)

    ACTIVITY = "probe.activity"  # activity: what the manager says of the service, a value of `Activity`
    ACTIVITY_AFTER_EXIT = "probe.activity-after-exit"  # activity; exit: how the last run ended, a message
    OF_UNIT = "probe.of-unit"  # unit; seen: what was seen of it, a message
    UNITS = "probe.units"  # seen: what was seen of each, a tuple of messages

    PORT_OPEN = "probe.port-open"  # port: somebody listens on it
    PORT_ACCEPTS = "probe.port-accepts"  # port: a connection to it was made
    PORT_CLOSED = "probe.port-closed"  # port
    PORT_BACKLOG_FULL = "probe.port-backlog-full"  # port; waiting: connections that the service has not accepted
    PORT_FROZEN = "probe.port-frozen"  # port, pid: the kernel takes connections for a process that is frozen by SIGSTOP

    CONNECTION_REFUSED = "probe.connection-refused"
    CONNECTION_RESET = "probe.connection-reset"
    CONNECTION_CLOSED = "probe.connection-closed"
    CONNECTION_FAILED = "probe.connection-failed"  # reason: what the operating system said
    DNS_FAILED = "probe.dns-failed"  # host, reason
    CERTIFICATE_REJECTED = "probe.certificate-rejected"  # reason
    TLS_FAILED = "probe.tls-failed"  # reason
    NO_ANSWER = "probe.no-answer"  # within: a timedelta
    NO_ANSWER_FROM = "probe.no-answer-from"  # address, within

    HTTP_STATUS = "probe.http-status"  # status: one that is expected
    HTTP_UNEXPECTED_STATUS = "probe.http-unexpected-status"  # status; expected: ranges as configured ("200-399")
    HTTP_HEADER_MISSING = "probe.http-header-missing"  # status, header
    HTTP_HEADER_DIFFERS = "probe.http-header-differs"  # status, header, value, pattern
    HTTP_BODY_LACKS = "probe.http-body-lacks"  # status, pattern
    HTTP_INVALID = "probe.http-invalid"
    HTTP_BROKEN = "probe.http-broken"
    HTTP_HEAD_TOO_LONG = "probe.http-head-too-long"
    HTTP_CUT_OFF = "probe.http-cut-off"

    COMMAND_EXITED = "probe.command-exited"  # exit: a message
    COMMAND_PRINTED = "probe.command-printed"  # exit; last: the last line that the command wrote
    COMMAND_TIMED_OUT = "probe.command-timed-out"  # within
    COMMAND_NOT_STARTED = "probe.command-not-started"  # command, directory, reason
    COMMAND_REFUSED = "probe.command-refused"  # reason: what the runner said as the service's user

    CHECK_FAILED_ITSELF = "probe.check-failed-itself"  # error: a fault of opsbot, or of the check's configuration


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What one probe saw. The strings in `seen` may be untrusted text."""

    ok: bool
    seen: Message
    at: datetime
    took: float = 0.0
    """Seconds."""
    known: bool = True
    """False if the probe was impossible. Such a result is shown and never folded."""


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
    """The health of one check. `since`: when the streak of its verdict began."""

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
        """Whether the last probe was impossible."""
        return self.last is not None and not self.last.known


@dataclass(frozen=True, slots=True)
class VerdictChange:
    """The verdict changed. `since` is when the streak that changed it began."""

    before: Verdict
    after: Verdict
    since: datetime


def looks(recent: int) -> int:
    return recent.bit_length() - 1


def failures(recent: int, last: int) -> int:
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
    """Fold one more result; return the health and any change of verdict."""
    if result.ok and health.recent == _ALL_WELL and health.verdict is Verdict.UP:
        # Nearly always, and thousands of times an hour: it was up and is up.
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
