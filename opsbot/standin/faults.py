"""Fault injection: outages, lost answers, resets, rate limits, delays."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import responses

from opsbot.standin.errors import ApiError, Json
from opsbot.standin.gateway import Gateway
from opsbot.standin.messages import Messages


@dataclass(slots=True)
class Rule:
    """The fault for the next `times` requests; paths are without /api/v10."""

    method: str
    path: re.Pattern[str]
    times: int
    status: int = 503
    body: object = None
    headers: dict[str, str] = field(default_factory=dict)
    after_store: bool = False
    reset: bool = False
    retry_after: float | None = None
    delay: float | None = None

    def takes(self, method: str, path: str) -> bool:
        return self.times > 0 and self.method in ("*", method.upper()) and self.path.search(path) is not None


@dataclass(slots=True)
class Faults:
    """The queue of faults, for tests and the buttons of the page.

    `set_away(away, hard)` closes and opens what listens. `on_change` reports that `is_away` changed.
    """

    _gateway: Gateway
    _messages: Messages
    _set_away: Callable[[bool, bool], None]
    _on_change: Callable[[], None]
    is_away: bool = False
    _rules: list[Rule] = field(default_factory=list)
    _timers: set[asyncio.TimerHandle] = field(default_factory=set)

    # REST

    def answer(
        self,
        method: str,
        path_regex: str,
        status: int = 503,
        body: object = None,
        headers: dict[str, str] | None = None,
        times: int = 1,
        *,
        after_store: bool = False,
        reset: bool = False,
    ) -> None:
        """Answer the next matching requests with that status; `method` "*" for any.

        `after_store`: the request takes effect first, only its answer is lost. `reset`: a TCP reset instead of an
        answer. `body` None is Discord's usual one for the status; a str is sent as text/html.
        """
        self._rules.append(
            Rule(method.upper(), re.compile(path_regex), times, status, body, headers or {}, after_store, reset)
        )

    def rate_limit(self, path_regex: str, retry_after: float, times: int = 1, method: str = "*") -> None:
        """Answer the next matching requests with 429 and that Retry-After (seconds)."""
        self._rules.append(Rule(method.upper(), re.compile(path_regex), times, 429, retry_after=retry_after))

    def delay(self, path_regex: str, seconds: float, times: int = 1, method: str = "*") -> None:
        self._rules.append(Rule(method.upper(), re.compile(path_regex), times, delay=seconds))

    def clear(self) -> None:
        self._rules.clear()

    def take(self, method: str, path: str, *, delay: bool) -> Rule | None:
        """The rule for this request (a delaying one or another), counted down."""
        for rule in self._rules:
            if (rule.delay is not None) == delay and rule.takes(method, path):
                rule.times -= 1
                if rule.times == 0:
                    self._rules.remove(rule)
                return rule
        return None

    # gateway

    def drop_gateway(self, *, resumable: bool = True, reconnect_op: bool = False) -> None:
        """Reset each connection, or send op 7. Not resumable: op 9 answers RESUME."""
        self._gateway.drop(resumable=resumable, reconnect_op=reconnect_op)

    def refuse_gateway(self, seconds: float | None = None) -> None:
        """Reset old and new gateway connections, until `accept_gateway` or so long."""
        self._gateway.refused = True
        self._gateway.drop(resumable=True)
        if seconds is not None:
            self._later(seconds, self.accept_gateway)

    def accept_gateway(self) -> None:
        self._gateway.refused = False

    def mute_gateway(self, *, mute: bool = True) -> None:
        """Stop answering heartbeats on otherwise working connections."""
        self._gateway.mute = mute

    def hold_gateway(self) -> None:
        """Cut the gateway and delay HELLO, while events collect for RESUME."""
        self._gateway.open.clear()
        self._gateway.drop(resumable=True)

    def release(self) -> None:
        """End `hold_gateway`: the client gets HELLO and resumes."""
        self._gateway.open.set()

    # everything

    def away(self, seconds: float | None = None, *, hard: bool = False) -> None:
        """Cut the gateway and reset every request, for `seconds` or until `back`.

        The page and its WebSocket keep working. `hard` closes the listening socket, so that connections are refused; it
        needs a Discord side on its own port (`Standin(api_port=0)`).
        """
        self._set_away(True, hard)  # noqa: FBT003 - away, hard
        self.is_away = True
        self._gateway.refused = True
        self._gateway.drop(resumable=True)
        self._on_change()
        if seconds is not None:
            self._later(seconds, self.back)

    def back(self) -> None:
        if not self.is_away:
            return
        self.is_away = False
        self._gateway.refused = False
        self._set_away(False, False)  # noqa: FBT003 - away, hard
        self._on_change()

    def age_message(self, message_id: int | str, seconds: float) -> None:
        self._messages.aged[int(message_id)] = self._messages.aged.get(int(message_id), 0.0) + seconds

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        def run() -> None:
            self._timers.discard(timer)
            action()

        timer = asyncio.get_running_loop().call_later(seconds, run)
        self._timers.add(timer)

    def stop(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()


def error_body(status: int) -> Json:
    return ApiError(status, 0, f"{status}: {responses.get(status, 'Error')}").body()
