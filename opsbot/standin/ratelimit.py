"""Discord's rate limits: message buckets per channel, and edits of old messages."""

import hashlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from opsbot.standin.errors import ApiError

LIMIT = 5
PERIOD = 5.0
OLD_EDITS = 3
OLD_PERIOD = 6.0
RENAMES = 2
RENAME_PERIOD = 600.0


@dataclass(slots=True)
class RateLimitBucket:
    """A window of `LIMIT` requests that begins with the first of them."""

    name: str
    left: int = LIMIT
    ends: float = 0.0


@dataclass(slots=True)
class RateLimits:
    """The buckets, by a monotonic clock. Not `enabled`, everything passes.

    period: seconds of a bucket's window; old_period: of that for edits of old messages.
    """

    clock: Callable[[], float]
    enabled: bool = True
    period: float = PERIOD
    old_period: float = OLD_PERIOD
    _buckets: dict[tuple[str, int], RateLimitBucket] = field(default_factory=dict)
    _recent: dict[tuple[str, int], deque[float]] = field(default_factory=dict)

    def take(self, route: str, channel_id: int) -> dict[str, str]:
        """Count one request; return its X-RateLimit headers or raise LimitedError."""
        if not self.enabled:
            return {}
        now = self.clock()
        digest = hashlib.sha256(route.encode()).hexdigest()[:32]
        bucket = self._buckets.setdefault((route, channel_id), RateLimitBucket(digest))
        if now >= bucket.ends:
            bucket.left, bucket.ends = LIMIT, now + self.period
        wait = max(bucket.ends - now, 0.001)
        limited = bucket.left <= 0
        bucket.left = max(bucket.left - 1, 0)
        headers = {
            "X-RateLimit-Limit": str(LIMIT),
            "X-RateLimit-Remaining": str(bucket.left),
            "X-RateLimit-Reset-After": f"{wait:.3f}",
            "X-RateLimit-Bucket": bucket.name,
        }
        if limited:
            raise LimitedError(wait, headers)
        return headers

    def edit_of_old(self, channel_id: int) -> None:
        """Count an edit of a message older than an hour: 3 in 6 s, else 429/30046."""
        wait = self._wait("edit", channel_id, OLD_EDITS, self.old_period)
        if wait:
            raise ApiError(
                429,
                30046,
                "Maximum number of edits to messages older than 1 hour reached. Try again later.",
                extra={"retry_after": round(wait, 3), "global": False},
            )

    def rename(self, channel_id: int) -> None:
        """Count a change of a channel's name or topic: 2 in 10 minutes, else LimitedError."""
        wait = self._wait("rename", channel_id, RENAMES, RENAME_PERIOD)
        if wait:
            raise LimitedError(wait)

    def _wait(self, what: str, channel_id: int, most: int, period: float) -> float:
        """Count one of at most so many in that period; 0.0, or how long to wait."""
        now = self.clock()
        recent = self._recent.setdefault((what, channel_id), deque(maxlen=most))
        if self.enabled and len(recent) == most and now - recent[0] < period:
            return period - (now - recent[0])
        recent.append(now)
        return 0.0


class LimitedError(ApiError):
    """An ordinary 429, with the headers of its bucket."""

    def __init__(self, retry_after: float, headers: dict[str, str] | None = None, scope: str = "user") -> None:
        """`retry_after` in seconds."""
        super().__init__(
            429, 0, "You are being rate limited.", extra={"retry_after": round(retry_after, 3), "global": False}
        )
        self.headers = {"Retry-After": str(max(1, round(retry_after))), "X-RateLimit-Scope": scope, **(headers or {})}
