"""Laboratories for what `opsbot install` does to a host."""

import os
from collections.abc import Iterator

import pytest

from tests.install.lab import OPSBOT, Lab, missing

CONFIG = """\
[discord]
token_file = "discord-token"
guild_id = 100000000000000001
ops_channel_id = 100000000000000002
[roles]
admin = [100000000000000013]
[services.inst]
manager = "systemd"
unit = "inst-app.service"
[services.inst.source]
repository = "/srv/inst.git"
directory = "/srv/inst"
[[services.inst.install]]
run = ["true"]
"""
APP = "[Service]\nUser=app\nExecStart=/bin/sleep infinity\n"
OTHER = "[Service]\nExecStart=/bin/sleep infinity\n"


@pytest.fixture(scope="module")
def bare() -> Iterator[Lab]:
    """A host with a service of the user `app`, another of root, and a configuration; nothing is installed."""
    if why := missing():
        pytest.skip(why)
    lab = Lab(f"install-{os.getpid()}", "-u", "app")
    try:
        lab.write("/etc/systemd/system/inst-app.service", APP)
        lab.write("/etc/systemd/system/inst-other.service", OTHER)
        lab.does("systemctl", "daemon-reload")
        lab.does("systemctl", "start", "inst-app", "inst-other")
        lab.write("/etc/opsbot/config.toml", CONFIG)
        yield lab
    finally:
        lab.down()


@pytest.fixture(scope="module")
def host(bare: Lab) -> Lab:
    """The same, with opsbot installed and its token in place."""
    bare.does(OPSBOT, "install", "-c", "/etc/opsbot/config.toml", "--yes")
    bare.write("/etc/opsbot/discord-token", "the-token-of-the-bot\n", "0600")
    return bare
