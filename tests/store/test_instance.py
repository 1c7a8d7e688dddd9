"""One opsbot a state directory."""

import subprocess
import sys
from pathlib import Path

import pytest

from opsbot.instance import AlreadyRunningError, InstanceLock


def test_a_second_one_is_refused_with_the_firsts_pid_and_start(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from opsbot.instance import InstanceLock; "
        "InstanceLock(pathlib.Path(sys.argv[1])).take(); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        with pytest.raises(AlreadyRunningError, match=rf"pid {first.pid}, running since 20"):
            InstanceLock(tmp_path).take()
        first.kill()
        first.wait()
    with InstanceLock(tmp_path):
        pass


def test_the_lock_is_free_again_after_a_release(tmp_path: Path) -> None:
    with InstanceLock(tmp_path):
        pass
    with InstanceLock(tmp_path):
        pass
