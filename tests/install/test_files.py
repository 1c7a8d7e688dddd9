"""What is there is told apart: install's own, install's own and edited, somebody else's."""

from pathlib import Path

import pytest

from opsbot.install.files import FileState, Wanted, carry_out, compared, left_over

CONFIG = Path("/etc/opsbot/config.toml")


def wanted(path: Path, text: str = "[Unit]\nDescription=x\n") -> Wanted:
    return Wanted(path, text, CONFIG)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "units" / "opsbot.service"
    carry_out(compared(wanted(path)))
    return path


def test_a_file_says_where_it_comes_from(path: Path) -> None:
    assert path.read_text().startswith("# Written by opsbot install from /etc/opsbot/config.toml [")
    assert path.read_text().endswith("]\n[Unit]\nDescription=x\n")
    assert path.stat().st_mode & 0o7777 == 0o644
    assert [each.name for each in path.parent.iterdir()] == ["opsbot.service"]


def test_a_rule_says_so_in_its_own_language(tmp_path: Path) -> None:
    assert wanted(tmp_path / "50-opsbot.rules").whole.startswith("// Written by")


def test_what_it_wrote_is_known_again(path: Path) -> None:
    assert compared(wanted(path)).state is FileState.SAME
    change = compared(wanted(path, "[Unit]\nDescription=y\n"))
    assert change.state is FileState.OLD
    assert "-Description=x" in list(change.diff())
    assert "+Description=y" in list(change.diff())


def test_a_wrong_mode_is_mended(path: Path) -> None:
    path.chmod(0o600)
    change = compared(wanted(path))
    assert change.state is FileState.OLD
    carry_out(change)
    assert path.stat().st_mode & 0o7777 == 0o644


def test_an_edit_by_hand_is_seen_even_where_the_first_line_was_kept(path: Path) -> None:
    path.write_text(path.read_text() + "# mine\n")
    assert compared(wanted(path)).state is FileState.EDITED
    assert [change.state for change in left_over([path])] == [FileState.EDITED]


@pytest.mark.parametrize("make", ["text", "link", "folder", "bytes"])
def test_what_others_wrote_is_never_taken_for_ones_own(tmp_path: Path, make: str) -> None:
    path = tmp_path / "opsbot.service"
    if make == "text":
        path.write_text("[Unit]\nDescription=x\n")
    elif make == "link":
        path.symlink_to(tmp_path / "elsewhere")
    elif make == "folder":
        path.mkdir()
    else:
        path.write_bytes(b"\xff\xfe\x00")
    assert compared(wanted(path)).state is FileState.FOREIGN
    assert left_over([path]) == []


def test_what_is_needed_no_more_goes(path: Path) -> None:
    (change,) = left_over([path, path.with_name("never-there.service")])
    assert change.state is FileState.GONE
    carry_out(change)
    assert not path.exists()
