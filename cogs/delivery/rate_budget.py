"""Rate budget for all messages and edits in Discord's channels.

Discord counts requests by kind and channel, and edits of messages older than an hour separately, without a header
(error 30046). When the budget is short, notifying messages go first, then timeline entries, then cards, and live tails
last, which always leave one request for others.
"""

import asyncio
from bisect import insort
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from itertools import count

from opsbot.runtime.tasks import wait_at_most
from opsbot.runtime.ticks import loop_time


class WritePriority(IntEnum):
    """Order of precedence."""

    ALARM = 0
    """A new message in the channel."""
    LINE = 1
    """A timeline entry in its thread."""
    CARD = 2
    """An edit of an existing message."""
    TAIL = 3
    """Can wait or be skipped."""


class WriteKind(StrEnum):
    """Kinds that Discord counts separately."""

    SEND = "send"
    EDIT = "edit"
    EDIT_OLD = "edit_old"
    """An edit of a message older than an hour; also counts as an EDIT."""
    ALL = "all"
    """Every request of this bot."""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """A number of requests within a sliding window of seconds."""

    most: int
    seconds: float


@dataclass(frozen=True, slots=True)
class WriteLimits:
    """Discord's limits, with a third of a second added for varying latency.

    Messages and edits: 5 in 5 s per channel (headers). Edits of old messages: 3 in 6 s per channel (undocumented).
    All: 50 in 1 s (documentation, "Rate Limits"), some of which are reserved for interactions.
    """

    send: RateLimit = RateLimit(5, 5.3)
    edit: RateLimit = RateLimit(5, 5.3)
    edit_old: RateLimit = RateLimit(3, 6.3)
    all: RateLimit = RateLimit(30, 1.0)

    def of(self, kind: WriteKind) -> RateLimit:
        limit: RateLimit = getattr(self, kind)
        return limit


@dataclass(frozen=True, slots=True)
class RateKey:
    """Key of a bucket: a kind of request in a channel; channel 0 means everywhere."""

    kind: WriteKind
    channel: int = 0


ALL = RateKey(WriteKind.ALL)
JITTER = 1e-6
"""Seconds; shorter waits are rounding errors."""
LONG = 60
"""Larger than any limit, in requests and in seconds."""


class RateBucket:
    """Times of the requests within the window."""

    def __init__(self, limit: RateLimit) -> None:
        self._limit = limit
        self._taken: deque[float] = deque(maxlen=limit.most)

    def take(self, now: float) -> None:
        """Count a request."""
        self._taken.append(now)

    def free(self, now: float) -> int:
        return self._limit.most - sum(at + self._limit.seconds - now > JITTER for at in self._taken)

    def rest(self, now: float, wanted: int = 1) -> float:
        """Return the seconds until this many requests (at most the limit) are possible."""
        earlier = len(self._taken) - (self._limit.most - min(wanted, self._limit.most))
        if earlier <= 0:
            return 0.0
        rest = self._taken[earlier - 1] + self._limit.seconds - now
        return rest if rest > JITTER else 0.0


@dataclass(slots=True)
class _Waiting:
    """A waiting request, ordered by rank, then by arrival."""

    place: tuple[WritePriority, int]
    keys: frozenset[RateKey]
    granted: bool = False
    go: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def spare(self) -> int:
        """Number of requests it leaves for others."""
        return int(self.place[0] is WritePriority.TAIL)


class RateBudget:
    """Grants requests in order of precedence."""

    def __init__(
        self,
        limits: WriteLimits = WriteLimits(),
        clock: Callable[[], float] = loop_time,
        until: Callable[[asyncio.Event, float], Awaitable[None]] = wait_at_most,
    ) -> None:
        """clock: monotonic seconds. until: waits for an event with a timeout in these seconds."""
        self._limits = limits
        self._clock = clock
        self._until = until
        self._buckets: dict[RateKey, RateBucket] = {}
        self._queue: list[_Waiting] = []
        self._numbers = count()

    async def take(self, rank: WritePriority, *keys: RateKey) -> None:
        """Wait until a request in these buckets is possible, and count it."""
        me = self._new(rank, keys)
        insort(self._queue, me, key=lambda each: each.place)
        try:
            self._serve()
            while not me.granted:
                me.go.clear()
                await self._until(me.go, self._rest(me) or LONG)
                self._serve()
        finally:
            if not me.granted:
                self._queue.remove(me)
                for other in self._queue:
                    other.go.set()  # re-evaluate

    async def turn(self, rank: WritePriority, *keys: RateKey) -> None:
        """Wait until such a request is possible without counting it.

        Its content is best read afterwards.
        """
        while (rest := self.rest(rank, *keys)) > 0:
            await self._until(asyncio.Event(), rest)

    def rest(self, rank: WritePriority, *keys: RateKey) -> float:
        """Return the seconds that such a request would currently have to wait."""
        return self._rest(self._new(rank, keys))

    def _new(self, rank: WritePriority, keys: Iterable[RateKey]) -> _Waiting:
        return _Waiting((rank, next(self._numbers)), frozenset((*keys, ALL)))

    def _serve(self) -> None:
        """Grant possible requests in order.

        One that has to wait keeps its place in each of its buckets.
        """
        now, kept = self._clock(), Counter[RateKey]()
        for one in tuple(self._queue):
            if all(self._bucket(key).free(now) > kept[key] + one.spare for key in one.keys):
                for key in one.keys:
                    self._bucket(key).take(now)
                one.granted = True
                one.go.set()
                self._queue.remove(one)
            else:
                kept.update(one.keys)

    def _rest(self, me: _Waiting) -> float:
        now = self._clock()
        before = Counter(key for other in self._queue if other.place < me.place for key in other.keys)
        return max(self._bucket(key).rest(now, 1 + me.spare + before[key]) for key in me.keys)

    def _bucket(self, key: RateKey) -> RateBucket:
        found = self._buckets.get(key)
        if found is None:
            now = self._clock()
            self._buckets = {old: one for old, one in self._buckets.items() if one.rest(now, LONG) > 0}
            found = self._buckets[key] = RateBucket(self._limits.of(key.kind))
        return found
