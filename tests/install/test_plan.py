"""What follows from a configuration and a host: which files, which words for the admin, and when nothing at all."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from opsbot.config_file import load
from opsbot.install.facts import InstallFacts, Polkit, Unit
from opsbot.install.plan import Plan, plan

HEAD = """\
[discord]
token_file = "discord-token"
guild_id = 100000000000000001
ops_channel_id = 100000000000000002
[roles]
admin = [100000000000000013]
"""
BOT = """\
[services.bot]
manager = "systemd"
unit = "bot.service"
[services.bot.source]
repository = "/srv/bot.git"
directory = "/srv/bot"
"""
API = """\
[services.api]
manager = "process"
command = ["node", "index.js"]
[services.api.source]
repository = "/srv/api.git"
directory = "/srv/api"
"""
APP = Unit("bot.service", found=True, user="app", group="app", fragment="/etc/systemd/system/bot.service")
FACTS = InstallFacts(
    user="opsbot",
    group="opsbot",
    home=Path("/home/me"),
    config=Path("/etc/opsbot/config.toml"),
    program=Path("/opt/opsbot/.venv/bin/opsbot"),
    python=Path("/opt/opsbot/.venv/bin/python"),
    polkit=Polkit(present=True, version="122"),
    units={"bot.service": APP},
)
Planned = Callable[..., Plan]


@pytest.fixture
def planned(tmp_path: Path) -> Planned:
    def make(text: str, facts: InstallFacts = FACTS, *units: Unit) -> Plan:
        path = tmp_path / "config.toml"
        path.write_text(HEAD + text)
        known = {unit.name: unit for unit in units}
        return plan(load(path), replace(facts, units={**facts.units, **known}))

    return make


def named(wanted: Plan, name: str) -> str:
    return next(file.text for file in wanted.files if file.path.name == name)


def lines(wanted: Plan, name: str, key: str) -> list[str]:
    return [line.partition("=")[2] for line in named(wanted, name).splitlines() if line.startswith(f"{key}=")]


def test_a_service_with_a_user_of_its_own_says_nothing_and_gets_two_job_units(planned: Planned) -> None:
    wanted = planned(BOT)
    assert (wanted.warnings, wanted.refusals) == ((), ())
    assert [file.path.name for file in wanted.files][-2:] == ["opsbot-step-bot.service", "opsbot-check-bot.service"]
    assert lines(wanted, "opsbot-step-bot.service", "User") == ["app"]


@pytest.mark.parametrize(
    ("unit", "said"),
    [
        (replace(APP, user="root", group="root"), "Add User=NAME to [Service] in /etc/systemd/system/bot.service"),
        (replace(APP, dynamic=True), "DynamicUser=yes"),
        (replace(APP, known_user=False), "useradd --system --user-group app"),
        (replace(APP, group="root"), "Add Group=NAME"),
        (replace(APP, user="opsbot", group="opsbot"), "opsbot's own user"),
        (Unit("bot.service"), "systemd has no unit bot.service yet"),
        (Unit("bot.service", load="masked"), "bot.service is masked"),
    ],
)
def test_a_unit_whose_user_will_not_do_gets_no_errand_unit_and_a_word_about_the_line_to_add(
    planned: Planned, unit: Unit, said: str
) -> None:
    wanted = planned(BOT, FACTS, unit)
    (warning,) = wanted.warnings
    assert said in warning
    names = [file.path.name for file in wanted.files]
    assert "opsbot.service" in names
    if unit.group != "root" or unit.user == "root":
        assert not any(name.startswith(("opsbot-step", "opsbot-check")) for name in names)
        assert "var errands = [];" in named(wanted, "50-opsbot.rules")
    assert " root\n" not in named(wanted, "opsbot.conf")


STEP = '[[services.bot.install]]\nrun = ["true"]\n'
CHECK = '[[services.bot.checks]]\nkind = "command"\nrun = ["true"]\n'


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        (BOT, "again: the unit's group gets read access to its releases"),
        (BOT + STEP, "again: its install steps run as the unit's user"),
        (BOT + CHECK, "again: its command checks run as the unit's user"),
        (BOT + STEP + CHECK, "again: its install steps and command checks run as the unit's user"),
        (BOT.partition("[services.bot.source]")[0], "the folder systemd), run systemctl daemon-reload"),
    ],
)
def test_a_missing_unit_is_told_with_what_it_is_needed_for(planned: Planned, text: str, ends: str) -> None:
    (warning,) = planned(text, FACTS, Unit("bot.service")).warnings
    assert warning.startswith("bot: systemd has no unit bot.service yet.")
    assert warning.endswith(ends)


def test_as_whom_a_service_runs_that_is_not_deployed_is_its_own_business(planned: Planned) -> None:
    text = BOT.partition("[services.bot.source]")[0]
    assert planned(text, FACTS, replace(APP, user="root", group="root")).warnings == ()
    assert planned(text, FACTS, replace(APP, dynamic=True)).warnings == ()
    (warning,) = planned(text, FACTS, replace(APP, user="opsbot", group="opsbot")).warnings
    assert "opsbot's own user" in warning


def test_every_instance_is_named_in_the_rule_and_their_users_are_compared(planned: Planned) -> None:
    text = BOT.replace('unit = "bot.service"', 'units = ["bot@1.service", "bot@2.service"]')
    one, two = replace(APP, name="bot@1.service"), replace(APP, name="bot@2.service")
    wanted = planned(text, FACTS, one, two)
    assert wanted.warnings == ()
    assert '["bot@1.service", "bot@2.service"]' in named(wanted, "50-opsbot.rules")
    (warning,) = planned(text, FACTS, one, replace(two, user="other")).warnings
    assert "bot@2.service as other:app" in warning


def test_the_rule_names_a_unit_as_polkit_is_asked_about_it(planned: Planned) -> None:
    wanted = planned(BOT, FACTS, replace(APP, primary="the-bot.service"))
    assert 'var services = ["the-bot.service"];' in named(wanted, "50-opsbot.rules")


@pytest.mark.parametrize(
    ("version", "takes"), [("0.105", False), ("0.106", True), ("0.120", True), ("121", True), ("126", True)]
)
def test_polkit_before_0_106_takes_no_rules(version: str, takes: bool) -> None:
    assert Polkit(present=True, version=version).takes_rules is takes


def test_without_a_polkit_that_takes_rules_nothing_is_written_and_the_way_out_is_told(planned: Planned) -> None:
    (said,) = planned(BOT, replace(FACTS, polkit=Polkit(present=True, version="0.105"))).refusals
    assert "polkit 0.105 is too old" in said
    assert 'scope = "user"' in said
    (said,) = planned(BOT, replace(FACTS, polkit=Polkit())).refusals
    assert "apt-get install polkitd" in said


def test_services_of_opsbots_own_need_no_polkit_and_their_code_is_warned_of(planned: Planned) -> None:
    wanted = planned(API, replace(FACTS, polkit=Polkit()))
    assert wanted.refusals == ()
    assert not any(file.path.suffix == ".rules" for file in wanted.files)
    assert "can read opsbot's token" in wanted.warnings[0]


def test_services_of_opsbots_own_are_not_killed_with_it_nor_by_its_limits(planned: Planned) -> None:
    wanted = planned(API)
    assert lines(wanted, "opsbot.service", "KillMode") == ["process"]
    for gone in ("MemoryDenyWriteExecute", "MemoryMax", "TasksMax"):
        assert lines(wanted, "opsbot.service", gone) == []
    assert lines(planned(BOT), "opsbot.service", "KillMode") == ["mixed"]


def test_what_is_cleaned_in_the_hosts_tmp_can_be_seen(planned: Planned) -> None:
    wanted = planned(f'{BOT}[[services.bot.cleanup]]\npaths = ["/tmp/bot/temp/*.pcm", "/var/spool/bot/old/*"]\n')
    assert lines(wanted, "opsbot.service", "PrivateTmp") == ["no"]
    assert lines(wanted, "opsbot.service", "ReadWritePaths") == ["-/srv/bot -/tmp -/var/spool/bot/old"]


def test_a_state_directory_elsewhere_is_made_and_may_be_written(planned: Planned) -> None:
    wanted = planned(f'{BOT}[state]\ndirectory = "/data/opsbot"\n')
    assert lines(wanted, "opsbot.service", "StateDirectory") == []
    assert "-/data/opsbot" in lines(wanted, "opsbot.service", "ReadWritePaths")[0]
    tmpfiles = next(file.text for file in wanted.files if file.path.parent.name == "tmpfiles.d")
    assert "d /data/opsbot 0750 opsbot opsbot -\n" in tmpfiles
    assert "-/data/opsbot" in lines(wanted, "opsbot-step-bot.service", "InaccessiblePaths")[0]


def test_what_lies_in_a_home_is_left_readable_and_told(planned: Planned) -> None:
    wanted = planned(BOT.replace('"/srv/bot"', '"/home/app/bot"'))
    assert lines(wanted, "opsbot.service", "ProtectHome") == ["read-only"]
    assert "/home/app/bot" in wanted.warnings[0]


def test_each_secret_comes_the_way_it_is_named(planned: Planned) -> None:
    text = BOT + 'hook_secret_file = "bot-hook"\n'
    wanted = planned(text)
    assert lines(wanted, "opsbot.service", "LoadCredential") == [
        "discord-token:/etc/opsbot/discord-token",
        "bot-hook:/etc/opsbot/bot-hook",
    ]
    assert wanted.secrets == (Path("/etc/opsbot/discord-token"), Path("/etc/opsbot/bot-hook"))
    wanted = planned(BOT + 'hook_secret_env = "HOOK"\n')
    assert wanted.variables == ("HOOK",)
    wanted = planned(BOT + 'hook_secret_file = "/etc/opsbot/bot-hook"\n')
    tmpfiles = next(file.text for file in wanted.files if file.path.parent.name == "tmpfiles.d")
    assert "z /etc/opsbot/bot-hook 0640 root opsbot -\n" in tmpfiles


def test_another_user_is_named_everywhere(planned: Planned) -> None:
    wanted = planned(BOT, replace(FACTS, user="ops", group="ops"))
    for file in wanted.files:
        assert "opsbot:" not in file.text.replace("opsbot: ", "")
    assert lines(wanted, "opsbot.service", "User") == ["ops"]
    assert 'var user = "ops";' in named(wanted, "50-opsbot.rules")
    assert "\nm ops app\n" in named(wanted, "opsbot.conf")


def test_a_checkout_that_is_updated_in_place_gets_no_release_folders(planned: Planned) -> None:
    wanted = planned(f'{BOT}strategy = "in-place"\n')
    tmpfiles = next(file.text for file in wanted.files if file.path.parent.name == "tmpfiles.d")
    folders = [line.split()[1] for line in tmpfiles.splitlines() if line.startswith("d /srv")]
    assert folders == ["/srv/bot", "/srv/bot/.errands"]


def test_a_users_own_units_need_a_state_directory_in_its_home(planned: Planned) -> None:
    (said,) = planned(f'{BOT}[systemd]\nscope = "user"\n').refusals
    assert 'directory = "/home/me/.local/state/opsbot"' in said
