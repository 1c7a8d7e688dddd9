"""`python -I -m opsbot.cleanup JOB`: one sweep, as who runs this; what came of it is printed.

Run by errand as the service's user, whose files they are (`opsbot.cleanup.as_service_user`).
"""

import sys
import threading

from opsbot.cleanup.as_service_user import decoded_job, encoded
from opsbot.cleanup.file_cleaner import FileCleaner
from opsbot.core.globs import glob


def main(told: str) -> None:
    """Sweep as told."""
    before, most, keep_out, patterns = decoded_job(told)
    broom = FileCleaner(before, keep_out, threading.Event(), most)
    for pattern in patterns:
        broom.sweep(glob(pattern))
    sys.stdout.write(encoded(broom.swept))


if __name__ == "__main__":
    main(sys.argv[1])
