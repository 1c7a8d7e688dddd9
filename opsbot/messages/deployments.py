"""The texts of deployments: steps, verification, failures, outcomes, sources and updates."""

from collections.abc import Mapping

from opsbot.core.deploy_codes import (
    FailureCode,
    NoteCode,
    OutcomeCode,
    RemarkCode,
    SourceCode,
    StepCode,
    UpdateCode,
    VerifyCode,
)
from opsbot.core.deployment import Deployment, Phase
from opsbot.core.message import Param
from opsbot.messages.text import Text

_STATUS: Mapping[str, str] = {
    Phase.PENDING: "queued",
    Phase.PREPARING: "building",
    Phase.INSTALLING: "building",
    Phase.ASIDE: "waiting",
    Phase.UNDOING: "rolling back",
    Phase.LIVE: "succeeded",
    Phase.UNDONE: "rolled back",
    Phase.STUCK: "needs attention",
    Phase.REPLACED: "superseded",
}


def deployment_status(deployment: Deployment) -> str:
    """A deployment's status in a word or two; "live" is the one whose release is live now."""
    return "live" if deployment.is_live else phase_status(deployment.phase)


def phase_status(phase: str) -> str:
    """What a phase is called where it is the status of a deployment that may not be the live one."""
    return _STATUS.get(phase, phase)


def _part(params: Mapping[str, Param]) -> str:
    return "{part}" if params.get("part") else "the service"


def _verified(params: Mapping[str, Param]) -> str:
    count = params.get("checks")
    what = "it kept running" if not count else "its check passed" if count == 1 else "all {checks} checks passed"
    soak = " for {soak}" if params.get("soak") is not None else ""
    return what + soak + ("; unknown: {unasked}" if params.get("unasked") else "")


def _failed_again(params: Mapping[str, Param]) -> str:
    times = "once" if params.get("count") == 1 else "{count} times in a row"
    return f"{{check}} passed at first, then failed {times}: {{seen}}"


def _ended(what: str) -> Text:
    def text(params: Mapping[str, Param]) -> str:
        after = " {after} after its start" if params.get("after") is not None else ""
        exit_ = " ({exit})" if params.get("exit") else ""
        return f"{_part(params)} {what}{after}{exit_}"

    return text


def _other_release(params: Mapping[str, Param]) -> str:
    return f"{_part(params)} runs {{runs}} and not {{wanted}}"


def _left_behind(params: Mapping[str, Param]) -> str:
    parts = [f"{what} by hand: {{{what}}}" for what in ("changed", "added") if params.get(what)]
    return "left behind in {release:release}: " + "; ".join(parts)


def _sequel(params: Mapping[str, Param]) -> str:
    retry = " Retrying at {retry_at:t}." if params.get("retry_at") is not None else ""
    return retry + (" {lost}" if params.get("lost") is not None else "")


def _failed(params: Mapping[str, Param]) -> str:
    return "{cause:sentence}" + _sequel(params)


def _rolled_back(params: Mapping[str, Param]) -> str:
    return "{cause:clause}; rolled back to {release:release}." + _sequel(params)


def _stopped(params: Mapping[str, Param]) -> str:
    return "{cause:clause}; there was no earlier release, so the service is stopped." + _sequel(params)


def _not_rolled_back(params: Mapping[str, Param]) -> str:
    tried = "no earlier release passed its checks (tried: {tried:release})"
    return "{cause:clause}; " + (tried if params.get("tried") else "no earlier release is left") + ". Needs attention."


def _superseded(params: Mapping[str, Param]) -> str:
    what = "the rollback to {release:release}" if params.get("release") else "{commit:short}"
    number = " (deployment {deployment})" if params.get("deployment") else ""
    return what + (", requested by {by}" if params.get("by") else ", which {branch} points to now") + number


def _needs_approval(params: Mapping[str, Param]) -> str:
    return "awaiting approval: changes {files:code}" + (" (native code: {native})" if params.get("native") else "")


