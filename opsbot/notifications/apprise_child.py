"""The child that sends one message: `python -I -m opsbot.notifications.apprise_child`, a question in JSON on its input.

    {"url": ..., "title": ..., "body": ..., "type": "failure"}   sends
    {"url": ...}                                                 only looks whether apprise understands the URL

It answers `{"ok": ..., "failure": ..., "doubt": ...}`. apprise says only whether it worked; why it did not stands in
its log, which is gathered here. doubt: the other side may have taken the message though no answer came.
"""

import json
import logging
import re
import sys

MISSING = "the apprise package is not installed: pip install 'opsbot[notify]'"
NOT_UNDERSTOOD = "apprise does not understand the URL; its documentation has one for each service"
CERTAINLY_NOT = re.compile(
    r"error=\d{3}|refused|NewConnectionError|NameResolution|Name or service|nodename|ConnectTimeout|No route"
    r"|unreachable|\(\d{3}, b",
    re.IGNORECASE,
)
"""What stands in apprise's log where the other side has not taken the message: no connection, or an answer that says
so. An answer of SMTP is logged as smtplib shows it: (550, b'...')."""


class Gathered(logging.Handler):
    """Keeps what apprise logs."""

    def __init__(self) -> None:
        """Nothing yet."""
        super().__init__(logging.DEBUG)
        self.lines: list[tuple[int, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        self.lines.append((record.levelno, record.getMessage()))

    def failure(self) -> str:
        """The warnings, and what the socket said, which apprise holds for debugging only."""
        told = [text for level, text in self.lines if level >= logging.WARNING or "Exception" in text]
        return "; ".join(told)[-500:] or "apprise does not say why"


def answer(asked: dict[str, str]) -> dict[str, object]:
    """Do what was asked."""
    try:
        import apprise  # noqa: PLC0415 - an extra of the install
    except ImportError:
        return {"ok": False, "failure": MISSING, "doubt": False}
    gathered = Gathered()
    log = logging.getLogger("apprise")
    log.setLevel(logging.DEBUG)
    log.addHandler(gathered)
    # In memory: without it, apprise would keep files in the home directory.
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
