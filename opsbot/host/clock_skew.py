"""By how much this host's clock differs from Discord's, told by the `Date` of its answers (RFC 9110, 6.6.1).

No request is made for it. The header has whole seconds, and the answer was on its way for a while: only what neither
explains counts as drift.
"""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

FRESH = timedelta(hours=6)
_HALF = timedelta(seconds=0.5)


class ClockSkew:
    """The drift as last seen."""

    def __init__(self) -> None:
        """Nothing was seen yet."""
        self._seen: tuple[datetime, float] | None = None

    def record(self, sent: datetime, received: datetime, date: str) -> None:
        """An answer with this `Date` came; what is no date is ignored."""
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
        """By how much at least; None where nothing was seen of late."""
        if self._seen is None or abs(now - self._seen[0]) > FRESH:
            return None
        return self._seen[1]
