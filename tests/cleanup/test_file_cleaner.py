"""Which files a sweep deletes, on a real file system with real processes."""

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from opsbot.cleanup import file_cleaner
from opsbot.cleanup.file_cleaner import CleanupResult, Deletion, FileCleaner, identity, in_use
from opsbot.core.globs import glob

DAY = 86_400.0
NOBODY = 65_534


def make(path: Path, *, days: float = 2.0, content: str = "12345") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    age(path, days)
    return path


def age(path: Path, days: float = 2.0) -> None:
    at = time.time() - days * DAY
    os.utime(path, (at, at), follow_symlinks=False)


def sweep(*patterns: str, keep_out: tuple[Path, ...] = (), most: int = 10_000) -> CleanupResult:
    return begun(*patterns, keep_out=keep_out, most=most).result


def begun(*patterns: str, keep_out: tuple[Path, ...] = (), most: int = 10_000) -> FileCleaner:
    made = FileCleaner(time.time() - DAY, {identity(each.stat()) for each in keep_out}, threading.Event(), most)
    for pattern in patterns:
        made.clean(glob(pattern))
    return made


def test_old_files_that_fit_go_and_everything_else_stays(tmp_path: Path) -> None:
    old = [make(tmp_path / "temp" / name) for name in ("a.pcm", "b.pcm")]
    kept = [
        make(tmp_path / "temp" / "new.pcm", days=0.9),
        make(tmp_path / "temp" / "later.pcm", days=-3),
        make(tmp_path / "temp" / "notes.txt"),
        make(tmp_path / "temp" / ".hidden.pcm"),
        make(tmp_path / "temp" / "inner" / "c.pcm"),
        make(tmp_path / "a.pcm"),
    ]
    folder = tmp_path / "temp" / "folder.pcm"
    folder.mkdir()
    age(folder)
    swept = sweep(f"{tmp_path}/temp/*.pcm")
    assert (swept.files, swept.size, swept.problems, swept.cut) == (2, 10, {}, False)
    assert not any(path.exists() for path in old)
    assert all(path.exists() for path in [*kept, folder])


def test_folders_with_wildcards_and_any_depth_are_gone_through(tmp_path: Path) -> None:
    one, two, deep = (make(tmp_path / name) for name in ("x1/t/a.pcm", "x2/t/a.pcm", "x1/t/u/v/a.pcm"))
    other = make(tmp_path / "y/t/a.pcm")
    assert sweep(f"{tmp_path}/x*/t/*.pcm").files == 2
    assert not one.exists()
    assert not two.exists()
    assert deep.exists()
    assert sweep(f"{tmp_path}/**/u/**/*.pcm").files == 1
    assert other.exists()


def test_links_are_neither_followed_nor_deleted(tmp_path: Path) -> None:
    secret = make(tmp_path / "elsewhere" / "secret.pcm")
    temp = tmp_path / "temp"
    temp.mkdir()
    (temp / "link.pcm").symlink_to(secret)
    age(temp / "link.pcm")
    (temp / "folder").symlink_to(secret.parent)
    (tmp_path / "fixed").symlink_to(secret.parent)
    swept = sweep(f"{temp}/*.pcm", f"{temp}/*/*.pcm", f"{temp}/**/*.pcm", f"{temp}/folder/*.pcm")
    assert swept.files == 0
    assert secret.exists()
    assert (temp / "link.pcm").is_symlink()
    assert list(swept.problems) == [(f"{temp}/folder/*.pcm", Deletion.LOOK)]
    found = sweep(f"{tmp_path}/fixed/*.pcm").problems[f"{tmp_path}/fixed/*.pcm", Deletion.LOOK]
    assert (found.folder, found.why) == (str(tmp_path / "fixed"), "it is a symbolic link or not a folder")
    assert secret.exists()


def test_a_folder_swapped_for_a_link_all_the_while_leads_nowhere(tmp_path: Path) -> None:
    """The attack: a part of the path is exchanged for a link to a folder with old files, and back, again and again."""
    victims = [make(tmp_path / "victim" / f"{number}.pcm") for number in range(50)]
    own = [make(tmp_path / "real" / f"{number}.pcm") for number in range(300)]
    real, link, temp = tmp_path / "real", tmp_path / "link", tmp_path / "bot" / "temp"
    temp.parent.mkdir()
    link.symlink_to(tmp_path / "victim")
    over = threading.Event()

    def swap() -> None:
        while not over.is_set():
            for each in (real, link):
                each.rename(temp)
                temp.rename(each)

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        # So often at least, and until the folder itself was met: the kernel decides who has his turn when.
        rounds = met = 0
        while rounds < 120 or not met:
            rounds += 1
            for pattern in (f"{temp}/*.pcm", f"{tmp_path}/bot/*/*.pcm", f"{tmp_path}/bot/**/*.pcm"):
                met += sweep(pattern, most=1).files
    finally:
        over.set()
        swapper.join()
    assert all(victim.exists() for victim in victims)
    assert len(list(real.iterdir())) == len(own) - met


@contextmanager
def holding(path: Path, mode: str) -> Iterator[None]:
    """A process that has the file open."""
    program = f"import sys, time; f = open({str(path)!r}, {mode!r}); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"open\n"
        yield
        assert child.stdin is not None
        child.stdin.close()


