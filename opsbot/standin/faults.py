"""Faults on demand: Discord away, lost answers, resets, rate limits, delays, a gateway that drops or holds."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from opsbot.standin.errors import ApiError, Json
from opsbot.standin.gateway import Gateway
from opsbot.standin.messages import Messages


@dataclass(slots=True)
class Rule:
    """What to do with the next `times` requests of that method whose path (without /api/v10) matches."""

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
        """Whether this rule is for that request, and not used up."""
        return self.times > 0 and self.method in ("*", method.upper()) and self.path.search(path) is not None


class SetAway(Protocol):
    """Closes (`hard`) or opens Discord's listening socket."""

    def __call__(self, *, away: bool, hard: bool) -> None:
        """Do it; ValueError when it cannot be closed."""


class Faults:
    """The queue of faults; every method can be called from a test or from a button of the page."""

    def __init__(
        self,
        gateway: Gateway,
        messages: Messages,
        *,
        set_away: SetAway,
        tell: Callable[[], None],
    ) -> None:
        """`set_away(away, hard)` closes and opens what listens; `tell` says that `is_away` changed."""
        self._gateway = gateway
        self._messages = messages
        self._set_away = set_away
        self._tell = tell
        self._rules: list[Rule] = []
        self._timers: set[asyncio.TimerHandle] = set()
        self.is_away = False

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
        """Hold the next matching requests for that long before they are looked at."""
        self._rules.append(Rule(method.upper(), re.compile(path_regex), times, delay=seconds))

    def clear(self) -> None:
        """Forget the rules that are left."""
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
        """Reset every gateway connection. Not resumable: RESUME is answered by op 9. `reconnect_op`: op 7 instead."""
        self._gateway.drop(resumable=resumable, reconnect_op=reconnect_op)

    def refuse_gateway(self, seconds: float | None = None) -> None:
        """Reset gateway connections, and new ones while they connect, for that long or until `accept_gateway`."""
        self._gateway.refused = True
        self._gateway.drop(resumable=True)
        if seconds is not None:
            self._later(seconds, self.accept_gateway)

    def accept_gateway(self) -> None:
        """End `refuse_gateway`."""
        self._gateway.refused = False

    def mute_gateway(self, *, mute: bool = True) -> None:
        """Answer no heartbeats, on connections that look whole otherwise."""
        self._gateway.mute = mute

    def hold_gateway(self) -> None:
        """Cut the gateway and keep whoever reconnects waiting for HELLO, while events collect for RESUME to replay."""
        self._gateway.open.clear()
        self._gateway.drop(resumable=True)

    def release(self) -> None:
        """End `hold_gateway`: the waiting client gets HELLO, resumes at once and is sent all it missed."""
        self._gateway.open.set()

    release_gateway = release

    # everything

    def away(self, seconds: float | None = None, *, hard: bool = False) -> None:
        """Discord is gone: gateway cut, every REST request reset; for that long or until `back`.

        The page and its WebSocket live on. `hard` closes the listening socket, so that connections are refused: that
        needs a Discord side on its own port (`Standin(api_port=0)`).
        """
        self._set_away(away=True, hard=hard)
        self.is_away = True
        self._gateway.refused = True
        self._gateway.drop(resumable=True)
        self._tell()
        if seconds is not None:
            self._later(seconds, self.back)

    def back(self) -> None:
        """End `away`."""
        if not self.is_away:
            return
        self.is_away = False
        self._gateway.refused = False
        self._set_away(away=False, hard=False)
        self._tell()

    def age_message(self, message_id: int | str, seconds: float) -> None:
        """Make a message count as that much older (for the limit on editing old ones)."""
        self._messages.aged[int(message_id)] = self._messages.aged.get(int(message_id), 0.0) + seconds

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        def run() -> None:
            self._timers.discard(timer)
            action()

        timer = asyncio.get_running_loop().call_later(seconds, run)
        self._timers.add(timer)

    def stop(self) -> None:
        """Forget the timers."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()


def error_body(status: int) -> Json:
    """The body of an error without a code of its own."""
    names = {
        400: "Bad Request",
        404: "Not Found",
        500: "Internal Server Error",
        502: "Bad Gateway",
        503: "Service Unavailable",
        504: "Gateway Timeout",
    }
    return ApiError(status, 0, f"{status}: {names.get(status, 'Error')}").body()
