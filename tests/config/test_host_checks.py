from datetime import timedelta
from pathlib import Path

from opsbot.config import HostChecks
from opsbot.config_file import load

HEAD = """
[discord]
token_env = "T"
guild_id = 100000000000000001
ops_channel_id = 100000000000000002
[roles]
admin = [100000000000000013]
[services.bot]
manager = "process"
command = ["node"]
working_directory = "/"
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "config.toml"
    file.write_text(HEAD + text)
    return file


def test_few_are_on_by_default(tmp_path: Path) -> None:
    config = load(written(tmp_path, ""))
    assert config.host_checks == HostChecks()
    on = {name for name in ("disk", "inodes", "memory_available", "swap", "pressure", "load", "steal", "fds")
          if getattr(config.host_checks, name)}  # fmt: skip
    assert on == {"disk", "inodes", "memory_available"}
    assert config.services["bot"].leak


def test_each_can_be_set(tmp_path: Path) -> None:
    text = '[host_checks]\ndisk = 80\nload = 4\ncertificates = ["a.example", "b.example:8443", "[::1]:465", "::1"]\n'
    text += 'disk_ahead = "12h"\n'
    checks = load(written(tmp_path, text)).host_checks
    assert (checks.disk, checks.load, checks.disk_ahead) == (80, 4, timedelta(hours=12))
    assert checks.certificates == (("a.example", 443), ("b.example", 8443), ("::1", 465), ("::1", 443))
