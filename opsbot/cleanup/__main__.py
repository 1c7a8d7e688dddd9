"""`python -I -m opsbot.cleanup JOB`: run one cleanup and print the result.

`opsbot.errand` runs it as the user that owns the files (`opsbot.cleanup.as_service_user`).
"""

import sys
import threading

from opsbot.cleanup.as_service_user import decoded_job, encoded
from opsbot.cleanup.file_cleaner import FileCleaner
from opsbot.core.globs import glob


def main(job: str) -> None:
    before, most, keep_out, patterns = decoded_job(job)
    cleaner = FileCleaner(before, keep_out, threading.Event(), most)
    for pattern in patterns:
        cleaner.clean(glob(pattern))
    sys.stdout.write(encoded(cleaner.result))


if __name__ == "__main__":
    main(sys.argv[1])
