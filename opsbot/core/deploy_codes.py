"""Codes of deployments: steps, failures, outcomes, refusals, source errors.

Their texts are in `opsbot.messages.deployments` and `opsbot.messages.refusals`. Parameters are named in the comments;
"cause", "error" and "reason" are messages, sizes are bytes, "commit" is a full id, "release" a folder's name.
"""

from opsbot.core.message import MessageCode


class StepCode(MessageCode):
    """The name of a step."""

    FETCH = "step.fetch"  # ref
    PREPARE = "step.prepare"
    INSTALL = "step.install"  # command
    CHECK_CHECKOUT = "step.check-checkout"
    CHECK_OUT = "step.check-out"  # release
    WAIT = "step.wait"
    SWITCH = "step.switch"  # release
    RESTART = "step.restart"  # part
    VERIFY = "step.verify"  # part
    SWITCH_BACK = "step.switch-back"  # release
    VERIFY_AGAIN = "step.verify-again"  # release: of a rollback after a failure
    STOP = "step.stop"


class NoteCode(MessageCode):
    """How a step went, and parts of other messages."""

    COMMIT = "note.commit"  # commit
    PID = "note.pid"  # pid
    PREPARED = "note.prepared"  # files (count), remarks (tuple of messages)
    REUSED = "note.reused"  # files, commit, paths
    NOT_REUSED = "note.not-reused"  # files, commit, paths
    UNCHANGED = "note.unchanged"  # files
    LEFT_STOPPED = "note.left-stopped"
    HURRIED = "note.hurried"  # by
    QUIET = "note.quiet"
    INTERRUPTED = "note.interrupted"
    AND_MORE = "note.and-more"  # count
    FILE_SYSTEM = "note.file-system"  # path, free, total
    COMMAND_DONE = "note.command-done"
    COMMAND_STATUS = "note.command-status"  # status
    COMMAND_SIGNAL = "note.command-signal"  # signal (its name)
    COMMAND_KILLED = "note.command-killed"  # by SIGKILL that opsbot did not send
    COMMAND_TIMEOUT = "note.command-timeout"  # limit
    COMMAND_NOT_STARTED = "note.command-not-started"  # command, error


class VerifyCode(MessageCode):
    """What verification saw. "part" is a unit of the service, None where it is one."""

    PASSED = "verify.passed"  # checks (count), soak (timedelta or None), unasked (names)
    WAITING_FOR = "verify.waiting-for"  # missing (messages)
    SOAKING = "verify.soaking"  # soak
    DOUBT = "verify.doubt"  # missing
    CHECK_SAW = "verify.check-saw"  # check, seen (None: no answer yet)
    NOT_RUNNING = "verify.not-running"
    CHECK_FAILED_AGAIN = "verify.check-failed-again"  # check, count, seen
    NOT_HEALTHY = "verify.not-healthy"  # within, missing
    STOPPED = "verify.stopped"  # part, after (timedelta or None)
    RESTARTED_BY_OTHERS = "verify.restarted-by-others"  # part, after
    DIED = "verify.died"  # part, after, exit
    OTHER_RELEASE = "verify.other-release"  # part, runs, wanted (folder names)
    OTHER_RELEASE_UNIT = "verify.other-release-unit"  # part, runs, wanted, unit, root


