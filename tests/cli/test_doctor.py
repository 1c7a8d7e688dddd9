"""`opsbot doctor` as people and scripts call it."""

import asyncio
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from opsbot.cli import doctor, main
from opsbot.cli.terminal import Paint
from opsbot.doctor.findings import Area, Subject, report
from opsbot.standin import Standin

TOKEN = "not-a-real-token"
TEXT = """\
[discord]
token_env = "OPSBOT_DOCTOR_TOKEN"
guild_id = 100000000000000001
ops_channel_id = 100000000000000002
api_url = "{api}"

[roles]
admin = ["100000000000000012"]

[state]
directory = "{folder}/state"

[services.web]
manager = "process"
command = ["{program}"]
"""


@contextmanager
def discord() -> Iterator[str]:
    """The stand-in on a loop of its own: the verb brings its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    standin = Standin(port=0, bot_token=TOKEN)
    try:
        asyncio.run_coroutine_threadsafe(standin.start(), loop).result(10)
        yield standin.api_url
    finally:
        asyncio.run_coroutine_threadsafe(standin.stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def configure(folder: Path, api: str, program: str = "sh") -> Path:
    path = folder / "config.toml"
    path.write_text(TEXT.format(api=api, folder=folder, program=program))
    return path


def test_all_is_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("OPSBOT_DOCTOR_TOKEN", TOKEN)
    with discord() as api:
        assert main(["doctor", "-c", str(configure(tmp_path, api))]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^  ok +token +accepted; the bot is opsbot$", out, re.MULTILINE)
    assert "warning daemon: not running\n     → systemctl start opsbot, or opsbot run" in out
    assert "Checked as " in out.splitlines()[-1]


def test_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("OPSBOT_DOCTOR_TOKEN", "wrong")
    with discord() as api:
        assert main(["doctor", "--json", "-c", str(configure(tmp_path, api, "no-such-program"))]) == 1
    told = json.loads(capsys.readouterr().out)
    assert set(told) == {"healthy", "user", "failed", "warnings", "findings", "mend_first"}
    assert (told["healthy"], told["failed"]) == (False, 2)
    first, second = (told["findings"][at] for at in told["mend_first"][:2])
    assert (first["area"], first["name"], first["service"]) == ("discord", "token", None)
    assert (second["area"], second["name"], second["service"]) == ("commands", "no-such-program", "web")
    assert set(first) == {"area", "service", "name", "outcome", "seen", "mend"}


def test_a_configuration_that_does_not_load(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "config.toml"
    path.write_text("[discord]\n")
    assert main(["doctor", "-c", str(path)]) == 2
    assert f"{path}:1: discord" in capsys.readouterr().err


def test_what_was_seen_moves_no_cursor() -> None:
    told = report("me", [[Subject(Area.SYSTEMD).fail("x.service", "\x1b[2Jgone", "type \x1b[31mthis")]])
    text = "\n".join(doctor.lines(told, Paint(on=False), 80))
    assert "\x1b" not in text
    assert "1. failed x.service: gone" in text.replace("\\x1b[2J", "")


def test_what_mends_several_is_advised_once() -> None:
    install = "opsbot install -c /etc/opsbot/config.toml (as root)"
    found = [
        Subject(Area.SYSTEMD).fail("x.service", "gone", install),
        Subject(Area.FOLDERS).warn("/srv/x", "mode", install),
    ]
    text = "\n".join(doctor.lines(report("me", [found]), Paint(on=False), 80))
    assert text.count(install) == 1
    assert "2. warning /srv/x: mode\n     → as 1" in text


def test_each_area_has_a_title() -> None:
    found = [Subject(area).passed(f"{area} check", "fine") for area in Area]
    text = "\n".join(doctor.lines(report("me", [found]), Paint(on=False), 80))
    assert all(f"{area} check" in text for area in Area)


def test_what_others_rest_on_is_mended_first() -> None:
    told = report(
        "me",
        [
            [Subject(Area.HOST).warn("memory", "", ""), Subject(Area.PORTS).fail("port", "", "")],
            [Subject(Area.STATE).passed("database", ""), Subject(Area.STATE).skip("x", "")],
            [Subject(Area.DISCORD).fail("token", "", ""), Subject(Area.HOST).fail("Python", "", "")],
        ],
    )
    assert [one.name for one in told.to_fix] == ["Python", "token", "port", "memory"]
    assert not told.healthy
    assert doctor.lines(told, Paint(on=False), 80)[-1] == ("Checked as me: 1 ok, 1 to check, 3 failed, 1 skipped.")
