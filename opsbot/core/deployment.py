"""Deployments: the table of phases, and the decision whether one may begin.

A deployment goes

    PENDING → FETCHING → PREPARING → INSTALLING → SWITCHING → RESTARTING → VERIFYING → LIVE

and a rollback, whose release is on disk already, PENDING → SWITCHING → RESTARTING → VERIFYING → LIVE. Either may enter
WAITING before SWITCHING while the running release must not be replaced: a bot in a voice channel with people. Up to
WAITING nothing live has changed: a failure ends in FAILED and there is nothing to roll back. From SWITCHING on, a
failure goes through UNDOING: the previous release is switched back, restarted and checked, and the deployment ends
as rolled back (without a previous release the service is stopped). When even that fails it ends STUCK and needs
attention. SKIPPED is the end of one whose commit, once fetched, needs no deployment, and of one that may not be
deployed any more when its wait ends.

Another deployment may supersede one that waits. Until that one is ready (WAITING or SWITCHING) the first is ASIDE, with
all that it has prepared: then it is REPLACED, or waits on if the other one failed or was skipped.

Each phase is written to the store *before* its work begins, so that a process that finds an unfinished deployment
knows the most that can have happened.
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from opsbot.core.access import Actor
from opsbot.core.deploy_codes import OutcomeCode, RefusalCode
from opsbot.core.message import Message, message


class DeploymentKind(StrEnum):
    """Whether a deployment brings a commit, or returns to a release that is kept."""

    DEPLOY = "deploy"
    ROLLBACK = "rollback"


SHORT = 7
"""Digits of a commit id that people are shown."""


class Phase(StrEnum):
    """The phase of a deployment."""

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

TROUBLE = frozenset({Phase.FAILED, Phase.UNDONE, Phase.STUCK})
"""Ends after which somebody may have to act."""

CHANGED = frozenset({Phase.SWITCHING, Phase.RESTARTING, Phase.VERIFYING, Phase.UNDOING})
"""Unfinished phases in which something live may have changed."""

TAKEN_UP = CHANGED | {Phase.WAITING}
"""Unfinished phases that the next opsbot continues from: all is prepared."""

READY = frozenset({Phase.WAITING, Phase.SWITCHING})
"""Phases in which all is prepared: what was ASIDE for such a deployment is superseded."""

UNREADY_ENDS = frozenset({Phase.FAILED, Phase.SKIPPED})
"""Ends of one that was never ready: what was ASIDE for it waits on."""

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
    **dict.fromkeys(ENDS, frozenset[Phase]()),
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
        return self.id[:SHORT]


@dataclass(frozen=True, slots=True)
class DeploymentStep:
    """One thing a deployment did: a phase's work or an install command.

    name: a `StepCode`. output: the file that keeps all it printed; tail: its last lines (shown on failure), untrusted.
    ok: None while it runs.
    """

    name: Message
    phase: Phase
    started_at: datetime
    ended_at: datetime | None = None
    ok: bool | None = None
    note: Message | None = None
    tail: str = ""
    output: str = ""


@dataclass(frozen=True, slots=True)
class DeploymentRequest:
    """A request for a deployment.

    `ref` None: the tracked branch. `release` is for rollbacks; None: the previous good one. A person's reason is plain
    text.
    """

    service: str
    kind: DeploymentKind
    actor: Actor
    ref: str | None = None
    release: str | None = None
    reason: Message | None = None


@dataclass(frozen=True, slots=True)
class Deployment:
    """One row of the ledger: everything known of one deployment.

    note: its outcome once it has ended, what superseded it, or the failure it is being rolled back for.
    """

    id: int
    service: str
    kind: DeploymentKind
    phase: Phase
    actor: Actor
    created_at: datetime
    updated_at: datetime
    ref: str | None = None
    reason: Message | None = None
    commit_from: str | None = None
    commit_to: str | None = None
    release_from: str | None = None
    release_to: str | None = None
    commits: tuple[Commit, ...] = ()
    commits_total: int = 0
    steps: tuple[DeploymentStep, ...] = ()
    failed_in: Phase | None = None
    note: Message | None = None
    finished_at: datetime | None = None
    live_at: datetime | None = None
    revision: int = 0
    """Grows with each save: what a message shows is stale while its revision is smaller."""
    instead_of: int | None = None
    """The deployment that waited, and that this one is to supersede."""
    is_live: bool = False
    """Whether it brought the release that is live now."""

    @property
    def finished(self) -> bool:
        return self.phase in ENDS

    @property
    def ok(self) -> bool | None:
        """Whether the service runs what was requested; None until it is finished."""
        nothing_to_do = self.phase is Phase.SKIPPED and self.failed_in is None
        return self.phase is Phase.LIVE or nothing_to_do if self.finished else None

    @property
    def target(self) -> str:
        """What it brings: the commit, the release or the ref; "" is the tracked branch."""
        return self.commit_to[:SHORT] if self.commit_to else self.release_to or self.ref or ""

    @property
    def rolled_back_to(self) -> str | None:
        """The release that serves since this deployment was rolled back."""
        release = self.note.params.get("release") if self.note and self.note.code == OutcomeCode.ROLLED_BACK else None
        return release if isinstance(release, str) else None

    @property
    def let_go_on(self) -> int | None:
        """The deployment that waits on because this one did not get ready."""
        unready = self.phase in UNREADY_ENDS and self.failed_in is not Phase.WAITING
        return self.instead_of if unready else None


def advance(deployment: Deployment, to: Phase, now: datetime, note: Message | None = None) -> Deployment:
    """The deployment one move further; without a note it keeps the one it has.

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
    """A refusal. `deployment` is the one in the way, if there is one."""

    why: RefusalReason
    message: Message
    deployment: int | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """Yes. `release` is the release to return to, for a rollback."""

    release: str | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """No deploys until resumed. A person's reason is plain text.

    waits: the commit of a rollback that caused it. Then only automatic deploys wait, until there is a newer commit.
    """

    service: str
    actor: str
    reason: Message | None
    at: datetime
    waits: str | None = None


