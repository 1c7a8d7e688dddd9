"""One opsbot a state directory."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from opsbot.runtime.instance_lock import AlreadyRunningError, InstanceLock, lock_folders


@pytest.mark.processes
def test_a_second_one_is_refused_with_the_firsts_pid_and_start(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from opsbot.runtime.instance_lock import InstanceLock; "
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


def test_an_end_in_order_is_told_from_one_that_was_cut_short(tmp_path: Path) -> None:
    first = InstanceLock(tmp_path)
    first.take()
    assert first.unclean_exit is None
    first.release()
    second = InstanceLock(tmp_path)
    second.take()
    assert second.unclean_exit is None
    assert second._file is not None
    os.close(second._file)  # as the kernel does when the process is killed
    third = InstanceLock(tmp_path)
    third.take()
    assert third.unclean_exit is not None
    assert re.fullmatch(rf"pid {os.getpid()}, running since <t:[0-9]+:f>", third.unclean_exit)
    third.release()


def unclean_exit(folder: Path) -> str | None:
    """Who was, as the next one finds it; that one then ends in order."""
    with InstanceLock(folder) as lock:
        return lock.unclean_exit


def test_one_that_ends_by_a_fault_was_cut_short(tmp_path: Path) -> None:
    lock = InstanceLock(tmp_path)
    lock.take()
    lock.forget_previous()
    lock.give_up()
    assert "pid" in str(unclean_exit(tmp_path))


def test_one_that_cannot_start_leaves_what_it_was_to_tell_of_the_one_before(tmp_path: Path) -> None:
    killed = {"pid": 4242, "since": "2026-11-26T03:00:00+00:00"}
    tmp_path.joinpath("opsbot.lock").write_text(json.dumps(killed))
    lock = InstanceLock(tmp_path)
    lock.take()
    lock.give_up()
    assert str(unclean_exit(tmp_path)).startswith("pid 4242, ")


def test_of_one_that_cannot_start_after_an_end_in_order_nothing_is_told(tmp_path: Path) -> None:
    lock = InstanceLock(tmp_path)
    lock.take()
    lock.give_up()
    assert unclean_exit(tmp_path) is None


def test_a_folder_that_another_deploys_into_is_refused_by_its_key_and_none_is_kept(tmp_path: Path) -> None:
    free, taken = tmp_path / "web", tmp_path / "api"
    with lock_folders({"services.api.source.directory": taken}):
        with pytest.raises(AlreadyRunningError) as refused:
            lock_folders({"services.web.source.directory": free, "services.api.source.directory": taken})
        said = str(refused.value)
        assert said.startswith(f"services.api.source.directory: another opsbot uses {taken}: pid {os.getpid()}, ")
        assert said.endswith("Give each opsbot a separate folder.")
        lock_folders({"services.web.source.directory": free}).close()
    lock_folders({"services.api.source.directory": taken}).close()


def test_a_folder_that_cannot_be_made_holds_up_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with lock_folders({"services.web.source.directory": tmp_path / "file" / "web"}):
        pass
