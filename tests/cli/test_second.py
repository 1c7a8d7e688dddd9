"""A second opsbot with a state of its own that would deploy into the same folder as the first."""

import os
import subprocess
import sys
from pathlib import Path

from opsbot.runtime.instance_lock import lock_folders
from tests.cli.test_footprint import CONFIG

DEPLOYS = """\
manager = "process"
command = ["sleep", "1"]
[services.web.source]
repository = "{folder}/repository"
directory = "{folder}/srv"
"""


def test_it_does_not_start_and_says_who_works_there(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text((CONFIG + DEPLOYS).format(folder=tmp_path))
    with lock_folders({"services.web.source.directory": tmp_path / "srv"}):
        ended = subprocess.run(
            [sys.executable, "-m", "opsbot", "run", "-c", str(file)],
            env={**os.environ, "NONE": "no token"},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert ended.returncode == 1
    said = f"services.web.source.directory: another opsbot uses {tmp_path}/srv: pid {os.getpid()}, running since 20"
    assert said in ended.stderr
    assert "Give each opsbot a separate folder." in ended.stderr
