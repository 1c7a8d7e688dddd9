"""Count unexpected errors that were caught and logged with a traceback.

Every such boundary logs by `log.exception`, so all of them, including those of libraries, pass through the log.
"""

import logging
from collections import Counter


class ErrorCounter(logging.Handler):
    """Counts errors per logger (named like its module) since the process started."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.counted: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self.counted[record.name] += 1
