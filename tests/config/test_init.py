import io
import os
import stat
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest

from opsbot.cli.init import run_init
from opsbot.cli.invite import invite_link
from opsbot.config import Check, CheckKind, InstallStep, ManagerKind, Secret, Source
from opsbot.config_file import check, load

GUILD, CHANNEL, ADMIN, APPLICATION = (f"10000000000000000{n}" for n in (1, 2, 3, 9))
TOKEN = "MTAwMDAwMDAwMDAwMDAwMDA5" + ".Gabcde." + "abcdefghijklmnopqrstuvwxyz0123456789"
WATCHED_ONLY = ["", GUILD, CHANNEL, ADMIN, "-", "api", "systemd", "", "-", "", APPLICATION]
DEPLOYED = [
    "OPS_TOKEN",
    GUILD,
    CHANNEL,
    f"{ADMIN}, unix:@adm",
    "https://example.org/team/Voice Bot.git".replace(" ", "_"),
    "",
    "release",
    "",
    "",
    "node index.js --name 'a b'",
    "node-bot",
    "npm ci --omit=dev",
    "http://127.0.0.1:3003/health",
    "/var/lib/ops",
    "-",
]


def run(path: Path, answers: list[str], environ: dict[str, str] | None = None) -> tuple[int, str]:
    said = io.StringIO()
    code = run_init(path, hear=io.StringIO("".join(f"{each}\n" for each in answers)), say=said, environ=environ or {})
    return code, said.getvalue()


