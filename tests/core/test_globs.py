"""Which files a clean-up's pattern names, and where it may lead."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsbot.core.globs import glob, malformed, parts_of, too_wide, wild


@pytest.mark.parametrize(
    ("pattern", "path", "named"),
    [
        ("/srv/bot/*.pcm", "/srv/bot/a.pcm", True),
        ("/srv/bot/*.pcm", "/srv/bot/sub/a.pcm", False),
        ("/srv/bot/*.pcm", "/srv/bot/.a.pcm", False),
        ("/srv/bot/.*.pcm", "/srv/bot/.a.pcm", True),
        ("/srv/bot/*/a", "/srv/bot/.git/a", False),
        ("/srv/bot/**/*.pcm", "/srv/bot/a.pcm", True),
        ("/srv/bot/**/*.pcm", "/srv/bot/x/y/z/a.pcm", True),
        ("/srv/bot/**/*.pcm", "/srv/bot/x/.y/a.pcm", False),
        ("/srv/bot/**/t/*.pcm", "/srv/bot/x/t/a.pcm", True),
        ("/srv/bot/**/t/*.pcm", "/srv/bot/x/a.pcm", False),
        ("/srv/bot/[ab]?.log", "/srv/bot/a1.log", True),
        ("/srv/bot/[ab]?.log", "/srv/bot/c1.log", False),
        ("/srv/BOT/a", "/srv/bot/a", False),
    ],
)
def test_a_pattern_names_files_part_by_part(pattern: str, path: str, named: bool) -> None:
    assert glob(pattern).names(path) is named


@pytest.mark.parametrize(
    ("pattern", "folder", "entered"),
    [
        ("/srv/bot/temp/*.pcm", "/srv/bot/temp", True),
        ("/srv/bot/temp/*.pcm", "/srv/bot", True),
        ("/srv/bot/temp/*.pcm", "/srv/bot/temp/inner", False),
        ("/srv/bot/*/x", "/srv/bot/releases", True),
        ("/srv/bot/*/x", "/srv/bot/releases/20260301", False),
        ("/srv/bot/**/x", "/srv/bot/releases/20260301", True),
        ("/srv/bot/t*/**/x", "/srv/bot/releases", False),
    ],
)
def test_where_a_pattern_could_name_a_file_it_enters(pattern: str, folder: str, entered: bool) -> None:
    """In the folder itself, or below it."""
    assert glob(pattern).enters(folder) is entered


PARTS = st.lists(st.sampled_from(["**", "*", "a", "b*", "?", ".c"]), min_size=0, max_size=4)
PATHS = st.lists(st.sampled_from(["a", "b", "bb", ".c"]), min_size=1, max_size=5)


@given(PARTS, PATHS)
def test_whoever_names_a_file_enters_its_folder(parts: list[str], path: list[str]) -> None:
    pattern = glob("/" + "/".join([*parts, "*"]))
    if pattern.names("/" + "/".join(path)):
        for end in range(len(path)):
            assert pattern.enters("/" + "/".join(path[:end]))


@given(st.text(st.sampled_from("/ab.*?[]~ ")))
def test_what_is_allowed_has_two_fixed_folders_and_names_a_file(text: str) -> None:
    pattern = "/" + text
    if malformed(pattern) or too_wide(pattern):
        return
    first, second, *rest = parts_of(pattern)
    assert not wild(first)
    assert not wild(second)
    assert rest
    assert ".." not in rest
