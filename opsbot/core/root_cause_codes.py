"""What an answer to `/why` consists of, as codes. Times are datetimes, lengths timedeltas."""

from opsbot.core.message import MessageCode


class RootCauseCode(MessageCode):
    """Clauses of the line, in their order, and entries of its timeline."""

    WENT_DOWN = "root-cause.went-down"
    """at, service; cause: a message; reason: what the manager says of it, a message or None."""
    FLAPPED = "root-cause.flapped"
    """at, service, count, within; cause: a message."""
    BECAUSE_OF = "root-cause.because-of"
    """at, service; cause: a message; root: the service it needs; why: a message; incident: its id; since."""

    AT_FIRST_BECAUSE_OF = "root-cause.at-first-because-of"
    """service, recovered: when."""
    AFTER_RESTART = "root-cause.after-restart"
    """length, actor"""
    DURING = "root-cause.during"
    """deployment: a message; phase: how it ended, or "" while it goes on."""
    AFTER_DEPLOYMENT = "root-cause.after-deployment"
    """length; deployment: a message."""

    RESTARTED = "root-cause.restarted"
    """count; last: when."""
    ACTION = "root-cause.action"
    """event: a message; at."""

    DEPENDENT_RECOVERED = "root-cause.dependent-recovered"
    """at"""
    ROOT_RECOVERED = "root-cause.root-recovered"
    """root, at, service"""
    BOTH_DOWN = "root-cause.both-down"
    """length"""
    FLAPS = "root-cause.flaps"
    """at: of its last change."""
    STILL_DOWN = "root-cause.still-down"
    """length"""
    RECOVERED = "root-cause.recovered"
    """at; downtime; resolution: a message or None."""

    STOPPED_BY_OPSBOT = "root-cause.stopped-by-opsbot"
    """service; at: or None; deployment: a message."""
    STOPPED_BY_HAND = "root-cause.stopped-by-hand"
    """service; at: or None."""
    NOT_RUNNING = "root-cause.not-running"
    """service; exit: a message or None."""
    NO_INCIDENT = "root-cause.no-incident"
    """service; started: when, or None; deployment: the one that started it, a message or None."""

    DEPLOYMENT = "root-cause.deployment"
    """kind; id; commit: or ""; actor: "" for opsbot itself."""
    DEPLOYMENT_ENDED = "root-cause.deployment-ended"
    """deployment: a message; phase."""
    PERSON = "root-cause.person"
    """action, actor, result"""
    STOPPED = "root-cause.stopped"
    INCIDENT_OPENED = "root-cause.incident-opened"
    """incident: its id; service; about: its cause."""
    INCIDENT_ENDED = "root-cause.incident-ended"
    """incident, service; about: its resolution."""


class JournalReason(MessageCode):
    """Why a unit ended, as systemd says in the journal."""

    OUT_OF_MEMORY = "journal.out-of-memory"
    WATCHDOG = "journal.watchdog"
    CORE_DUMP = "journal.core-dump"
    TIMEOUT = "journal.timeout"
    PROTOCOL = "journal.protocol"
    RESOURCES = "journal.resources"
    START_LIMIT = "journal.start-limit"
    CONDITION = "journal.condition"
    EXITED = "journal.exited"
    """status: a number, as text."""
    KILLED = "journal.killed"
    """status: of the signal, as text; signal: its name without SIG, or None."""
