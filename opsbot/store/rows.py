"""Conversion of times, lists and messages for SQLite."""

import json
from datetime import UTC, datetime
from typing import Any

from opsbot.core.message import Message, decode, encode


def seconds(at: datetime) -> float:
    """Convert a time to seconds since the epoch."""
    return at.timestamp()


def maybe_seconds(at: datetime | None) -> float | None:
    """Convert an optional time; NULL for None."""
    return None if at is None else at.timestamp()


def moment(value: float) -> datetime:
    """Convert seconds since the epoch to a time in UTC."""
    return datetime.fromtimestamp(value, UTC)


def maybe_moment(value: float | None) -> datetime | None:
    """Convert optional seconds; None for NULL."""
    return None if value is None else moment(value)


def message_out(value: Message | None) -> str:
    """A message as JSON; None as an empty string."""
    return "" if value is None else dump(encode(value))


def message_in(text: str) -> Message | None:
    """The message that `message_out` was given."""
    return decode(load(text)) if text else None


def dump(value: object) -> str:
    """Serialize to compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def load(text: str) -> Any:
    """Parse JSON."""
    return json.loads(text)
