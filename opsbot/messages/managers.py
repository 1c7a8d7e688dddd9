"""Texts of the errors of service managers."""

from collections.abc import Mapping

from opsbot.core.manager_codes import ManagerCode
from opsbot.core.message import Param
from opsbot.messages.text import Text


def _of(template: str) -> Text:
    """A text in which <systemd>, <systemctl> and <analyze> depend on the scope."""
    system = template.replace("<systemd>", "systemd")
    user = template.replace("<systemd>", "the user's systemd")
    for name, program in (("<systemctl>", "systemctl"), ("<analyze>", "systemd-analyze")):
        system, user = system.replace(name, program), user.replace(name, f"{program} --user")

    def chosen(params: Mapping[str, Param]) -> str:
        return user if params.get("scope") == "user" else system

    return chosen


_WHERE = "see `journalctl -u` of it, and check that this version's `opsbot install` wrote the unit"

TEXTS: Mapping[str, Text] = {
    ManagerCode.UNKNOWN_SERVICE: "no service {service} is managed here",
    ManagerCode.UNKNOWN_PART: "{service} has no unit {part}; its units: {parts}",
    ManagerCode.NO_PARTS: "{service} is one process and has no unit {part}",
    ManagerCode.DIRECTORY_UNUSABLE: "{directory} cannot be used: {reason}",
    ManagerCode.SUPERVISED_ELSEWHERE: "another opsbot (pid {pid}) supervises from {directory}",
    ManagerCode.NO_RELEASE: "there is no live release at {path}: deploy one first",
    ManagerCode.NO_WORKING_DIRECTORY: "its working directory {directory} does not exist",
    ManagerCode.ENVIRONMENT_UNREADABLE: "the environment file {path} cannot be read: {reason}",
    ManagerCode.OUTPUT_UNWRITABLE: "its output cannot be written to {path}: {reason}",
    ManagerCode.COMMAND_NOT_STARTED: "{command} cannot be started in {directory}: {reason}",
    ManagerCode.COMMAND_INVALID: "{command} cannot be started: {reason}",
    ManagerCode.CHILD_REAPED: "{command} was reaped by another part of this process",
    ManagerCode.SURVIVED_SIGKILL: "these processes survive SIGKILL: {pids}",
    ManagerCode.UNIT_NOT_FOUND: _of("the unit {unit} does not exist. If its file exists: <systemctl> daemon-reload"),
    ManagerCode.UNIT_INVALID: _of(
        "systemd does not load {unit} because of a mistake in its file: <analyze> verify {unit} names it; "
        "then <systemctl> daemon-reload"
    ),
    ManagerCode.UNIT_MASKED: _of("{unit} is masked, so nobody can start it: <systemctl> unmask {unit}"),
    ManagerCode.NOT_AUTHORIZED: (
        "opsbot is not authorized to {verb} {unit}: no polkit rule allows it to this user. "
        "As an admin of the host: opsbot install"
    ),
    ManagerCode.JOB_REFUSED: "systemd did not {verb} {unit}: {error}",
    ManagerCode.JOB_UNFINISHED: "the {verb} of {unit} is not finished after {within}",
    ManagerCode.START_FAILED: "{unit} did not start: {why}",
    ManagerCode.STOP_FAILED: "{unit} did not stop: {why}",
    ManagerCode.JOB_CANCELED: "another job replaced it: somebody else starts or stops it at the same time",
    ManagerCode.JOB_TIMEOUT: "its job waited too long for others",
    ManagerCode.JOB_DEPENDENCY: "a unit that it needs did not start: systemctl list-dependencies {unit}",
    ManagerCode.JOB_SKIPPED: "systemd found nothing to do for it",
    ManagerCode.JOB_ENDED: "the job ended {result}",
    ManagerCode.STATE_UNREADABLE: "the state of {unit} cannot be read: {error}",
    ManagerCode.BUS_UNREACHABLE: _of("<systemd> does not answer: {reason}. {remedy}"),
    ManagerCode.START_DBUS: (
        "Is D-Bus running ({address})? Debian: apt-get install dbus; Amazon Linux, Fedora: dnf install dbus-broker"
    ),
    ManagerCode.ENABLE_LINGER: (
        "Is a user session's bus at {address}? Let the user's units run without one: "
        "loginctl enable-linger, and on Debian have the package dbus-user-session"
    ),
    ManagerCode.BUS_AWAY: _of("<systemd> does not answer: the connection to D-Bus is lost"),
    ManagerCode.BUS_NO_REPLY: _of("<systemd> did not answer within {within}"),
    ManagerCode.BUS_LOST: _of("the connection to <systemd> was lost"),
    ManagerCode.BUS_LOST_BECAUSE: _of("the connection to <systemd> was lost: {reason}"),
    ManagerCode.BUS_CLOSED: "the other side closed it",
    ManagerCode.NO_ANSWER: "no answer",
    ManagerCode.DBUS_ERROR: "{reason}",
    ManagerCode.NO_SOURCE: "{service} has no source, and so no directory for jobs that run as its user",
    ManagerCode.RUNS_AS_ROOT: (
        "{unit} runs as root: whoever may push would be root. Give it a user of its own (User= and "
        "Group= in the unit), and run `opsbot install` again"
    ),
    ManagerCode.DIFFERENT_USERS: "{unit} and {other} run as different users: make it one (User=, Group=)",
    ManagerCode.UNIT_NOT_LOADED: "{unit} cannot be used: systemd says {state} (systemctl status {unit})",
    ManagerCode.DYNAMIC_USER: "{unit} has DynamicUser=, which owns no files for long: give it a user of its own",
    ManagerCode.NO_SUCH_USER: "{unit} runs as a user or group that does not exist: {reason}",
    ManagerCode.HELPER_MISSING: (
        "the unit {unit}, through which code of {service} runs as its own user, does not exist: "
        "run `opsbot install` as root"
    ),
    ManagerCode.HELPER_OTHER_USER: "{unit} runs as another user than {other}: run `opsbot install` again as root",
    ManagerCode.HELPER_NOT_AUTHORIZED: (
        "polkit does not let opsbot start {unit} ({error}): run `opsbot install` as root"
    ),
    ManagerCode.HELPER_FAILED: "{unit}: {error}",
    ManagerCode.HELPER_NOT_BEGUN: "{unit} could not begin: {why}",
    ManagerCode.JOB_NOT_TAKEN: f"it did not take the job; {_WHERE}",
    ManagerCode.SETUP_STATUS: f"systemd could not set it up (status {{status}}, systemd.exec(5)); {_WHERE}",
    ManagerCode.HELPER_RESULT: f"{{result}}, status {{status}}; {_WHERE}",
    ManagerCode.FOLDER_UNUSABLE: "{path} cannot be used: {file} {reason}",
    ManagerCode.FOLDER_FOREIGN: "{path} belongs to another user: remove it, opsbot creates it again",
    ManagerCode.FOLDER_WRITABLE: "{path} is writable by others than opsbot: remove it, opsbot creates it again",
    ManagerCode.FOLDER_GROUP: (
        "{path} does not have the group that the service's unit runs as (gid {gid}): "
        "chgrp -R that group {directory}, chmod 2750 {directory}, and remove {parent}"
    ),
    ManagerCode.CLEANUP_TIMEOUT: "the cleanup of {service} did not finish in time",
    ManagerCode.CLEANUP_FAILED: "the cleanup of {service} failed: {reason}",
    ManagerCode.UNKNOWN_LEVEL: "'{level}' is not a log level; levels: {levels}",
    ManagerCode.PATTERN_TOO_LONG: "the pattern is longer than {most} characters",
    ManagerCode.PATTERN_INVALID: "not a regular expression: {reason}",
    ManagerCode.SEARCH_TIMEOUT: "the search took too long: simplify the pattern, or ask for a shorter time",
    ManagerCode.SEARCH_ENDED: "the search ended early",
    ManagerCode.LOG_UNREADABLE: "the log of {service} cannot be read: {reason}",
    ManagerCode.LOG_TIMEOUT: "reading the log took longer than {within}; ask for less",
    ManagerCode.NO_JOURNAL: "this host keeps no journal: see Storage= in journald.conf(5)",
    ManagerCode.JOURNAL_FORBIDDEN: (
        "the journal cannot be read: add the user opsbot runs as to the group systemd-journal "
        "(SupplementaryGroups=systemd-journal in its unit, or usermod -aG systemd-journal USER), and restart opsbot"
    ),
    ManagerCode.JOURNAL_TIMEOUT: (
        "reading the journal took too long: ask for a shorter time (since), or for this run only"
    ),
    ManagerCode.JOURNALCTL_NOT_STARTED: "journalctl cannot be started: {reason}. Is systemd installed, and on PATH?",
    ManagerCode.JOURNALCTL_FAILED: "journalctl failed: {reason}",
    ManagerCode.JOURNALCTL_ENDS: "journalctl ended unexpectedly again and again",
}
