"""A service that loses no request when it is restarted under its .socket: it takes the socket over, and drains.

Run as `python draining.py`, by socket activation (sd_listen_fds(3)), or with PORT= in its environment to listen by
itself; DRAINS=0 has it drop what it is at when it is told to end.
"""

import os
import signal
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        time.sleep(0.02)  # an answer takes a while, to be lost in a careless restart
        body = str(os.getpid()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = False  # server_close waits for the requests that are being answered
    request_queue_size = 256
    allow_reuse_address = True


def ready() -> None:
    """READY=1 (sd_notify(3)): only then does systemd hold the restart for done."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
            told.connect(address.replace("@", "\0", 1) if address.startswith("@") else address)
            told.sendall(b"READY=1")


def main() -> None:
    port = int(os.environ.get("PORT", "0"))
    if os.environ.get("LISTEN_PID") == str(os.getpid()):
        server = Server(("127.0.0.1", 0), Handler, bind_and_activate=False)
        server.socket.close()
        server.socket = socket.socket(fileno=3)
    else:
        server = Server(("127.0.0.1", port), Handler)
    if os.environ.get("DRAINS", "1") == "1":
        # shutdown() waits for serve_forever to end: not from within a signal handler of the same thread.
        signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    ready()
    server.serve_forever(poll_interval=0.02)
    server.server_close()


if __name__ == "__main__":
    main()
