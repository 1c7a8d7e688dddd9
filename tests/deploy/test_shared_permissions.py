"""Folders that two users write to: links are not followed, what is sealed stays so, what is taken away is gone."""

import os
import shutil
import stat
from pathlib import Path, PurePosixPath

import pytest

from opsbot.deploy.shared_permissions import (
    LedAstrayError,
    keep_shared,
    make_shared,
    open_to_group,
    seal,
)
from opsbot.errand.removal import remove_own

ROOT = os.geteuid() == 0
NOBODY = 65534


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.fixture
def release(tmp_path: Path) -> Path:
    place = tmp_path / "release"
    place.mkdir(mode=0o700)
    (place / "src" / "deep").mkdir(parents=True)
    (place / "src" / "file").write_text("x")
    (place / "run.sh").write_text("x")
    for path, bits in (("src", 0o2770), ("src/deep", 0o2770), ("src/file", 0o660), ("run.sh", 0o770)):
        (place / path).chmod(bits)
    return place


def test_a_release_is_closed_then_open_then_sealed(release: Path) -> None:
    assert mode(release) == 0o700
    open_to_group(release)
    assert [mode(release / name) for name in (".", "src", "src/deep", "src/file")] == [0o770, 0o770, 0o770, 0o660]
    seal(release)
    assert [mode(release / name) for name in (".", "src", "src/deep")] == [0o750, 0o750, 0o750]
    assert [mode(release / name) for name in ("src/file", "run.sh")] == [0o640, 0o750]


def test_sealing_follows_no_link(release: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("x")
    (outside / "file").chmod(0o660)
    outside.chmod(0o770)
    (release / "link").symlink_to(outside)
    (release / "src" / "link").symlink_to(outside / "file")
    os.mkfifo(release / "pipe")
    seal(release)
    assert (mode(outside), mode(outside / "file")) == (0o770, 0o660)


@pytest.mark.skipif(not ROOT, reason="files of two users take root")
def test_sealing_leaves_what_is_the_services_own(release: Path) -> None:
    shutil.chown(release / "src", NOBODY)
    seal(release)
    assert (mode(release / "src"), mode(release / "src" / "file")) == (0o2770, 0o640)


def test_what_is_removed_is_gone_and_what_links_lead_to_is_not(release: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("x")
    (release / "link").symlink_to(outside)
    (release / "src" / "deep" / "link").symlink_to(outside / "file")
    os.mkfifo(release / "pipe")
    (release / "src" / "deep").chmod(0o500)
    (release / "src").chmod(0)
    assert remove_own(release)
    assert not release.exists()
    assert (outside / "file").read_text() == "x"
    (tmp_path / "link").symlink_to(outside)
    assert remove_own(tmp_path / "link")
    assert (outside / "file").exists()
    assert remove_own(tmp_path / "none")


def test_a_shared_path_is_made_for_the_group_and_taken_from_the_commit(release: Path, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    assert keep_shared(shared, release, PurePosixPath("data/in")) is False
    make_shared(shared, PurePosixPath("data/in"))
    assert mode(shared / "data") & 0o777 == 0o770
    assert mode(shared / "data" / "in") & 0o777 == 0o770
    assert keep_shared(shared, release, PurePosixPath("data/in")) is None
    assert keep_shared(shared, release, PurePosixPath("src/file")) is True
    assert (shared / "src" / "file").read_text() == "x"
    assert not (release / "src" / "file").exists()


@pytest.mark.parametrize("wanted", ["led/in", "file/in"])
def test_a_link_in_shared_is_not_followed(release: Path, tmp_path: Path, wanted: str) -> None:
    shared, outside = tmp_path / "shared", tmp_path / "outside"
    shared.mkdir()
    outside.mkdir()
    (shared / "led").symlink_to(outside)
    (shared / "file").write_text("")
    with pytest.raises(LedAstrayError, match="is a link, or no folder"):
        keep_shared(shared, release, PurePosixPath(wanted))
    with pytest.raises(LedAstrayError, match="is a link, or no folder"):
        make_shared(shared, PurePosixPath(wanted))
    assert list(outside.iterdir()) == []
