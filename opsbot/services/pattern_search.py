"""Searches lines for a pattern that a user typed.

Python's `re` can take hours over a hostile pattern and holds the interpreter's lock meanwhile, so a thread is no
protection. Plain text is searched here; a pattern is given to a separate process, which can be killed.
"""

import json
import re
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from opsbot.core.manager_codes import ManagerCode
from opsbot.core.message import message
from opsbot.services.port import ManagerError

T = TypeVar("T")

PATTERN_AT_MOST = 512
_SPECIAL = frozenset(r".^$*+?{}[]\|()")
_SEARCHER = """
import json, re, sys
search = re.compile(sys.argv[1], re.IGNORECASE).search
for batch in sys.stdin:
    print(json.dumps([bool(search(line)) for line in json.loads(batch)]), flush=True)
"""
_BATCH_TEXT = 256 * 1024


class PatternSearch:
    """Searches for one pattern, ignoring case. Blocks. Close it.

    until: deadline by the monotonic clock.
    """

    def __init__(self, pattern: str, until: float) -> None:
        """Raises ManagerError when the pattern is invalid or too long."""
        if len(pattern) > PATTERN_AT_MOST:
            raise ManagerError(message(ManagerCode.PATTERN_TOO_LONG, most=PATTERN_AT_MOST))
        try:
            re.compile(pattern, re.IGNORECASE)
        except (re.error, OverflowError, RecursionError) as error:
            raise ManagerError(message(ManagerCode.PATTERN_INVALID, reason=str(error))) from error
        self._until = until
        self._plain = pattern.lower() if self.is_plain(pattern) else None
        self._pattern = pattern
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False

    @staticmethod
    def is_plain(pattern: str) -> bool:
        return not _SPECIAL.intersection(pattern)

    def close(self) -> None:
        """End the process, also during a search in another thread, which then raises."""
        with self._lock:
            self._closed, process = True, self._process
        if process is not None:
            process.kill()
            process.communicate()

    def fitting(self, items: list[T], text_of: Callable[[T], str]) -> list[T]:
        """The items whose text matches. Raises ManagerError if late or closed."""
        if self._plain is not None:
            return [item for item in items if self._plain in text_of(item).lower()]
        found: list[T] = []
        at = 0
        while at < len(items):
            batch, size = [], 0
            while at < len(items) and size < _BATCH_TEXT:
                batch.append(items[at])
                size += len(text_of(items[at]))
                at += 1
            answers = self._ask([text_of(item) for item in batch])
            found += [item for item, fits in zip(batch, answers, strict=True) if fits]
        return found

    def _ask(self, texts: list[str]) -> list[bool]:
        process = self._started()
        stdin, stdout = process.stdin, process.stdout
        if stdin is None or stdout is None:
            raise ManagerError(message(ManagerCode.SEARCH_ENDED), retry=True)
        try:
            # The searcher reads the whole line before it searches, so this waits only for its start.
            stdin.write(json.dumps(texts).encode() + b"\n")
            stdin.flush()
        except (BrokenPipeError, ValueError) as error:
            raise ManagerError(message(ManagerCode.SEARCH_ENDED), retry=True) from error
        answer = bytearray()
        while not answer.endswith(b"\n"):
            ready, _, _ = select.select([stdout], [], [], max(self._until - time.monotonic(), 0))
            if not ready:
                raise ManagerError(message(ManagerCode.SEARCH_TIMEOUT))
            piece = stdout.read1(64 * 1024)  # type: ignore[attr-defined]  # a BufferedReader, typed as IO
            if not piece:
                raise ManagerError(message(ManagerCode.SEARCH_ENDED), retry=True)
            answer += piece
        return [bool(one) for one in json.loads(answer)]

    def _started(self) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._closed:
                raise ManagerError(message(ManagerCode.SEARCH_ENDED), retry=True)
            if self._process is None:
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", "-c", _SEARCHER, self._pattern],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
            return self._process
