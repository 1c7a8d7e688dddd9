"""Keeps the values of known secrets out of whatever opsbot stores, logs or says.

By value, not by pattern: each secret that the configuration names, and each value of a service's environment file whose
name says that it is one, is looked for in the text itself. A log line that prints the service's own token is the usual
way one gets into a channel.
"""

import logging
import re
from collections.abc import Iterable
from urllib.parse import unquote, urlsplit

SHORTEST = 8
"""Shorter values are left: they would be found in every other word."""
HIDDEN = "[redacted]"
_TELLING = re.compile(
    r"token|secret|passw|pwd|api_?key|private|credential|auth|dsn|database_url|webhook|cookie|salt|signing",
    re.IGNORECASE,
)


def is_secret_name(name: str) -> bool:
    """Whether a variable of this name is likely to hold a secret."""
    return _TELLING.search(name) is not None or name.upper().endswith("KEY")


def parts_of_url(url: str) -> list[str]:
    """The URL, and whatever of it may stand alone in an error: user, password, path, each longer piece of it."""
    found = urlsplit(url)
    pieces = [found.username, found.password, found.path, *found.path.split("/"), found.query, *found.query.split("&")]
    kept = [url, *(piece for piece in pieces if piece and len(piece) >= SHORTEST)]
    return [*kept, *(unquote(piece) for piece in kept if "%" in piece)]


class Redactor:
    """Replaces known secrets in text."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._values: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self.learn(secrets)

    def learn(self, secrets: Iterable[str]) -> None:
        """Know these values too."""
        fresh = {value.strip() for value in secrets if len(value.strip()) >= SHORTEST} - self._values
        if fresh:
            self._values |= fresh
            longest_first = sorted(self._values, key=len, reverse=True)
            self._pattern = re.compile("|".join(re.escape(value) for value in longest_first))

    def __call__(self, text: str) -> str:
        """The text without them."""
        return text if self._pattern is None else self._pattern.sub(HIDDEN, text)


class RedactingFilter(logging.Filter):
    """Applies a redactor to every record of a handler, its traceback included."""

    def __init__(self, redact: Redactor) -> None:
        super().__init__()
        self._redact = redact

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the record's text; never drop it."""
        message = record.getMessage()
        clean = self._redact(message)
        if clean != message:
            record.msg, record.args = clean, ()
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = self._redact(record.exc_text)
        return True
