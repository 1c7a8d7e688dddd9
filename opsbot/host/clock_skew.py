"""Clock skew between this host and Discord, from the `Date` header of responses.

No extra request is sent. The header (RFC 9110, 6.6.1) has whole seconds and the response takes time;
only a difference beyond both counts.
"""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

FRESH = timedelta(hours=6)
_HALF = timedelta(seconds=0.5)


class ClockSkew:
    """The last measured skew."""

    def __init__(self) -> None:
        self._seen: tuple[datetime, float] | None = None

    def record(self, sent: datetime, received: datetime, date: str) -> None:
        try:
            theirs = parsedate_to_datetime(date)
        except ValueError:
            return
        if theirs.tzinfo is None:
            theirs = theirs.replace(tzinfo=UTC)
        travelled = max(received - sent, timedelta(0))
        apart = abs(sent + travelled / 2 - (theirs + _HALF))
        self._seen = (received, max(0.0, (apart - _HALF - travelled / 2).total_seconds()))

    def seconds(self, now: datetime) -> float | None:
        """Return the minimum skew; None without a recent measurement."""
        if self._seen is None or abs(now - self._seen[0]) > FRESH:
            return None
        return self._seen[1]
