"""The texts of a service's state: the state itself, why it is so, and what happens next."""

from collections.abc import Mapping

from opsbot.core.message import GeneralCode, Message, Param
from opsbot.core.status import ServiceHealth, StatusCode, StoppedBy
from opsbot.messages.deployments import phase_status
from opsbot.messages.text import Text


def statement(health: ServiceHealth) -> Message:
    """A whole status: the state, its main reasons, what happens next."""
    return Message(StatusCode.STATEMENT, {"title": health.title, "reasons": health.reasons, "next": health.next})


def _is_empty(value: Param) -> bool:
    if isinstance(value, Message):
        return value.code == GeneralCode.TEXT and not value.params.get("text")
    return value in (None, "", ())


def _stopped(params: Mapping[str, Param]) -> str:
    by = {StoppedBy.PERSON: "stopped by a person", StoppedBy.OPSBOT: "stopped by opsbot"}
    found = params.get("by")
    return by[StoppedBy(found)] if isinstance(found, str) and found in set(StoppedBy) else "stopping"


def _checks(text: str) -> Text:
    def choose(params: Mapping[str, Param]) -> str:
        names = params.get("checks")
        several = isinstance(names, tuple) and len(names) > 1
        return ("checks {checks:code} have " if several else "check {checks:code} has ") + text

    return choose


def _of_unit(text: str) -> Text:
    """The text with "{unit} " before it where the service has several; after it how the run ended, where known."""

    def choose(params: Mapping[str, Param]) -> str:
        unit = "" if _is_empty(params.get("unit")) else "{unit:code} "
        return unit + text + ("" if _is_empty(params.get("exit")) else " ({exit})")

    return choose


def _with(text: str, name: str, more: str) -> Text:
    """The text, and more where a parameter is not empty."""
    return lambda params: text if _is_empty(params.get(name)) else text + more


def _statement(params: Mapping[str, Param]) -> str:
    text = "{title}" if _is_empty(params.get("reasons")) else "{title}: {reasons}"
    return text if _is_empty(params.get("next")) else text + ". Next: {next}"


def _phase(params: Mapping[str, Param]) -> str:
    return f"deployment {{deployment}} is {phase_status(str(params.get('phase', '')))}"


TEXTS: Mapping[str, Text] = {
    StatusCode.STATEMENT: _statement,
    StatusCode.HEALTHY: "healthy",
    StatusCode.UNSTABLE: "unstable",
    StatusCode.DEGRADED: "degraded",
    StatusCode.DOWN: "down",
    StatusCode.STARTING: "starting",
    StatusCode.DEPLOYING: "deploying",
    StatusCode.STOPPED: _stopped,
    StatusCode.UNKNOWN: "unknown",
    StatusCode.CHECKS_PASS: "{count} {count:plural|check passes|checks pass}",
    StatusCode.NO_CHECKS: "running; no check can tell more",
    StatusCode.VERIFIED: "verified by deployment {deployment}",
    StatusCode.VERIFIED_AFTER_ROLLBACK: "verified after deployment {deployment} was rolled back",
    StatusCode.CHECK_DOWN: _with("check {check:code} is down", "seen", ": {seen}"),
    StatusCode.CHECK_FAILING: _with("check {check:code} fails", "seen", ": {seen}"),
    StatusCode.CHECKS_NOT_RUN: _checks("not run yet"),
    StatusCode.CHECKS_NOT_PASSED: _checks("not passed yet"),
    StatusCode.CHECKS_IMPOSSIBLE: _with("no check can be run now", "seen", ": {seen}"),
    StatusCode.UNIT_FAILED: _of_unit("exited"),
    StatusCode.UNIT_RETRYING: _of_unit("exited, being restarted"),
    StatusCode.UNIT_NOT_RUNNING: _of_unit("not running"),
    StatusCode.UNIT_STARTING: _of_unit("starting"),
    StatusCode.UNIT_STOPPING: _of_unit("being stopped"),
    StatusCode.UNITS_STOPPED: "{units:code} stopped by a person",
    StatusCode.INCIDENT: "{cause}",
    StatusCode.FLAPPING: "flapping, {changes} {changes:plural|change|changes}",
    StatusCode.DEPENDENCY_DOWN: "needs {service:code}, which is down",
    StatusCode.MANAGER_ERROR: _with("the service manager cannot be asked", "error", ": {error}"),
    StatusCode.NO_RELEASE: "no release is live yet",
    StatusCode.DEPLOYMENT_UNDONE: "deployment {deployment} failed, and there is no earlier release",
    StatusCode.DEPLOYMENT_STUCK: "deployment {deployment} failed and could not be rolled back",
    StatusCode.DEPLOYMENT_FAILED: "deployment {deployment} failed",
    StatusCode.DEPLOYMENT_PHASE: _phase,
    StatusCode.RECOVERING: "automatic recovery is under way",
    StatusCode.NEEDS_ATTENTION: "needs attention",
    StatusCode.RECOVERS_WITH: "recovers with {service:code}",
    StatusCode.WAITING: "recovery waits: {what}",
    StatusCode.STAYS_STOPPED: "stays stopped until somebody starts it",
    StatusCode.NEXT_DEPLOYMENT: "the next deployment starts it",
    StatusCode.DEPLOYMENT_WAITING: _with("deployment {deployment} is waiting", "what", ": {what}"),
    StatusCode.DEPLOYS_PAUSED: _with("deploys paused by {by} since {at}", "why", ": {why}"),
    StatusCode.DEPLOYS_PAUSED_BY_ROLLBACK: "automatic deploys paused since the rollback from {commit:short} at {at}",
    StatusCode.SILENCED: "alerts silenced by {by} until {until}",
}
