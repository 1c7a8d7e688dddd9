"""docs/cli.md tells every verb and every option, and none that there is not."""

import argparse
import re
from pathlib import Path

from opsbot.cli.parser import parser

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"


def verbs() -> dict[str, argparse.ArgumentParser]:
    (group,) = (action for action in parser()._actions if isinstance(action, argparse._SubParsersAction))
    return dict(group.choices)


def sections() -> dict[str, str]:
    parts = re.split(r"^### `opsbot ([a-z]+)[^`]*`$", PAGE.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], [part.split("\n## ")[0] for part in parts[2::2]], strict=True))


def test_every_verb_has_a_section_and_every_section_a_verb() -> None:
    assert set(sections()) == set(verbs())


def test_every_option_is_told_in_its_verbs_section_and_no_other() -> None:
    everywhere = {"-h", "--help", "-c", "--config", "--socket", "--json"}
    for name, verb in verbs().items():
        there = {option for action in verb._actions for option in action.option_strings} - everywhere
        told = set(re.findall(r"(?<![\w-])(--?[a-z][a-z-]*)", sections()[name])) - everywhere
        assert told == there, name


def test_every_option_and_argument_has_help() -> None:
    for name, verb in verbs().items():
        for action in verb._actions:
            assert action.help, (name, action.dest)


def test_the_exit_codes_are_told() -> None:
    for code in range(5):
        assert re.search(rf"^\| {code} \|", PAGE.read_text(), re.MULTILINE)
