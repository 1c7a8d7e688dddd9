import re
from collections import defaultdict
from dataclasses import fields
from pathlib import Path

import pytest
import tomli

from docs.reference import default_text, reference, toml
from opsbot.config import CheckKind, Config, ManagerKind
from opsbot.config_file import check, load
from opsbot.config_file.schema import ROOT, Table, TableKey, header, walk
from opsbot.core.keys import key_of

PROJECT = Path(__file__).parents[2]
EXAMPLE = PROJECT / "config.toml.example"
REFERENCE = PROJECT / "docs" / "configuration.md"
KEYS = [(path, table, key) for path, table in walk(ROOT) for key in table.keys]
NAMES = [f"{path}.{key.name}".lstrip(".") for path, _, key in KEYS]
FILLED_BY_PROPERTY = {"http.listen", "services.NAME.unit"}


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


@pytest.mark.parametrize(("path", "key"), [(path, key) for path, _, key in KEYS], ids=NAMES)
def test_every_key_stands_in_the_example_with_its_default(path: str, key: TableKey) -> None:
    section = example_sections()[path]
    default = default_text(key)
    assert re.search(rf"^(?:# )?{key.name} = ", section, re.MULTILINE)
    if default:
        commented = rf"^# {key.name} = {re.escape(default)}$"
        beside = rf"Default: {re.escape(default)}(?: |\.|,|$)(?:.*\n(?:#.*\n)*){key.name} = "
        assert re.search(commented, section, re.MULTILINE) or re.search(beside, section, re.MULTILINE)


@pytest.mark.parametrize(("path", "table", "key"), KEYS, ids=NAMES)
def test_every_key_stands_in_the_reference_with_its_default(path: str, table: Table, key: TableKey) -> None:
    section = reference_sections()[header(path, table) or "At the top of the file"]
    row = re.search(rf"^\| `{key.name}` \| .+? \| (.+?) \| .+ \|$", section, re.MULTILINE)
    assert row is not None
    assert row[1] == (f"`{default_text(key)}`" if default_text(key) else key.unset or "required")


def test_the_reference_is_up_to_date() -> None:
    assert REFERENCE.read_text() == reference()


def test_every_key_fills_a_field_and_every_field_has_a_key() -> None:
    assert isinstance(load(EXAMPLE), Config)
    filled: dict[type, set[str]] = defaultdict(set)
    for name, (_, table, key) in zip(NAMES, KEYS, strict=True):
        filled[key.inline[1] if key.inline else table.of].add(key.field)
        if key.inline:
            filled[table.of].add(key.inline[0])
        assert hasattr(table.of, key.field) or key.inline, name
        assert (key.field in {field.name for field in fields(key.inline[1] if key.inline else table.of)}) != (
            name in FILLED_BY_PROPERTY
        )
    for _, table in walk(ROOT):
        inner = {each.name for each in table.tables}
        held = {field.name for field in fields(table.of) if not key_of(field.type).absent}
        assert held <= filled[table.of] | inner, table.name


@pytest.mark.parametrize(("path", "key"), [(path, key) for path, _, key in KEYS], ids=NAMES)
def test_every_example_and_every_default_is_itself_right(path: str, key: TableKey) -> None:
    text = f"key = {key.kind.example}"
    value = key.kind.read(tomli.loads(text)["key"])
    assert key.kind.read(tomli.loads(f"key = {toml(value, key.declared.format)}")["key"]) == value
    default = default_text(key)
    if default and default not in {'""', "[]", "{}"}:
        assert key.kind.read(tomli.loads(f"key = {default}")["key"]) == key.default, path
