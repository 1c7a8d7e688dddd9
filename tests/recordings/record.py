"""Records how much memory the demo's sample service takes under load: `python -m tests.recordings.record NAME MINUTES`.

Each line of the file is seconds since the start and KiB resident. NAME is the pattern of the load.
"""

import os
import random
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
SAMPLE = HERE.parents[1] / "opsbot" / "demo" / "sample"
PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024
EVERY = 2.0


def requests_at(pattern: str, minute: float, draw: random.Random) -> int:
    """Requests in the next two seconds."""
    match pattern:
        case "steady":
            return 20
        case "bursts":
            return 150 if draw.random() < 0.05 else 4
        case "wave":
            return int(40 * abs((minute % 8) - 4) / 4)
    raise SystemExit(f"no such pattern: {pattern}")


def ask(port: int) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as answer:
        answer.read()


def main(pattern: str, minutes: float, port: int) -> None:
    draw = random.Random(pattern)  # noqa: S311 - it draws a load
    environment = {**os.environ, "SAMPLE_PORT": str(port)}
    server = subprocess.Popen(
        [sys.executable, "-u", "server.py"], cwd=SAMPLE, env=environment, stdout=subprocess.DEVNULL
    )
    began, lines = time.monotonic(), []
    try:
        with ThreadPoolExecutor(16) as pool:
            while (elapsed := time.monotonic() - began) < minutes * 60:
                if elapsed > EVERY:
                    list(pool.map(ask, [port] * requests_at(pattern, elapsed / 60, draw)))
                resident = int(Path(f"/proc/{server.pid}/statm").read_text().split()[1]) * PAGE_KIB
                lines.append(f"{elapsed:.0f} {resident}")
                time.sleep(max(0.0, EVERY - (time.monotonic() - began - elapsed)))  # at even intervals
    finally:
        server.terminate()
        server.wait()
    (HERE / f"{pattern}.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]))