def _held(params: Mapping[str, Param]) -> str:
    return "deploys are paused by {by}" + (": {reason}" if params.get("reason") else "")


def _source_failed(params: Mapping[str, Param]) -> str:
    since = "since {since:f}" if params.get("since") is not None else "yet"
    return f"{{service}}: no answer from {{source}} ({{branch}}) {since}: {{problem}}"


def _problem(params: Mapping[str, Param]) -> str:
    return "{reason}" if params.get("advice") is None else "{reason:sentence} {advice}"


def _pointed(params: Mapping[str, Param]) -> str:
    return "{pointed}" if params.get("pointed") else "nothing"


def _damaged(params: Mapping[str, Param]) -> str:
    held = " Deploys are paused until resumed: {services}." if params.get("services") else ""
    return (
        "opsbot's database was damaged. It is kept as {kept}; a new one was created without history, pauses, silences "
        f"and blocked commits. Services keep running.{held}"
    )


_PASSED: Mapping[str, Text] = {
    VerifyCode.PASSED: _verified,
    VerifyCode.WAITING_FOR: "waiting for {missing:clauses}",
    VerifyCode.SOAKING: "all checks pass; watching for {soak}",
    VerifyCode.DOUBT: "a check failed meanwhile: {missing:clauses}",
    VerifyCode.CHECK_SAW: lambda params: "{check}: " + ("{seen}" if params.get("seen") else "no answer yet"),
    VerifyCode.NOT_RUNNING: "it is not running",
    VerifyCode.CHECK_FAILED_AGAIN: _failed_again,
    VerifyCode.NOT_HEALTHY: "not healthy {within} after its start: {missing:clauses}",
    VerifyCode.STOPPED: _ended("was stopped by hand"),
    VerifyCode.RESTARTED_BY_OTHERS: _ended("was restarted by somebody else"),
    VerifyCode.DIED: _ended("died"),
    VerifyCode.OTHER_RELEASE: _other_release,
    VerifyCode.OTHER_RELEASE_UNIT: lambda params: (
        _other_release(params) + ": WorkingDirectory= of {unit} has to go through {root}"
    ),
}

_STEPS: Mapping[str, Text] = {
    StepCode.FETCH: "fetch {ref}",
    StepCode.PREPARE: "prepare the release",
    StepCode.INSTALL: "{command}",
    StepCode.CHECK_CHECKOUT: "check the checkout",
    StepCode.CHECK_OUT: "check out {release:release}",
    StepCode.WAIT: "wait for a quiet moment",
    StepCode.SWITCH: "switch to {release:release}",
    StepCode.RESTART: lambda params: "restart {part}" if params.get("part") else "restart",
    StepCode.VERIFY: lambda params: "verify {part}" if params.get("part") else "verify",
    StepCode.SWITCH_BACK: "switch back to {release:release}",
    StepCode.VERIFY_AGAIN: "verify {release:release}",
    StepCode.STOP: "stop the service",
    NoteCode.COMMIT: "{commit:short}",
    NoteCode.PID: "pid {pid}",
    NoteCode.PREPARED: lambda params: (
        "{files} {files:plural|file|files}" + ("; {remarks:clauses}" if params.get("remarks") else "")
    ),
    NoteCode.REUSED: "{files} unchanged since {commit:short}: reused {paths}",
    NoteCode.NOT_REUSED: "run although {files} is unchanged: {commit:short} has no {paths:or} to reuse",
    NoteCode.UNCHANGED: "{files} unchanged since it was run: not run again",
    NoteCode.LEFT_STOPPED: "the service was stopped by hand and stays stopped",
    NoteCode.HURRIED: "ended by {by}",
    NoteCode.QUIET: "nothing speaks against it any more",
    NoteCode.INTERRUPTED: "opsbot was restarted meanwhile",
    NoteCode.AND_MORE: "and {count} more",
    NoteCode.FILE_SYSTEM: "{path} ({free:bytes} of {total:bytes} free)",
    NoteCode.COMMAND_DONE: "done",
    NoteCode.COMMAND_STATUS: "exit status {status}",
    NoteCode.COMMAND_SIGNAL: "killed by {signal}",
    NoteCode.COMMAND_KILLED: "killed by SIGKILL (out of memory, or by somebody)",
    NoteCode.COMMAND_TIMEOUT: "not done after {limit}; killed with all its processes",
    NoteCode.COMMAND_NOT_STARTED: "{command} cannot be started: {error}",
}

