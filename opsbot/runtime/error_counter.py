"""Counts faults: what an edge caught because nobody had foreseen it, logged with its traceback, and went on from.

Every such edge logs by `log.exception`, so the log is where all of them come together, those of the libraries too.
"""

import logging
from collections import Counter


class ErrorCounter(logging.Handler):
    """By logger, which is named as its module is, since this process started."""

    def __init__(self) -> None:
        """Count nothing yet; add it to the root logger."""
        super().__init__(logging.ERROR)
        self.counted: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        """Count it where it has a traceback; a plain error is a sentence for people."""
        if record.exc_info:
            self.counted[record.name] += 1
