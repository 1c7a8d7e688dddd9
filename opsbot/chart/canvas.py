"""An in-memory picture with lines, curves and text, encoded as PNG."""

import struct
import zlib
from collections.abc import Sequence
from itertools import pairwise

from opsbot.chart import font

Colour = tuple[int, int, int]


class Canvas:
    """Pixels of three bytes. Drawing is clipped to the picture."""

    def __init__(self, width: int, height: int, colour: Colour) -> None:
        self.width, self.height = width, height
        self._pixels = bytearray(bytes(colour) * (width * height))

    def blend(self, x: int, y: int, colour: Colour, cover: float) -> None:
        """Blend a colour over a pixel; cover: from 0 (none) to 1 (full)."""
        if not (0 <= x < self.width and 0 <= y < self.height) or cover <= 0:
            return
        at, share = (y * self.width + x) * 3, min(cover, 1.0)
        for number, value in enumerate(colour):
            below = self._pixels[at + number]
            self._pixels[at + number] = round(below + (value - below) * share)

    def horizontal(self, x: int, until: int, y: int, colour: Colour, dash: int = 0) -> None:
        """Draw a line one pixel high; dash: length of dashes and gaps in pixels."""
        for column in range(x, until):
            if not dash or (column - x) // dash % 2 == 0:
                self.blend(column, y, colour, 1.0)

    def vertical(self, x: int, y: int, until: int, colour: Colour, dash: int = 0) -> None:
        """Draw a line one pixel wide."""
        for row in range(y, until):
            if not dash or (row - y) // dash % 2 == 0:
                self.blend(x, row, colour, 1.0)

    def column(self, x: int, top: float, bottom: float, colour: Colour, strength: float = 1.0) -> None:
        """Draw a part of one column with smooth ends.

        Top and bottom in fractions of pixels.
        """
        for row in range(max(0, int(top)), min(self.height, int(bottom) + 1)):
            self.blend(x, row, colour, strength * (min(bottom, row + 1) - max(top, row)))

    def curve(self, points: Sequence[tuple[float, float]], colour: Colour, thick: float, dash: int = 0) -> None:
        """Draw an anti-aliased line through points in order of x."""
        reach: dict[int, tuple[float, float]] = {}
        for (x1, y1), (x2, y2) in pairwise(points):
            steep = (y2 - y1) / (x2 - x1) if x2 > x1 else 0.0
            for x in range(int(x1), int(x2) + 1):
                one, two = y1 + steep * (max(x1, x) - x1), y1 + steep * (min(x2, x + 1) - x1)
                top, bottom = reach.get(x, (one, one))
                reach[x] = (min(top, one, two), max(bottom, one, two))
        for x, (top, bottom) in reach.items():
            if not dash or x // dash % 2 == 0:
                self.column(x, top - thick / 2, bottom + thick / 2, colour)

    def text(self, x: int, y: int, text: str, colour: Colour, scale: int = 2) -> None:
        """Draw text with its upper left corner at x and y."""
        for number, character in enumerate(text):
            for offset, bits in enumerate(font.columns(character)):
                for row in range(font.HEIGHT):
                    if bits >> row & 1:
                        self._dot(x + (number * font.ADVANCE + offset) * scale, y + row * scale, scale, colour)

    def _dot(self, x: int, y: int, size: int, colour: Colour) -> None:
        for row in range(y, y + size):
            for column in range(x, x + size):
                self.blend(column, row, colour, 1.0)

    def png(self) -> bytes:
        line = self.width * 3
        rows = b"".join(b"\0" + self._pixels[at : at + line] for at in range(0, len(self._pixels), line))
        header = struct.pack(">IIBBBBB", self.width, self.height, 8, 2, 0, 0, 0)
        body = _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(rows, 9)) + _chunk(b"IEND", b"")
        return b"\x89PNG\r\n\x1a\n" + body


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
