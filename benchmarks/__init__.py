"""What opsbot costs and how fast it is, each figure beside its baseline, measured in the same run.

A module here has `async def run() -> list[Row]`. `python -m benchmarks [MODULE...]` runs them all, or those named.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. `ratio` is value / baseline_value, None where there is no baseline; `aim` says what is aimed at."""

    name: str
    value: float
    unit: str
    baseline_name: str = ""
    baseline_value: float | None = None
    ratio: float | None = None
    aim: str = ""


def row(
    name: str, value: float, unit: str, baseline_name: str = "", baseline_value: float | None = None, aim: str = ""
) -> Row:
    """A row with its ratio worked out."""
    ratio = value / baseline_value if baseline_value else None
    return Row(name, value, unit, baseline_name, baseline_value, ratio, aim)