def test_the_token_may_be_a_credential_but_never_the_token_itself(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    code, said = run(path, [TOKEN, "discord-token", *DEPLOYED[1:]])
    assert code == 0
    assert "is a secret" in said
    assert load(path).discord.token == Secret(file=Path("discord-token"))
    assert f"opsbot install -c {path}" in said


def test_the_answers_become_a_file_without_problems(tmp_path: Path) -> None:
    path = tmp_path / "etc" / "config.toml"
    code, said = run(path, DEPLOYED)
    assert (code, check(path)) == (0, [])
    config = load(path)
    assert config.discord.token == Secret(env="OPS_TOKEN")
    assert (str(config.discord.guild_id), str(config.discord.ops_channel_id)) == (GUILD, CHANNEL)
    assert config.roles.admin == {ADMIN, "unix:@adm"}
    assert config.state.directory == Path("/var/lib/ops")
    service = config.services["voice_bot"]
    assert (service.manager, service.command) == (ManagerKind.PROCESS, ("node", "index.js", "--name", "a b"))
    assert service.source == Source("https://example.org/team/Voice_Bot.git", Path("/srv/voice_bot"), branch="release")
    assert service.install == (InstallStep(("npm", "ci", "--omit=dev"), directory="node-bot"),)
    assert service.checks == (
        Check("process", CheckKind.PROCESS),
        Check(
            "http",
            CheckKind.HTTP,
            interval=timedelta(seconds=10),
            timeout=timedelta(seconds=3),
            url="http://127.0.0.1:3003/health",
        ),
    )
    assert f"opsbot check -c {path}" in said


def test_a_service_that_is_only_watched_needs_few_answers(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    code, said = run(path, WATCHED_ONLY)
    assert (code, check(path)) == (0, [])
    service = load(path).services["api"]
    assert (service.manager, service.unit, service.source) == (ManagerKind.SYSTEMD, "api.service", None)
    assert service.checks == (Check("unit", CheckKind.UNIT),)
    assert invite_link(APPLICATION) in said


def test_a_unit_whose_package_lies_in_a_folder_is_installed_there(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    answers = [
        *("discord-token", GUILD, CHANNEL, ADMIN, "https://example.org/team/bot.git", "", "", "", "systemd", ""),
        *("npm ci --omit=dev", "../elsewhere", "node-bot", "-", "", APPLICATION),
    ]
    code, said = run(path, answers)
    assert (code, check(path)) == (0, []), said
    assert load(path).services["bot"].install == (InstallStep(("npm", "ci", "--omit=dev"), directory="node-bot"),)
    assert f"opsbot install -c {path}" in said
    assert "opsbot run" not in said


def test_a_supervised_service_without_a_repository_runs_in_a_folder_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    answers = [
        "/etc/opsbot/token",
        GUILD,
        CHANNEL,
        ADMIN,
        "",
        "my.api",
        "process",
        "./run",
        "/opt/api",
        "3003",
        "",
        "-",
    ]
    code, said = run(path, answers)
    assert (code, check(path)) == (0, []), said
    config = load(path)
    service = config.services["my.api"]
    assert config.discord.token == Secret(file=Path("/etc/opsbot/token"))
    assert service.run_directory == Path("/opt/api")
    assert [(each.kind, each.port) for each in service.checks] == [(CheckKind.PROCESS, 0), (CheckKind.TCP, 3003)]


def test_the_file_can_be_read_by_owner_and_group_only(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    before = os.umask(0)
    try:
        run(path, WATCHED_ONLY)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("answer", ["", "n", "no"])
def test_a_file_that_is_there_is_left_alone_unless_agreed(tmp_path: Path, answer: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text("precious")
    code, said = run(path, [answer, *WATCHED_ONLY])
    assert (code, path.read_text()) == (2, "precious")
    assert "was not changed" in said


def test_a_file_that_is_there_is_replaced_when_agreed(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("old")
    code, _ = run(path, ["maybe", "yes", *WATCHED_ONLY])
    assert (code, check(path)) == (0, [])


def test_a_file_that_appears_meanwhile_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    reader, writer = os.pipe()
    said = io.StringIO()
    codes: list[int] = []
    with open(reader) as hear, open(writer, "w") as answers:  # noqa: PTH123 - descriptors
        thread = threading.Thread(target=lambda: codes.append(run_init(path, hear=hear, say=said, environ={})))
        thread.start()
        answers.write("".join(f"{each}\n" for each in WATCHED_ONLY[:-1]))
        answers.flush()
        deadline = time.monotonic() + 10
        while "Application id" not in said.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)  # between two looks
        path.write_text("precious")
        answers.write(f"{APPLICATION}\n")
        answers.flush()
        thread.join(10)
    assert codes == [2]
    assert path.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("count", range(len(WATCHED_ONLY)))
def test_input_that_ends_early_writes_nothing_and_says_what_to_do(tmp_path: Path, count: int) -> None:
    path = tmp_path / "config.toml"
    code, said = run(path, WATCHED_ONLY[:count])
    assert code == 2
    assert list(tmp_path.iterdir()) == []
    assert said.splitlines()[-1] == (
        "The input ended before all questions were answered; nothing was written. Run `opsbot init` in a terminal, "
        "or start from config.toml.example."
    )


def test_a_wrong_answer_is_explained_and_asked_again(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    answers = [
        *("my token", "/../token", ""),
        *("my server", "12", GUILD),
        *("", CHANNEL),
        *("me", GUILD, ADMIN),
        *("bot.git", "https://me:pw@example.org/bot.git", "git@example.org:bot.git"),
        *("The Bot", "bot"),
        *("refs/heads/main", ""),
        *("srv", ""),
        *("pm2", "process"),
        *("npm ci && npm start", "node 'index.js", "node index.js"),
        *("../x", ""),
        *("-",),
        *("70000", "ftp://x", "3003"),
        *("state", "/" + "d" * 120, "/" + "d" * 40),
        *("nine", APPLICATION),
    ]
    code, said = run(path, answers)
    assert (code, check(path)) == (0, []), said
    assert said.count(":   ") == 21, said  # an explanation follows its question
    assert "pw@" not in said


def test_a_token_given_as_an_answer_is_neither_taken_nor_repeated(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    code, said = run(path, [TOKEN, *WATCHED_ONLY])
    assert code == 0
    assert "this is a secret" in said
    assert TOKEN not in said + path.read_text()


def test_the_application_is_told_by_the_token_in_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    code, said = run(path, WATCHED_ONLY[:-1], {"OPSBOT_DISCORD_TOKEN": TOKEN})
    assert code == 0
    assert invite_link(APPLICATION) in said
    assert TOKEN not in said + path.read_text()


def test_the_application_is_told_by_the_token_in_the_file(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text(f"{TOKEN}\n")
    path = tmp_path / "config.toml"
    code, said = run(path, [str(secret), *WATCHED_ONLY[1:-1]])
    assert code == 0
    assert invite_link(APPLICATION) in said


def test_answers_that_do_not_go_together_write_nothing(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    code, said = run(path, [*DEPLOYED[:-2], "/srv/voice_bot/state", "-"])
    assert (code, path.exists()) == (2, False)
    assert "services.voice_bot.source.directory: holds opsbot's own state.directory" in said


def test_a_path_that_cannot_be_written_is_said_before_the_questions(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    for path in (blocked / "config.toml", tmp_path):
        code, said = run(path, WATCHED_ONLY)
        assert code == 2
        assert said.startswith(f"{path} cannot be written")
