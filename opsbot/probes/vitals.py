"""Whether the main process of a service is alive.

/proc/PID/stat is kept open: the file stays bound to that process even if its pid is reused, and reading it again takes
a few microseconds.
"""

import os
from dataclasses import dataclass

from opsbot.core.health import ProbeCode
from opsbot.core.message import Message, message

_FROZEN = b"T"
_DEAD = b"ZXx"


@dataclass(frozen=True, slots=True)
class Vital:
    """The state of a process."""

    ok: bool
    seen: Message
    frozen: bool = False


class Vitals:
    """Reads the state of processes, with one open file for each service. Blocks for microseconds."""

    def __init__(self) -> None:
        self._open: dict[str, tuple[str | None, int, int, Vital]] = {}
        """By service: the run, the pid, the open file, and the state of a running process."""
        self.shared: dict[tuple[str, str | None, int], Vital] | None = None
        """States already read for checks that run together; None where each reads its own."""

    def read(self, service: str, run: str | None, pid: int) -> Vital:
        """The state of the process `pid` of this run."""
        if self.shared is None:
            return self._read(service, run, pid)
        key = service, run, pid
        found = self.shared.get(key)
        if found is None:
            found = self.shared[key] = self._read(service, run, pid)
        return found

    def _read(self, service: str, run: str | None, pid: int) -> Vital:
        try:
            known = self._known(service, run, pid)
            stat = os.pread(known[2], 512, 0)
        except OSError:
            self.forget(service)
            return Vital(ok=False, seen=message(ProbeCode.PROCESS_GONE, pid=pid))
        state = stat[stat.rfind(b")") + 2 : stat.rfind(b")") + 3]
        if not state or state in _DEAD:
            return Vital(ok=False, seen=message(ProbeCode.PROCESS_ZOMBIE, pid=pid))
        if state == _FROZEN:
            return Vital(ok=False, seen=message(ProbeCode.PROCESS_FROZEN, pid=pid), frozen=True)
        return known[3]

    def _known(self, service: str, run: str | None, pid: int) -> tuple[str | None, int, int, Vital]:
        known = self._open.get(service)
        if known is not None and known[:2] == (run, pid):
            return known
        self.forget(service)
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        running = Vital(ok=True, seen=message(ProbeCode.PROCESS_RUNNING, pid=pid))
        known = self._open[service] = (run, pid, fd, running)
        return known

    def forget(self, service: str) -> None:
        known = self._open.pop(service, None)
        if known is not None:
            os.close(known[2])

    def close(self) -> None:
        for service in list(self._open):
            self.forget(service)
