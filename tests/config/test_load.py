from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from opsbot.config import (
    Alerts,
    Check,
    CheckKind,
    Config,
    Discord,
    Http,
    InstallStep,
    Limits,
    ManagerKind,
    Secret,
    Service,
    Source,
    StateConfig,
    Strategy,
)
from opsbot.config_file import load
from opsbot.core.access import Ranks
from opsbot.core.health import CheckPolicy
from opsbot.core.recovery import RecoveryPolicy

SMALLEST = """\
[discord]
token_env = "T"
guild_id = 100000000000000001
ops_channel_id = 100000000000000002
[roles]
admin = [100000000000000003]
[services.bot]
manager = "process"
command = ["node", "index.js"]
"""


def loaded(folder: Path, text: str) -> Config:
    file = folder / "config.toml"
    file.write_text(text)
    return load(file)


def test_what_is_not_given_has_the_defaults_of_the_values(tmp_path: Path) -> None:
    assert loaded(tmp_path, SMALLEST) == Config(
        path=tmp_path / "config.toml",
        discord=Discord(Secret(env="T"), 100000000000000001, 100000000000000002),
        roles=Ranks(admin=frozenset({"100000000000000003"})),
        state=StateConfig(Path("/var/lib/opsbot")),
        http=Http(),
        services={
            "bot": Service(
                "bot",
                ManagerKind.PROCESS,
                command=("node", "index.js"),
                checks=(Check("process", CheckKind.PROCESS),),
            )
        },
    )


def test_every_key_reaches_its_value(tmp_path: Path) -> None:
    text = """\
host = "bot-1"
[discord]
token_file = "discord-token"
guild_id = 100000000000000001
ops_channel_id = 100000000000000002
api_url = "http://127.0.0.1:8765/api/v10"
[roles]
viewer = ["unix:ann", "unix:@ops"]
operator = ["100000000000000004"]
deployer = [100000000000000005]
admin = [100000000000000003]
[state]
directory = "/tmp/opsbot/"
[http]
listen = "[::1]:0"
[alerts]
remind = ["10m", "1d"]
escalate_after = "5m"
escalate_role = 100000000000000006
[limits]
silence_max = "1d"
audit_keep = "30d"
history_keep = "10d"
[services.b]
manager = "process"
command = ["node", ""]
working_directory = "node-bot"
environment_file = "/etc/b.env"
environment = { A = "1", B = "" }
soak = "0s"
verify_timeout = "1m"
startup_grace = "1s"
stop_timeout = "500ms"
log_keep = "2d"
log_size = "1MB"
recovery = { restart = false, attempts = 1, backoff = "1s", backoff_max = "2s",
  budget = 2, window = "3m", roll_back = false, blame = "4m" }
[services.b.source]
repository = "https://example.org/b.git"
branch = "release/1.x"
directory = "/srv/b"
strategy = "in-place"
poll = "1h30m"
auto = false
keep = 2
shared = ["./data/", "node-bot/.env"]
ignore = ["*.md"]
timeout = "10s"
token_env = "GIT"
username = "oauth2"
hook_secret_file = "/etc/hook"
[[services.b.install]]
run = ["npm", "ci"]
directory = "node-bot"
when_changed = ["node-bot/package.json"]
timeout = "1m"
keep = ["node_modules"]
[[services.b.install]]
run = ["true"]
[[services.b.checks]]
kind = "http"
name = "web"
interval = "10s"
timeout = "3s"
fall = 1
rise = 4
url = "https://[::1]/health?x=1"
method = "HEAD"
status = [200, "300-399"]
headers = { Accept = "*/*" }
body = "x"
expect_headers = { Server = "^x" }
expect_body = "ok|fine"
[[services.b.checks]]
kind = "tcp"
host = "::1"
port = 3003
[[services.b.checks]]
kind = "command"
run = ["./check"]
[[services.b.checks]]
kind = "process"
memory_max = "1MiB"
[services.a]
manager = "systemd"
unit = "a@1.service"
"""
    config = loaded(tmp_path, text)
    assert config == Config(
        path=tmp_path / "config.toml",
        host="bot-1",
        discord=Discord(
            Secret(file=Path("discord-token")),
            100000000000000001,
            100000000000000002,
            "http://127.0.0.1:8765/api/v10",
        ),
        roles=Ranks(
            frozenset({"unix:ann", "unix:@ops"}),
            frozenset({"100000000000000004"}),
            frozenset({"100000000000000005"}),
            frozenset({"100000000000000003"}),
        ),
        state=StateConfig(Path("/tmp/opsbot")),
        http=Http("::1", 0),
        alerts=Alerts(
            remind=(timedelta(minutes=10), timedelta(days=1)),
            escalate_after=timedelta(minutes=5),
            escalate_role=100000000000000006,
        ),
        limits=Limits(timedelta(days=1), timedelta(days=30), timedelta(days=10)),
        services={
            "b": Service(
                name="b",
                manager=ManagerKind.PROCESS,
                command=("node", ""),
                working_directory="node-bot",
                environment_file=Path("/etc/b.env"),
                environment={"A": "1", "B": ""},
                soak=timedelta(0),
                verify_timeout=timedelta(minutes=1),
                startup_grace=timedelta(seconds=1),
                stop_timeout=timedelta(milliseconds=500),
                log_keep=timedelta(days=2),
                log_size=1_000_000,
                recovery=RecoveryPolicy(
                    restart=False,
                    attempts=1,
                    backoff=timedelta(seconds=1),
                    backoff_max=timedelta(seconds=2),
                    budget=2,
                    window=timedelta(minutes=3),
                    roll_back=False,
                    blame=timedelta(minutes=4),
                ),
                source=Source(
                    repository="https://example.org/b.git",
                    branch="release/1.x",
                    directory=Path("/srv/b"),
                    strategy=Strategy.IN_PLACE,
                    poll=timedelta(minutes=90),
                    auto=False,
                    keep=2,
                    shared=("data", "node-bot/.env"),
                    ignore=("*.md",),
                    timeout=timedelta(seconds=10),
                    token=Secret(env="GIT"),
                    username="oauth2",
                    hook_secret=Secret(file=Path("/etc/hook")),
                ),
                install=(
                    InstallStep(
                        run=("npm", "ci"),
                        directory="node-bot",
                        when_changed=("node-bot/package.json",),
                        timeout=timedelta(minutes=1),
                        keep=("node_modules",),
                    ),
                    InstallStep(run=("true",)),
                ),
                checks=(
                    Check(
                        name="web",
                        kind=CheckKind.HTTP,
                        interval=timedelta(seconds=10),
                        timeout=timedelta(seconds=3),
                        policy=CheckPolicy(fall=1, rise=4),
                        url="https://[::1]/health?x=1",
                        method="HEAD",
                        status=((200, 200), (300, 399)),
                        headers={"Accept": "*/*"},
                        body="x",
                        expect_headers={"Server": "^x"},
                        expect_body="ok|fine",
                    ),
                    Check("tcp", CheckKind.TCP, host="::1", port=3003),
                    Check("command", CheckKind.COMMAND, run=("./check",)),
                    Check("process", CheckKind.PROCESS, memory_max=1 << 20),
                ),
            ),
            "a": Service("a", ManagerKind.SYSTEMD, units=("a@1.service",), checks=(Check("unit", CheckKind.UNIT),)),
        },
    )
    assert list(config.services) == ["b", "a"]


