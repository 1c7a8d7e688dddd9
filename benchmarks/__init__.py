"""What opsbot costs and how fast it is, each figure beside its baseline, measured in the same run.

A module here has `async def run(scale: Scale) -> list[Row]`. `python -m benchmarks [MODULE...]` runs them all, or those
named.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured. `quick`: a look whether all runs, in a fifth of the time. `deploys`: of the soak."""

    quick: bool = False
    deploys: int = 300

    def times(self, count: int) -> int:
        """So many, or a fifth of it."""
        return max(count // 5, 1) if self.quick else count


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. `ratio` is value / baseline_value, None where there is no baseline; `aim` says what is aimed at.

    `value` is None where nothing could be measured; `note` says why then.
    """

    name: str
    value: float | None
    unit: str
    baseline_name: str = ""
    baseline_value: float | None = None
    ratio: float | None = None
    aim: str = ""
    note: str = ""


def row(
    name: str,
    value: float,
    unit: str,
    baseline_name: str = "",
    baseline_value: float | None = None,
    aim: str = "",
    note: str = "",
) -> Row:
    """A row with its ratio worked out."""
    ratio = value / baseline_value if baseline_value else None
    return Row(name, value, unit, baseline_name, baseline_value, ratio, aim, note)


def skipped(name: str, why: str) -> Row:
    """A row that could not be measured."""
    return Row(name, None, "", note=f"skipped: {why}")


def quantile(values: Sequence[float], share: float) -> float:
    """The value that this share of all values does not exceed (nearest rank)."""
    ranked = sorted(values)
    return ranked[min(int(share * len(ranked)), len(ranked) - 1)]
