"""On systemd: how soon opsbot knows of a death, what it costs, and what a restart loses.

As root it boots a systemd of its own (tests/lab) and measures in there, on its private loopback. The parts of it are
the modules `_units_*`.
"""

from benchmarks import Row, Scale, _lab, _units_death, _units_idle, _units_reads, _units_restarts


async def run(scale: Scale) -> list[Row]:
    """All parts, one after the other."""
    if not _lab.inside():
        return await _lab.run_inside("systemd", scale)
    return [
        *await _units_death.run(scale),
        *await _units_reads.run(scale),
        *await _units_restarts.run(scale),
        *await _units_idle.run(scale),
    ]
