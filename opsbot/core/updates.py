"""What to do about the head of a tracked branch: the decision of the poll.

`Deployer.start` calls `opsbot.core.deployment.decide` again, with the facts of that moment; this decision comes
first because the poll, unlike a person, must report each thing once and must not repeat a failure every few minutes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from opsbot.core.deploy_codes import NoteCode, UpdateCode
from opsbot.core.deployment import Deployment, DeploymentKind, Hold, Phase, Quarantine
from opsbot.core.message import Message, Param, message

FIRST_RETRY = timedelta(minutes=5)
LONGEST_RETRY = timedelta(hours=1)
NO_FAILURES = frozenset({Phase.LIVE, Phase.SKIPPED, Phase.REPLACED})
_TRIED = frozenset({Phase.LIVE, Phase.FAILED, Phase.UNDONE, Phase.STUCK})
NAMED = 4
NAME_MOST = 80


class UpdateReason(StrEnum):
    """Why a new commit is not deployed; part of the notification's key."""

    HELD = "held"
    WAITING = "waiting"
    QUARANTINED = "quarantined"
    BY_HAND = "by-hand"
    MANUAL = "manual"
    IGNORED = "ignored"
    NEEDS_LOOK = "needs-look"
    KEPT = "kept"  # an inhibitor, a maintenance window for one, keeps automatic deploys back
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Attention:
    """Differences from the live commit that need approval.

    files: those of `ask_when_changed`. native: the modules with native code that they say other things of. unknown: the
    live commit is gone from the repository, and nothing can be compared with it.
    """

    files: tuple[str, ...] = ()
    native: tuple[str, ...] = ()
    unknown: bool = False

    @property
    def reason(self) -> Message | None:
        """Why a person should look, None where none needs to."""
        if self.unknown:
            return message(UpdateCode.LIVE_UNKNOWN)
        if not self.files:
            return None
        return message(UpdateCode.NEEDS_APPROVAL, files=_some(self.files), native=_some(self.native))


@dataclass(frozen=True, slots=True)
class UpdateFacts:
    """The commit and its circumstances. deployments: the newest first.

    live: the commit that runs. older_than_hold: the commit is an ancestor of the one a rollback waits past. unchanged:
    the branch pointed there at the last poll already. only: the ignore patterns that cover every file that differs from
    the live commit, none where they do not. attention: what else differs from it and needs approval. kept: why
    automatic deploys are inhibited now. resumed: somebody resumed the service since the last attempt, so that a failed
    commit is retried at once.
    """

    head: str
    now: datetime
    auto: bool = True
    live: str | None = None
    hold: Hold | None = None
    older_than_hold: bool = False
    quarantined: Mapping[str, Quarantine] = field(default_factory=dict)
    unchanged: bool = False
    only: tuple[str, ...] = ()
    attention: Attention = Attention()
    kept: Message | None = None
    resumed: bool = False
    deployments: tuple[Deployment, ...] = ()


@dataclass(frozen=True, slots=True)
class DeployUpdate:
    """DeployUpdate it."""


@dataclass(frozen=True, slots=True)
class AnnounceUpdate:
    """Report once that it is there and not deployed."""

    because: UpdateReason
    reason: Message


@dataclass(frozen=True, slots=True)
class AwaitUpdate:
    """It failed for a reason that may pass: not again before `until`."""

    until: datetime


@dataclass(frozen=True, slots=True)
class NoUpdate:
    """Nothing to do, and nothing new to report."""


def retry_after(failures: int) -> timedelta:
    """The delay after so many failures: 5 minutes, doubled, at most an hour."""
    return min(FIRST_RETRY * (1 << min(failures - 1, 10)), LONGEST_RETRY)


def about(deployment: Deployment, commit: str) -> bool:
    """Whether this deployment brings that commit, as far as it knows yet."""
    return deployment.kind is DeploymentKind.DEPLOY and commit in {deployment.commit_to, deployment.ref}


