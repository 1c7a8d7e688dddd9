"""Reading the last lines of units from a journal of a million entries, against journalctl itself, in the same run.

It writes that million into the journal, and so runs in a laboratory alone:

    tests/lab/inside .venv/bin/python -m benchmarks journal

A reading of opsbot's is all of it: a thread, journalctl as a child, its output taken apart into lines and levels.
The baseline is the command as a person would type it, its output thrown away. Medians of several rounds, both in turn.
"""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks import Row, Scale, quantile, row, skipped
from benchmarks._usage import rss
from opsbot.config import Scope
from opsbot.services.journal import Journal
from opsbot.services.port import LogQuery, ManagerError

ENTRIES = 1_000_000
ROUNDS = 30
UNITS = Path("/run/systemd/system")
QUIET, FLOOD = "bench-journal-quiet.service", "bench-journal-flood.service"
QUIET_LINES = 100
PROGRAM = """\
import sys
for n in range(int(sys.argv[1])):
    word = "ERROR: " if n % 1000 == 0 else ""
    sys.stdout.write(f"{word}request {n} of a client was answered after 12 ms with 200 OK, as most of them are\\n")
"""
UNIT = """\
[Service]
Type=oneshot
ExecStart={python} -S {program} {lines}
LogRateLimitIntervalSec=1s
LogRateLimitBurst=100000000
"""


def _run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _fill(entries: int) -> None:
    """First a unit that says little, then one that says a lot."""
    program = Path("/run/bench-journal.py")
    program.write_text(PROGRAM)
    for unit, lines in ((QUIET, QUIET_LINES), (FLOOD, entries)):
        (UNITS / unit).write_text(UNIT.format(python=sys.executable, program=program, lines=lines))
    _run("systemctl", "daemon-reload")
    for unit in (QUIET, FLOOD):
        _run("systemctl", "start", unit)
    _run("journalctl", "--sync")


def _kept() -> int:
    """How many lines of the flood the journal has."""
    with subprocess.Popen(
        ["journalctl", "-u", FLOOD, "-o", "cat", "--output-fields=PRIORITY"], stdout=subprocess.PIPE
    ) as child:
        return sum(1 for _ in child.stdout or ())


async def _typed(*options: str) -> None:
    process = await asyncio.create_subprocess_exec(
        "journalctl", "--no-pager", "-q", *options, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    await process.wait()


async def _took(deed: Callable[[], Awaitable[object]]) -> float:
    began = time.monotonic()
    await deed()
    return (time.monotonic() - began) * 1000


async def _against(name: str, unit: str, query: LogQuery, typed: tuple[str, ...], rounds: int, aim: str = "") -> Row:
    journal = Journal(Scope.SYSTEM)
    told = ""

    async def ours() -> None:
        nonlocal told
        try:
            told = f"{len(await journal.lines([unit], query))} lines"
        except ManagerError as error:
            told = str(error)

    await ours()
    times = [(await _took(ours), await _took(lambda: _typed("-u", unit, *typed))) for _ in range(rounds)]
    mine, theirs = ([pair[side] for pair in times] for side in (0, 1))
    note = f"{told}; p99 {quantile(mine, 0.99):.0f} ms against {quantile(theirs, 0.99):.0f} ms"
    return row(name, quantile(mine, 0.5), "ms", f"journalctl {' '.join(typed)}", quantile(theirs, 0.5), aim, note)


async def run(scale: Scale) -> list[Row]:
    """The last 50 lines, of a unit that wrote long ago and of one that writes much; searches; memory."""
    if "OPSBOT_LAB" not in os.environ:
        why = "it fills a journal: tests/lab/inside .venv/bin/python -m benchmarks journal"
        return [skipped("last 50 lines from a journal of a million entries", why)]
    await asyncio.to_thread(_fill, scale.times(ENTRIES))
    kept = await asyncio.to_thread(_kept)
    rounds, few = scale.times(ROUNDS), scale.times(5)
    before = rss(os.getpid())
    last = ("-n", "50")
    rows = [
        await _against(f"last 50 lines, {kept} entries", FLOOD, LogQuery(50), last, rounds, "≤ 3"),
        await _against("last 50 lines, written before all those", QUIET, LogQuery(50), last, rounds, "≤ 3"),
        await _against("last 1000 lines", FLOOD, LogQuery(1000), ("-n", "1000"), rounds),
        await _against(
            "last 50 errors, one line in 1000", FLOOD, LogQuery(50, level="error"), ("-g", "ERROR", *last), few
        ),
        await _against("last 50 lines with a text", FLOOD, LogQuery(50, grep="999"), ("-g", "999", *last), few),
        await _against("a text that is in none", FLOOD, LogQuery(50, grep="teapot"), ("-g", "teapot", *last), few),
        await _against("a pattern that is in none", FLOOD, LogQuery(50, grep="tea.?pot"), ("-g", "tea.?pot", *last), 1),
    ]
    grown = rss(os.getpid()) - before
    rows.append(row("memory that opsbot grows by in all these readings", grown, "MB", aim="< 10"))
    return rows
