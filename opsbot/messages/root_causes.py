"""Texts of the answer to `/why`."""

from collections.abc import Mapping

from opsbot.core.deployment import Phase
from opsbot.core.message import Param
from opsbot.core.root_cause_codes import JournalReason, RootCauseCode
from opsbot.messages.text import Text

_ENDED: Mapping[Param, str] = {
    Phase.LIVE: "went live",
    Phase.FAILED: "failed",
    Phase.UNDONE: "was rolled back",
    Phase.STUCK: "needs attention",
    Phase.SKIPPED: "was skipped",
    Phase.REPLACED: "was superseded",
}


def _went_down(params: Mapping[str, Param]) -> str:
    return "{at:T} {service} went down: {cause}" + ("; {reason}" if params.get("reason") is not None else "")


def _during(params: Mapping[str, Param]) -> str:
    ended = _ENDED.get(params.get("phase"))
    return ", during {deployment}" + (f", which {ended}" if ended else "")


def _restarted(params: Mapping[str, Param]) -> str:
    return "; restarted by opsbot {last:T}" if params.get("count") == 1 else _RESTARTED_OFTEN


_RESTARTED_OFTEN = "; restarted {count} times by opsbot, last {last:T}"


def _recovered(params: Mapping[str, Param]) -> str:
    how = " ({resolution})" if params.get("resolution") is not None else ""
    return "; recovered {at:T} after {downtime:rough}" + how


def _stopped_by_opsbot(params: Mapping[str, Param]) -> str:
    at = " at {at:T}" if params.get("at") is not None else ""
    return (
        "{service} was stopped by opsbot"
        + at
        + ": {deployment} was rolled back, and there was no earlier release. The next deploy starts it"
    )


def _stopped_by_hand(params: Mapping[str, Param]) -> str:
    at = " at {at:T}" if params.get("at") is not None else "; when is not known"
    return "{service} was stopped by hand" + at + ": it is left alone until somebody starts it"


def _not_running(params: Mapping[str, Param]) -> str:
    known = params.get("exit") is not None
    return "{service} does not run" + (": {exit}. More is not known" if known else ", and why is not known")


def _no_incident(params: Mapping[str, Param]) -> str:
    started = ", started {started:T}" if params.get("started") is not None else ""
    by = " by {deployment}" if params.get("deployment") is not None else ""
    return "No incident of {service} is known. It runs" + started + by


def _deployment(params: Mapping[str, Param]) -> str:
    commit = " ({commit:plain-short})" if params.get("commit") else ""
    return "{kind} {id}" + commit + (" by {actor}" if params.get("actor") else " by opsbot itself")


def _deployment_ended(params: Mapping[str, Param]) -> str:
    return "{deployment} " + _ENDED.get(params.get("phase"), "{phase}")


def _killed(params: Mapping[str, Param]) -> str:
    return "its process was killed " + ("by SIG{signal}" if params.get("signal") else "({status})")


TEXTS: Mapping[str, Text] = {
    RootCauseCode.WENT_DOWN: _went_down,
    RootCauseCode.FLAPPED: "{at:T} {service} flapped, {count} changes in {within:rough}: {cause}",
    RootCauseCode.BECAUSE_OF: (
        "{at:T} {service} was down ({cause}) because of {root}: {why} (incident {incident}), since {since:T}"
    ),
    RootCauseCode.AT_FIRST_BECAUSE_OF: ", at first because of {service}, which recovered {recovered:T}",
    RootCauseCode.AFTER_RESTART: ", {length:rough} after {actor} restarted it",
    RootCauseCode.DURING: _during,
    RootCauseCode.AFTER_DEPLOYMENT: ", {length:rough} after {deployment}",
    RootCauseCode.RESTARTED: _restarted,
    RootCauseCode.ACTION: "; {event} {at:T}",
    RootCauseCode.DEPENDENT_RECOVERED: "; recovered {at:T}",
    RootCauseCode.ROOT_RECOVERED: "; {root} has recovered since {at:T}, {service} is not known to have",
    RootCauseCode.BOTH_DOWN: "; both are still down after {length:rough}",
    RootCauseCode.FLAPS: "; it last changed {at:T}, and is over once it is calm",
    RootCauseCode.STILL_DOWN: "; still down after {length:rough}",
    RootCauseCode.RECOVERED: _recovered,
    RootCauseCode.STOPPED_BY_OPSBOT: _stopped_by_opsbot,
    RootCauseCode.STOPPED_BY_HAND: _stopped_by_hand,
    RootCauseCode.NOT_RUNNING: _not_running,
    RootCauseCode.NO_INCIDENT: _no_incident,
    RootCauseCode.DEPLOYMENT: _deployment,
    RootCauseCode.DEPLOYMENT_ENDED: _deployment_ended,
    RootCauseCode.PERSON: "{action} by {actor}: {result}",
    RootCauseCode.STOPPED: "stopped by hand",
    RootCauseCode.INCIDENT_OPENED: "incident {incident} of {service}: {about}",
    RootCauseCode.INCIDENT_ENDED: "incident {incident} of {service} ended: {about}",
    JournalReason.OUT_OF_MEMORY: "the kernel killed it for lack of memory",
    JournalReason.WATCHDOG: "systemd's watchdog had not heard of it in time",
    JournalReason.CORE_DUMP: "it crashed and dumped its core",
    JournalReason.TIMEOUT: "it took too long to start or to stop",
    JournalReason.PROTOCOL: "it did not say that it is ready as its unit promises",
    JournalReason.RESOURCES: "systemd lacked something to start it",
    JournalReason.START_LIMIT: "it was started too often too fast",
    JournalReason.CONDITION: "a condition of its unit was not met",
    JournalReason.EXITED: "its process ended with status {status}",
    JournalReason.KILLED: _killed,
}
