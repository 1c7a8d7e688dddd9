"""What journalctl exports is taken apart, however it is cut into pieces."""

from hypothesis import given
from hypothesis import strategies as st

from opsbot.services.journal_export import CUT, VALUE_AT_MOST, Entry, ExportReader

NAMES = st.sampled_from([b"MESSAGE", b"PRIORITY", b"_SYSTEMD_UNIT", b"UNIT"])
ENTRIES = st.lists(st.dictionaries(NAMES, st.binary(max_size=60), min_size=1), max_size=6)


def exported(entries: list[Entry]) -> bytes:
    """As journalctl writes them."""
    out = b""
    for entry in entries:
        for name, value in entry.items():
            if value.isascii() and value.decode().isprintable():
                out += name + b"=" + value + b"\n"
            else:
                out += name + b"\n" + len(value).to_bytes(8, "little") + value + b"\n"
        out += b"\n"
    return out


@given(ENTRIES, st.integers(1, 50))
def test_entries_are_read_in_pieces_of_any_size(entries: list[Entry], piece: int) -> None:
    reader, data = ExportReader(), exported(entries)
    found = [entry for at in range(0, len(data), piece) for entry in reader.feed(data[at : at + piece])]
    assert found == entries


def test_a_value_of_megabytes_is_cut_and_never_held() -> None:
    for value in (b"x" * 5_000_000, b"\x1b" * 5_000_000):
        data = exported([{b"MESSAGE": value, b"PRIORITY": b"3"}, {b"MESSAGE": b"next"}])
        reader, found = ExportReader(), []
        for at in range(0, len(data), 65536):
            found += reader.feed(data[at : at + 65536])
            assert len(reader._rest) <= VALUE_AT_MOST + 65536
        assert found[0] == {b"MESSAGE": value[:VALUE_AT_MOST] + CUT.encode(), b"PRIORITY": b"3"}
        assert found[1] == {b"MESSAGE": b"next"}


def test_what_is_no_entry_gives_none() -> None:
    reader = ExportReader()
    assert reader.feed(b"-- No entries --\n") == []
