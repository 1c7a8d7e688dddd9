"""Memory over many deploys and checks, as fast as they go: flat, or a leak. `--deploys 10000` for the whole of it.

Two commits are deployed in turn, with the real deployer, store, supervisor and watcher, in a process of its own. Its
memory is read after each tenth; the slope is a straight line's through all but the first, in which caches fill.
"""

import asyncio
import json
import sys
from itertools import pairwise

from benchmarks import Row, Scale, row

MOST_SECONDS = 2.0
"""A deploy that takes longer than this on average is no soak any more."""


def slope(points: list[tuple[float, float]]) -> float:
    """The least squares line's."""
    mean_x, mean_y = (sum(column) / len(points) for column in zip(*points, strict=True))
    over = sum((x - mean_x) * (y - mean_y) for x, y in points)
    return over / sum((x - mean_x) ** 2 for x, _ in points)


async def run(scale: Scale) -> list[Row]:
    """One service, deployed again and again."""
    deploys = max(scale.times(scale.deploys), 30)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks._soaked", str(deploys)), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    seen = []
    try:
        async with asyncio.timeout(60 + deploys * MOST_SECONDS):
            while line := await process.stdout.readline():
                seen.append(json.loads(line))
                print(f"\n  {line.decode().strip()}", end="", file=sys.stderr, flush=True)
    finally:
        if process.returncode is None and len(seen) < 10:
            process.terminate()
        await process.wait()
    if len(seen) < 10:
        raise RuntimeError(f"the soak ended early, after {seen[-1:]}")
    note = ", ".join(f"{each['rss']:.1f}" for each in seen) + " MB"
    steps = [after["files"] - before["files"] for before, after in pairwise(seen[1:])]
    points = [(each["deploys"] / 1000, each["rss"]) for each in seen[1:]]
    return [
        row(f"RSS per 1000 deploys, over {deploys} and {seen[-1]['checks']} checks", slope(points), "MB", aim="flat", note=note),
        row("RSS at the end", seen[-1]["rss"], "MB", "after the first tenth", seen[0]["rss"]),
        row("open files more at the end", sum(steps), "files", aim="0"),
    ]
