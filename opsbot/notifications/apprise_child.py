"""`python -I -m opsbot.notifications.apprise_child`: send one message.

The request is JSON on standard input:

    {"url": ..., "title": ..., "body": ..., "type": "failure"}   sends
    {"url": ...}                                                 only checks whether apprise accepts the URL

The answer is `{"ok": ..., "failure": ..., "doubt": ...}`. apprise only reports success or failure; the reason is taken
from its log. doubt: the message may have been accepted without an answer.
"""

import json
import logging
import re
import sys

MISSING = "the apprise package is not installed: pip install 'opsbot[notify]'"
NOT_UNDERSTOOD = "apprise does not accept the URL; see its documentation for the service"
CERTAINLY_NOT = re.compile(
    r"error=\d{3}|refused|NewConnectionError|NameResolution|Name or service|nodename|ConnectTimeout|No route"
    r"|unreachable|\(\d{3}, b",
    re.IGNORECASE,
)
"""Patterns in apprise's log for messages that were not accepted: no connection, or an answer that says so. smtplib's
answers are logged as (550, b'...')."""


class Gathered(logging.Handler):
    """Collects apprise's log."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[tuple[int, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append((record.levelno, record.getMessage()))

    def failure(self) -> str:
        """Return the warnings and socket errors.

        Apprise logs the latter at debug level only.
        """
        reasons = [text for level, text in self.lines if level >= logging.WARNING or "Exception" in text]
        return "; ".join(reasons)[-500:] or "apprise reported no reason"


def answer(asked: dict[str, str]) -> dict[str, object]:
    try:
        import apprise  # noqa: PLC0415 - an extra of the install
    except ImportError:
        return {"ok": False, "failure": MISSING, "doubt": False}
    gathered = Gathered()
    log = logging.getLogger("apprise")
    log.setLevel(logging.DEBUG)
    log.addHandler(gathered)
    # In memory, so that apprise writes no files to the home directory.
    to = apprise.Apprise(asset=apprise.AppriseAsset(storage_mode=apprise.PersistentStoreMode.MEMORY))
    if not to.add(asked["url"]) or not len(to):
        return {"ok": False, "failure": NOT_UNDERSTOOD, "doubt": False}
    if "body" not in asked:
        return {"ok": True, "failure": "", "doubt": False}
    sent = to.notify(asked["body"], asked["title"], asked["type"], body_format=apprise.NotifyFormat.TEXT)
    if sent:
        return {"ok": True, "failure": "", "doubt": False}
    failure = gathered.failure()
    return {"ok": False, "failure": failure, "doubt": not CERTAINLY_NOT.search(failure)}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(answer(json.loads(sys.stdin.read()))))
