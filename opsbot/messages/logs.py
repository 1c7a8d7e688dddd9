"""Messages in log records: rendered when a handler writes the record, not where it is logged."""

import logging
from typing import Any

from opsbot.core.message import Message, MessageError
from opsbot.messages.render import render


class RenderingFilter(logging.Filter):
    """Renders messages, and errors that carry one, among the arguments of every record of a handler."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the record's arguments; never drop it."""
        if isinstance(record.args, tuple):
            record.args = tuple(map(_rendered, record.args))
        return True


def _rendered(value: Any) -> Any:
    if isinstance(value, MessageError):
        value = value.message
    return render(value) if isinstance(value, Message) else value
