"""Why a service manager could not do what it was asked for."""

from opsbot.core.message import MessageCode


class ManagerCode(MessageCode):
    """Errors of the service managers, of logs, and of jobs run as a user.

    scope is "system" or "user"; verb is "start", "stop", "restart" or "reset"; within is a timedelta.
    """

    # Of either manager

    UNKNOWN_SERVICE = "manager.unknown-service"  # service
    UNKNOWN_PART = "manager.unknown-part"  # service, part; parts: those that there are
    NO_PARTS = "manager.no-parts"  # service, part
    DIRECTORY_UNUSABLE = "manager.directory-unusable"  # directory, reason

    # opsbot's own supervisor

    SUPERVISED_ELSEWHERE = "manager.supervised-elsewhere"  # pid: of the other opsbot; directory
    NO_RELEASE = "manager.no-release"  # path: where it would be
    NO_WORKING_DIRECTORY = "manager.no-working-directory"  # directory
    ENVIRONMENT_UNREADABLE = "manager.environment-unreadable"  # path, reason
    OUTPUT_UNWRITABLE = "manager.output-unwritable"  # path, reason
    COMMAND_NOT_STARTED = "manager.command-not-started"  # command, directory, reason
    COMMAND_INVALID = "manager.command-invalid"  # command, reason
    CHILD_REAPED = "manager.child-reaped"  # command
    SURVIVED_SIGKILL = "manager.survived-sigkill"  # pids

    # systemd

    UNIT_NOT_FOUND = "manager.unit-not-found"  # unit, scope
    UNIT_INVALID = "manager.unit-invalid"  # unit, scope
    UNIT_MASKED = "manager.unit-masked"  # unit, scope
    NOT_AUTHORIZED = "manager.not-authorized"  # verb, unit
    JOB_REFUSED = "manager.job-refused"  # verb, unit; error: a message
    JOB_UNFINISHED = "manager.job-unfinished"  # verb, unit, within
    START_FAILED = "manager.start-failed"  # unit; why: a message (an exit, a job's end) or systemd's word for its state
    STOP_FAILED = "manager.stop-failed"  # unit; why: a message
    JOB_CANCELED = "manager.job-canceled"
    JOB_TIMEOUT = "manager.job-timeout"
    JOB_DEPENDENCY = "manager.job-dependency"  # unit
    JOB_SKIPPED = "manager.job-skipped"
    JOB_ENDED = "manager.job-ended"  # result: systemd's word
    STATE_UNREADABLE = "manager.state-unreadable"  # unit; error: a message

    # The connection to systemd

    BUS_UNREACHABLE = "manager.bus-unreachable"  # scope; reason: text or a message; remedy: a message
    START_DBUS = "manager.start-dbus"  # address
    ENABLE_LINGER = "manager.enable-linger"  # address
    BUS_AWAY = "manager.bus-away"  # scope
    BUS_NO_REPLY = "manager.bus-no-reply"  # scope, within
    BUS_LOST = "manager.bus-lost"  # scope
    BUS_LOST_BECAUSE = "manager.bus-lost-because"  # scope; reason: text or a message
    BUS_CLOSED = "manager.bus-closed"
    NO_ANSWER = "manager.no-answer"
    DBUS_ERROR = "manager.dbus-error"  # reason: what the other side said

    # Jobs that run as a service's user

    NO_SOURCE = "manager.no-source"  # service
    RUNS_AS_ROOT = "manager.runs-as-root"  # unit
    DIFFERENT_USERS = "manager.different-users"  # unit, other
    UNIT_NOT_LOADED = "manager.unit-not-loaded"  # unit; state: systemd's word
    DYNAMIC_USER = "manager.dynamic-user"  # unit
    NO_SUCH_USER = "manager.no-such-user"  # unit; reason: names the user or group
    HELPER_MISSING = "manager.helper-missing"  # unit, service
    HELPER_OTHER_USER = "manager.helper-other-user"  # unit, other
    HELPER_NOT_AUTHORIZED = "manager.helper-not-authorized"  # unit; error: a message
    HELPER_FAILED = "manager.helper-failed"  # unit; error: a message
    HELPER_NOT_BEGUN = "manager.helper-not-begun"  # unit; why: a message
    JOB_NOT_TAKEN = "manager.job-not-taken"
    SETUP_STATUS = "manager.setup-status"  # status
    HELPER_RESULT = "manager.helper-result"  # result, status
    FOLDER_UNUSABLE = "manager.folder-unusable"  # path, file, reason
    FOLDER_FOREIGN = "manager.folder-foreign"  # path
    FOLDER_WRITABLE = "manager.folder-writable"  # path
    FOLDER_GROUP = "manager.folder-group"  # path, gid, directory, parent
    CLEANUP_TIMEOUT = "manager.cleanup-timeout"  # service
    CLEANUP_FAILED = "manager.cleanup-failed"  # service, reason

    # Logs

    UNKNOWN_LEVEL = "manager.unknown-level"  # level, levels
    PATTERN_TOO_LONG = "manager.pattern-too-long"  # most: characters
    PATTERN_INVALID = "manager.pattern-invalid"  # reason
    SEARCH_TIMEOUT = "manager.search-timeout"
    SEARCH_ENDED = "manager.search-ended"
    LOG_UNREADABLE = "manager.log-unreadable"  # service, reason
    LOG_TIMEOUT = "manager.log-timeout"  # within
    NO_JOURNAL = "manager.no-journal"
    JOURNAL_FORBIDDEN = "manager.journal-forbidden"
    JOURNAL_TIMEOUT = "manager.journal-timeout"
    JOURNALCTL_NOT_STARTED = "manager.journalctl-not-started"  # reason
    JOURNALCTL_FAILED = "manager.journalctl-failed"  # reason
    JOURNALCTL_ENDS = "manager.journalctl-ends"
