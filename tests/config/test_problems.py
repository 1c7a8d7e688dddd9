"""Every problem that a file may have, in the words `opsbot check` says it in.

The cases are in `problems/*.toml`. Each file begins with what its cases have in common, with a line `#...` where a
case's own lines go. A case begins with `#### its name`; a line `#: ` is a problem that is reported, as FILE's LINE, key
and text, in this order; no such line means that nothing is wrong. The tokens are put in here, so that no file of the
project holds what looks like one.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsbot.config_file import ConfigError, check, load

PROBLEMS = Path(__file__).parent / "problems"
GITHUB = "ghp_" + "a1B2" * 9
DISCORD_TOKEN = "MTAwMDAwMDAwMDAwMDAwMDAw" + ".Gabcde." + "abcdefghijklmnopqrstuvwxyz0123456789"
TOKENS = {"$GITHUB_TOKEN": GITHUB, "$DISCORD_TOKEN": DISCORD_TOKEN}
IDS = "guild_id = 100000000000000001\nops_channel_id = 100000000000000002\n"
HEAD = f'[discord]\ntoken_env = "T"\n{IDS}[roles]\nadmin = [100000000000000003]\n'
BOT = '[services.bot]\nmanager = "process"\ncommand = ["node"]\n'
SERVICE = HEAD + BOT


def cases() -> Iterator[tuple[str, str, list[str]]]:
    """A name, a configuration, and what is wrong with it."""
    for file in sorted(PROBLEMS.glob("*.toml")):
        text = file.read_text()
        for name, token in TOKENS.items():
            text = text.replace(name, token)
        frame, *parts = re.split(r"\n#### (.*)\n", text)
        for title, part in zip(parts[::2], parts[1::2], strict=True):
            lines = part.splitlines(keepends=True)
            own = "".join(line for line in lines if not line.startswith("#: "))
            said = [line.removeprefix("#: ").rstrip("\n") for line in lines if line.startswith("#: ")]
            yield f"{file.stem}: {title}", frame.replace("#...\n", own), said


CASES = list(cases())


def problems(folder: Path, text: str) -> list[str]:
    file = folder / "config.toml"
    file.write_text(text)
    return [str(problem).removeprefix(f"{file}:") for problem in check(file)]


@pytest.mark.parametrize(("text", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_every_problem_is_said_with_its_line_and_what_would_be_right(
    tmp_path: Path, text: str, expected: list[str]
) -> None:
    assert problems(tmp_path, text) == expected


def test_no_case_is_left_out_or_given_twice() -> None:
    assert (
        len(CASES)
        == len({text for _, text, _ in CASES})
        == sum(file.read_text().count("\n#### ") for file in PROBLEMS.iterdir())
    )
    assert not [name for name, text, _ in CASES if "#..." in text or "#: " in text]


def test_no_secret_is_ever_shown(tmp_path: Path) -> None:
    bad = next(text for _, text, _ in CASES if GITHUB in text and DISCORD_TOKEN in text and "hunter2" in text)
    texts = [
        bad,
        bad + "[",
        HEAD + f'[services.bot]\nmanager = "{GITHUB}"\ncommand = "{DISCORD_TOKEN} x"\n{GITHUB} = 1\n',
        HEAD + f'[services."{DISCORD_TOKEN}"]\nmanager = "process"\n',
        SERVICE + f'environment = {{ DB_PASSWORD = "hunter2", "{GITHUB}" = "x" }}\n',
        HEAD + f"{GITHUB} = 1\n{GITHUB} = 2\n",
        f'[discord]\ntoken_env = "https://me:hunter2@x"\ntoken_file = "hunter2/"\napi_url = "http://me:hunter2@x"\n{IDS}',
    ]
    for text in texts:
        said = "\n".join(problems(tmp_path, text))
        assert said
        assert not re.search(f"hunter2|{re.escape(GITHUB)}|{re.escape(DISCORD_TOKEN)}", said), said


@pytest.mark.parametrize(
    "secret",
    [
        GITHUB,
        DISCORD_TOKEN,
        "github_pat_" + "a1B2_" * 8,
        "glpat-" + "a1B2" * 5,
        "xoxb-" + "1234567890-abcdef",
        "AKIA" + "ABCDEFGH12345678",
        "npm_" + "a1B2" * 9,
        "-----BEGIN OPENSSH PRIVATE KEY-----",
        "https://discord.com/api/webhooks/1000000000000/" + "a1B2" * 8,
        "postgres://app:hunter2@127.0.0.1/db",
    ],
)
@pytest.mark.parametrize(
    "place", ['host = "{}"\n', "# {}\n", 'host = """\n\n{}"""\n', 'host = ["{}"]\n', "host = {}\n"]
)
def test_what_looks_like_a_secret_is_found_wherever_it_stands(tmp_path: Path, secret: str, place: str) -> None:
    found = problems(tmp_path, place.format(secret) + SERVICE)
    assert any("is written into the file" in problem for problem in found)
    assert not any(secret in problem for problem in found)


def test_a_file_that_cannot_be_read_is_one_problem(tmp_path: Path) -> None:
    absent = tmp_path / "absent.toml"
    assert [str(problem) for problem in check(absent)] == [
        f"{absent}: cannot be read: No such file or directory; `opsbot init` writes one"
    ]
    assert [str(problem) for problem in check(tmp_path)] == [f"{tmp_path}: cannot be read: Is a directory"]


def test_a_number_beyond_all_bounds_is_one_problem(tmp_path: Path) -> None:
    assert problems(tmp_path, f"host = {'9' * 5000}\n") == [
        " cannot be read as TOML: Exceeds the limit (4300 digits) for integer string conversion"
    ]


def test_a_file_that_is_no_text_is_one_problem_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(b'host = "x"\nname = "\xff"\n')
    assert [str(problem) for problem in check(file)] == [f"{file}:2: is not UTF-8 text; save the file as UTF-8"]


def test_loading_a_bad_file_raises_with_all_its_problems(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(next(text for _, text, said in CASES if len(said) > 1))
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert caught.value.problems == check(file)
    assert str(caught.value).splitlines() == [str(problem) for problem in check(file)]
