"""Measures the host once: everything that its checks and its samples need. Blocks; call it in a thread."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from opsbot.host import kernel
from opsbot.host.figures import HostFigures, host_figures
from opsbot.host.file_systems import FileSystem, file_systems


@dataclass(frozen=True, slots=True)
class HostMeasurement:
    """The host at one moment. None: unknown; percent where nothing else is said.

    files, own_files: open ones, and how many there may be. clock_error: seconds.
    """

    host: HostFigures
    file_systems: tuple[FileSystem, ...] = ()
    pressure: float | None = None
    steal: float | None = None
    files: tuple[int, int] | None = None
    own_files: tuple[int, int] | None = None
    clock_error: float | None = None


class HostMeter:
    """Measures again and again; stolen time is that since the last time."""

    def __init__(self, paths: Sequence[Path], *, clock: bool = False) -> None:
        """paths: whose file systems are looked at. clock: how well it is kept, too."""
        self._paths = paths
        self._clock = clock
        self._times: kernel.Times | None = None

    def measure(self) -> HostMeasurement:
        before, self._times = self._times, kernel.times()
        return HostMeasurement(
            host_figures(),
            file_systems(self._paths),
            kernel.memory_pressure(),
            self._times.stolen_since(before) if self._times and before else None,
            kernel.files(),
            kernel.own_files(),
            kernel.clock_error() if self._clock else None,
        )
