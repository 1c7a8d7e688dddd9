"""The texts of refusals: why something that was asked for is not done."""

from collections.abc import Mapping

from opsbot.core.deploy_codes import RefusalCode
from opsbot.core.message import Param
from opsbot.messages.text import Text


def _no_rank(params: Mapping[str, Param]) -> str:
    return "You may not use {action}: it needs the rank {needed}, you have " + (
        "{held}." if params.get("held") else "none."
    )


def _unknown_service(params: Mapping[str, Param]) -> str:
    return "There is no service '{service}'. " + (
        "Did you mean {near}?" if params.get("near") else "There are: {known}."
    )


def _unknown_notifier(params: Mapping[str, Param]) -> str:
    known = "There are: {known}." if params.get("known") else "None is configured."
    return f"There is no notifier '{{notifier}}'. {known}"


def _held(params: Mapping[str, Param]) -> str:
    why = ": {reason}" if params.get("reason") else ""
    return f"deploys of {{service}} are paused by {{by}}{why}. Resume first."


def _no_such_release(params: Mapping[str, Param]) -> str:
    return "{service} keeps no release {release}. Kept: " + ("{kept}" if params.get("kept") else "none")


def _nothing_open(params: Mapping[str, Param]) -> str:
    what = "{service} has no open incident" if params.get("service") else "Nothing of it is open and unacknowledged"
    return f"{what}: there is nothing to acknowledge."


TEXTS: Mapping[str, Text] = {
    RefusalCode.NO_RANK: _no_rank,
    RefusalCode.UNKNOWN_SERVICE: _unknown_service,
    RefusalCode.UNKNOWN_NOTIFIER: _unknown_notifier,
    RefusalCode.NO_SOURCE: "{service} has no source to deploy from: add [services.{service}.source]",
    RefusalCode.BUSY: "{service} is being deployed already (deployment {deployment})",
    RefusalCode.BUSY_WAITING: (
        "{service} is being deployed already: deployment {deployment} waits for a quiet moment. Now on its card, or "
        "`opsbot now {service}`, ends the wait."
    ),
    RefusalCode.BUSY_RESTART: "{service} is being deployed; the deployment restarts it.",
    RefusalCode.HELD: _held,
    RefusalCode.AFTER_ROLLBACK: (
        "{service} was rolled back: automatic deploys are paused until a newer commit is pushed or it is resumed"
    ),
    RefusalCode.STOPPED_BY_HAND: "{service} was stopped by hand; a deploy by hand starts it",
    RefusalCode.ALREADY_LIVE: "{service} already runs {commit:short}. To restart it, use restart.",
    RefusalCode.RELEASE_LIVE: "{service} already runs release {release}",
    RefusalCode.QUARANTINED: (
        "{commit:short} is blocked since it failed on {at:f}; resume lifts this, a deploy by hand tries it again"
    ),
    RefusalCode.NO_SUCH_RELEASE: _no_such_release,
    RefusalCode.NO_EARLIER_RELEASE: "{service} has no earlier good release to return to",
    RefusalCode.STOPPING: "opsbot is being stopped; ask again in a moment",
    RefusalCode.NOT_WAITING: "No deployment of {service} is waiting.",
    RefusalCode.WAITS_NO_LONGER: "Deployment {deployment} of {service} is not waiting any more.",
    RefusalCode.RECOVERY_WAITS: (
        "No deployment of {service} is waiting, but its recovery is ({reason}): restart does it now."
    ),
    RefusalCode.RESTART_FAILED: "{service} did not restart: {cause}",
    RefusalCode.SILENCE_LENGTH: "A silence lasts up to {most}; {wanted} is not possible.",
    RefusalCode.ACK_REASON: "An acknowledgement needs a reason: what are you going to do about it?",
    RefusalCode.NOTHING_OPEN: _nothing_open,
    RefusalCode.INCIDENT_RESOLVED: "{service} is healthy again: there is nothing to acknowledge.",
    RefusalCode.BAD_DURATION: "Invalid duration '{text}'; write 90s, 10m, 1h30m or 7d.",
    RefusalCode.BAD_PAST: "'{text}' is longer ago than there is a date for.",
    RefusalCode.BAD_PATTERN: "'{pattern}' is not a regular expression: {error}.",
    RefusalCode.TAIL_OPTIONS: "A tail shows the last lines and what follows: leave out since and grep.",
    RefusalCode.RELOADING: "opsbot is about to reload its configuration; ask again in a moment",
    RefusalCode.UNKNOWN_DEPLOYMENT: "there is no deployment {deployment}",
    RefusalCode.NO_RELOAD: "this daemon cannot reload its configuration; restart it",
}