@pytest.mark.parametrize("mode", ["a", "r"])
@pytest.mark.processes
def test_a_file_that_a_process_has_open_stays(tmp_path: Path, mode: str) -> None:
    recording = make(tmp_path / "temp" / "recording.pcm")
    done = make(tmp_path / "temp" / "done.pcm")
    with holding(recording, mode):
        assert in_use({identity(recording.stat()), identity(done.stat())}) == {identity(recording.stat())}
        swept = sweep(f"{tmp_path}/temp/*.pcm")
        assert (swept.files, swept.in_use) == (1, 1)
        assert recording.exists()
        other_name = tmp_path / "temp" / "other-name.pcm"
        recording.rename(other_name)
        assert sweep(f"{tmp_path}/temp/*.pcm").files == 0
    assert sweep(f"{tmp_path}/temp/*.pcm").files == 1
    assert not done.exists()


def test_a_file_written_to_between_the_list_and_the_deletion_stays(tmp_path: Path) -> None:
    file, replaced = make(tmp_path / "temp" / "a.pcm"), make(tmp_path / "temp" / "b.pcm")
    cleaner = begun()
    fd = os.open(tmp_path / "temp", os.O_PATH)
    listed = {"a.pcm": identity(file.stat()), "b.pcm": identity(replaced.stat())}
    age(file, 0)
    make(tmp_path / "temp" / "fresh").rename(replaced)
    cleaner._delete(fd, "temp", listed)
    os.close(fd)
    assert cleaner.result.files == 0
    assert file.exists()
    assert replaced.exists()


def test_opsbot_s_own_folders_are_not_entered_under_any_name(tmp_path: Path) -> None:
    own = make(tmp_path / "srv" / "state" / "run" / "a.log").parents[1]
    assert sweep(f"{tmp_path}/srv/**/*.log", f"{tmp_path}/srv/*/run/*.log", keep_out=(own,)).files == 0
    swept = sweep(f"{own}/run/*.log", keep_out=(own,))
    assert swept.problems[f"{own}/run/*.log", Deletion.LOOK].why == "it belongs to opsbot itself"
    assert swept.files == 0


def test_a_folder_that_is_not_there_is_no_problem(tmp_path: Path) -> None:
    swept = sweep(f"{tmp_path}/none/at/all/*.pcm")
    assert (swept.files, swept.problems) == (0, {})


def test_one_sweep_deletes_no_more_than_it_may_and_the_next_goes_on(tmp_path: Path) -> None:
    for number in range(25):
        make(tmp_path / "temp" / f"{number}.pcm")
    found = [sweep(f"{tmp_path}/temp/*.pcm", most=10) for _ in range(3)]
    assert [(each.files, each.cut) for each in found] == [(10, True), (10, True), (5, False)]
    assert found[0].looked == set()
    assert found[2].looked == {f"{tmp_path}/temp/*.pcm"}


def test_told_to_stop_it_deletes_nothing_more(tmp_path: Path) -> None:
    make(tmp_path / "temp" / "a.pcm")
    stop = threading.Event()
    stop.set()
    cleaner = FileCleaner(time.time(), set(), stop, 10)
    cleaner.clean(glob(f"{tmp_path}/temp/*.pcm"))
    assert (cleaner.result.files, cleaner.result.cut) == (0, True)


@contextmanager
def unprivileged() -> Iterator[None]:
    """Run as nobody where the tests run as root, whom no permission stops."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_what_may_not_be_deleted_is_one_problem_with_its_number() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = [make(folder / "temp" / f"{number}.pcm") for number in range(3)]
        closed = make(folder / "closed" / "a.pcm").parent
        folder.chmod(0o755)

        (folder / "temp").chmod(0o555)
        closed.chmod(0o000)
        with unprivileged():
            swept = sweep(f"{folder}/temp/*.pcm", f"{folder}/closed/*.pcm", f"{folder}/closed/in/*.pcm")
        found = {key: (each.folder, each.why, each.times) for key, each in swept.problems.items()}
        assert found == {
            (f"{folder}/temp/*.pcm", Deletion.DELETE): (f"{folder}/temp", "Permission denied", 3),
            (f"{folder}/closed/*.pcm", Deletion.LOOK): (f"{folder}/closed", "Permission denied", 1),
            (f"{folder}/closed/in/*.pcm", Deletion.LOOK): (f"{folder}/closed/in", "Permission denied", 1),
        }
        assert all(file.exists() for file in files)
        (folder / "temp").chmod(0o755)
        closed.chmod(0o755)


def test_names_that_are_no_text_are_deleted_and_can_be_told(tmp_path: Path) -> None:
    strange = Path(os.fsdecode(os.fsencode(tmp_path) + b"/temp/\xff\xfe.pcm"))
    make(strange)
    assert sweep(f"{tmp_path}/temp/*.pcm").files == 1
    assert file_cleaner.printable(str(strange)).encode().endswith(b"/temp/\xef\xbf\xbd\xef\xbf\xbd.pcm")


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_no_file_descriptor_is_left_open(tmp_path: Path) -> None:
    make(tmp_path / "a" / "b" / "x.pcm")
    (tmp_path / "link").symlink_to(tmp_path)
    before = descriptors()
    sweep(f"{tmp_path}/**/*.pcm", f"{tmp_path}/none/*.pcm", f"{tmp_path}/link/*.pcm", f"{tmp_path}/*/b/x*")
    sweep(f"{tmp_path}/a/b/*", keep_out=(tmp_path,))
    assert descriptors() == before
