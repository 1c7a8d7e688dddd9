"""What the doctor finds, and in which order it is to be mended."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from opsbot.formatting import duration


class Outcome(StrEnum):
    """How a look ended."""

    OK = "ok"
    WARNING = "warning"
    """It works, and will bite or is not as it should be."""
    FAILED = "failed"
    SKIPPED = "skipped"
    """It could not be looked at; `seen` says why."""


class Area(StrEnum):
    """What a finding is about, in the order in which trouble is mended: what others rest on comes first."""

    HOST = "host"
    STATE = "state"
    DISCORD = "discord"
    SYSTEMD = "systemd"
    SOURCE = "source"
    FOLDERS = "folders"
    COMMANDS = "commands"
    PORTS = "ports"
    NOTICES = "notices"
    """Ways to reach people beside Discord."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One look. `seen` may hold text from outside: it is made harmless where it is shown. `mend` is a command to type,
    or where to click.
    """

    area: Area
    name: str
    outcome: Outcome
    seen: str
    mend: str = ""
    service: str = ""


def well(area: Area, name: str, seen: str, service: str = "") -> Finding:
    """All is well."""
    return Finding(area, name, Outcome.OK, seen, service=service)


def warn(area: Area, name: str, seen: str, mend: str, service: str = "") -> Finding:
    """It works for now."""
    return Finding(area, name, Outcome.WARNING, seen, mend, service)


def fail(area: Area, name: str, seen: str, mend: str, service: str = "") -> Finding:
    """It does not work."""
    return Finding(area, name, Outcome.FAILED, seen, mend, service)


def skip(area: Area, name: str, why: str, service: str = "", mend: str = "") -> Finding:
    """It could not be looked at."""
    return Finding(area, name, Outcome.SKIPPED, why, mend, service)


@dataclass(frozen=True, slots=True)
class Report:
    """All findings, in the order of the areas. user: whose rights they were made with."""

    user: str
    findings: tuple[Finding, ...]

    @property
    def healthy(self) -> bool:
        """Whether nothing failed."""
        return self.count(Outcome.FAILED) == 0

    def count(self, outcome: Outcome) -> int:
        """How many ended so."""
        return sum(1 for finding in self.findings if finding.outcome is outcome)

    @property
    def mend_first(self) -> list[Finding]:
        """What is to be mended, in that order: what failed, then the warnings, each by its area."""
        return [
            finding
            for outcome in (Outcome.FAILED, Outcome.WARNING)
            for finding in self.findings
            if finding.outcome is outcome
        ]


Look = Callable[[], Awaitable[Sequence[Finding]]]


async def bounded(area: Area, name: str, look: Look, seconds: float, service: str = "") -> list[Finding]:
    """What a look found, or that it took longer than it may."""
    try:
        async with asyncio.timeout(seconds):
            return list(await look())
    except TimeoutError:
        text = f"no answer in {duration(seconds)}"
        return [fail(area, name, text, "Run it again; if it stays so, look at what hangs there", service)]


def report(user: str, found: Iterable[Sequence[Finding]], clean: Callable[[str], str] = str) -> Report:
    """All of them in order. clean: takes known secrets out of the texts."""
    order = list(Area)
    every = [replace(one, seen=clean(one.seen), mend=clean(one.mend)) for some in found for one in some]
    return Report(user, tuple(sorted(every, key=lambda one: order.index(one.area))))
