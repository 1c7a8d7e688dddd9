"""Text for terminals: harmless, and in columns that line up."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsbot.cli.terminal import Paint, fit, plain, table, width


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x9b31mred", "red"),
        ("\x1b[2J\x1b]0;t\x07", "\\x1b[2J\\x1b]0;t\\x07"),
        ("two\nlines\tand\ra tab", "two lines and a tab"),
        ("txt\u202egnp.exe", "txt\\u202egnp.exe"),
        ("音声会議", "音声会議"),
        ("\x1b\x1b[31m[2J", "\\x1b[2J"),
    ],
)
def test_what_a_terminal_would_obey_is_dropped_or_shown(text: str, shown: str) -> None:
    assert plain(text) == shown


@given(st.text())
def test_nothing_is_left_that_a_terminal_would_obey(text: str) -> None:
    # Cc: controls. Cs: surrogates, which cannot be written. Zl, Zp: line and paragraph separators.
    assert not {unicodedata.category(letter) for letter in plain(text)} & {"Cc", "Cs", "Zl", "Zp"}


@given(st.text(alphabet="aé音\u0301 ", max_size=30), st.integers(1, 20))
def test_a_text_fits_in_its_columns(text: str, columns: int) -> None:
    assert width(fit(text, columns)) <= max(columns, 1)


def test_columns_line_up_over_wide_letters_and_colours() -> None:
    rows = [[("音声", "red"), ("x", "")], [("abcdef", ""), ("y", "")]]
    plainly = table(rows, Paint(on=False))
    assert [width(line) for line in plainly] == [9, 8 + 1]
    coloured = table(rows, Paint(on=True))
    assert [plain(line) for line in coloured] == plainly
