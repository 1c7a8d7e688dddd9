"""Takes apart what `journalctl -o export` writes, as it comes, in bounded memory.

An entry is a field a line (`NAME=value`), ended by an empty line. A value with anything in it that does not print (line
breaks, colours, bytes that are no UTF-8) is told by its length instead: `NAME`, a line break, 8 bytes of length (little
endian), the value, a line break. See systemd.io/JOURNAL_EXPORT_FORMATS.

Not `-o json`: that costs journalctl twice the time, gives a value that does not print as a list of numbers, gives null
for one that is longer than 4096 bytes, and an entry has to be held whole to be read at all.
"""

VALUE_AT_MOST = 64 * 1024
"""Bytes kept of one value. journald splits lines of more than 48 KiB; what is sent to it by its own protocol may be
longer by far."""
CUT = " … (cut)"
_LENGTH = 8

Entry = dict[bytes, bytes]
"""The fields of an entry; of one that was written twice the last value."""


class ExportReader:
    """Give it the bytes as they come; it gives the entries that are complete."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._entry: Entry = {}
        self._name = b""
        """The field whose value is being read, where it is told by its length."""
        self._left = -1
        """Bytes of that value that are still to come; -1 where there is none."""
        self._value = bytearray()
        self._skipping = False
        """In a line that is too long to be kept: up to its end."""

    def feed(self, data: bytes) -> list[Entry]:
        """The entries that these bytes complete."""
        self._rest += data
        entries: list[Entry] = []
        at = 0
        while True:
            if self._left < 0 and not self._skipping and not self._entry:
                at = self._plain(at, entries)
            at, whole = self._counted(at) if self._left >= 0 else self._line(at, entries)
            if not whole:
                break
        del self._rest[:at]
        if self._left < 0 and len(self._rest) > VALUE_AT_MOST + len(CUT):
            self._too_long()
        return entries

    def _plain(self, at: int, entries: list[Entry]) -> int:
        """Take whole entries with nothing told by its length, as most are: the fast way. Where the rest begins."""
        while 0 <= (end := self._rest.find(b"\n\n", at)) < at + VALUE_AT_MOST:
            try:
                entries.append(dict(line.split(b"=", 1) for line in bytes(self._rest[at:end]).split(b"\n")))
            except ValueError:
                break  # a line without "=" is the name of a value told by its length
            at = end + 2
        return at

    def _line(self, at: int, entries: list[Entry]) -> tuple[int, bool]:
        """Take one line; where the next begins, and whether this one was whole."""
        end = self._rest.find(b"\n", at)
        if end < 0:
            if self._skipping:
                at = len(self._rest)
            return at, False
        if self._skipping:
            self._skipping = False
        elif end == at:
            if self._entry:
                entries.append(self._entry)
            self._entry = {}
        else:
            name, equals, value = bytes(self._rest[at:end]).partition(b"=")
            if equals:
                self._entry[name] = _cut(value)
            else:
                if len(self._rest) < end + 1 + _LENGTH:
                    return at, False
                self._name = name
                self._left = int.from_bytes(self._rest[end + 1 : end + 1 + _LENGTH], "little")
                self._value.clear()
                end += _LENGTH
        return end + 1, True

    def _counted(self, at: int) -> tuple[int, bool]:
        """Take of a value told by its length what has come; past it there is a line break."""
        taken = min(self._left, len(self._rest) - at)
        room = max(VALUE_AT_MOST + 1 - len(self._value), 0)
        self._value += self._rest[at : at + min(taken, room)]
        self._left -= taken
        at += taken
        if self._left > 0 or at >= len(self._rest):
            return at, False
        self._entry[self._name] = _cut(bytes(self._value))
        self._left = -1
        return at + 1, True

    def _too_long(self) -> None:
        """A line that has no end yet and need not be kept any further."""
        name, equals, value = bytes(self._rest).partition(b"=")
        if equals and not self._skipping:
            self._entry[name] = _cut(value)
        self._skipping = True
        self._rest.clear()


def _cut(value: bytes) -> bytes:
    return value if len(value) <= VALUE_AT_MOST else value[:VALUE_AT_MOST] + CUT.encode()
