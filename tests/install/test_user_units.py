"""The rootless way, in a laboratory with logind: a user's own systemd, no polkit rule, no root but for lingering."""

import os
from collections.abc import Iterator

import pytest

from tests.install.lab import OPSBOT, Lab, missing

HOME = "/home/me"
CONFIG = f"""\
[discord]
token_file = "discord-token"
guild_id = 100000000000000001
ops_channel_id = 100000000000000002
[roles]
admin = [100000000000000013]
[systemd]
scope = "user"
[state]
directory = "{HOME}/.local/state/opsbot"
[services.mine]
manager = "systemd"
unit = "mine.service"
"""
UNIT = f"{HOME}/.config/systemd/user/opsbot.service"
INSTALL = (OPSBOT, "install", "-c", f"{HOME}/.config/opsbot/config.toml")


class Session:
    """The user's own shell in there."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        uid = lab.does("id", "-u", "me")
        self._runtime = f"XDG_RUNTIME_DIR=/run/user/{uid}"

    def tries(self, *command: object) -> tuple[int, str]:
        done = self.lab.tries("env", self._runtime, *command, user="me")
        return done.returncode, done.stdout + done.stderr

    def does(self, *command: object) -> str:
        code, said = self.tries(*command)
        assert code == 0, said
        return said


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    if why := missing():
        pytest.skip(why)
    lab = Lab(f"install-user-{os.getpid()}", "-L")
    try:
        lab.does("useradd", "--create-home", "--home-dir", HOME, "me")
        lab.does("install", "-D", "-o", "me", "/dev/stdin", f"{HOME}/.config/opsbot/config.toml", text=CONFIG)
        lab.does("chown", "-R", "me:", HOME)
        yield Session(lab)
    finally:
        lab.down()


def test_root_is_sent_away(session: Session) -> None:
    done = session.lab.tries(*INSTALL, "--yes")
    assert done.returncode == 2
    assert "without sudo" in done.stderr


def test_without_a_session_it_says_what_is_missing(session: Session) -> None:
    done = session.lab.tries(*INSTALL, "--yes", user="me")
    assert done.returncode == 1
    assert "sudo loginctl enable-linger me, then log in as me" in done.stderr, done.stderr
    assert session.lab.tries("test", "-e", UNIT).returncode != 0


def test_one_unit_is_written_and_the_one_command_for_an_admin_is_told(session: Session) -> None:
    # A session of the user's, as a login would bring it, and no lingering yet.
    session.lab.does("systemctl", "start", f"user@{session.lab.does('id', '-u', 'me')}.service")
    said = session.does(*INSTALL, "--yes")
    assert "sudo loginctl enable-linger me" in said
    session.lab.does("loginctl", "enable-linger", "me")
    said = session.does(*INSTALL, "--yes")
    assert "Nothing to do" in said
    assert "enable-linger" not in said
    assert session.lab.does("find", "/etc", "-name", "*opsbot*") == ""
    assert session.does("systemd-analyze", "--user", "verify", UNIT) == ""


def test_the_unit_starts_with_its_token_and_steers_its_neighbours_without_a_right(session: Session) -> None:
    session.does("bash", "-c", f"umask 077; echo the-token > {HOME}/.config/opsbot/discord-token")
    neighbour = f"{HOME}/.config/systemd/user/mine.service"
    session.does("bash", "-c", f"printf '[Service]\nExecStart=/bin/sleep infinity\n' > {neighbour}")
    script = "cat $CREDENTIALS_DIRECTORY/discord-token; systemctl --user restart mine; systemctl --user is-active mine"
    probe = (
        "[Service]\nType=oneshot\nRestart=no\nWatchdogSec=0\nExecStart=\nStandardOutput=truncate:%h/out\n"
        f"ExecStart=/bin/bash -c '{script.replace('$', '$$')}'\n"
    )
    session.does("bash", "-c", f"mkdir -p {UNIT}.d; cat > {UNIT}.d/probe.conf <<'E'\n{probe}\nE")
    session.does("systemctl", "--user", "daemon-reload")
    session.does("systemctl", "--user", "start", "opsbot")
    assert session.does("cat", f"{HOME}/out").splitlines() == ["the-token", "active"]
    stays = "[Service]\nType=exec\nExecStart=\nExecStart=/bin/sleep infinity\n"
    session.does("bash", "-c", f"cat >> {UNIT}.d/probe.conf <<'E'\n{stays}\nE")
    session.does("systemctl", "--user", "daemon-reload")
    session.does("systemctl", "--user", "start", "opsbot")
    _, said = session.tries(OPSBOT, "doctor", "-c", f"{HOME}/.config/opsbot/config.toml")
    assert "discord-token cannot be read" not in said, "it is in the user's own /run"
    session.does("systemctl", "--user", "stop", "opsbot")
    session.does("rm", "-r", f"{UNIT}.d")


def test_uninstall_takes_it_away(session: Session) -> None:
    said = session.does(OPSBOT, "uninstall", "-c", f"{HOME}/.config/opsbot/config.toml", "--yes")
    assert UNIT in said
    assert session.tries("test", "-e", UNIT)[0] == 1
    assert session.does("systemctl", "--user", "is-active", "mine").strip() == "active"
