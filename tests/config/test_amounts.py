from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsbot.core.amounts import parse_duration, parse_size, show_duration, show_size

MILLISECONDS = st.integers(0, 10**12).map(lambda count: timedelta(milliseconds=count))


@given(MILLISECONDS)
def test_a_duration_that_is_shown_reads_as_the_same_duration(duration: timedelta) -> None:
    assert parse_duration(show_duration(duration)) == duration


@given(st.integers(0, 2**60))
def test_a_size_that_is_shown_reads_as_the_same_size(size: int) -> None:
    assert parse_size(show_size(size)) == size


@given(st.text(max_size=12))
def test_any_text_is_a_duration_or_a_value_error(text: str) -> None:
    try:
        duration = parse_duration(text)
    except ValueError:
        return
    assert timedelta(0) <= duration
    assert text[0].isdigit()
    assert text[-1] in "dhms"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("5m", 300),
        ("1h30m", 5400),
        ("7d", 604800),
        ("500ms", 0.5),
        ("1s500ms", 1.5),
        ("0s", 0),
        ("1d2h", 93600),
    ],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "5", "s", "-5m", "1.5h", "30m1h", "5 m", "5M", "1w", "٥m", "9" * 19 + "d", "9" * 5000 + "s", "5m\n"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@pytest.mark.parametrize(("text", "count"), [("512MiB", 2**29), ("50 MB", 50_000_000), ("0B", 0), ("1KiB", 1024)])
def test_sizes_are_read(text: str, count: int) -> None:
    assert parse_size(text) == count


@pytest.mark.parametrize("text", ["", "5", "MiB", "-1MiB", "1.5GiB", "5mib", "5  MiB", "9" * 20 + "B"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="size"):
        parse_size(text)