_FAILURES: Mapping[str, Text] = {
    FailureCode.COMMAND: "{command}: {ending}",
    FailureCode.COMMAND_NO_SPACE: "{command}: no space left on {where}: {ending}",
    FailureCode.NO_SPACE: "no space left on {where}",
    FailureCode.NOT_ENOUGH_SPACE: "not enough space on {where}: {needed:bytes} must be free",
    FailureCode.FILE_ERROR: "{path}: {error}",
    FailureCode.RELEASE_LIVE: "release {release} is live and is not removed",
    FailureCode.RELEASE_GONE: "the folder of release {release} is not there",
    FailureCode.CURRENT_IS_FOLDER: "{path} is a folder, where opsbot keeps a link: move it away",
    FailureCode.SHARED_LINK_OUTSIDE: "{folder} is a link that leads out of the release: {path} cannot be shared",
    FailureCode.SHARED_NOT_A_FOLDER: "{path} cannot be shared: {link} is a link, or no folder; put a folder there",
    FailureCode.SHARED_OTHER_FILE_SYSTEM: (
        "{folder} is on another file system: put {path} there yourself, as the service's user"
    ),
    FailureCode.NO_CHECKOUT: (
        'there is no git checkout at {directory}: clone the repository there, or use strategy = "releases"'
    ),
    FailureCode.EMPTY_CHECKOUT: "the checkout at {directory} has no commit yet",
    FailureCode.CHECKOUT_CHANGED: (
        "{directory} has changes that are in no commit: {files}. Nothing was touched. Push them, or take them back "
        "(git -C {directory} restore -SW FILE), then deploy again"
    ),
    FailureCode.CHECKOUT_IN_THE_WAY: (
        "{directory} has files that are in no commit, where {commit:short} brings its own: {files}. Nothing was "
        "touched. Move them away, then deploy again"
    ),
    FailureCode.CHECKOUT_ELSEWHERE: "{directory} is not at release {release}",
    FailureCode.CHECKOUT_GIT: "git in {directory}: {error}",
    FailureCode.CHECKOUT_COMMIT_GONE: "the commit of release {release} is not in {directory} any more",
    FailureCode.CHECKOUT_OTHER_USER: (
        "its install steps would run as the unit's user, in a checkout that is opsbot's: with install steps, "
        'strategy = "in-place" needs a unit of opsbot\'s own user. Use strategy = "releases"'
    ),
    FailureCode.GIT_BUSY: "another git works in {directory} (pid {pid})",
    FailureCode.SUBMODULES: "{commit:short} has submodules ({paths}), which are not deployed",
    FailureCode.NOT_WHOLE: "{commit:short} could not be exported completely: {paths}",
    FailureCode.NOT_STARTED: "it did not start: {error}",
    FailureCode.NOT_RESTARTED: lambda params: f"{_part(params)} was not restarted: the previous process still runs",
    FailureCode.NOT_STOPPED: "it could not be stopped: {error}",
    FailureCode.PART_STOPPED: "{part} was stopped by hand",
    FailureCode.PART_DIED: lambda params: (
        "{part} did not stay alive in the new release" + (" ({exit})" if params.get("exit") else "")
    ),
    FailureCode.PART_NOT_HEALTHY: lambda params: (
        "{part} is not healthy after its restart ({cause})" + ("; not restarted: {left}" if params.get("left") else "")
    ),
    FailureCode.UNEXPECTED: "{kind}: {error}",
    FailureCode.INTERRUPTED: "opsbot was restarted while {phase}",
    FailureCode.STOPPED: "opsbot was stopped while {phase}",
    FailureCode.STATE_NOT_WRITTEN: "opsbot could not continue: its own state could not be written",
    FailureCode.NOT_CONFIGURED: "{service} is not configured any more",
    RemarkCode.LFS: (
        "files kept in Git LFS came as pointers: add an install step `git lfs pull`, or keep them elsewhere"
    ),
    RemarkCode.LEFT_BEHIND: _left_behind,
    RemarkCode.NOT_A_SUCCESSOR: (
        "{commit:short} does not follow from {live:short}: it is older, or the history was rewritten"
    ),
    RemarkCode.SHARED_FROM_COMMIT: "shared/{path} was created from the commit's own",
    RemarkCode.SHARED_MISSING: "{path} is missing: put it there, the next deploy links it",
    RemarkCode.SHARED_MADE: "shared/{path} was created, an empty folder",
    RemarkCode.RELEASE_UNPROVEN: (
        "the release that {unit} runs is unknown: its process does not work in {folder}, as it would with "
        "WorkingDirectory={current}"
    ),
}

