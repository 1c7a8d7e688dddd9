"""Deployments: the table of phases, and the decision whether one may begin.

A deployment goes

    PENDING → FETCHING → PREPARING → INSTALLING → SWITCHING → RESTARTING → VERIFYING → LIVE

and a rollback, whose release already stands on disk, PENDING → SWITCHING → RESTARTING → VERIFYING → LIVE. Either may
stand in WAITING before SWITCHING, where what runs is not to be replaced yet: a bot in a voice channel with people.
Up to WAITING nothing live has changed: a failure ends in FAILED and there is nothing to undo. From SWITCHING on, a
failure goes through UNDOING: the release before is switched back, restarted and looked at, and the deployment ends
UNDONE (where there was no release before, the service is stopped); when even that fails it ends STUCK and a human is
called. SKIPPED is the end of one whose commit, once fetched, turned out to need no deploying, and of one that was not
to be deployed any more when its wait ended.

Another may take the place of one that waits. Until that one is ready (WAITING or SWITCHING) the first stands ASIDE,
with all that it has prepared: then it is REPLACED, or goes on waiting where the other one failed or was not needed.

Each phase is written to the store *before* its work begins, so that a process that finds an unfinished deployment
knows the most that can have happened.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from opsbot.core.access import Actor


class DeploymentKind(StrEnum):
    """Whether a deployment brings a commit, or returns to a release that is kept."""

    DEPLOY = "deploy"
    ROLLBACK = "rollback"


class Phase(StrEnum):
    """Where a deployment stands."""

    PENDING = "pending"
    FETCHING = "fetching"
    PREPARING = "preparing"
    INSTALLING = "installing"
    WAITING = "waiting"
    ASIDE = "aside"
    SWITCHING = "switching"
    RESTARTING = "restarting"
    VERIFYING = "verifying"
    UNDOING = "undoing"
    LIVE = "live"
    FAILED = "failed"
    UNDONE = "undone"
    STUCK = "stuck"
    SKIPPED = "skipped"
    REPLACED = "replaced"


ENDS = frozenset({Phase.LIVE, Phase.FAILED, Phase.UNDONE, Phase.STUCK, Phase.SKIPPED, Phase.REPLACED})
"""Phases nothing follows."""

CHANGED = frozenset({Phase.SWITCHING, Phase.RESTARTING, Phase.VERIFYING, Phase.UNDOING})
"""Unfinished phases in which something live may have changed."""

TAKEN_UP = CHANGED | {Phase.WAITING}
"""Unfinished phases that the next opsbot goes on from: all is prepared."""

READY = frozenset({Phase.WAITING, Phase.SWITCHING})
"""Phases that come when all is prepared: whoever stood aside for such a one is replaced."""

UNREADY_ENDS = frozenset({Phase.FAILED, Phase.SKIPPED})
"""Ends of one that did not come so far: whoever stood aside for it goes on."""

MOVES: Mapping[Phase, frozenset[Phase]] = {
    Phase.PENDING: frozenset({Phase.FETCHING, Phase.WAITING, Phase.SWITCHING, Phase.FAILED}),
    Phase.FETCHING: frozenset({Phase.PREPARING, Phase.FAILED, Phase.SKIPPED}),
    Phase.PREPARING: frozenset({Phase.INSTALLING, Phase.FAILED}),
    Phase.INSTALLING: frozenset({Phase.WAITING, Phase.SWITCHING, Phase.FAILED}),
    Phase.WAITING: frozenset({Phase.SWITCHING, Phase.FAILED, Phase.SKIPPED, Phase.ASIDE}),
    Phase.ASIDE: frozenset({Phase.WAITING, Phase.REPLACED}),
    Phase.SWITCHING: frozenset({Phase.RESTARTING, Phase.UNDOING}),
    Phase.RESTARTING: frozenset({Phase.VERIFYING, Phase.UNDOING}),
    Phase.VERIFYING: frozenset({Phase.LIVE, Phase.UNDOING}),
    Phase.UNDOING: frozenset({Phase.UNDONE, Phase.STUCK}),
    Phase.LIVE: frozenset(),
    Phase.FAILED: frozenset(),
    Phase.UNDONE: frozenset(),
    Phase.STUCK: frozenset(),
    Phase.SKIPPED: frozenset(),
    Phase.REPLACED: frozenset(),
}


class IllegalMoveError(ValueError):
    """The table has no such move: a mistake in opsbot, never in its input."""


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit, as it is shown. `title` and `author` are untrusted text."""

    id: str
    title: str
    author: str
    at: datetime

    @property
    def short(self) -> str:
        """The first ten digits."""
        return self.id[:10]


@dataclass(frozen=True, slots=True)
class DeploymentStep:
    """One thing a deployment did: a phase's work or an install command.

    `output` is the file that keeps all it printed, `tail` its last lines (shown on failure).
    `ok` is None while it runs.
    """

    name: str
    phase: Phase
    started_at: datetime
    ended_at: datetime | None = None
    ok: bool | None = None
    note: str = ""
    tail: str = ""
    output: str = ""


