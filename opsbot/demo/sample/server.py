"""The sample service: a small web server that misbehaves on request."""

import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from settings import DIES_AFTER, GREETING, HEALTH_STATUS

PORT = int(os.environ["SAMPLE_PORT"])
STARTED = time.monotonic()
failing = threading.Event()
hoard: list[bytearray] = []


class Handler(BaseHTTPRequestHandler):
    """Answers `/`, `/health` and the switches below `/switch/`."""

    def do_GET(self) -> None:
        """Answer with a greeting, or with the health status."""
        if self.path == "/health":
            status = 500 if failing.is_set() else HEALTH_STATUS
            self.answer(
                status, {"status": "ok" if status == 200 else "broken", "up": round(time.monotonic() - STARTED)}
            )
        else:
            self.answer(200, {"greeting": GREETING, "release": os.environ.get("OPSBOT_RELEASE", "?")})

    def do_POST(self) -> None:
        """Misbehave on request."""
        if self.path == "/switch/500":
            failing.set()
            print("ERROR the database refuses connections; answering 500 from now on", flush=True)
        elif self.path == "/switch/leak":
            print("WARNING the cache has no bound", flush=True)
            threading.Thread(target=leak, daemon=True).start()
        else:
            self.answer(404, {})
            return
        self.answer(200, {})

    def answer(self, status: int, body: dict[str, object]) -> None:
        """Send JSON."""
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Log all but the health checks."""
        if self.path != "/health":
            print(f"INFO {self.command} {self.path} {args[1] if len(args) > 1 else ''}", flush=True)


def leak() -> None:
    """Grow by 16 MiB four times a second, up to 512 MiB."""
    for _ in range(32):
        hoard.append(bytearray(os.urandom(1) * (16 << 20)))
        print(f"WARNING the cache holds {len(hoard) * 16} MiB", flush=True)
        time.sleep(0.25)


def die(after: float) -> None:
    """Crash after some time."""
    time.sleep(after)
    print(
        "Traceback (most recent call last):\n  File \"server.py\", line 99, in refresh\nKeyError: 'session'", flush=True
    )
    os._exit(3)


def main() -> None:
    """Serve until stopped."""
    server = ThreadingHTTPServer(("127.0.0.1", PORT), Handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if DIES_AFTER:
        threading.Thread(target=die, args=(DIES_AFTER,), daemon=True).start()
    print(f"INFO listening on port {PORT}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
