import re
from collections import defaultdict
from dataclasses import fields
from pathlib import Path

import pytest
import tomli

from opsbot.config import CheckKind, Config, ManagerKind
from opsbot.config_file import check, load
from opsbot.config_file.keys import ROOT
from opsbot.config_file.reference import reference
from opsbot.config_file.schema import Key, Table, header, walk

PROJECT = Path(__file__).parents[2]
EXAMPLE = PROJECT / "config.toml.example"
REFERENCE = PROJECT / "docs" / "configuration.md"
KEYS = [(path, table, key) for path, table in walk(ROOT) for key in table.keys]
NAMES = [f"{path}.{key.name}".lstrip(".") for path, _, key in KEYS]


def example_sections() -> dict[str, str]:
    """The example's text by the path of its table, services as `services.NAME`."""
    sections: dict[str, list[str]] = defaultdict(list)
    path = ""
    for line in EXAMPLE.read_text().splitlines():
        if match := re.match(r"\[\[?([^\]]+)\]", line):
            path = re.sub(r"^(services|notifiers)\.[^.]+", r"\1.NAME", match[1])
        sections[path].append(line)
    return {path: "\n".join(lines) for path, lines in sections.items()}


def reference_sections() -> dict[str, str]:
    parts = re.split(r"^## `?(.+?)`?$", REFERENCE.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_the_example_is_without_problems() -> None:
    assert check(EXAMPLE) == []


def test_the_example_is_the_two_services_of_the_voice_meeting_bot() -> None:
    config = load(EXAMPLE)
    bot, api = config.services.values()
    assert (bot.name, bot.manager, bot.unit) == (
        "voice-meeting-bot",
        ManagerKind.SYSTEMD,
        "voice-meeting-discord-bot.service",
    )
    assert [each.kind for each in bot.checks] == [CheckKind.UNIT, CheckKind.PROCESS, CheckKind.TCP, CheckKind.HTTP]
    assert bot.checks[2].port == 3003
    assert (bot.checks[3].method, bot.checks[3].url) == ("GET", "http://127.0.0.1:3003/health")
    assert (api.name, api.manager, api.command[0]) == ("voice-meeting-api", ManagerKind.PROCESS, "python3")
    assert api.run_directory == Path("/srv/voice-meeting-api/current/python-api")


@pytest.mark.parametrize(("path", "table", "key"), KEYS, ids=NAMES)
def test_every_key_stands_in_the_example_with_its_default(path: str, table: Table, key: Key) -> None:
    section = example_sections()[path]
    default = table.default_text(key)
    assert re.search(rf"^(?:# )?{key.name} = ", section, re.MULTILINE)
    if default:
        commented = rf"^# {key.name} = {re.escape(default)}$"
        beside = rf"Default: {re.escape(default)}(?: |\.|,|$)(?:.*\n(?:#.*\n)*){key.name} = "
        assert re.search(commented, section, re.MULTILINE) or re.search(beside, section, re.MULTILINE)


@pytest.mark.parametrize(("path", "table", "key"), KEYS, ids=NAMES)
def test_every_key_stands_in_the_reference_with_its_default(path: str, table: Table, key: Key) -> None:
    section = reference_sections()[header(path, table) or "At the top of the file"]
    row = re.search(rf"^\| `{key.name}` \| .+? \| (.+?) \| .+ \|$", section, re.MULTILINE)
    assert row is not None
    assert row[1] == (f"`{table.default_text(key)}`" if table.default_text(key) else key.unset or "required")


def test_the_reference_is_up_to_date() -> None:
    assert REFERENCE.read_text() == reference()


def test_no_key_can_be_given_that_the_values_do_not_hold() -> None:
    assert isinstance(load(EXAMPLE), Config)
    for path, table, key in KEYS:
        held = {field.name for owner in table.of for field in fields(owner)}
        name = re.sub(r"_(env|file)$", "", key.name) if key.name != "environment_file" else key.name
        one_of_units = (path, name) == ("services.NAME", "unit")
        keyword = (path, name) == ("notifiers.NAME", "for")  # `told`, as Python lets no field be called for
        assert name in held or path == "http" or one_of_units or keyword, f"{path}.{key.name}"


@pytest.mark.parametrize(("path", "table", "key"), KEYS, ids=NAMES)
def test_every_example_and_every_default_is_itself_right(path: str, table: Table, key: Key) -> None:
    text = f"key = {key.kind.example}"
    value = key.kind.read(tomli.loads(text)["key"])
    assert key.kind.read(tomli.loads(f"key = {key.kind.show(value)}")["key"]) == value
    default = table.default_text(key)
    if default and default not in {'""', "[]", "{}"}:
        assert key.kind.read(tomli.loads(f"key = {default}")["key"]) == table.default(key), path
