"""Texts of incidents: what is wrong, what happened, what recovery tried, what ended it."""

from collections.abc import Mapping

from opsbot.core.incident import (
    EscalationReason,
    IncidentCause,
    IncidentEventKind,
    Resolution,
    RollbackReason,
    ServiceNotice,
    SkipReason,
)
from opsbot.core.message import Message, Param
from opsbot.messages.deployments import phase_status
from opsbot.messages.text import Text

_KINDS = {"http": "HTTP", "tcp": "TCP"}


def _check(params: Mapping[str, Param]) -> str:
    """How a check is called: by its kind, and by its name where that says more."""
    kind = str(params.get("kind") or "")
    label = _KINDS.get(kind, kind)
    shown = label[:1].upper() + label[1:]
    name = "" if params.get("check") == kind else " {check}"
    return f"{shown} check{name}" if kind else "Check {check}"


def _check_failed(params: Mapping[str, Param]) -> str:
    counts = " ({failed} of {looks} failed)" if params.get("looks") else ""
    return f"{_check(params)}: {{seen}}{counts}"


def _check_alternates(params: Mapping[str, Param]) -> str:
    seen = ": {seen}" if params.get("seen") is not None else ""
    return f"{_check(params)} passes and fails by turns{seen}"


def _ended(what: str) -> Text:
    """What happened to a process, and how it ended where that is known."""

    def text(params: Mapping[str, Param]) -> str:
        unit = "{unit}: " if params.get("unit") else ""
        return f"{unit}{what}" + (" ({exit})" if params.get("exit") is not None else "")

    return text


def _units_failed(params: Mapping[str, Param]) -> str:
    return "failed units: {units}" + (" and {more} more" if params.get("more") else "")


def _check_down(params: Mapping[str, Param]) -> str:
    return f"{_check(params)} is down{' again' if params.get('again') else ''}: {{seen}}"


def _check_up(params: Mapping[str, Param]) -> str:
    return f"{_check(params)} passes again: {{seen}}"


def _restarting(params: Mapping[str, Param]) -> str:
    return "restarting {units} ({attempt} of {of})" if params.get("units") else "restarting ({attempt} of {of})"


def _restart_failed(params: Mapping[str, Param]) -> str:
    return "restart of {unit} failed: {why}" if params.get("unit") else "restart failed: {why}"


def _rolling_back(params: Mapping[str, Param]) -> str:
    return "rolling back to {release}" if params.get("release") else "rolling back"


def _restarted_by(params: Mapping[str, Param]) -> str:
    return "restarted by {actor}" + (", against advice: {against}" if params.get("against") is not None else "")


def _silenced(params: Mapping[str, Param]) -> str:
    return "silenced by {actor}" + (": {reason}" if params.get("reason") else "") + ", until {until:t}"


def tried(params: Mapping[str, Param]) -> str:
    said = []
    if params.get("restarts"):
        said.append("{restarts} {restarts:plural|restart|restarts}")
    if params.get("rollbacks"):
        said.append("{rollbacks} {rollbacks:plural|rollback|rollbacks}")
    if params.get("by_manager"):
        said.append("{by_manager} {by_manager:plural|start|starts} by its manager")
    return " and ".join([", ".join(said[:-1]), said[-1]] if said[:-1] else said)


def _escalated(params: Mapping[str, Param]) -> str:
    why = params.get("why")
    if isinstance(why, Message) and why.code == EscalationReason.RECOVERY_OFF:
        return "{why}"
    return "automatic recovery gave up" + (": {why}" if why is not None else "")


def _not_helped(params: Mapping[str, Param]) -> str:
    said = tried(params)
    return f"{said} did not help" if said else "nothing is left to try"


def _manager_gave_up(params: Mapping[str, Param]) -> str:
    said = tried(params)
    return "its manager gave up starting it" + (f", and {said} did not help" if said else "")


def _budget(params: Mapping[str, Param]) -> str:
    said = tried(params)
    return "{count} restarts within {within} use up the budget" + (f" (in this incident: {said})" if said else "")


def _crash_loop(params: Mapping[str, Param]) -> str:
    own = " and {restarts} {restarts:plural|restart|restarts} by opsbot" if params.get("restarts") else ""
    return "{count} {count:plural|crash|crashes}" + own + " within {within}"


def _deployment_ended(params: Mapping[str, Param]) -> str:
    ended = phase_status(str(params.get("phase", "")))
    return ("{kind}" if params.get("kind") else "deployment") + " {deployment} ended: " + ended


def _restarted(params: Mapping[str, Param]) -> str:
    return "opsbot restarted {units}" if params.get("units") else "restarted by opsbot"


def _stopped(params: Mapping[str, Param]) -> str:
    unit = "{unit} of " if params.get("unit") else ""
    return unit + "{service} was stopped by hand. It is left alone until somebody starts it."


def _logins(params: Mapping[str, Param]) -> str:
    own = ", {by_manager} of them by the service manager itself" if params.get("by_manager") else ""
    next_step = "Somebody has to look at it now." if params.get("spent") else "Find out why it dies."
    return (
        f"systemd starts {{service}} again and again: {{starts}} starts in 24 hours{own}; Discord allows {{limit}} "
        "logins, then it resets the bot's token. opsbot cannot slow that down: RestartSec= and RestartSteps= of "
        f"{{units}} can. {next_step}"
    )


