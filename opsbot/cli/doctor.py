"""`opsbot doctor`: print the report as an aligned table or as JSON."""

import argparse
import asyncio
import json
import os
import shlex
import sys
from operator import attrgetter
from pathlib import Path

from opsbot.cli import FAILED, FINE
from opsbot.cli.invite import invite_link
from opsbot.cli.own import loaded
from opsbot.cli.terminal import Cell, Paint, fit, plain, table, terminal_width, wants_colour, width
from opsbot.config import Config, Scope
from opsbot.control.client import find
from opsbot.control.codec import Codec, JsonForm
from opsbot.doctor import Area, Finding, Outcome, Report, examine

CREDENTIALS = "credentials/opsbot.service"
"""Path of the running unit's LoadCredential= files below /run or the user's runtime directory (systemd.exec(5))."""
_TITLES = {
    Area.HOST: "This host",
    Area.STATE: "opsbot",
    Area.DISCORD: "Discord",
    Area.SYSTEMD: "systemd",
    Area.SOURCE: "Repositories",
    Area.FOLDERS: "Folders",
    Area.COMMANDS: "Commands",
    Area.PORTS: "Ports",
    Area.NOTICES: "Notifications",
}
_MARKS = {
    Outcome.OK: ("ok", "green"),
    Outcome.WARNING: ("warning", "yellow"),
    Outcome.FAILED: ("failed", "red"),
    Outcome.SKIPPED: ("skipped", "dim"),
}
_NAME_MOST = 44


_codec = Codec(
    {
        Finding: JsonForm(keys={"fix": "mend"}, added={"service": lambda one: one.service or None}),
        Report: JsonForm(
            added={
                "healthy": attrgetter("healthy"),
                "failed": lambda report: report.count(Outcome.FAILED),
                "warnings": lambda report: report.count(Outcome.WARNING),
                "mend_first": lambda report: [report.findings.index(one) for one in report.to_fix],
            }
        ),
    }
)
"""docs/cli.md describes the report as JSON. mend_first: positions in `findings`, in the order of fixing."""


def credentials(config: Config) -> Path:
    if config.systemd.scope is Scope.SYSTEM:
        return Path("/run") / CREDENTIALS
    return Path(os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}") / CREDENTIALS


def doctor(args: argparse.Namespace) -> int:
    config = loaded(args)
    handed_over = credentials(config)
    if "CREDENTIALS_DIRECTORY" not in os.environ and os.access(handed_over, os.R_OK | os.X_OK):
        os.environ["CREDENTIALS_DIRECTORY"] = str(handed_over)
    command = f"opsbot doctor -c {shlex.quote(str(config.path.absolute()))}"
    report = asyncio.run(_examine(config, command))
    if args.json:
        print(json.dumps(_codec.encode(report), indent=2, ensure_ascii=False))
    else:
        print("\n".join(lines(report, Paint(on=wants_colour(sys.stdout)), terminal_width())))
    return FINE if report.healthy else FAILED


async def _examine(config: Config, command: str) -> Report:
    control = await asyncio.to_thread(find, config.state.directory)
    return await examine(config, control, invite_link, command)


def lines(report: Report, paint: Paint, columns: int) -> list[str]:
    out: list[str] = []
    for area in Area:
        found = [one for one in report.findings if one.area is area]
        if found:
            out += [paint(_TITLES[area], "bold"), *table(_rows(found, columns), paint, "  "), ""]
    trouble = report.to_fix
    if trouble:
        out.append(paint("Fix first", "bold"))
        given: dict[str, int] = {}
        for number, one in enumerate(trouble, 1):
            word, colour = _MARKS[one.outcome]
            out.append(f"  {number}. {paint(word, colour)} {plain(_title(one))}: {plain(one.seen)}")
            first = given.setdefault(one.fix, number)
            if one.fix:
                fix = plain(one.fix) if first == number else f"as {first}"
                out.append(f"     {paint('→', 'cyan')} {fix}")
        out.append("")
    out.append(_summary(report, paint))
    return out


def _title(finding: Finding) -> str:
    return f"{finding.service}, {finding.name}" if finding.service else finding.name


def _rows(findings: list[Finding], columns: int) -> list[list[Cell]]:
    names = [fit(plain(_title(one)), _NAME_MOST) for one in findings]
    left = max(columns - max(map(width, names)) - 13, 30)
    # Problems are shown in full in the list below.
    return [
        [_MARKS[one.outcome], (name, ""), (fit(plain(one.seen), left), "dim")]
        for one, name in zip(findings, names, strict=True)
    ]


def _summary(report: Report, paint: Paint) -> str:
    counts = {outcome: report.count(outcome) for outcome in Outcome}
    words = [f"{counts[Outcome.OK]} ok"]
    words += [f"{counts[Outcome.WARNING]} to check"] if counts[Outcome.WARNING] else []
    words += [f"{counts[Outcome.FAILED]} failed"] if counts[Outcome.FAILED] else []
    words += [f"{counts[Outcome.SKIPPED]} skipped"] if counts[Outcome.SKIPPED] else []
    colour = "green" if report.healthy else "red"
    return paint(f"Checked as {plain(report.user)}: {', '.join(words)}.", colour)