@dataclass(frozen=True, slots=True)
class Quarantine:
    """A commit that is not deployed automatically until /resume or a manual deploy."""

    reason: Message | None
    at: datetime


def commit_in(release: str) -> str:
    """The abbreviated commit in a release's name (`TIME-COMMIT[-NUMBER]`)."""
    return release.split("-")[1] if "-" in release else release


@dataclass(frozen=True, slots=True)
class Release:
    """A complete release folder on disk.

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
    quarantined: Mapping[str, Quarantine] = field(default_factory=dict)
    commit: str | None = None
    older_than_hold: bool = False
    """`commit` is an ancestor of the one that a rollback waits past (a branch set back): not newer."""
    stopped_by_hand: bool = False
    """A person stopped the service: a deploy would start it."""


def decide(request: DeploymentRequest, facts: DeploymentFacts) -> Accepted | Refused:
    """Whether this may begin now. Rank is asked before, see `opsbot.core.access`."""
    service = request.service
    if not facts.has_source:
        return Refused(RefusalReason.NO_SOURCE, message(RefusalCode.NO_SOURCE, service=service))
    if facts.unfinished is not None:
        return busy(service, facts.unfinished)
    if request.kind is DeploymentKind.ROLLBACK:
        return _decide_rollback(request, facts)
    return _decide_deploy(request, facts)


def busy(service: str, number: int) -> Refused:
    return Refused(RefusalReason.BUSY, message(RefusalCode.BUSY, service=service, deployment=number), number)


def follows(waiting: Deployment, branch: str) -> bool:
    """Whether a deployment follows the tracked branch, not a named commit."""
    return waiting.kind is DeploymentKind.DEPLOY and (waiting.actor.automatic or waiting.ref in {None, branch})


def replaces(request: DeploymentRequest, target: str | None, waiting: Deployment, branch: str) -> bool:
    """Whether this supersedes a deployment that waits, which has changed nothing live.

    target: the commit that a deploy resolves to, the release that a rollback returns to. A person's request supersedes
    any that waits; an automatic one supersedes what follows the branch. The same is never done twice.
    """
    same = waiting.release_to if request.kind is DeploymentKind.ROLLBACK else waiting.commit_to
    if target is None or (waiting.kind is request.kind and target == same):
        return False
    if request.actor.automatic:
        return request.kind is DeploymentKind.DEPLOY and follows(waiting, branch)
    return True


def _decide_deploy(request: DeploymentRequest, facts: DeploymentFacts) -> Accepted | Refused:
    service, hold = request.service, facts.hold
    if hold is not None and hold.waits is None:
        return Refused(
            RefusalReason.HELD, message(RefusalCode.HELD, service=service, by=hold.actor, reason=hold.reason)
        )
    if hold is not None and request.actor.automatic and (facts.older_than_hold or facts.commit in {None, hold.waits}):
        return Refused(RefusalReason.WAITING, message(RefusalCode.AFTER_ROLLBACK, service=service))
    if request.actor.automatic and facts.stopped_by_hand and facts.live is not None:
        return Refused(RefusalReason.STOPPED_BY_HAND, message(RefusalCode.STOPPED_BY_HAND, service=service))
    if facts.commit is None:
        return Accepted()
    if facts.live is not None and facts.live.commit == facts.commit:
        return Refused(
            RefusalReason.ALREADY_LIVE, message(RefusalCode.ALREADY_LIVE, service=service, commit=facts.commit)
        )
    if request.actor.automatic and (blocked := facts.quarantined.get(facts.commit)):
        words = message(RefusalCode.QUARANTINED, service=service, commit=facts.commit, at=blocked.at)
        return Refused(RefusalReason.QUARANTINED, words)
    return Accepted()


def _decide_rollback(request: DeploymentRequest, facts: DeploymentFacts) -> Accepted | Refused:
    service, wanted = request.service, request.release
    live = facts.live.name if facts.live else None
    if wanted is not None:
        found = next((r for r in facts.releases if wanted in {r.name, r.commit} or r.commit.startswith(wanted)), None)
        if found is None:
            kept = tuple(release.name for release in facts.releases)
            words = message(RefusalCode.NO_SUCH_RELEASE, service=service, release=wanted, kept=kept)
            return Refused(RefusalReason.NO_RELEASE, words)
        if found.name == live:
            return Refused(
                RefusalReason.ALREADY_LIVE, message(RefusalCode.RELEASE_LIVE, service=service, release=found.name)
            )
        return Accepted(found.name)
    earlier = previous_good(facts.releases, live, facts.quarantined)
    return Accepted(earlier.name) if earlier else no_earlier_release(service)


def no_earlier_release(service: str) -> Refused:
    return Refused(RefusalReason.NO_RELEASE, message(RefusalCode.NO_EARLIER_RELEASE, service=service))


def previous_good(
    releases: tuple[Release, ...], live: str | None, quarantined: Container[str] = frozenset()
) -> Release | None:
    """The newest good release before the live one, not quarantined or abandoned."""
    names = [release.name for release in releases]
    earlier = releases[names.index(live) + 1 :] if live in names else releases
    return next(
        (r for r in earlier if r.good and not r.abandoned and r.name != live and r.commit not in quarantined), None
    )
