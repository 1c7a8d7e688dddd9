"""What to do about the commit a tracked branch points to: the one decision of the poll.

`Deployer.start` asks `opsbot.core.deployment.decide` again, with the facts of its own moment; this decision comes first
because the poll, unlike a person, must say each thing once and must not repeat a failure every few minutes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from opsbot.core.deployment import Deployment, DeploymentKind, Hold, Phase

FIRST_RETRY = timedelta(minutes=5)
LONGEST_RETRY = timedelta(hours=1)
NO_FAILURES = frozenset({Phase.LIVE, Phase.SKIPPED, Phase.REPLACED})
NAMED = 4
NAME_MOST = 80


class UpdateReason(StrEnum):
    """Why a new commit is not deployed by itself: a closed list, part of the notice's key."""

    HELD = "held"
    WAITING = "waiting"
    QUARANTINED = "quarantined"
    BY_HAND = "by-hand"
    MANUAL = "manual"
    IGNORED = "ignored"
    NEEDS_LOOK = "needs-look"
    KEPT = "kept"
    """Something asks that nothing be deployed by itself now, a maintenance window for one."""
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Attention:
    """What differs from the live commit that a person should look at before it is deployed.

    files: those of `ask_when_changed`. native: the modules with native code that they say other things of. unknown: the
    live commit is gone from the repository, and nothing can be compared with it.
    """

    files: tuple[str, ...] = ()
    native: tuple[str, ...] = ()
    unknown: bool = False

    @property
    def words(self) -> str:
        """Why a person should look, "" where none needs to. Holds names of files, which are untrusted."""
        if self.unknown:
            return "the live commit is gone from the repository, so what this one changes cannot be told"
        if not self.files:
            return ""
        native = f" (with native code: {_some(self.native)})" if self.native else ""
        return f"changes {_some(self.files)}{native}"


@dataclass(frozen=True, slots=True)
class UpdateFacts:
    """The commit and all that bears on it. `deployments` of this service, newest first.

    live: the commit that runs. older_than_hold: the commit is an ancestor of the one a rollback waits past. unchanged:
    the branch pointed there at the last look already. only: the ignore patterns that cover every file that differs from
    the live commit, none where they do not. attention: what else differs from it that is not deployed unseen. kept: why
    nothing is deployed by itself now, in words.
    """

    head: str
    now: datetime
    auto: bool = True
    live: str | None = None
    hold: Hold | None = None
    older_than_hold: bool = False
    quarantined: Mapping[str, str] | None = None
    unchanged: bool = False
    only: tuple[str, ...] = ()
    attention: Attention = Attention()
    kept: str = ""
    deployments: tuple[Deployment, ...] = ()


@dataclass(frozen=True, slots=True)
class DeployUpdate:
    """DeployUpdate it."""


@dataclass(frozen=True, slots=True)
class AnnounceUpdate:
    """Tell once that it is there and not deployed. `text` is the reason in words, and may hold untrusted text."""

    because: UpdateReason
    text: str


@dataclass(frozen=True, slots=True)
class AwaitUpdate:
    """It failed for a reason that may pass: not again before `until`."""

    until: datetime


@dataclass(frozen=True, slots=True)
class NoUpdate:
    """Nothing to do, and nothing to tell that was not told."""


def retry_after(failures: int) -> timedelta:
    """From the end of so many failures in a row to the next try: 5 minutes, doubled each time, an hour at most."""
    return min(FIRST_RETRY * (1 << min(failures - 1, 10)), LONGEST_RETRY)


def about(deployment: Deployment, commit: str) -> bool:
    """Whether this deployment brings that commit, as far as it knows yet."""
    return deployment.kind is DeploymentKind.DEPLOY and commit in {deployment.commit_to, deployment.ref}


def weigh(sight: UpdateFacts) -> DeployUpdate | AnnounceUpdate | AwaitUpdate | NoUpdate:
    """What to do about the commit. Asked only while no deployment of the service is under way, but one that waits."""
    if sight.head == sight.live:
        return NoUpdate()
    hold = sight.hold
    if hold is not None and hold.waits is None:
        return AnnounceUpdate(UpdateReason.HELD, f"held by {hold.actor}" + (f": {hold.reason}" if hold.reason else ""))
    latest = sight.deployments[0] if sight.deployments else None
    just_told = latest is not None and sight.head in {latest.commit_to, latest.commit_from, latest.ref}
    if hold is not None and (sight.head == hold.waits or sight.older_than_hold):
        # The rollback's own card has said it of the commit that was rolled back.
        words = "it is not newer than the commit rolled back; automatic deploys wait for a newer one, or for resume"
        return NoUpdate() if just_told else AnnounceUpdate(UpdateReason.WAITING, words)
    if sight.quarantined and sight.head in sight.quarantined:
        words = (
            f"it failed before and is quarantined ({sight.quarantined[sight.head]}); a deploy by hand may try it again"
        )
        return NoUpdate() if just_told else AnnounceUpdate(UpdateReason.QUARANTINED, words)
    person = _replaced_by(sight)
    if person is not None:
        return AnnounceUpdate(
            UpdateReason.BY_HAND, f"{person} deployed another commit by hand since; it stays until the branch moves"
        )
    if not sight.auto:
        return AnnounceUpdate(UpdateReason.MANUAL, "automatic deploys are off for this service")
    if sight.only:
        return AnnounceUpdate(UpdateReason.IGNORED, f"it changes only {', '.join(sight.only)}")
    if sight.attention.words:
        return AnnounceUpdate(UpdateReason.NEEDS_LOOK, f"{sight.attention.words}: a person should look")
    again = _again(sight)
    return AnnounceUpdate(UpdateReason.KEPT, sight.kept) if sight.kept and isinstance(again, DeployUpdate) else again


def _some(names: Sequence[str]) -> str:
    """The first few of them, and how many more there are."""
    more = len(names) - NAMED
    shown = (name if len(name) <= NAME_MOST else f"…{name[1 - NAME_MOST :]}" for name in names[:NAMED])
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def _replaced_by(sight: UpdateFacts) -> str | None:
    """Who deployed something else after this commit had been live, the branch not having moved since."""
    lives = [each for each in sight.deployments if each.phase is Phase.LIVE]
    if not sight.unchanged or not lives or lives[0].actor.automatic or lives[0].kind is not DeploymentKind.DEPLOY:
        return None
    return lives[0].actor.name if any(about(each, sight.head) for each in lives[1:]) else None


def _again(sight: UpdateFacts) -> DeployUpdate | AwaitUpdate:
    failures = []
    for deployment in sight.deployments:
        if not about(deployment, sight.head) or deployment.phase in NO_FAILURES:
            break
        failures.append(deployment)
    if not failures:
        return DeployUpdate()
    until = (failures[0].finished_at or failures[0].updated_at) + retry_after(len(failures))
    return AwaitUpdate(until) if until > sight.now else DeployUpdate()
