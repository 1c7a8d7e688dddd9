"""`[[services.NAME.cleanup]]`: what it is read as. What must not be accepted is in `problems/cleanup*.toml`."""

from datetime import timedelta
from pathlib import Path

from opsbot.config_file import load

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


def test_a_clean_up_is_read_with_its_defaults(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    paths = "['/tmp/voice-meeting-bot/temp/*.pcm', 'data/**/*.tmp']"
    file.write_text(f"{SERVICE}{SOURCE}[[services.bot.cleanup]]\npaths = {paths}\n")
    (cleanup,) = load(file).services["bot"].cleanup
    assert cleanup.paths == ("/tmp/voice-meeting-bot/temp/*.pcm", "data/**/*.tmp")
    assert (cleanup.older_than, cleanup.every) == (timedelta(days=1), timedelta(hours=1))
