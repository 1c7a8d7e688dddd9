"""`python -I -m opsbot.sweep JOB`: one sweep, as who runs this; what came of it is printed.

Run by errand as the service's user, whose files they are (`opsbot.sweep.abroad`).
"""

import sys
import threading

from opsbot.core.globs import glob
from opsbot.sweep.abroad import decoded_job, encoded
from opsbot.sweep.broom import Broom


def main(told: str) -> None:
    """Sweep as told."""
    before, most, keep_out, patterns = decoded_job(told)
    broom = Broom(before, keep_out, threading.Event(), most)
    for pattern in patterns:
        broom.sweep(glob(pattern))
    sys.stdout.write(encoded(broom.swept))


if __name__ == "__main__":
    main(sys.argv[1])