@dataclass(frozen=True, slots=True)
class DeploymentRequest:
    """Somebody asks for a deployment.

    `ref` None: the tracked branch. `release` is for rollbacks; None: the previous good one.
    """

    service: str
    kind: DeploymentKind
    actor: Actor
    ref: str | None = None
    release: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Deployment:
    """One row of the ledger: everything known of one deployment."""

    id: int
    service: str
    kind: DeploymentKind
    phase: Phase
    actor: Actor
    created_at: datetime
    updated_at: datetime
    ref: str | None = None
    reason: str = ""
    commit_from: str | None = None
    commit_to: str | None = None
    release_from: str | None = None
    release_to: str | None = None
    commits: tuple[Commit, ...] = ()
    commits_total: int = 0
    steps: tuple[DeploymentStep, ...] = ()
    failed_in: Phase | None = None
    note: str = ""
    finished_at: datetime | None = None
    live_at: datetime | None = None
    revision: int = 0
    """Grows with each save: what a message shows is stale while its revision is smaller."""
    instead_of: int | None = None
    """The deployment that waited, and in whose place this one came."""

    @property
    def finished(self) -> bool:
        """Whether it came to an end."""
        return self.phase in ENDS

    @property
    def ok(self) -> bool | None:
        """Whether the service runs what was asked for, where there was nothing to do too; None until it is finished."""
        nothing_to_do = self.phase is Phase.SKIPPED and self.failed_in is None
        return self.phase is Phase.LIVE or nothing_to_do if self.finished else None

    @property
    def what(self) -> str:
        """What it brings, in a word or two."""
        return (
            f"the rollback to {self.release_to}"
            if self.kind is DeploymentKind.ROLLBACK
            else f"{self.commit_to or '':.10}"
        )

    @property
    def let_go_on(self) -> int | None:
        """The deployment that goes on waiting since this one, which was to take its place, did not get ready."""
        unready = self.phase in UNREADY_ENDS and self.failed_in is not Phase.WAITING
        return self.instead_of if unready else None


def advance(deployment: Deployment, to: Phase, now: datetime, note: str | None = None) -> Deployment:
    """The deployment one move further.

    Raises:
        IllegalMoveError: the table has no such move.
    """
    if to not in MOVES[deployment.phase]:
        msg = f"deployment {deployment.id} of {deployment.service}: no move from {deployment.phase} to {to}"
        raise IllegalMoveError(msg)
    failed_in = deployment.failed_in
    if to in {Phase.FAILED, Phase.UNDOING} or (to in ENDS and deployment.phase is Phase.WAITING):
        failed_in = deployment.phase
    elif to is Phase.REPLACED:
        failed_in = Phase.WAITING
    return replace(
        deployment,
        phase=to,
        updated_at=now,
        failed_in=failed_in,
        note=deployment.note if note is None else note,
        finished_at=now if to in ENDS else None,
        live_at=now if to is Phase.LIVE else deployment.live_at,
    )


class RefusalReason(StrEnum):
    """Why something was refused: a closed list, for people and for scripts."""

    NO_RANK = "no-rank"
    UNKNOWN_SERVICE = "unknown-service"
    UNKNOWN_DEPLOYMENT = "unknown-deployment"
    NO_SOURCE = "no-source"
    BUSY = "busy"
    HELD = "held"
    WAITING = "waiting-after-rollback"
    QUARANTINED = "quarantined"
    ALREADY_LIVE = "already-live"
    NO_RELEASE = "no-release"
    BAD_REF = "bad-ref"
    BAD_INPUT = "bad-input"
    STOPPED_BY_HAND = "stopped-by-hand"
    NOT_READY = "not-ready"
    NOT_NOW = "not-now"
    NO_INCIDENT = "no-incident"
    NOT_WAITING = "not-waiting"


@dataclass(frozen=True, slots=True)
class Refused:
    """No, and why, in a sentence for the one who asked. `deployment` is the one in the way, where there is one."""

    why: RefusalReason
    text: str
    deployment: int | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """Yes. `release` is the release to return to, for a rollback."""

    release: str | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """No deploys until resumed. `waits` is the commit rolled back from, when a rollback caused it: then only automatic
    deploys wait, and a commit newer than that one ends it.
    """

    service: str
    actor: str
    reason: str
    at: datetime
    waits: str | None = None


@dataclass(frozen=True, slots=True)
class Release:
    """A release folder that stands complete on disk.

    good: it was live and verified at some time. abandoned: it was rolled back from since; no rollback returns to it
    unless it is named.
    """

    name: str
    commit: str
    at: datetime
    good: bool
    title: str = ""
    abandoned: bool = False


