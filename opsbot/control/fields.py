"""What comes in on the control socket, checked before anything else sees it."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from opsbot.core.access import Action
from opsbot.core.amounts import parse_duration

SERVICE = 64
TEXT = 300
GREP = 200
LINES = 10_000
ENTRIES = 1_000
LEVELS = ("error", "warning", "info", "debug")


class BadInputError(Exception):
    """Something sent cannot be used; the text says what would be right."""


class Fields:
    """The fields of one request, by name; each is taken once, and none may be left over."""

    def __init__(
        self, values: Mapping[str, object], now: datetime, nameable: Callable[[Action], Sequence[str]]
    ) -> None:
        """nameable: the services that the one who asks may name for an action."""
        self._values = dict(values)
        self._now = now
        self._nameable = nameable

    def service(self, name: str, action: Action) -> str:
        """The service that is named; the only one where none is. "" for who has no rank: the engine refuses that."""
        named = self.text(name, SERVICE)
        if named is not None:
            return named
        names = self._nameable(action)
        if len(names) > 1:
            raise BadInputError(f"say which service: {', '.join(names)}")
        return names[0] if names else ""

    def text(self, name: str, most: int = TEXT) -> str | None:
        """A text of at most so many characters on one line, or None where it is not given or empty."""
        value = self._values.pop(name, None)
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            raise BadInputError(f"{name} must be a text")
        if len(value) > most:
            raise BadInputError(f"{name} is longer than {most} characters")
        if any(ord(letter) < ord(" ") for letter in value):
            raise BadInputError(f"{name} has control characters in it")
        return value

    def number(self, name: str, default: int, most: int) -> int:
        """A whole number from 1 to `most`."""
        value = self._values.pop(name, default)
        if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
            raise BadInputError(f"{name} must be a whole number from 1 to {most}")
        return value

    def flag(self, name: str) -> bool:
        """Whether something is wanted: `true` or `false`, the latter where it is not given."""
        value = self._values.pop(name, False)
        if isinstance(value, str):
            value = {"true": True, "false": False}.get(value.lower(), value)
        if not isinstance(value, bool):
            raise BadInputError(f"{name} must be true or false")
        return value

    def length(self, name: str) -> timedelta | None:
        """A length of time: `90s`, `5m`, `1h30m`, `7d`."""
        value = self.text(name)
        if value is None:
            return None
        try:
            return parse_duration(value.replace(" ", "").lower())
        except ValueError as error:
            raise BadInputError(f"{name}: {value!r} is no length of time; write 90s, 5m, 1h30m or 7d") from error

    def moment(self, name: str) -> datetime | None:
        """A time: so long ago (`10m`), or a date (`2026-11-24`, `2026-11-24T10:30`; UTC where no zone is given)."""
        value = self.text(name)
        if value is None:
            return None
        try:
            return self._now - parse_duration(value.replace(" ", "").lower())
        except (ValueError, OverflowError):
            pass
        try:
            at = datetime.fromisoformat(value)
        except ValueError as error:
            raise BadInputError(f"{name}: {value!r} is no time; write 10m, 2h, 7d, or 2026-11-24T10:30") from error
        return at if at.tzinfo else at.replace(tzinfo=UTC)

    def level(self, name: str) -> str | None:
        value = self.text(name)
        if value is not None and value not in LEVELS:
            raise BadInputError(f"{name}: {value!r} is none of {', '.join(LEVELS)}")
        return value

    def pattern(self, name: str) -> str | None:
        value = self.text(name, GREP)
        if value is not None:
            try:
                re.compile(value)
            except re.error as error:
                raise BadInputError(f"{name}: {value!r} is no regular expression: {error}") from error
        return value

    def done(self) -> None:
        """Every field was asked for.

        Raises:
            BadInputError: one is left over.
        """
        if self._values:
            names = ", ".join(sorted(self._values)[:5])[:100]
            raise BadInputError(f"there is no such field: {names}")
