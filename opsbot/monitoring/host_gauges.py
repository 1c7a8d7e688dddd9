"""From what was measured of the host to its gauges: which figures are watched, by which threshold, in which words.

Pure.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta

from opsbot.config import HostChecks
from opsbot.core.gauge import HOST, MARGIN, Gauge, Users, in_about, lines_of
from opsbot.core.threshold import Threshold
from opsbot.core.trend import Forecast
from opsbot.formatting import size
from opsbot.host.file_systems import FileSystem
from opsbot.monitoring.host_meter import HostMeasurement

Ahead = Mapping[str, Forecast | None]
"""By subject, when it is used up."""


def gauges(
    checks: HostChecks, measured: HostMeasurement, ahead: Ahead, standing: Callable[[str], bool]
) -> Iterator[Gauge]:
    """Everything that is watched and was measured. standing: whether a subject is held to be bad now."""
    for each in measured.file_systems:
        if checks.disk:
            subject = f"{HOST}disk:{each.path}"
            yield _disk(checks, each, subject, ahead.get(subject), standing(subject))
        if checks.inodes and each.inodes:
            yield _inodes(checks, each, ahead.get(f"{HOST}inodes:{each.path}"))
    yield from _memory(checks, measured, ahead.get(f"{HOST}memory"))
    yield from _kernel(checks, measured)


def _above(checks: HostChecks, bad: float) -> Threshold:
    return Threshold(*lines_of(bad), checks.sustained, checks.settled)


def _disk(checks: HostChecks, disk: FileSystem, subject: str, ahead: Forecast | None, bad: bool) -> Gauge:  # noqa: FBT001 - it is called here alone
    value, threshold = disk.percent, _above(checks, checks.disk)
    foretold = f"{disk.path} is full {in_about(ahead)} at this rate" if ahead else ""
    cause = f"{disk.path} is {disk.percent:.0f} % full"
    if ahead is not None and checks.disk_ahead:
        left = timedelta(seconds=ahead.likely)
        if left <= checks.disk_ahead:
            value = max(value, threshold.bad)
        elif bad and left <= 2 * checks.disk_ahead:
            # Once it is an alarm, it is over only when the end is far away.
            value = max(value, (threshold.bad + threshold.well) / 2)
        if disk.percent < threshold.bad:
            cause = foretold
    free = f"{size(disk.free)} free of {size(disk.total)}"
    return Gauge(
        subject,
        value,
        threshold,
        cause,
        f"{disk.percent:.0f} % used, {free}" + (f"; {foretold.removeprefix(f'{disk.path} is ')}" if ahead else ""),
        "Delete what is not needed, or make the disk larger. Old releases go with a smaller `keep`, the journal with "
        "`journalctl --vacuum-size=200M`, what services leave behind with `[[services.NAME.cleanup]]`.",
        ahead,
        Users(disk=str(disk.path)),
    )


def _inodes(checks: HostChecks, disk: FileSystem, ahead: Forecast | None) -> Gauge:
    words = f"{disk.inodes_percent:.0f} % of its inodes used, {disk.inodes - disk.inodes_used} left"
    return Gauge(
        f"{HOST}inodes:{disk.path}",
        disk.inodes_percent,
        _above(checks, checks.inodes),
        f"{disk.path} has {disk.inodes_percent:.0f} % of its inodes in use",
        words + (f"; none left {in_about(ahead)} at this rate" if ahead else ""),
        "Many small files fill it: look for them with `du --inodes -x -d 2`, and delete those that are not needed.",
        ahead,
        Users(disk=str(disk.path)),
    )


def _memory(checks: HostChecks, measured: HostMeasurement, ahead: Forecast | None) -> Iterator[Gauge]:
    host = measured.host
    # Where /proc/meminfo is hidden, swap is unknown, too, and free memory is without what caches would give.
    known = host.swap_total is not None
    if checks.memory_available and known and host.memory_total and host.memory_available is not None:
        percent = 100 * host.memory_available / host.memory_total
        bad = float(checks.memory_available)
        words = f"{percent:.0f} % available, {size(host.memory_available)} of {size(host.memory_total)}"
        yield Gauge(
            f"{HOST}memory",
            percent,
            Threshold(bad, bad + MARGIN, checks.sustained, checks.settled),
            f"only {percent:.0f} % of the memory is available ({size(host.memory_available)})",
            words + (f"; none left {in_about(ahead)} at this rate" if ahead else ""),
            "Restart what takes too much, or give the host more. MemoryMax= keeps a unit from taking all of it.",
            ahead,
            Users(memory=True),
        )
    if checks.swap and host.swap_total and host.swap_used is not None:
        percent = 100 * host.swap_used / host.swap_total
        yield Gauge(
            f"{HOST}swap",
            percent,
            _above(checks, checks.swap),
            f"{percent:.0f} % of the swap is in use",
            f"{size(host.swap_used)} of {size(host.swap_total)}",
            "The host has too little memory for what runs on it: restart what takes too much, or give it more.",
            users=Users(memory=True),
        )
    if checks.pressure and measured.pressure is not None:
        yield Gauge(
            f"{HOST}pressure",
            measured.pressure,
            _above(checks, checks.pressure),
            f"tasks waited for memory {measured.pressure:.0f} % of the last minute",
            f"{measured.pressure:.0f} % of the last minute (some avg60)",
            "The host thrashes: restart what takes too much memory, or give it more.",
            users=Users(memory=True),
        )


def _kernel(checks: HostChecks, measured: HostMeasurement) -> Iterator[Gauge]:
    host = measured.host
    if checks.load:
        load = host.load[1] / host.cores
        yield Gauge(
            f"{HOST}load",
            load,
            _above(checks, checks.load),
            f"the load is {load:.1f} a core over five minutes",
            f"{host.load[1]:.1f} on {host.cores} cores",
            "See what runs with `top`; what waits for a disk counts too.",
        )
    if checks.steal and measured.steal is not None:
        yield Gauge(
            f"{HOST}steal",
            measured.steal,
            _above(checks, checks.steal),
            f"the hypervisor gives {measured.steal:.0f} % of the CPU to others",
            f"{measured.steal:.0f} % stolen",
            "A burstable instance has used up its credits, or the host it lives on is crowded: ask the provider.",
        )
    for whose, files in (("host", measured.files), ("opsbot", measured.own_files)):
        if checks.fds and files is not None:
            opened, most = files
            yield Gauge(
                f"{HOST}fds" if whose == "host" else f"{HOST}fds:opsbot",
                100 * opened / most,
                _above(checks, checks.fds),
                f"{opened} of {most} files are open" + (" in opsbot" if whose == "opsbot" else ""),
                f"{opened} of {most}",
                "Find who has them with `lsof`; the bounds are fs.file-max and LimitNOFILE=.",
            )
    if checks.clock and measured.clock_error is not None:
        bad = checks.clock.total_seconds()
        yield Gauge(
            f"{HOST}clock",
            measured.clock_error,
            _above(checks, bad),
            f"the clock may be wrong by {measured.clock_error:.1f} s",
            f"by {measured.clock_error:.1f} s, as the kernel reckons or Discord's clock tells",
            "Nobody keeps the clock: `timedatectl set-ntp true`, or install chrony.",
        )
