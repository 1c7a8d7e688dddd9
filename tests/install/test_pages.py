"""docs/installing.md tells what install does: each file, each folder with its owner and mode, verbs that there are."""

import re
from pathlib import Path

from opsbot.cli.parser import parser
from opsbot.install import texts

PAGE = (Path(__file__).parents[2] / "docs" / "installing.md").read_text()


def rows(header: str) -> list[list[str]]:
    table = PAGE.split(header)[1].split("\n\n")[0]
    return [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def test_each_file_that_is_written_is_told() -> None:
    told = [row[0] for row in rows("| file | what for |")]
    assert told == [
        "/etc/systemd/system/opsbot.service",
        "/etc/polkit-1/rules.d/50-opsbot.rules",
        "/etc/sysusers.d/opsbot.conf",
        "/etc/tmpfiles.d/opsbot.conf",
        "/etc/systemd/system/opsbot-step-NAME.service",
        "/etc/systemd/system/opsbot-check-NAME.service",
    ]


def test_owners_and_modes_are_those_that_are_made() -> None:
    told = {row[0]: (row[1], row[2]) for row in rows("| path | owner | mode | |")}
    made = [line.split() for line in texts.text("opsbot.tmpfiles.conf").splitlines() if line[0] in "dz"]
    assert len(made) == 7
    for _, path, mode, user, group, _ in made:
        name = path.replace("voice-meeting-bot", "NAME").replace("/releases", "/releases/R")
        owner, said = told[name]
        assert owner == f"{user}:{group.replace('voice-meeting-bot', 'GROUP')}"
        assert said == mode or name.endswith("/R")


def test_every_command_of_opsbots_in_it_can_be_typed() -> None:
    typed = re.findall(r"^[#$] (?:\.venv/bin/)?opsbot (\S.*?)(?:\s{2,}#.*)?$", PAGE, re.MULTILINE)
    assert len(typed) >= 10
    for command in typed:
        if not command.startswith("doctor"):  # has tests of its own
            parser().parse_args(command.split())
