"""The files in systemd/ are what install writes for their example; whatever stands in a path or a name stays text."""

import json
import subprocess
from pathlib import Path

import pytest

from opsbot.config import Config
from opsbot.config_file import load
from opsbot.install import texts
from opsbot.install.facts import InstallFacts, Polkit, Unit
from opsbot.install.plan import plan
from opsbot.units.lint import lint_unit
from opsbot.units.unit_file import UnitText, parse

UNIT = "voice-meeting-discord-bot.service"
CONFIG = f"""\
[discord]
token_file = "discord-token"
guild_id = 100000000000000001
ops_channel_id = 100000000000000002
[roles]
admin = [100000000000000013]
[services.voice-meeting-bot]
manager = "systemd"
unit = "{UNIT}"
[services.voice-meeting-bot.source]
repository = "https://github.com/example/voice-meeting-bot.git"
directory = "/srv/voice-meeting-bot"
"""
FACTS = InstallFacts(
    user="opsbot",
    group="opsbot",
    home=Path("/root"),
    config=Path("/etc/opsbot/config.toml"),
    program=Path("/opt/opsbot/.venv/bin/opsbot"),
    python=Path("/opt/opsbot/.venv/bin/python"),
    polkit=Polkit(present=True, version="122"),
    units={UNIT: Unit(UNIT, found=True, user="voice-meeting-bot", group="voice-meeting-bot")},
)
TEMPLATES = {
    "50-opsbot.rules": "50-opsbot.rules",
    "sysusers.d/opsbot.conf": "opsbot.sysusers.conf",
    "tmpfiles.d/opsbot.conf": "opsbot.tmpfiles.conf",
}


@pytest.fixture
def config(tmp_path: Path) -> Config:
    path = tmp_path / "config.toml"
    path.write_text(CONFIG)
    return load(path)


def test_each_file_in_the_folder_is_what_install_writes_for_its_example(config: Config) -> None:
    written = {file.path: file.text for file in plan(config, FACTS).files}
    assert len(written) == 6
    for path, text in written.items():
        name = next((own for end, own in TEMPLATES.items() if str(path).endswith(end)), path.name)
        assert text == texts.text(name), path


def test_a_users_unit_is_the_one_in_the_folder_but_for_its_home(tmp_path: Path) -> None:
    home = Path("/home/me")
    path = tmp_path / "user.toml"
    path.write_text(f'{CONFIG}[systemd]\nscope = "user"\n[state]\ndirectory = "/home/me/.local/state/opsbot"\n')
    facts = InstallFacts("me", "me", home, home / ".config/opsbot/config.toml", FACTS.program, FACTS.python)
    (file,) = plan(load(path), facts).files
    assert file.path == home / ".config/systemd/user/opsbot.service"
    assert file.text == texts.text("opsbot-user.service").replace("%h", str(home))


def test_no_unit_of_the_project_bites() -> None:
    units = sorted(path for path in texts.folder().glob("*.service") if "user" not in path.name)
    assert len(units) == 4
    for path in units:
        assert lint_unit(parse(path.name, [UnitText(str(path), path.read_text())])) == []


def test_keys_are_replaced_where_they_stood_and_go_with_their_comment() -> None:
    unit = "[Service]\n# why\nA=1\nA=2\nB=3\n# of C\n# and more\nC=4\nD=5\n"
    assert texts.with_keys(unit, {"A": ["x", "y"], "C": [], "D": ["6"]}) == "[Service]\n# why\nA=x\nA=y\nB=3\nD=6\n"
    with pytest.raises(KeyError, match="E"):
        texts.with_keys(unit, {"E": ["1"]})


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("/srv/app", "/srv/app"),
        ("/srv/100%", "/srv/100%%"),
        ("/srv/my app", '"/srv/my app"'),
        ('/srv/"q"\\', '"/srv/\\"q\\"\\\\"'),
        ("/srv/a;b", '"/srv/a;b"'),
        ("/srv/ü", '"/srv/ü"'),
    ],
)
def test_a_path_is_quoted_where_it_must_be(value: str, said: str) -> None:
    assert texts.quote(value) == said


def test_a_line_break_cannot_add_a_line_to_a_unit() -> None:
    with pytest.raises(ValueError, match="control character"):
        texts.quote("/srv/app\nUser=root")


def test_a_command_line_has_no_variables_in_it() -> None:
    assert texts.command(Path("/opt/x"), "a b", "$HOME") == '/opt/x "a b" "$$HOME"'
    with pytest.raises(texts.TextError, match="quote"):
        texts.command(Path('/opt/"x"'))


HOSTILE = ['a"; return polkit.Result.YES; //.service', "a\\x2db.service", "</script>\u2028.service", "x\n.service"]


def test_no_name_can_break_out_of_the_rule() -> None:
    rule = texts.with_variables(texts.text("50-opsbot.rules"), {"user": "opsbot", "services": HOSTILE, "errands": []})
    (line,) = (line for line in rule.splitlines() if line.startswith("    var services"))
    assert line.isascii()
    assert json.loads(line.removeprefix("    var services = ").removesuffix(";")) == HOSTILE
    assert rule.count("\n") == texts.text("50-opsbot.rules").count("\n")


def test_systemd_reads_a_path_as_it_was_written(tmp_path: Path) -> None:
    if subprocess.run(["systemd-analyze", "--version"], capture_output=True, check=False).returncode != 0:
        pytest.skip("systemd-analyze is missing")
    odd = tmp_path / "my $app %n"
    odd.mkdir()
    program = odd / "run"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / "odd.service"
    unit.write_text(
        f"[Service]\nType=oneshot\nExecStart={texts.command(program, 'a b')}\nReadWritePaths={texts.quote(odd)}\n"
    )
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert "odd.service" not in done.stderr, done.stderr
    assert done.returncode == 0, done.stderr
