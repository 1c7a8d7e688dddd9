"""Kinds of value that say when: a time of day, a date, a time zone."""

import re
from datetime import UTC, date, datetime, time, tzinfo
from zoneinfo import ZoneInfo

from opsbot.config_file.kinds import Kind, kind_of, string_of, unfit


def time_of_day() -> Kind:
    """Hours and minutes on a 24-hour clock. A TOML time is accepted too."""

    def read(kind: Kind, value: object) -> time:
        if isinstance(value, time):
            return value
        string = string_of(kind, value).strip()
        if not re.fullmatch(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]", string):
            raise unfit(value, 'is not a time of day; write it like "02:00" or "23:30"')
        return time.fromisoformat(string)

    return kind_of("a time of day", '"02:00"', read)


def calendar_day() -> Kind:
    """A date. A TOML date is accepted too."""

    def read(kind: Kind, value: object) -> date:
        if isinstance(value, date) and not isinstance(value, datetime):
            return value
        string = string_of(kind, value).strip()
        try:
            if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", string):
                return date.fromisoformat(string)
        except ValueError as error:
            raise unfit(value, "is not in the calendar; write a day that exists") from error
        raise unfit(value, 'is not a date; write it like "2026-12-24"')

    return kind_of("a date", '"2026-12-24"', read)


def zone() -> Kind:
    """A time zone by its IANA name."""

    def read(kind: Kind, value: object) -> tzinfo:
        string = string_of(kind, value).strip()
        if string == "UTC":
            return UTC  # known everywhere, also where the host has no zones
        try:
            return ZoneInfo(string)
        except (KeyError, ValueError, OSError) as error:
            # KeyError: ZoneInfoNotFoundError. ValueError: a path out of the zones. OSError: a folder of zones.
            raise unfit(
                value,
                'is not a time zone this host knows; write an IANA name like "Europe/Berlin", '
                "and where such a name is refused, install the host's tzdata",
            ) from error

    return kind_of("the name of a time zone", '"Europe/Berlin"', read)
