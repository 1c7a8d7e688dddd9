"""Memory over many deploys and checks, as fast as they go: flat, or a leak. `--deploys 10000` for the whole of it.

Two commits are deployed in turn, with the real deployer, store, supervisor and watcher, in a process of its own. Its
memory is read after each tenth; the slope is a straight line's through the second half. In the first one caches fill:
SQLite keeps up to 1 MB of pages, which takes some hundred deploys.
"""

import asyncio
import json
import sys
from itertools import pairwise
from statistics import linear_regression

from benchmarks import Row, Scale, row

MOST_SECONDS = 2.0
"""A deploy that takes longer than this on average is no soak any more."""


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
    late = seen[len(seen) // 2 :]
    slope = linear_regression([each["deploys"] / 1000 for each in late], [each["rss"] for each in late]).slope
    return [
        row(
            f"RSS per 1000 deploys, over {deploys} and {seen[-1]['checks']} checks",
            slope,
            "MB",
            aim="flat",
            note=note,
        ),
        row("RSS at the end", seen[-1]["rss"], "MB", "after the first tenth", seen[0]["rss"]),
        row("soak: open files more at the end", sum(steps), "files", aim="0"),
    ]