TEXTS: Mapping[str, Text] = {
    IncidentCause.CHECK_FAILED: _check_failed,
    IncidentCause.CHECK_ALTERNATES: _check_alternates,
    IncidentCause.PROCESS_DIED: _ended("process died"),
    IncidentCause.GAVE_UP: _ended("process died repeatedly and is not started again"),
    IncidentCause.CANNOT_START: "cannot be started: {why}",
    IncidentCause.START_FAILED: "could not be started: {why}",
    IncidentCause.START_INHIBITED: "not running, and not started: {why}",
    IncidentCause.AFTER_DEPENDENCY: "{cause} (still, after {root} has recovered)",
    IncidentCause.HOST: "{what}",
    IncidentCause.UNITS_FAILED: _units_failed,
    IncidentCause.CERTIFICATE: "the certificate of {server} expires {expires:f}",
    IncidentCause.OPSBOT_ENDS: "ended {count} times within {within} without being stopped",
    IncidentEventKind.OPENED: "{cause}",
    IncidentEventKind.UNSEEN_BEFORE: "opsbot was not running for {away} before it saw this: it may have begun then",
    IncidentEventKind.FLAPPING: "recovered, and is flapping: {count} changes since {since:T}",
    IncidentEventKind.STAYS_DOWN: "down for {calm} without a change: no longer flapping, after {count} changes",
    IncidentEventKind.OTHER_CAUSE: "{cause}",
    IncidentEventKind.DIED: _ended("process died again"),
    IncidentEventKind.GAVE_UP: _ended("its manager does not start it again"),
    IncidentEventKind.STARTED_BY_MANAGER: "started again by its manager (pid {pid})",
    IncidentEventKind.STARTED_OUTSIDE: "started from outside opsbot (pid {pid})",
    IncidentEventKind.STARTED_UNSEEN: "started while opsbot was not running",
    IncidentEventKind.CHECK_DOWN: _check_down,
    IncidentEventKind.CHECK_UP: _check_up,
    IncidentEventKind.RESTARTING: _restarting,
    IncidentEventKind.RESTART_FAILED: _restart_failed,
    IncidentEventKind.RESTART_SKIPPED: "{unit} is not restarted: {why}",
    IncidentEventKind.ROLLING_BACK: _rolling_back,
    IncidentEventKind.ROLLBACK_REFUSED: "no rollback: {why}",
    IncidentEventKind.WAITING: "recovery waits: {why}",
    IncidentEventKind.WAIT_OVER: "recovery no longer waits",
    IncidentEventKind.DEPENDENCY_DOWN: "recovery waits for {service}, which it needs and which is down",
    IncidentEventKind.DEPENDENCY_UP: "what it needs has recovered",
    IncidentEventKind.ESCALATED: _escalated,
    IncidentEventKind.RESTARTED_BY: _restarted_by,
    IncidentEventKind.RESUMED_BY: "recovery resumed by {actor}",
    IncidentEventKind.INHIBITOR_LIFTED: "recovery resumed: nothing forbids it any more",
    IncidentEventKind.DISCORD_BACK: "Discord is back since {ended:t} (away since {began:t}): recovery begins again",
    IncidentEventKind.HOST_RESTARTED: "the host was restarted at {booted:t}: recovery begins again",
    IncidentEventKind.DEPLOYMENT_ENDED: _deployment_ended,
    IncidentEventKind.DEPENDENT_DOWN: "{service} is down because of it: {cause}",
    IncidentEventKind.DEPENDENT_UP: "{service} has recovered",
    IncidentEventKind.MORE_DEPENDENTS: "more services are down because of it: the card lists them all",
    IncidentEventKind.ACKNOWLEDGED: "acknowledged by {actor}: {reason}",
    IncidentEventKind.ACKNOWLEDGEMENT_VOID: "it got worse, the acknowledgement is cleared: {why}",
    IncidentEventKind.UNACKNOWLEDGED: "nobody acknowledged it in time: escalated",
    IncidentEventKind.SILENCED: _silenced,
    IncidentEventKind.THREAD_REPLACED: "the thread before this one was deleted; the timeline continues here",
    IncidentEventKind.NOTE: "{text}",
    IncidentEventKind.LEGACY: "{text}",
    SkipReason.BEING_STOPPED: "somebody is stopping it",
    SkipReason.MANAGER_ACTS: "its manager is starting or stopping it",
    EscalationReason.NOT_HELPED: _not_helped,
    EscalationReason.RECOVERY_OFF: "automatic recovery is off for this service",
    EscalationReason.MANAGER_GAVE_UP: _manager_gave_up,
    EscalationReason.BUDGET: _budget,
    EscalationReason.CRASH_LOOP: _crash_loop,
    EscalationReason.CANNOT_START: "{why}",
    EscalationReason.INHIBITED: "{why}",
    RollbackReason.INCIDENT: "incident {incident} began with this release",
    ServiceNotice.STOPPED: _stopped,
    ServiceNotice.LOGINS: _logins,
    Resolution.RESTARTED: _restarted,
    Resolution.STARTED_BY_MANAGER: "started again by its manager (pid {pid})",
    Resolution.STARTED_OUTSIDE: "started from outside opsbot (pid {pid})",
    Resolution.STARTED_UNSEEN: "started while opsbot was not running",
    Resolution.RESTARTED_BY: "restarted by {actor}",
    Resolution.DEPLOYMENT: _deployment_ended,
    Resolution.STOPPED: "stopped from outside opsbot",
    Resolution.WITHOUT_ACTION: "without action by opsbot",
    Resolution.NOT_BY_RECOVERY: "what opsbot tried did not help; it recovered later",
    Resolution.CALM: "no change for {calm}",
    Resolution.FLAPS: "it flaps",
    Resolution.PART_OF: "part of incident {incident}",
    Resolution.NOT_CONFIGURED: "no longer configured",
    Resolution.NOT_WATCHED: "no longer watched",
    Resolution.HOST: "now {what}",
    Resolution.UNITS: "no unit is failed any more",
    Resolution.CERTIFICATE: "renewed, valid for {left}",
    Resolution.OPSBOT_RUNS: "running for {since} without an end",
}
