"""Schemas of request bodies: functions that note what is wrong with a value.

A value of None is an absent field: only what is required complains about it.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from opsbot.standin.errors import FormErrors, Path

Schema = Callable[[FormErrors, Path, Any], None]
WEB = ("http", "https", "discord")
MEDIA = ("http", "https", "attachment")
_SNOWFLAKE_DIGITS = 20


def validate(schema: Schema, body: object) -> None:
    """Raise ApiError 50035 for a body that does not follow the schema."""
    errors = FormErrors()
    schema(errors, [], body)
    errors.raise_if_any()


def form(fields: Mapping[str, Schema], *rules: Schema) -> Schema:
    """An object with these fields (and others), and rules across fields."""

    def check(errors: FormErrors, path: Path, value: Any) -> None:
        if isinstance(value, dict):
            for name, schema in fields.items():
                schema(errors, [*path, name], value.get(name))
            for rule in rules:
                rule(errors, path, value)
        elif value is not None:
            errors.add(path, "MODEL_TYPE_CONVERT")

    return check


def required(schema: Schema) -> Schema:
    """The same, where it must be given."""

    def check(errors: FormErrors, path: Path, value: Any) -> None:
        if value is None:
            errors.add(path, "BASE_TYPE_REQUIRED")
        else:
            schema(errors, path, value)

    return check


def text(most: int, least: int = 0) -> Schema:
    """A string of that many code points."""

    def check(errors: FormErrors, path: Path, value: Any) -> None:
        if isinstance(value, str):
            _check_length(errors, path, value, least, most)
        elif value is not None:
            errors.add(path, "STRING_TYPE_CONVERT", value=value)

    return check


def filled(most: int) -> Schema:
    """A string that must be given and is not empty."""
    return required(text(most, 1))


def items(schema: Schema, most: int, least: int = 0) -> Schema:
    """A list of that many elements; one that needs an element must be given."""

    def check(errors: FormErrors, path: Path, value: Any) -> None:
        if isinstance(value, list):
            _check_length(errors, path, value, least, most)
            for index, item in enumerate(value):
                required(schema)(errors, [*path, index], item)
        elif value is not None:
            errors.add(path, "LIST_TYPE_CONVERT")
        elif least:
            errors.add(path, "BASE_TYPE_REQUIRED")

    return check


def _check_length(errors: FormErrors, path: Path, value: Sequence[object], least: int, most: int) -> None:
    if isinstance(value, str) and least and not value:
        errors.add(path, "BASE_TYPE_REQUIRED")
    elif least and not least <= len(value) <= most:
        errors.add(path, "BASE_TYPE_BAD_LENGTH", least=least, most=most)
    elif len(value) > most:
        errors.add(path, "BASE_TYPE_MAX_LENGTH", most=most)


def integer(least: int, most: int) -> Schema:
    def check(errors: FormErrors, path: Path, value: Any) -> None:
        if value is None:
            return
        if not is_integer(value):
            errors.add(path, "NUMBER_TYPE_COERCE", value=value, type="int")
        elif value < least:
            errors.add(path, "NUMBER_TYPE_MIN", least=least)
        elif value > most:
            errors.add(path, "NUMBER_TYPE_MAX", most=most)

    return check


def is_integer(value: object) -> bool:
    """Whether it is an integer in JSON, where true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_snowflake(value: object) -> bool:
    """Whether it is an id: an integer, or a string of digits."""
    shown = str(value)
    return (is_integer(value) or isinstance(value, str)) and shown.isdecimal() and len(shown) <= _SNOWFLAKE_DIGITS


def snowflake(errors: FormErrors, path: Path, value: Any) -> None:
    if value is not None and not is_snowflake(value):
        errors.add(path, "NUMBER_TYPE_COERCE", value=value, type="snowflake")


def choice(*choices: object) -> Schema:
    def check(errors: FormErrors, path: Path, value: Any) -> None:
        if value is not None and value not in choices:
            errors.add(path, "BASE_TYPE_CHOICES", choices=choices)

    return check


def url(schemes: tuple[str, ...] = WEB, most: int = 2048) -> Schema:
    """A URL of these schemes; its host needs a dot, unlike `http://localhost`."""

    def check(errors: FormErrors, path: Path, value: Any) -> None:
        text(most)(errors, path, value)
        if not isinstance(value, str):
            return
        try:
            split = urlsplit(value)
            host = split.hostname or ""
        except ValueError:
            errors.add(path, "URL_TYPE_INVALID_URL")
            return
        if split.scheme not in schemes:
            errors.add(path, "URL_TYPE_INVALID_SCHEME", choices=schemes)
        elif split.scheme in ("http", "https") and ("." not in host.strip(".") or " " in value):
            errors.add(path, "URL_TYPE_INVALID_URL")

    return check


def timestamp(errors: FormErrors, path: Path, value: Any) -> None:
    try:
        if value is not None:
            datetime.fromisoformat(str(value))
    except ValueError:
        errors.add(path, "DATE_TIME_TYPE_PARSE", value=value)
