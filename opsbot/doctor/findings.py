"""The doctor's findings and the order in which to fix them."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from opsbot.formatting import duration


class Outcome(StrEnum):
    """Result of one check."""

    OK = "ok"
    WARNING = "warning"
    """It works now, but is misconfigured or will fail later."""
    FAILED = "failed"
    SKIPPED = "skipped"
    """The check could not run; `seen` gives the reason."""


class Area(StrEnum):
    """Subject of a finding. The order is that of fixing: dependencies come first."""

    HOST = "host"
    STATE = "state"
    DISCORD = "discord"
    SYSTEMD = "systemd"
    SOURCE = "source"
    FOLDERS = "folders"
    COMMANDS = "commands"
    PORTS = "ports"
    NOTICES = "notices"
    """Notification channels other than Discord."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of one check.

    `seen` may contain foreign text; it is escaped where it is shown. `fix` is a command to run or a place to click.
    """

    area: Area
    name: str
    outcome: Outcome
    seen: str
    fix: str = ""
    service: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """What findings are about: an area, or one service in it."""

    area: Area
    service: str = ""

    def passed(self, name: str, seen: str) -> Finding:
        return Finding(self.area, name, Outcome.OK, seen, service=self.service)

    def warn(self, name: str, seen: str, fix: str) -> Finding:
        """It does not break anything yet."""
        return Finding(self.area, name, Outcome.WARNING, seen, fix, self.service)

    def fail(self, name: str, seen: str, fix: str) -> Finding:
        return Finding(self.area, name, Outcome.FAILED, seen, fix, self.service)

    def skip(self, name: str, why: str, fix: str = "") -> Finding:
        """It could not be checked."""
        return Finding(self.area, name, Outcome.SKIPPED, why, fix, self.service)


@dataclass(frozen=True, slots=True)
class Report:
    """All findings, ordered by area. user: the user whose permissions were tested."""

    user: str
    findings: tuple[Finding, ...]

    @property
    def healthy(self) -> bool:
        return self.count(Outcome.FAILED) == 0

    def count(self, outcome: Outcome) -> int:
        return sum(1 for finding in self.findings if finding.outcome is outcome)

    @property
    def to_fix(self) -> list[Finding]:
        """Failures, then warnings, each ordered by area."""
        order = (Outcome.FAILED, Outcome.WARNING)
        return sorted((one for one in self.findings if one.outcome in order), key=lambda one: order.index(one.outcome))


async def bounded(about: Subject, name: str, work: Awaitable[Sequence[Finding]], seconds: float) -> list[Finding]:
    """Run a check with a time limit; exceeding it is a finding."""
    try:
        async with asyncio.timeout(seconds):
            return list(await work)
    except TimeoutError:
        text = f"no answer in {duration(seconds)}"
        return [about.fail(name, text, "Run it again; if it happens again, find out what hangs")]


def report(user: str, found: Iterable[Sequence[Finding]], clean: Callable[[str], str] = str) -> Report:
    """Build the ordered report. clean: redacts known secrets."""
    order = list(Area)
    every = [replace(one, seen=clean(one.seen), fix=clean(one.fix)) for some in found for one in some]
    return Report(user, tuple(sorted(every, key=lambda one: order.index(one.area))))
