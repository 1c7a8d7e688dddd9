"""Texts of what opsbot reports by itself beside deployments and incidents."""

from collections.abc import Mapping

from opsbot.core.message import Param
from opsbot.core.notices import NoticeCode
from opsbot.messages.text import Text


def _leak_since_start(params: Mapping[str, Param]) -> str:
    live = " (deployment {deployment} is live)" if params.get("deployment") is not None else ""
    return ("long after its start" if params.get("is_late") else "since its start") + live


def _of_service(params: Mapping[str, Param]) -> str:
    return "{service}: " if params.get("service") else ""


def _cannot_delete(params: Mapping[str, Param]) -> str:
    files = "a file" if params.get("files") == 1 else "{files} files"
    return (
        f"{_of_service(params)}the cleanup of {{pattern}} cannot delete {files} (in {{folder}}): {{why}}; "
        "{who} needs write permission for that folder"
    )


def _cannot_look(params: Mapping[str, Param]) -> str:
    more = " and {more} more" if params.get("more") else ""
    return f"{_of_service(params)}the cleanup of {{pattern}} cannot read {{folder}}{more}: {{why}}"


def _silence_over(params: Mapping[str, Param]) -> str:
    times = "" if params.get("count") == 1 else " {count} times"
    return f"The silence of {{service}} is over. While it lasted, it was down and came back{times}."


def _window_over(params: Mapping[str, Param]) -> str:
    more = " and {more} more" if params.get("more") else ""
    return f"The window {{window}} is over. While it lasted, this was down and came back: {{services}}{more}."


_CUT_SHORT = "was killed or crashed, or the host went down"

TEXTS: Mapping[str, Text] = {
    NoticeCode.LEAK: (
        "{service} grows like a leak: {rate:bytes} an hour for {seen}, in a straight line, from {before:bytes} to "
        "{level:bytes}, {origin}. At this rate it reaches {limited_by} ({limit:bytes}) {ahead}. opsbot does nothing "
        "about it by itself; a restart gives the memory back."
    ),
    NoticeCode.LEAK_SINCE_DEPLOYMENT: "since deployment {deployment} started it",
    NoticeCode.LEAK_SINCE_START: _leak_since_start,
    NoticeCode.CANNOT_DELETE: _cannot_delete,
    NoticeCode.CANNOT_LOOK: _cannot_look,
    NoticeCode.SILENCE_OVER: _silence_over,
    NoticeCode.WINDOW_OVER: _window_over,
    NoticeCode.TIMES: lambda params: "{service}" + ("" if params.get("count") == 1 else " ({count} times)"),
    NoticeCode.OPSBOT_BACK: f"opsbot is back. The one before ({{before}}) {_CUT_SHORT}.",
    NoticeCode.OPSBOT_BACK_AGAIN: (
        "opsbot came back {count} times since {first}, the last at {last}. "
        f"Each time the one before {_CUT_SHORT}."
    ),
    NoticeCode.NOTIFIER_FAILING: (
        "The notifier {notifier} has taken nothing since {since}: {failure}. What it misses is kept."
    ),
    NoticeCode.NOTIFIER_WORKS: "The notifier {notifier} works again.",
    NoticeCode.BUS_LOST: (
        "opsbot has had no connection to systemd since {since}: D-Bus is disconnected. Services keep running, but "
        "opsbot does not notice failures of units and cannot restart them. Check: systemctl status dbus"
    ),
    NoticeCode.BUS_BACK: "Connected to systemd again after {after}; events in between were read.",
    NoticeCode.UNIT_ERRORS: lambda params: (
        "{unit}: {count} {count:plural|error|errors} in its unit files.\n{findings:lines}"
        + ("\nAnd {more} more: opsbot doctor" if params.get("more") else "")
    ),
    NoticeCode.UNITS_ERRORS: lambda params: (
        "The files of {count} units have errors. For details run: opsbot doctor\n{findings:lines}"
        + ("\nAnd {more} more units." if params.get("more") else "")
    ),
    NoticeCode.CONFIG_WAITS: "The configuration has changed; it is applied after the deployment of {services}.",
    NoticeCode.CONFIG_UNCHANGED: "Configuration reloaded: nothing changed.",
    NoticeCode.CONFIG_REJECTED: lambda params: (
        f"The new configuration has {'a problem' if params.get('count') == 1 else '{count} problems'} "
        "and was rejected; the old one stays in force."
    ),
    NoticeCode.CONFIG_RELOADED: "The configuration was reloaded: {count} {count:plural|change|changes}.",
    NoticeCode.CONFIG_FAILED: "The new configuration could not be started; the old one is in force again.",
    NoticeCode.THREAD_LOCKED: (
        "The thread of incident {incident} ({subject}) is locked or not writable: updates appear only on its card. "
        "Unlock the thread, or grant Send Messages in Threads."
    ),
}
