"""The client's side of the control socket.

HTTP/1.0, where the end of the connection ends the answer, in a few lines: `opsbot status` must start fast, and
http.client loads ssl and a parser of mail.
"""

import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar
from urllib.parse import urlencode

from opsbot.control.endpoints import DEPLOYMENT_FOLLOW, PING, Endpoint
from opsbot.control.shapes import decode
from opsbot.control.unix_path import reachable
from opsbot.core.deployment import Deployment

T = TypeVar("T")

CONNECT_SECONDS = 5.0
STREAM_SECONDS = 30.0
"""The daemon sends an empty line every 5 s: silence longer than this is no silence."""
_GONE_SECONDS = 20.0
"""How long a daemon that went away is waited for."""

_SYSTEM_SOCKET = Path("/run/opsbot/control.sock")
_OK = 200


class DaemonUnreachableError(Exception):
    """The daemon does not answer; the text names the socket and why."""


class AnswerError(Exception):
    """The daemon said no. `why` is from a closed list (`opsbot.core.deployment.RefusalReason`, or `http`, `error`)."""

    def __init__(self, why: str, text: str) -> None:
        super().__init__(text)
        self.why = why


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[:1].lower() + error.strerror[1:]
    return "the connection broke"


class Client:
    """Asks the daemon at one socket. Every method raises DaemonUnreachableError and AnswerError."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def _no_answer(self, error: Exception) -> DaemonUnreachableError:
        return DaemonUnreachableError(f"the daemon does not answer at {self.path} ({_reason(error)})")

    @contextmanager
    def _request(
        self, endpoint: Endpoint[Any], values: Mapping[str, object], timeout: float
    ) -> Iterator[tuple[int, IO[bytes]]]:
        """The status and the body of the answer."""
        route = "/v1/" + endpoint.path.format_map(values)
        given = {name: value for name, value in values.items() if f"{{{name}}}" not in endpoint.path}
        body = json.dumps(given).encode() if endpoint.method == "POST" else b""
        if given and not body:
            route += "?" + urlencode({name: str(value) for name, value in given.items()})
        head = [f"{endpoint.method} {route} HTTP/1.0", "Host: localhost", f"Content-Length: {len(body)}"]
        if os.geteuid() == 0 and os.environ.get("SUDO_USER"):
            head.append(f"X-Sudo-User: {' '.join(os.environ['SUDO_USER'].split())}")
        request = "".join(f"{line}\r\n" for line in [*head, ""]).encode("ascii", "replace") + body
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            try:
                connection.settimeout(CONNECT_SECONDS)
                with reachable(self.path) as name:
                    connection.connect(name)
                connection.settimeout(timeout)
                connection.sendall(request)
                answer = connection.makefile("rb")
                status = int(answer.readline().split()[1])
                while answer.readline().strip():
                    pass  # nothing in the headers is needed
            except (OSError, ValueError, IndexError) as error:
                raise self._no_answer(error) from error
            with answer:
                yield status, answer

    def _read(self, status: int, body: IO[bytes]) -> Any:
        try:
            value = json.loads(body.read())
        except (OSError, ValueError) as error:
            raise self._no_answer(error) from error
        if status != _OK:
            refused = value if isinstance(value, dict) else {}
            raise AnswerError(str(refused.get("why", "http")), str(refused.get("text", f"HTTP {status}")))
        return value

    def _decoded(self, endpoint: Endpoint[T], value: Any) -> T:
        try:
            return decode(endpoint.answer, value)
        except (TypeError, ValueError, AttributeError) as error:
            text = f"the daemon at {self.path} answers as another version of opsbot does; restart it to upgrade it"
            raise AnswerError("error", text) from error

    def ask(self, endpoint: Endpoint[T], **values: object) -> T:
        with self._request(endpoint, values, endpoint.seconds) as (status, body):
            return self._decoded(endpoint, self._read(status, body))

    def follow(
        self, endpoint: Endpoint[T], *, when_quiet: Callable[[], None] = lambda: None, **values: object
    ) -> Iterator[T]:
        """A stream's values, until its end, which may be that of the daemon.

        when_quiet: called every few seconds while nothing comes.
        """
        with self._request(endpoint, values, STREAM_SECONDS) as (status, body):
            if status != _OK:
                self._read(status, body)
            while True:
                try:
                    line = body.readline()
                except OSError as error:
                    raise self._no_answer(error) from error
                if not line:
                    return
                if not line.strip():
                    when_quiet()
                    continue
                try:
                    value = json.loads(line)
                except ValueError as error:
                    raise self._no_answer(error) from error
                if isinstance(value, dict) and "why" in value and "text" in value:
                    raise AnswerError(str(value["why"]), str(value["text"]))
                yield self._decoded(endpoint, value)

    def follow_deployment(self, number: int) -> Iterator[Deployment]:
        """A deployment at each change until it is finished; a daemon that is gone is waited for."""
        gone: float | None = None
        last: Deployment | None = None
        while True:
            try:
                for value in self.follow(DEPLOYMENT_FOLLOW, number=number):
                    gone = None
                    if value != last:
                        last = value
                        yield value
                    if value.finished:
                        return
                failure = DaemonUnreachableError(f"the daemon at {self.path} went away")
            except DaemonUnreachableError as error:
                failure = error
            now = time.monotonic()
            gone = now if gone is None else gone
            if now - gone > _GONE_SECONDS:
                raise failure
            time.sleep(0.25)


def find(state: Path | None) -> Path:
    """The socket of the daemon with this state directory.

    It is in the daemon's `$RUNTIME_DIRECTORY` if systemd gave it one, which this process does not have: the usual place
    is tried, and counts only if the daemon there says that it uses the same state directory.
    """
    runtime = os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
    if runtime:
        return Path(runtime) / "control.sock"
    if state is None:
        return _SYSTEM_SOCKET
    own = state / "control.sock"
    try:
        if own.exists() or not _SYSTEM_SOCKET.exists():
            return own
    except OSError:
        pass  # the state directory may not be entered: the runtime directory may
    try:
        found = Client(_SYSTEM_SOCKET).ask(PING)
    except (DaemonUnreachableError, AnswerError):
        return own
    return _SYSTEM_SOCKET if found.state_directory == str(state) else own
