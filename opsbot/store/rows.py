"""Times, lists and messages as SQLite keeps them."""

import json
from datetime import UTC, datetime
from typing import Any

from opsbot.core.message import Message, decode, encode


def seconds(at: datetime) -> float:
    """A time as seconds since the epoch."""
    return at.timestamp()


def maybe_seconds(at: datetime | None) -> float | None:
    """Likewise, or NULL."""
    return None if at is None else at.timestamp()


def moment(value: float) -> datetime:
    """Seconds since the epoch as a time in UTC."""
    return datetime.fromtimestamp(value, UTC)


def maybe_moment(value: float | None) -> datetime | None:
    """Likewise, or None."""
    return None if value is None else moment(value)


def message_out(value: Message | None) -> str:
    """A message as JSON; None as an empty string."""
    return "" if value is None else dump(encode(value))


def message_in(text: str) -> Message | None:
    """The message that `message_out` was given."""
    return decode(load(text)) if text else None


def dump(value: object) -> str:
    """JSON, compact."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def load(text: str) -> Any:
    """JSON back."""
    return json.loads(text)
