"""`python -m benchmarks [--json] [MODULE...]`."""

import argparse
import asyncio
import importlib
import json
import pkgutil
import sys
from collections.abc import Sequence
from dataclasses import asdict

import benchmarks
from benchmarks import Row


def modules() -> list[str]:
    """The benchmarks there are: every public module that has `run`."""
    names = (found.name for found in pkgutil.iter_modules(benchmarks.__path__) if not found.name.startswith("_"))
    return [name for name in names if hasattr(importlib.import_module(f"benchmarks.{name}"), "run")]


def table(rows: Sequence[Row]) -> str:
    """The rows in columns."""
    head = ("what", "figure", "unit", "baseline", "its figure", "ratio", "aim")
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
    baseline = "" if each.baseline_value is None else f"{each.baseline_value:.4g}"
    ratio = "" if each.ratio is None else f"{each.ratio:.3f}"
    return each.name, f"{each.value:.4g}", each.unit, each.baseline_name, baseline, ratio, each.aim


def main() -> int:
    there = modules()
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=benchmarks.__doc__)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"of: {', '.join(there)}; all where none is named")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    given = parser.parse_args()
    unknown = sorted(set(given.modules) - set(there))
    if unknown:
        parser.error(f"no such module: {', '.join(unknown)} (there are: {', '.join(there)})")
    rows: list[Row] = []
    for name in given.modules or there:
        print(f"measuring {name} …", file=sys.stderr, flush=True)
        rows += asyncio.run(importlib.import_module(f"benchmarks.{name}").run())
    print(json.dumps([asdict(each) for each in rows], indent=2) if given.json else table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