_OUTCOMES: Mapping[str, Text] = {
    OutcomeCode.LIVE: "{remarks:clauses}",
    OutcomeCode.FAILED: _failed,
    OutcomeCode.ROLLED_BACK: _rolled_back,
    OutcomeCode.STOPPED: _stopped,
    OutcomeCode.NOT_ROLLED_BACK: _not_rolled_back,
    OutcomeCode.ROLLBACK_BROKE: "{cause:sentence} The rollback failed: {error:clause}. Needs attention.",
    OutcomeCode.LOST: (
        "{commit:short}, which was ready before it, is not deployed any more: /deploy service:{service} "
        "ref:{commit:plain-short}."
    ),
    OutcomeCode.SUPERSEDED: _superseded,
    OutcomeCode.WITHDRAWN: "{branch} points to {commit:short} again, which is live",
    OutcomeCode.HISTORY_REWRITTEN: "the history of {branch} was rewritten",
    OutcomeCode.RETRY_OF: "retry of {deployment}",
    OutcomeCode.HOLD_AFTER_ROLLBACK: "rolled back: deployment {deployment}",
    OutcomeCode.HOLD_AFTER_DAMAGE: (
        "the database was damaged: pauses, blocked commits and rollbacks from before are forgotten"
    ),
}

_SOURCES: Mapping[str, Text] = {
    SourceCode.PROBLEM: _problem,
    SourceCode.GIT: "{said}",
    SourceCode.STATUS: "git ended with status {status}",
    SourceCode.TOKEN: "the token for the repository: {error}",
    SourceCode.GIT_NOT_STARTED: "git cannot be started: {error}",
    SourceCode.GIT_TIMEOUT: "git {verb} did not answer in {limit} and was killed",
    SourceCode.GIT_OUTPUT: "git {verb} printed more than {most:bytes}",
    SourceCode.HOST_TIMEOUT: "{host} did not answer in {limit}",
    SourceCode.NO_BRANCH: "the repository has no branch {branch}",
    SourceCode.NO_SPACE: "no space left on {where}",
    SourceCode.DAMAGED: "what the repository sent is damaged: {said}",
    SourceCode.MIRROR_BUSY: "another git works in {directory} (pid {pid})",
    SourceCode.REF_LENGTH: "the name of a branch, a tag or a commit has 1 to 250 characters",
    SourceCode.REF_DASH: "{ref} begins with a dash; no branch, tag or commit does",
    SourceCode.REF_INVALID: "{ref} is no name of a branch, a tag or a commit",
    SourceCode.REF_UNKNOWN: "the repository has no branch, tag or commit '{ref}'",
    SourceCode.ADVICE_RETRY: "Retrying at the next poll.",
    SourceCode.ADVICE_TLS: "Check the server's certificate, or this host's CA certificates and clock.",
    SourceCode.ADVICE_CREDENTIALS: (
        "Check the token (it may have expired) or the ssh key, and that it may read this repository."
    ),
    SourceCode.ADVICE_HOST_KEY: (
        "Compare the server's key with the one its forge publishes, then, as the user opsbot runs as: "
        "ssh-keyscan HOST >> ~/.ssh/known_hosts"
    ),
    SourceCode.ADVICE_NO_REPOSITORY: (
        "Check the address; a private repository also looks missing to one who may not read it."
    ),
    SourceCode.ADVICE_NO_BRANCH: "Push the branch again, or set source.branch to the one to follow.",
    SourceCode.ADVICE_MOVED: "Write the repository's new address (with .git at its end) into source.repository.",
    SourceCode.ADVICE_OWNERSHIP: (
        "The repository belongs to another user: git config --global --add safe.directory PATH "
        "(as the user opsbot runs as)."
    ),
    SourceCode.ADVICE_DISK: "Free some space on the disk.",
}