@dataclass(frozen=True, slots=True)
class DeploymentFacts:
    """What a decision needs, gathered beforehand.

    `releases` newest first. `commit` is what the request resolves to, None while that is unknown (before a fetch).
    """

    has_source: bool
    unfinished: int | None = None
    hold: Hold | None = None
    live: Release | None = None
    releases: tuple[Release, ...] = ()
    quarantined: frozenset[str] = frozenset()
    commit: str | None = None
    older_than_hold: bool = False
    """`commit` is an ancestor of the one that a rollback waits past (a branch set back): not newer."""
    stopped_by_hand: bool = False
    """A person stopped the service: a deploy would start it."""


def decide(request: DeploymentRequest, facts: DeploymentFacts) -> Accepted | Refused:
    """Whether this may begin now. Rank is asked before, see `opsbot.core.access`."""
    if not facts.has_source:
        return Refused(
            RefusalReason.NO_SOURCE,
            f"{request.service} has no source to deploy from: add [services.{request.service}.source]",
        )
    if facts.unfinished is not None:
        return Refused(
            RefusalReason.BUSY,
            f"{request.service} is being deployed already (deployment {facts.unfinished})",
            facts.unfinished,
        )
    if request.kind is DeploymentKind.ROLLBACK:
        return _decide_rollback(request, facts)
    return _decide_deploy(request, facts)


def follows(waiting: Deployment, branch: str) -> bool:
    """Whether a deployment brings whatever the tracked branch points to, rather than what a person named."""
    return waiting.kind is DeploymentKind.DEPLOY and (waiting.actor.automatic or waiting.ref in {None, branch})


def replaces(request: DeploymentRequest, target: str | None, waiting: Deployment, branch: str) -> bool:
    """Whether this takes the place of a deployment that waits, which has changed nothing live.

    target: the commit that a deploy resolves to, the release that a rollback returns to. A person's word goes before
    any that waits; what comes by itself before what follows the branch. The same is never done twice.
    """
    same = waiting.release_to if request.kind is DeploymentKind.ROLLBACK else waiting.commit_to
    if target is None or (waiting.kind is request.kind and target == same):
        return False
    if request.actor.automatic:
        return request.kind is DeploymentKind.DEPLOY and follows(waiting, branch)
    return True


def _decide_deploy(request: DeploymentRequest, facts: DeploymentFacts) -> Accepted | Refused:
    hold = facts.hold
    if hold is not None and hold.waits is None:
        why = f": {hold.reason}" if hold.reason else ""
        return Refused(RefusalReason.HELD, f"{request.service} is held by {hold.actor}{why}. Resume it first.")
    if hold is not None and request.actor.automatic and (facts.older_than_hold or facts.commit in {None, hold.waits}):
        return Refused(
            RefusalReason.WAITING,
            f"{request.service} was rolled back: automatic deploys wait for a newer commit, or for resume",
        )
    if request.actor.automatic and facts.stopped_by_hand and facts.live is not None:
        return Refused(
            RefusalReason.STOPPED_BY_HAND,
            f"{request.service} was stopped by hand; a deploy by hand starts it",
        )
    if facts.commit is None:
        return Accepted()
    if facts.live is not None and facts.live.commit == facts.commit:
        return Refused(
            RefusalReason.ALREADY_LIVE,
            f"{request.service} already runs {facts.commit[:10]}. To start it anew, use restart.",
        )
    if request.actor.automatic and facts.commit in facts.quarantined:
        return Refused(
            RefusalReason.QUARANTINED,
            f"{facts.commit[:10]} failed before and is quarantined; a deploy by hand may try it again",
        )
    return Accepted()


def _decide_rollback(request: DeploymentRequest, facts: DeploymentFacts) -> Accepted | Refused:
    live = facts.live.name if facts.live else None
    if request.release is not None:
        wanted = [
            r for r in facts.releases if request.release in {r.name, r.commit} or r.commit.startswith(request.release)
        ]
        if not wanted:
            kept = ", ".join(r.name for r in facts.releases) or "none"
            return Refused(
                RefusalReason.NO_RELEASE, f"{request.service} keeps no release {request.release}. Kept: {kept}"
            )
        if wanted[0].name == live:
            return Refused(RefusalReason.ALREADY_LIVE, f"{request.service} already runs release {wanted[0].name}")
        return Accepted(wanted[0].name)
    earlier = previous_good(facts.releases, live, facts.quarantined)
    if earlier is None:
        return Refused(RefusalReason.NO_RELEASE, f"{request.service} has no earlier good release to return to")
    return Accepted(earlier.name)


def previous_good(
    releases: tuple[Release, ...], live: str | None, quarantined: frozenset[str] = frozenset()
) -> Release | None:
    """The newest good release before the live one, by folder order.

    Those in quarantine, and those that were rolled back from, are passed over.
    """
    names = [release.name for release in releases]
    earlier = releases[names.index(live) + 1 :] if live in names else releases
    return next(
        (r for r in earlier if r.good and not r.abandoned and r.name != live and r.commit not in quarantined), None
    )
