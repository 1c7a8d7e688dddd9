"""The way of a line from the spool to the log and out of it again."""

import gzip
import os
import resource
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opsbot.services.log_levels import level_of
from opsbot.services.log_reader import read
from opsbot.services.output import LINE_AT_MOST, Output, _cut
from opsbot.services.port import LogQuery, ManagerError
from opsbot.services.process_log import parts

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def output(tmp_path: Path, clock: Clock) -> Iterator[Output]:
    made = Output(tmp_path, timedelta(days=7), 64 * 1024, clock)
    made.open()
    begin(made, "first")
    yield made
    made.close()


def begin(output: Output, run: str) -> None:
    output.spool(run).touch()
    output.begin(run)


def say(output: Output, data: bytes, run: str = "first", *, final: bool = False) -> None:
    with output.spool(run).open("ab") as spool:
        spool.write(data)
    while output.drain(final=final):
        pass


def texts(output: Output, query: LogQuery | None = None, run: str = "first") -> list[str]:
    return [line.text for line in read(output.log_directory, query or LogQuery(lines=10_000), run)]


def test_a_line_waits_for_its_end_and_the_last_one_needs_none_after_a_death(output: Output) -> None:
    say(output, b"whole\nhal")
    assert texts(output) == ["whole"]
    say(output, b"f\nlast words")
    assert texts(output) == ["whole", "half"]
    say(output, b"", final=True)
    assert texts(output) == ["whole", "half", "last words"]


def test_nul_and_broken_utf8_are_replaced_and_carriage_returns_dropped(output: Output) -> None:
    say(output, b"a\0b\r\n\xff\xfe\n\xc3\xa4\n")
    assert texts(output) == ["a\ufffdb", "\ufffd\ufffd", "ä"]


def test_a_line_longer_than_16_kib_is_split_and_no_character_torn(output: Output) -> None:
    text = "x" + "ä" * LINE_AT_MOST
    say(output, text.encode() + b"\nnext\n")
    lines = texts(output)
    assert "".join(lines[:-1]) == text
    assert lines[-1] == "next"
    assert all(len(line.encode()) <= LINE_AT_MOST for line in lines)


def test_a_flood_without_any_end_of_line_is_taken_in_pieces(output: Output) -> None:
    say(output, b"y" * (3 * LINE_AT_MOST))
    assert [len(line) for line in texts(output)] == [LINE_AT_MOST, LINE_AT_MOST]


@given(st.binary(max_size=200).map(lambda data: data.replace(b"\r", b"")), st.lists(st.integers(0, 200), max_size=5))
def test_however_the_bytes_arrive_the_lines_are_the_same(data: bytes, cuts: list[int]) -> None:
    whole, _ = _cut(data, final=True, more=False)
    pieces = []
    kept = b""
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for start, end in pairwise(edges):
        kept += data[start:end]
        found, used = _cut(kept, final=False, more=False)
        pieces += found
        kept = kept[used:]
    pieces += _cut(kept, final=True, more=False)[0]
    assert pieces == whole


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(st.characters(exclude_characters="\r\n\0", codec="utf-8"), max_size=40), max_size=30))
def test_what_is_written_is_read_again_whatever_it_looks_like(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str]
) -> None:
    made = Output(tmp_path_factory.mktemp("log"), timedelta(days=7), 64 * 1024, Clock())
    made.open()
    begin(made, "first")
    tricky = [*lines, "2026-03-01T12:00:00.000Z * run other", "* run other", " * run other"]
    say(made, "".join(f"{line}\n" for line in tricky).encode())
    found = read(made.log_directory, LogQuery(lines=1000), "first")
    made.close()
    assert [line.text for line in found] == tricky
    assert {line.run for line in found} == {"first"}


def test_the_log_is_bounded_by_its_size_and_keeps_the_newest(output: Output) -> None:
    for n in range(400):
        say(output, b"".join(b"%06d %s\n" % (n * 10 + m, os.urandom(30).hex().encode()) for m in range(10)))
    found = parts(output.log_directory)
    assert len(found) > 3
    # The one that is written to is not packed yet.
    assert sum(part.stat().st_size for part in found) <= 64 * 1024 + 16 * 1024
    numbers = [int(text.split()[0]) for text in texts(output)]
    assert numbers[-1] == 3999
    assert numbers == list(range(numbers[0], 4000))
    assert [part.suffix for part in found] == [".gz"] * (len(found) - 1) + [".log"]


def test_each_day_has_a_part_of_its_own_and_old_days_go(output: Output, clock: Clock) -> None:
    for day in range(12):
        clock.now = START + timedelta(days=day)
        say(output, b"day %d\n" % day)
    assert texts(output) == [f"day {day}" for day in range(4, 12)]
    assert [part.name[:10] for part in parts(output.log_directory)][-1] == "2026-03-12"


