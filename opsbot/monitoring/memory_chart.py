"""What is drawn of a service's memory: its samples, its starts and deploys, its limit and its trend."""

from datetime import UTC, datetime, timedelta

from opsbot.chart import ChartMark, Memory
from opsbot.core.deployment import Phase
from opsbot.core.gauge import HOUR
from opsbot.formatting import duration
from opsbot.monitoring.leak_monitor import Growth, in_short
from opsbot.store import Store, ledger, samples
from opsbot.store.samples import Figure

DEPLOYS = 50
WORTH_DRAWING = 10
"""Samples, at least."""


async def memory_of(
    store: Store, service: str, begin: datetime, end: datetime, growth: Growth | None = None
) -> Memory | None:
    """The memory of a service in that time; None where too little of it was measured to be worth drawing.

    growth: how it is judged, where its trend and its limit are to be shown.
    """
    points = await store.read(samples.points, service, Figure.MEMORY, begin)
    points = [point for point in points if point[0] <= end.timestamp()]
    if len(points) < WORTH_DRAWING:
        return None
    deploys = [
        ChartMark(each.live_at, f"deploy {each.id}")
        for each in await store.read(ledger.deployments, service, DEPLOYS)
        if each.live_at is not None and each.phase in {Phase.LIVE, Phase.UNDONE} and begin <= each.live_at <= end
    ]
    starts = [
        ChartMark(at)
        for at in await store.read(samples.run_starts, service, begin)
        if at <= end and not any(abs(at - deploy.at) < timedelta(minutes=2) for deploy in deploys)
    ]
    found = None if growth is None else growth.judgement.trend
    return Memory(
        f"{service}: memory of the last {duration(_rounded(end - begin))}",
        points,
        begin,
        end,
        [*deploys, *starts],
        growth.limit.size if growth is not None and growth.limit is not None else None,
        None if found is None else ((found.begun, found.before), (found.until, found.level)),
        "" if growth is None else in_short(growth),
    )


def _rounded(length: timedelta) -> timedelta:
    minute = timedelta(minutes=10)
    return max(minute, round(length / minute) * minute)


def charted(growth: Growth, now: datetime) -> dict[str, object]:
    """What a notice keeps, so that its chart can be drawn whenever it is sent, by another opsbot too."""
    found = growth.judgement.trend
    if found is None:
        return {}
    around = max(found.span * 1.25, 2 * HOUR)
    return {
        "begin": now.timestamp() - around,
        "end": now.timestamp(),
        "limit": growth.limit.size if growth.limit is not None else None,
        "trend": [[found.begun, found.before], [found.until, found.level]],
        "note": in_short(growth),
    }


async def drawn_again(store: Store, service: str, kept: dict[str, object]) -> Memory | None:
    """The chart of a notice, from what it kept."""
    begin, end, limit, trend = (kept.get(key) for key in ("begin", "end", "limit", "trend"))
    if not isinstance(begin, int | float) or not isinstance(end, int | float):
        return None
    plain = await memory_of(store, service, datetime.fromtimestamp(begin, UTC), datetime.fromtimestamp(end, UTC))
    if plain is None:
        return None
    line = None
    if isinstance(trend, list):
        (one, low), (two, high) = trend
        line = ((float(one), float(low)), (float(two), float(high)))
    most = float(limit) if isinstance(limit, int | float) else None
    return Memory(plain.title, plain.points, plain.begin, plain.end, plain.marks, most, line, str(kept.get("note", "")))
