"""`[[services.NAME.cleanup]]`: what it is read as, and every pattern that must not be accepted."""

from datetime import timedelta
from pathlib import Path

import pytest

from opsbot.config_file import check, load

SERVICE = """\
[discord]
token_env = "T"
guild_id = 100000000000000001
ops_channel_id = 100000000000000002
[roles]
admin = [100000000000000003]
[services.bot]
manager = "process"
command = ["node"]
"""
SOURCE = """\
[services.bot.source]
repository = "https://example.org/bot.git"
directory = "/srv/bot"
shared = ["data", "data-base/notes.pcm"]
"""


def said(folder: Path, *patterns: str, source: str = SOURCE, state: str = "") -> list[str]:
    file = folder / "config.toml"
    paths = ", ".join(f"'{pattern}'" for pattern in patterns)
    file.write_text(f"{state}{SERVICE}{source}[[services.bot.cleanup]]\npaths = [{paths}]\n")
    return [problem.text for problem in check(file)]


def test_a_clean_up_is_read_with_its_defaults(tmp_path: Path) -> None:
    assert said(tmp_path, "/tmp/voice-meeting-bot/temp/*.pcm", "data/**/*.tmp") == []
    (cleanup,) = load(tmp_path / "config.toml").services["bot"].cleanup
    assert cleanup.paths == ("/tmp/voice-meeting-bot/temp/*.pcm", "data/**/*.tmp")
    assert (cleanup.older_than, cleanup.every) == (timedelta(days=1), timedelta(hours=1))


@pytest.mark.parametrize(
    "pattern",
    ["/srv/other/temp/*.pcm", "/dev/shm/bot/*", "/home/bot/temp/*.wav", "/var/tmp/bot/**/x-*", "/run/bot/a/[0-9]*.log"],
)
def test_a_folder_of_the_service_s_own_may_be_cleaned(tmp_path: Path, pattern: str) -> None:
    assert said(tmp_path, pattern) == []


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("/", "names no file"),
        ("/*", "too wide"),
        ("/*/*/*/*", "too wide"),
        ("/**", "ends with **"),
        ("/**/*.pcm", "too wide"),
        ("/tmp/*.pcm", "too wide"),
        ("/tmp/*/temp/*.pcm", "too wide"),
        ("/home/*", "too wide"),
        ("/home/bot/*", "too wide"),
        ("/var/log/*.log", "too wide"),
        ("/dev/shm/*", "too wide"),
        ("/etc/**", "ends with **"),
        ("/etc/ssl/**/*", "the system's"),
        ("/usr/lib/python3/*.py", "the system's"),
        ("//etc//ssl//*", "the system's"),
        ("/./etc/./ssl/*", "the system's"),
        ("/proc/1/fd/*", "the system's"),
        ("/srv/bot/temp/", "names a folder"),
        ("/srv/bot/temp/**", "ends with **"),
        ("/srv/bot/../../etc/x/*", 'goes through ".."'),
        ("../releases/*/*", 'goes through ".."'),
        ("/srv/other/a**/x", "only a part of a name"),
        ("~/temp/*.pcm", "not expanded"),
        ("", "names no file"),
        (".", "names no file"),
        ("*.pcm", "too wide"),
        ("**/*.pcm", "too wide"),
        ("./*/x.pcm", "too wide"),
        ("data-base/*.pcm", '"data-base/notes.pcm", which is shared'),
        ("/srv/bot/shared/data-base/notes*", '"data-base/notes.pcm", which is shared'),
        ("/srv/bot/**/*.pcm", "where opsbot keeps what it deploys"),
        ("/srv/bot/*/temp/x", "where opsbot keeps what it deploys"),
        ("/srv/bot/current/temp/*.pcm", "where opsbot keeps what it deploys"),
        ("/srv/bot/releases/x/temp/*.pcm", "where opsbot keeps what it deploys"),
        ("/srv/bot/mirror.git/objects/**/*", "where opsbot keeps what it deploys"),
        ("/srv/bot/.git/objects/**/*", "where opsbot keeps what it deploys"),
        ("/var/lib/opsbot/services/*.log", "state.directory"),
        ("/var/lib/opsbot/*", "state.directory"),
    ],
)
def test_a_pattern_that_could_reach_too_far_is_refused(tmp_path: Path, pattern: str, why: str) -> None:
    assert any(why in text for text in said(tmp_path, pattern)), said(tmp_path, pattern)


def test_the_releases_of_every_service_and_a_state_directory_elsewhere_are_kept(tmp_path: Path) -> None:
    other = SOURCE.replace("/srv/bot", "/srv/api/app").replace("bot.source", "api.source")
    both = f'{SOURCE}[services.api]\nmanager = "process"\ncommand = ["python3"]\n{other}'
    assert "/srv/api/app/releases" in said(tmp_path, "/srv/api/**/*.pcm", source=both)[0]
    assert said(tmp_path, "/srv/api/other/**/*.pcm", source=both) == []
    state = '[state]\ndirectory = "/srv/ops/state"\n'
    assert "/srv/ops/state" in said(tmp_path, "/srv/ops/*/*.log", state=state)[0]
    assert said(tmp_path, "/srv/ops/*.log", state=state) == []


def test_a_relative_pattern_needs_a_source(tmp_path: Path) -> None:
    assert "no source" in said(tmp_path, "data/*.pcm", source="")[0]


def test_a_relative_pattern_means_nothing_in_a_checkout(tmp_path: Path) -> None:
    source = f'{SOURCE}strategy = "in-place"\n'
    assert "which an in-place checkout has not" in said(tmp_path, "data/*/*.pcm", source=source)[0]
    assert said(tmp_path, "/srv/bot/data/*.pcm", source=source) == []


def test_times_and_unknown_keys_are_checked(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(
        f'{SERVICE}[[services.bot.cleanup]]\npaths = ["/srv/a/b/*"]\nolder_than = "59s"\nevery = 5\nolder = "1d"\n'
        "[[services.bot.cleanup]]\npaths = []\n"
    )
    found = {problem.key: problem.text for problem in check(file)}
    assert set(found) == {
        "services.bot.cleanup[1].older_than",
        "services.bot.cleanup[1].every",
        "services.bot.cleanup[1].older",
        "services.bot.cleanup[2].paths",
    }