def test_a_clock_set_back_keeps_the_order(output: Output, clock: Clock) -> None:
    clock.now = START + timedelta(days=3)
    say(output, b"later\n")
    clock.now = START
    say(output, b"earlier\n")
    assert texts(output) == ["later", "earlier"]


def test_lines_since_a_time_are_found_across_parts(output: Output, clock: Clock) -> None:
    for hour in range(72):
        clock.now = START + timedelta(hours=hour)
        say(output, b"hour %d\n" % hour)
    since = START + timedelta(hours=30)
    assert texts(output, LogQuery(lines=1000, since=since)) == [f"hour {hour}" for hour in range(30, 72)]
    assert texts(output, LogQuery(lines=2, since=since)) == ["hour 70", "hour 71"]


def test_each_line_knows_its_run_across_parts(output: Output, clock: Clock) -> None:
    say(output, b"one\n")
    begin(output, "second")
    say(output, b"two\n", "second")
    clock.now += timedelta(days=1)
    say(output, b"three\n", "second")
    found = read(output.log_directory, LogQuery(), "second")
    assert [(line.text, line.run) for line in found] == [("one", "first"), ("two", "second"), ("three", "second")]
    assert texts(output, LogQuery(this_run=True), "second") == ["two", "three"]


def test_the_rest_of_a_run_is_taken_before_the_next_one_begins(output: Output) -> None:
    with output.spool("first").open("ab") as spool:
        spool.write(b"unread\nand its end")
    begin(output, "second")
    say(output, b"new\n", "second")
    assert texts(output) == ["unread", "and its end", "new"]
    assert not output.spool("first").exists()


def test_a_position_that_cannot_be_read_loses_nothing(output: Output, tmp_path: Path, clock: Clock) -> None:
    say(output, b"one\n")
    output.close()
    (tmp_path / "position").write_bytes(b"nonsense")
    again = Output(tmp_path, timedelta(days=7), 64 * 1024, clock)
    again.open()
    again.begin("first")
    while again.drain():
        pass
    # Twice rather than never: where it was cannot be known.
    assert texts(again) in (["one"], ["one", "one"])
    again.close()


def test_a_part_that_a_power_cut_spoilt_hides_no_other(output: Output, clock: Clock) -> None:
    for day in range(3):
        clock.now = START + timedelta(days=day)
        say(output, b"day %d\n" % day)
    second = parts(output.log_directory)[1]
    second.write_bytes(second.read_bytes()[:-12])
    assert texts(output) == ["day 0", "day 2"]


def test_a_packed_part_is_plain_gzip(output: Output, clock: Clock) -> None:
    say(output, b"one\n")
    clock.now += timedelta(days=1)
    say(output, b"two\n")
    packed = parts(output.log_directory)[0]
    assert gzip.decompress(packed.read_bytes()).decode().splitlines()[-1] == "2026-03-01T12:00:00.000Z | one"


def test_an_unknown_level_is_an_error(output: Output) -> None:
    with pytest.raises(ManagerError, match="unknown-level"):
        texts(output, LogQuery(level="loud"))


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("ERROR: no", "error"),
        ("[error] no", "error"),
        ("2026-01-01 12:00:00,000 - app - WARNING - hm", "warning"),
        ("warn: hm", "warning"),
        ("INFO:     Application startup complete.", "info"),
        ("debug it", "debug"),
        ("TypeError: x is not a function", "error"),
        ("Traceback (most recent call last):", "error"),
        ("DeprecationWarning: old", "warning"),
        ('{"level":"error","msg":"no"}', "error"),
        ('{"level":30,"msg":"an error in words only"}', "info"),
        ('{"severity":"WARNING"}', "warning"),
        ('{"msg":"error"', "error"),
        ('{"level":60}', "error"),
        ("listening on 3003", ""),
        ("terrorism informs", ""),
        ("", ""),
    ],
)
def test_the_level_is_read_from_the_line(text: str, level: str) -> None:
    assert level_of(text) == level


def test_a_full_disk_loses_no_line(tmp_path: Path, clock: Clock) -> None:
    made = Output(tmp_path, timedelta(days=7), 64 * 1024, clock)
    made.open()
    begin(made, "first")
    say(made, b"before\n")
    (part,) = parts(made.log_directory)
    # The kernel writes as far as the limit and then refuses, as on a disk that fills up.
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with made.spool("first").open("ab") as spool:
        spool.write(b"during\n" * 100)
    resource.setrlimit(resource.RLIMIT_FSIZE, (part.stat().st_size + 50, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            made.drain()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert texts(made) == ["before"]
    say(made, b"after\n")
    assert texts(made) == ["before", *["during"] * 100, "after"]
    made.close()
