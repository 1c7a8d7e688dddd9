import struct
import zlib
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from opsbot.chart import ChartMark, Memory, memory_chart
from opsbot.chart.font import columns, width
from opsbot.chart.memory import BACK, DEPLOY, HEIGHT, LIMIT, LINE, WIDTH, amount

END = datetime(2026, 3, 2, 12, 7, tzinfo=UTC)
BEGIN = END - timedelta(hours=24)
MIB = float(1 << 20)


def pixels(png: bytes) -> list[tuple[int, int, int]]:
    """The picture read back, each chunk's sum checked."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    at, data, size = 8, b"", (0, 0)
    while at < len(png):
        (length,) = struct.unpack_from(">I", png, at)
        kind, body = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", png, at + 8 + length)[0] == zlib.crc32(kind + body)
        if kind == b"IHDR":
            size = struct.unpack_from(">II", body)
            assert body[8:] == bytes([8, 2, 0, 0, 0])
        data += body if kind == b"IDAT" else b""
        at += 12 + length
    assert size == (WIDTH, HEIGHT)
    rows, line = zlib.decompress(data), WIDTH * 3 + 1
    assert len(rows) == HEIGHT * line
    flat = b"".join(rows[row * line + 1 : (row + 1) * line] for row in range(HEIGHT))
    return list(zip(flat[::3], flat[1::3], flat[2::3], strict=True))


def steady(hours: int = 24, level: float = 100) -> list[tuple[float, float]]:
    return [(BEGIN.timestamp() + 60 * minute, level * MIB) for minute in range(hours * 60)]


def test_a_level_line_lies_at_its_level_and_the_limit_at_its_own() -> None:
    shown = pixels(memory_chart(Memory("bot: memory", steady(), BEGIN, END, limit=150 * MIB)))
    assert shown[0] == BACK
    rows = {row for row in range(HEIGHT) if shown[row * WIDTH + WIDTH // 2] == LINE}
    limits = {row for row in range(HEIGHT) if shown[row * WIDTH + WIDTH - 30 : row * WIDTH + WIDTH - 25].count(LIMIT)}
    assert rows
    assert limits
    assert min(rows) > max(limits)


def test_a_limit_far_away_would_flatten_the_line_and_is_left_out() -> None:
    assert LIMIT not in pixels(memory_chart(Memory("bot: memory", steady(), BEGIN, END, limit=1000 * MIB)))


def test_deploys_are_marked() -> None:
    mark = ChartMark(BEGIN + timedelta(hours=5), "deploy 17")
    assert DEPLOY in pixels(memory_chart(Memory("bot: memory", steady(), BEGIN, END, [mark])))


def test_amounts_are_short() -> None:
    assert [amount(each * MIB) for each in (0.5, 2.5, 100, 1024, 1536)] == [
        "0.5 MiB",
        "2.5 MiB",
        "100 MiB",
        "1 GiB",
        "1.5 GiB",
    ]


def test_the_font_has_every_printable_character_and_a_mark_for_others() -> None:
    assert all(any(columns(chr(code))) for code in range(0x21, 0x7F))
    assert columns("ü") == columns("?")
    assert width("ab", 2) == 22


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-1e4, 1e5), st.floats(0, 1e13)), max_size=30),
    st.floats(0.001, 400),
    st.one_of(st.none(), st.floats(0, 1e13)),
    st.text(max_size=90),
)
def test_nothing_that_was_measured_breaks_it(
    points: list[tuple[float, float]], hours: float, limit: float | None, title: str
) -> None:
    begin = END - timedelta(hours=hours)
    moved = [(begin.timestamp() + at, value) for at, value in points]
    marks = [ChartMark(begin + timedelta(hours=hours / 3), title), ChartMark(begin + timedelta(hours=hours / 2))]
    assert pixels(memory_chart(Memory(title, moved, begin, END, marks, limit, note=title)))
