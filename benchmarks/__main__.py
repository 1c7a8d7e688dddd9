"""`python -m benchmarks [--json] [--quick] [--deploys N] [MODULE...]`."""

import argparse
import asyncio
import importlib
import json
import os
import pkgutil
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict

import benchmarks
from benchmarks import Row, Scale


def modules() -> list[str]:
    """The benchmarks there are: every public module that has `run`."""
    names = (found.name for found in pkgutil.iter_modules(benchmarks.__path__) if not found.name.startswith("_"))
    return [name for name in names if hasattr(importlib.import_module(f"benchmarks.{name}"), "run")]


def table(rows: Sequence[Row]) -> str:
    """The rows in columns."""
    head = ("what", "figure", "unit", "baseline", "its figure", "ratio", "aim", "note")
    cells = [head, *(_cells(each) for each in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(head))]
    right = {1, 4, 5}
    lines = [
        "  ".join(
            text.rjust(width) if column in right else text.ljust(width)
            for column, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def _cells(each: Row) -> tuple[str, ...]:
    value = "" if each.value is None else f"{each.value:.4g}"
    baseline = "" if each.baseline_value is None else f"{each.baseline_value:.4g}"
    ratio = "" if each.ratio is None else f"{each.ratio:.3f}"
    return each.name, value, each.unit, each.baseline_name, baseline, ratio, each.aim, each.note


def main() -> int:
    there = modules()
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=benchmarks.__doc__)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"of: {', '.join(there)}; all where none is named")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--quick", action="store_true", help="a fifth of the repetitions: whether all of it runs")
    parser.add_argument("--deploys", type=int, default=300, metavar="N", help="deploys of the soak (default: 300)")
    given = parser.parse_args()
    unknown = sorted(set(given.modules) - set(there))
    if unknown:
        parser.error(f"no such module: {', '.join(unknown)} (there are: {', '.join(there)})")
    scale = Scale(given.quick, given.deploys)
    rows: list[Row] = []
    for name in given.modules or there:
        began = time.monotonic()
        print(f"measuring {name} …", end="", file=sys.stderr, flush=True)
        rows += asyncio.run(importlib.import_module(f"benchmarks.{name}").run(scale))
        print(f" {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    if given.json:
        print(json.dumps([asdict(each) for each in rows], indent=2))
    else:
        print(f"{time.strftime('%Y-%m-%d')}, Python {platform.python_version()}, {os.cpu_count()} CPUs")
        print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