class FailureCode(MessageCode):
    """Why a deployment cannot go on."""

    COMMAND = "failure.command"  # command, ending
    COMMAND_NO_SPACE = "failure.command-no-space"  # command, where, ending
    NO_SPACE = "failure.no-space"  # where
    NOT_ENOUGH_SPACE = "failure.not-enough-space"  # where, needed
    FILE_ERROR = "failure.file-error"  # path, error
    RELEASE_LIVE = "failure.release-live"  # release
    RELEASE_GONE = "failure.release-gone"  # release
    CURRENT_IS_FOLDER = "failure.current-is-folder"  # path
    SHARED_LINK_OUTSIDE = "failure.shared-link-outside"  # folder, path
    SHARED_NOT_A_FOLDER = "failure.shared-not-a-folder"  # path, link
    SHARED_OTHER_FILE_SYSTEM = "failure.shared-other-file-system"  # folder, path
    NO_CHECKOUT = "failure.no-checkout"  # directory
    EMPTY_CHECKOUT = "failure.empty-checkout"  # directory
    CHECKOUT_CHANGED = "failure.checkout-changed"  # directory, files
    CHECKOUT_IN_THE_WAY = "failure.checkout-in-the-way"  # directory, commit, files
    CHECKOUT_ELSEWHERE = "failure.checkout-elsewhere"  # directory, release
    CHECKOUT_GIT = "failure.checkout-git"  # directory, error
    CHECKOUT_COMMIT_GONE = "failure.checkout-commit-gone"  # release, directory
    CHECKOUT_OTHER_USER = "failure.checkout-other-user"
    GIT_BUSY = "failure.git-busy"  # directory, pid
    SUBMODULES = "failure.submodules"  # commit, paths
    NOT_WHOLE = "failure.not-whole"  # commit, paths
    NOT_STARTED = "failure.not-started"  # error
    NOT_RESTARTED = "failure.not-restarted"  # part
    NOT_STOPPED = "failure.not-stopped"  # error
    PART_STOPPED = "failure.part-stopped"  # part
    PART_DIED = "failure.part-died"  # part, exit
    PART_NOT_HEALTHY = "failure.part-not-healthy"  # part, cause, left (names)
    UNEXPECTED = "failure.unexpected"  # kind, error
    INTERRUPTED = "failure.interrupted"  # phase
    STOPPED = "failure.stopped"  # phase
    STATE_NOT_WRITTEN = "failure.state-not-written"
    NOT_CONFIGURED = "failure.not-configured"  # service


class RemarkCode(MessageCode):
    """What is worth knowing besides the outcome."""

    LFS = "remark.lfs"
    LEFT_BEHIND = "remark.left-behind"  # release, changed, added (paths)
    NOT_A_SUCCESSOR = "remark.not-a-successor"  # commit, live
    SHARED_FROM_COMMIT = "remark.shared-from-commit"  # path
    SHARED_MISSING = "remark.shared-missing"  # path
    SHARED_MADE = "remark.shared-made"  # path
    RELEASE_UNPROVEN = "remark.release-unproven"  # unit, folder, current


class OutcomeCode(MessageCode):
    """How a deployment ended. "retry_at": when opsbot tries the commit again."""

    LIVE = "outcome.live"  # remarks
    FAILED = "outcome.failed"  # cause, retry_at
    ROLLED_BACK = "outcome.rolled-back"  # cause, release (that serves), retry_at, lost (message or None)
    STOPPED = "outcome.stopped"  # cause, retry_at, lost
    NOT_ROLLED_BACK = "outcome.not-rolled-back"  # cause, tried (releases)
    ROLLBACK_BROKE = "outcome.rollback-broke"  # cause, error
    LOST = "outcome.lost"  # service, commit: ready before this one, and given up for it
    SUPERSEDED = "outcome.superseded"  # commit, release, deployment, branch, by
    WITHDRAWN = "outcome.withdrawn"  # branch, commit
    HISTORY_REWRITTEN = "outcome.history-rewritten"  # branch
    RETRY_OF = "outcome.retry-of"  # deployment
    HOLD_AFTER_ROLLBACK = "outcome.hold-after-rollback"  # deployment
    HOLD_AFTER_DAMAGE = "outcome.hold-after-damage"


class SourceCode(MessageCode):
    """What is wrong with a remote or the mirror of it."""

    PROBLEM = "source.problem"  # reason, advice (None where nothing is known)
    GIT = "source.git"  # said: git's own words
    STATUS = "source.status"  # status
    TOKEN = "source.token"  # noqa: S105 - a code; error
    GIT_NOT_STARTED = "source.git-not-started"  # error
    GIT_TIMEOUT = "source.git-timeout"  # verb, limit
    GIT_OUTPUT = "source.git-output"  # verb, most
    HOST_TIMEOUT = "source.host-timeout"  # host, limit
    NO_BRANCH = "source.no-branch"  # branch
    NO_SPACE = "source.no-space"  # where
    DAMAGED = "source.damaged"  # said
    MIRROR_BUSY = "source.mirror-busy"  # directory, pid
    REF_LENGTH = "source.ref-length"
    REF_DASH = "source.ref-dash"  # ref
    REF_INVALID = "source.ref-invalid"  # ref
    REF_UNKNOWN = "source.ref-unknown"  # ref
    ADVICE_RETRY = "source.advice-retry"
    ADVICE_TLS = "source.advice-tls"
    ADVICE_CREDENTIALS = "source.advice-credentials"
    ADVICE_HOST_KEY = "source.advice-host-key"
    ADVICE_NO_REPOSITORY = "source.advice-no-repository"
    ADVICE_NO_BRANCH = "source.advice-no-branch"
    ADVICE_MOVED = "source.advice-moved"
    ADVICE_OWNERSHIP = "source.advice-ownership"
    ADVICE_DISK = "source.advice-disk"