def weigh(sight: UpdateFacts) -> DeployUpdate | AnnounceUpdate | AwaitUpdate | NoUpdate:
    """What to do about the commit while no deployment is in progress, or one waits."""
    if sight.head == sight.live:
        return NoUpdate()
    hold = sight.hold
    if hold is not None and hold.waits is None:
        return AnnounceUpdate(UpdateReason.HELD, message(UpdateCode.HELD, by=hold.actor, reason=hold.reason))
    latest = sight.deployments[0] if sight.deployments else None
    just_reported = latest is not None and sight.head in {latest.commit_to, latest.commit_from, latest.ref}
    if hold is not None and (sight.head == hold.waits or sight.older_than_hold):
        # The rollback's own card has said it of the commit that was rolled back.
        code = UpdateCode.ROLLED_BACK_COMMIT if sight.head == hold.waits else UpdateCode.NOT_NEWER
        return NoUpdate() if just_reported else AnnounceUpdate(UpdateReason.WAITING, message(code))
    if blocked := sight.quarantined.get(sight.head):
        reason = message(UpdateCode.QUARANTINED, at=blocked.at)
        return NoUpdate() if just_reported else AnnounceUpdate(UpdateReason.QUARANTINED, reason)
    person = _replaced_by(sight)
    if person is not None:
        return AnnounceUpdate(UpdateReason.BY_HAND, message(UpdateCode.BY_HAND, by=person))
    if not sight.auto:
        return AnnounceUpdate(UpdateReason.MANUAL, message(UpdateCode.MANUAL))
    if sight.only:
        return AnnounceUpdate(UpdateReason.IGNORED, message(UpdateCode.IGNORED, patterns=sight.only))
    if change := sight.attention.reason:
        return AnnounceUpdate(UpdateReason.NEEDS_LOOK, change)
    again = _again(sight)
    return AnnounceUpdate(UpdateReason.KEPT, sight.kept) if sight.kept and isinstance(again, DeployUpdate) else again


def history_of(deployments: Sequence[Deployment], commit: str) -> Message | None:
    """The outcome of an earlier deployment of the commit, None without one."""
    after: Deployment | None = None
    for each in deployments:
        if about(each, commit) and each.finished_at is not None and each.phase in _TRIED:
            if each.phase is not Phase.LIVE:
                code = UpdateCode.FAILED_BEFORE if each.phase is Phase.FAILED else UpdateCode.ROLLED_BACK_BEFORE
                return message(code, at=each.finished_at)
            if after is None or after.finished_at is None:
                return None
            back = after.kind is DeploymentKind.ROLLBACK
            return message(UpdateCode.ROLLED_BACK_BEFORE if back else UpdateCode.REPLACED_BEFORE, at=after.finished_at)
        if each.phase is Phase.LIVE:
            after = each
    return None


def _some(names: Sequence[str]) -> tuple[Param, ...]:
    """The first few of them, and how many more there are."""
    more = len(names) - NAMED
    shown = [name if len(name) <= NAME_MOST else f"…{name[1 - NAME_MOST :]}" for name in names[:NAMED]]
    return (*shown, message(NoteCode.AND_MORE, count=more)) if more > 0 else tuple(shown)


def _replaced_by(sight: UpdateFacts) -> str | None:
    """Who replaced this commit by hand while the branch did not move."""
    lives = [each for each in sight.deployments if each.phase is Phase.LIVE]
    if not sight.unchanged or not lives or lives[0].actor.automatic or lives[0].kind is not DeploymentKind.DEPLOY:
        return None
    return lives[0].actor.name if any(about(each, sight.head) for each in lives[1:]) else None


def failures_in_a_row(deployments: Sequence[Deployment], commit: str) -> int:
    """How many of the latest deployments (newest first) tried this commit and failed."""
    count = 0
    for deployment in deployments:
        if not about(deployment, commit) or deployment.phase in NO_FAILURES:
            break
        count += 1
    return count


def _again(sight: UpdateFacts) -> DeployUpdate | AwaitUpdate:
    failures = failures_in_a_row(sight.deployments, sight.head)
    if not failures or sight.resumed:
        return DeployUpdate()
    last = sight.deployments[0]
    until = (last.finished_at or last.updated_at) + retry_after(failures)
    return AwaitUpdate(until) if until > sight.now else DeployUpdate()