_UPDATES: Mapping[str, Text] = {
    UpdateCode.NO_SOURCE: "{service} has no source",
    UpdateCode.LIVE_AGAIN: "{branch} points to {commit:short} again, which is live",
    UpdateCode.LIVE: "{service} runs {commit:short}, the newest",
    UpdateCode.WAITING: "{commit:short} waits for a quiet moment",
    UpdateCode.DEPLOYING: "{commit:short} is being deployed",
    UpdateCode.NEXT: "{commit:short} follows the deployment in progress",
    UpdateCode.KNOWN: "{commit:short} is known",
    UpdateCode.RETRY: "{commit:short} failed; retrying at {at:t}",
    UpdateCode.NEW_COMMIT: "{service}: new commit {commit:short} on {branch}, not deployed: {reason}",
    UpdateCode.KNOWN_COMMIT: "{service}: {commit:short} on {branch} {before}; not deployed again: {reason}",
    UpdateCode.FAILED_BEFORE: "failed on {at:f}",
    UpdateCode.ROLLED_BACK_BEFORE: "was rolled back on {at:f}",
    UpdateCode.REPLACED_BEFORE: "was live until {at:f}",
    UpdateCode.HELD: _held,
    UpdateCode.NOT_NEWER: (
        "automatic deploys are paused after a rollback, until a newer commit is pushed or /resume is used"
    ),
    UpdateCode.ROLLED_BACK_COMMIT: (
        "it was rolled back; automatic deploys are paused until a newer commit is pushed or /resume is used"
    ),
    UpdateCode.QUARANTINED: "blocked since it failed on {at:f}; /resume lifts this, /deploy tries it again",
    UpdateCode.BY_HAND: "{by} deployed another commit by hand since; it stays until the branch moves",
    UpdateCode.MANUAL: "automatic deploys are off for this service",
    UpdateCode.IGNORED: "it changes only {patterns}",
    UpdateCode.NEEDS_APPROVAL: _needs_approval,
    UpdateCode.LIVE_UNKNOWN: (
        "awaiting approval: the live commit is gone from the repository, so its changes are unknown"
    ),
    UpdateCode.SOURCE_FAILED: _source_failed,
    UpdateCode.SOURCE_ANSWERS: "{service}: {source} ({branch}) answers again, after {after}",
    UpdateCode.REWRITTEN: (
        "{service}: the history of {source} ({branch}) was rewritten: {commit:short} does not follow from "
        "{before:short}. opsbot follows the branch as it is now."
    ),
    UpdateCode.CHECKOUT_MOVED: (
        "{service}: the checkout at {directory} is at {commit:short} and not at {before:short}, which was live: "
        "somebody moved it. opsbot goes on from there."
    ),
    UpdateCode.LINK_RESTORED: lambda params: (
        f"{{service}}: `current` pointed to {_pointed(params)}; it points to {{release}} again"
    ),
    UpdateCode.LINK_WRONG: lambda params: (
        f"{{service}}: `current` points to {_pointed(params)} and not to {{release}}: {{error}}"
    ),
    UpdateCode.DATABASE_DAMAGED: _damaged,
}

TEXTS: Mapping[str, Text] = {**_STEPS, **_PASSED, **_FAILURES, **_OUTCOMES, **_SOURCES, **_UPDATES}
