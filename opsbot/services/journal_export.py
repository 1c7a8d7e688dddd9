"""Parses the output of `journalctl -o export` incrementally, in bounded memory.

An entry is a field per line (`NAME=value`), ended by an empty line. A value with unprintable content (line breaks,
colours, invalid UTF-8) is preceded by its length instead: `NAME`, a line break, 8 bytes of length (little endian), the
value, a line break. See systemd.io/JOURNAL_EXPORT_FORMATS.

Not `-o json`: it costs journalctl twice the time, writes an unprintable value as a list of numbers and one longer than
4096 bytes as null, and an entry cannot be parsed before it is complete.
"""

import re

VALUE_AT_MOST = 64 * 1024
"""Bytes kept of one value. journald splits lines of more than 48 KiB; values sent by its native protocol may be far
longer."""
CUT = " … (cut)"
_LENGTH = 8
_NAME_END = re.compile(rb"[=\n]")

Entry = dict[bytes, bytes]
"""The fields of an entry; of one that was written twice the last value."""


class ExportReader:
    """Give it the bytes as they arrive; it returns the entries that are complete."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._entry: Entry = {}
        self._name = b""
        """The field whose value is being read; empty between fields."""
        self._left = -1
        """Bytes of that value that are still to come; -1 for one that ends at a line break."""
        self._value = bytearray()

    def feed(self, data: bytes) -> list[Entry]:
        self._rest += data
        entries: list[Entry] = []
        at, go_on = 0, True
        while go_on:
            if not self._name and not self._entry:
                at = self._printable_entries(at, entries)
            at, go_on = self._read_value(at) if self._name else self._read_name(at, entries)
        del self._rest[:at]
        return entries

    def _printable_entries(self, at: int, entries: list[Entry]) -> int:
        """Take whole entries without counted values, as most are; return the position."""
        while 0 <= (end := self._rest.find(b"\n\n", at)) < at + VALUE_AT_MOST:
            try:
                entries.append(dict(line.split(b"=", 1) for line in bytes(self._rest[at:end]).split(b"\n")))
            except ValueError:
                break  # a line without "=" is the name of a counted value
            at = end + 2
        return at

    def _read_name(self, at: int, entries: list[Entry]) -> tuple[int, bool]:
        """Read a name or the entry's end; return the position and whether to go on."""
        if self._rest.startswith(b"\n", at):
            if self._entry:
                entries.append(self._entry)
            self._entry = {}
            return at + 1, True
        found = _NAME_END.search(self._rest, at)
        if found is None:
            return at, False
        start, end = found.span()
        if found[0] == b"=":
            self._left = -1
        elif len(self._rest) < end + _LENGTH:
            return at, False
        else:
            self._left = int.from_bytes(self._rest[end : end + _LENGTH], "little")
            end += _LENGTH
        self._name = bytes(self._rest[at:start])
        return end, True

    def _read_value(self, at: int) -> tuple[int, bool]:
        """Read what arrived of a value; return the position and whether it was complete."""
        if self._left >= 0:
            end = min(at + self._left, len(self._rest))
            self._left -= end - at
            complete = self._left == 0 and end < len(self._rest)
        else:
            end = self._rest.find(b"\n", at)
            complete = end >= 0
            end = end if complete else len(self._rest)
        self._value += self._rest[at : min(end, at + VALUE_AT_MOST + 1 - len(self._value))]
        if not complete:
            return end, False
        cut = len(self._value) > VALUE_AT_MOST
        self._entry[self._name] = bytes(self._value[:VALUE_AT_MOST]) + (CUT.encode() if cut else b"")
        self._name = b""
        self._value.clear()
        return end + 1, True