def test_the_endpoint_can_be_turned_off(tmp_path: Path) -> None:
    assert loaded(tmp_path, SMALLEST + '[http]\nlisten = "off"\n').http.host is None


def test_checks_without_a_name_get_one_of_their_own(tmp_path: Path) -> None:
    checks = ["", "", 'name = "process-2"\n', 'name = "x"\n', ""]
    text = SMALLEST + "".join(f'[[services.bot.checks]]\nkind = "process"\n{name}' for name in checks)
    names = [check.name for check in loaded(tmp_path, text).services["bot"].checks]
    assert names == ["process", "process-3", "process-2", "x", "process-4"]


def test_a_look_never_takes_longer_than_the_interval(tmp_path: Path) -> None:
    text = SMALLEST + '[[services.bot.checks]]\nkind = "process"\ninterval = "1s"\n'
    assert loaded(tmp_path, text).services["bot"].checks[0].timeout == timedelta(seconds=1)


def test_the_longest_wait_is_never_shorter_than_the_first(tmp_path: Path) -> None:
    recovery = loaded(tmp_path, SMALLEST + 'recovery.backoff = "10m"\n').services["bot"].recovery
    assert recovery == replace(RecoveryPolicy(), backoff=timedelta(minutes=10), backoff_max=timedelta(minutes=10))


@pytest.mark.parametrize(
    "repository",
    [
        "https://github.com/example/bot.git",
        "http://127.0.0.1:8080/bot.git",
        "git@github.com:example/bot.git",
        "example.org:bot",
        "ssh://git@example.org:2222/bot.git",
        "file:///srv/git/bot.git",
        "/srv/git/bot.git",
    ],
)
def test_all_that_git_can_clone_from_is_accepted(tmp_path: Path, repository: str) -> None:
    text = SMALLEST + f'source = {{ repository = "{repository}", directory = "/srv/bot" }}\n'
    source = loaded(tmp_path, text).services["bot"].source
    assert source is not None
    assert source.repository == repository


def test_failures_among_the_last_so_many_can_count(tmp_path: Path) -> None:
    text = SMALLEST + '[[services.bot.checks]]\nkind = "process"\nfall = 3\nof = 5\n'
    assert loaded(tmp_path, text).services["bot"].checks[0].policy == CheckPolicy(fall=3, of=5)


def test_flapping_is_what_alerts_say(tmp_path: Path) -> None:
    flapping = loaded(tmp_path, SMALLEST + '[alerts]\nflap_changes = 4\nflap_calm = "2m"\n').alerts.flapping
    assert (flapping.changes, flapping.calm) == (4, timedelta(minutes=2))
    assert loaded(tmp_path, SMALLEST).alerts.flapping.changes == 6
