"""What Discord takes within some seconds, rationed: one budget for all that is said and edited in its channels.

Discord counts requests by kind and channel, and edits of messages older than an hour apart and in no header (error
30046). Where more is to be asked than it takes, what wakes people goes first, then lines of timelines, then cards, and
live tails last: these always leave one for whoever comes next.
"""

import asyncio
import time
from bisect import insort
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from itertools import count


class WritePriority(IntEnum):
    """Who goes first."""

    ALARM = 0
    """A new message in the channel."""
    LINE = 1
    """A line of a timeline, in its thread."""
    CARD = 2
    """An edit of what is there already."""
    TAIL = 3
    """What can wait, or be left out."""


class WriteKind(StrEnum):
    """What Discord counts apart."""

    SEND = "send"
    EDIT = "edit"
    EDIT_OLD = "edit_old"
    """An edit of a message older than an hour. It counts as an EDIT, too."""
    ALL = "all"
    """Every request of this bot."""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """So many within so many seconds, whenever these begin."""

    most: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Limits:
    """Discord's own, with a third of a second for the way there: requests may arrive closer together than they left.

    Messages and their edits: 5 in 5 s a channel, as its headers say. Edits of old ones: 3 in 6 s a channel, which it
    tells nobody. All: 50 in 1 s (its documentation, "Rate Limits"), some left to the answers to people.
    """

    send: RateLimit = RateLimit(5, 5.3)
    edit: RateLimit = RateLimit(5, 5.3)
    edit_old: RateLimit = RateLimit(3, 6.3)
    all: RateLimit = RateLimit(30, 1.0)

    def of(self, kind: WriteKind) -> RateLimit:
        """That of one kind."""
        limit: RateLimit = getattr(self, kind)
        return limit


@dataclass(frozen=True, slots=True)
class RateKey:
    """One bucket: a kind of request in a channel; channel 0: everywhere."""

    kind: WriteKind
    channel: int = 0


ALL = RateKey(WriteKind.ALL)
JITTER = 1e-6
"""Seconds that are none: what is left of a wait by rounding."""
LONG = 60
"""More than any limit, in number and in seconds."""


class RateBucket:
    """When requests were made, as far back as counts."""

    def __init__(self, limit: RateLimit) -> None:
        """None was made."""
        self._limit = limit
        self._taken: deque[float] = deque(maxlen=limit.most)

    def take(self, now: float) -> None:
        """One is made."""
        self._taken.append(now)

    def free(self, now: float) -> int:
        """How many can be made at once."""
        return self._limit.most - sum(at + self._limit.seconds - now > JITTER for at in self._taken)

    def rest(self, now: float, wanted: int = 1) -> float:
        """Seconds until so many can be made at once; of more than ever can, until as many can as ever can."""
        earlier = len(self._taken) - (self._limit.most - min(wanted, self._limit.most))
        if earlier <= 0:
            return 0.0
        rest = self._taken[earlier - 1] + self._limit.seconds - now
        return rest if rest > JITTER else 0.0


@dataclass(slots=True)
class _Waiting:
    """One that asks. Its place in the queue is its rank, then when it came."""

    place: tuple[WritePriority, int]
    keys: frozenset[RateKey]
    granted: bool = False
    go: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def spare(self) -> int:
        """How many it leaves for others."""
        return int(self.place[0] is WritePriority.TAIL)


async def _until(go: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await go.wait()


class RateBudget:
    """Who asks when."""

    def __init__(
        self,
        limits: Limits = Limits(),
        clock: Callable[[], float] = time.monotonic,
        until: Callable[[asyncio.Event, float], Awaitable[None]] = _until,
    ) -> None:
        """clock: seconds that nobody sets. until: waits for an event, at most so many of these seconds."""
        self._limits = limits
        self._clock = clock
        self._until = until
        self._buckets: dict[RateKey, RateBucket] = {}
        self._queue: list[_Waiting] = []
        self._numbers = count()

    async def take(self, rank: WritePriority, *keys: RateKey) -> None:
        """Wait until a request may be made that counts in these buckets, and count it."""
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
                    other.go.set()  # to look again

    async def turn(self, rank: WritePriority, *keys: RateKey) -> None:
        """Wait until such a request could be made at once, and make none: what it is to say is best read after that."""
        while (rest := self.rest(rank, *keys)) > 0:
            await self._until(asyncio.Event(), rest)

    def rest(self, rank: WritePriority, *keys: RateKey) -> float:
        """Seconds for which such a request would have to wait, as it looks now; 0 where it would not."""
        return self._rest(self._new(rank, keys))

    def _new(self, rank: WritePriority, keys: Iterable[RateKey]) -> _Waiting:
        return _Waiting((rank, next(self._numbers)), frozenset((*keys, ALL)))

    def _serve(self) -> None:
        """Let all go that may, in their order; one that has to wait keeps its place in each of its buckets."""
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