class UpdateCode(MessageCode):
    """What a poll found, and why a new commit is not deployed automatically."""

    NO_SOURCE = "update.no-source"  # service
    LIVE_AGAIN = "update.live-again"  # branch, commit
    LIVE = "update.live"  # service, commit
    WAITING = "update.waiting"  # commit
    DEPLOYING = "update.deploying"  # commit
    NEXT = "update.next"  # commit
    KNOWN = "update.known"  # commit
    RETRY = "update.retry"  # commit, at
    NEW_COMMIT = "update.new-commit"  # service, commit, branch, reason
    KNOWN_COMMIT = "update.known-commit"  # service, commit, branch, reason, before (one of the next three)
    FAILED_BEFORE = "update.failed-before"  # at
    ROLLED_BACK_BEFORE = "update.rolled-back-before"  # at
    REPLACED_BEFORE = "update.replaced-before"  # at
    HELD = "update.held"  # by, reason (message or None)
    NOT_NEWER = "update.not-newer"
    ROLLED_BACK_COMMIT = "update.rolled-back-commit"  # commit
    QUARANTINED = "update.quarantined"  # at, cause
    BY_HAND = "update.by-hand"  # by
    MANUAL = "update.manual"
    IGNORED = "update.ignored"  # patterns
    NEEDS_APPROVAL = "update.needs-approval"  # files, native (names)
    LIVE_UNKNOWN = "update.live-unknown"
    SOURCE_FAILED = "update.source-failed"  # service, source, branch, since (datetime or None), problem
    SOURCE_ANSWERS = "update.source-answers"  # service, source, branch, after
    REWRITTEN = "update.rewritten"  # service, source, branch, commit, before
    CHECKOUT_MOVED = "update.checkout-moved"  # service, directory, commit, before
    LINK_RESTORED = "update.link-restored"  # service, pointed (None: to nothing), release
    LINK_WRONG = "update.link-wrong"  # service, pointed, release, error
    DATABASE_DAMAGED = "update.database-damaged"  # kept, services (whose deploys are paused)


class RefusalCode(MessageCode):
    """Why something was refused, beside `opsbot.core.deployment.RefusalReason`."""

    NO_RANK = "refused.no-rank"  # action, needed, held
    UNKNOWN_SERVICE = "refused.unknown-service"  # service, near (a name or None), known (names)
    UNKNOWN_NOTIFIER = "refused.unknown-notifier"  # notifier, known
    NO_SOURCE = "refused.no-source"  # service
    BUSY = "refused.busy"  # service, deployment
    BUSY_WAITING = "refused.busy-waiting"  # service, deployment
    BUSY_RESTART = "refused.busy-restart"  # service
    HELD = "refused.held"  # service, by, reason (message or None)
    AFTER_ROLLBACK = "refused.after-rollback"  # service
    STOPPED_BY_HAND = "refused.stopped-by-hand"  # service
    ALREADY_LIVE = "refused.already-live"  # service, commit
    RELEASE_LIVE = "refused.release-live"  # service, release
    QUARANTINED = "refused.quarantined"  # service, commit, at
    NO_SUCH_RELEASE = "refused.no-such-release"  # service, release, kept (names)
    NO_EARLIER_RELEASE = "refused.no-earlier-release"  # service
    STOPPING = "refused.stopping"
    NOT_WAITING = "refused.not-waiting"  # service
    WAITS_NO_LONGER = "refused.waits-no-longer"  # service, deployment
    RECOVERY_WAITS = "refused.recovery-waits"  # service, reason
    RESTART_FAILED = "refused.restart-failed"  # service, cause
    SILENCE_LENGTH = "refused.silence-length"  # most, wanted
    ACK_REASON = "refused.ack-reason"
    NOTHING_OPEN = "refused.nothing-open"  # service (None: none at all)
    INCIDENT_RESOLVED = "refused.incident-resolved"  # service
    BAD_DURATION = "refused.bad-duration"  # text
    BAD_PAST = "refused.bad-past"  # text
    BAD_PATTERN = "refused.bad-pattern"  # pattern, error
    TAIL_OPTIONS = "refused.tail-options"
    NO_RELOAD = "refused.no-reload"
    UNKNOWN_DEPLOYMENT = "refused.unknown-deployment"  # deployment: a number
    RELOADING = "refused.reloading"
