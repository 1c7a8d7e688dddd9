"""Registered application commands: validation and storage."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from opsbot.standin.errors import ApiError, FormErrors, Json, Path, bad_form, refuse
from opsbot.standin.schema import Schema, filled, form, integer, is_integer, items, required, text, validate

# https://discord.com/developers/docs/interactions/application-commands#naming, with \w for the listed scripts.
_NAME = re.compile(r"^[-_'\w]{1,32}$")
SUB_COMMAND, SUB_COMMAND_GROUP, STRING, INTEGER, BOOLEAN, USER, CHANNEL, ROLE, MENTIONABLE, NUMBER, ATTACHMENT = range(
    1, 12
)
DAILY_CREATES = 200
TOTAL_CHARACTERS = 8000
_DAY = 86_400.0
_MOST = {1: 100, 2: 15, 3: 15}


@dataclass(slots=True)
class Commands:
    """The commands of one scope (the guild, or global): by (type, name)."""

    application_id: int
    guild_id: int | None
    stored: dict[tuple[int, str], Json] = field(default_factory=dict)
    created: list[float] = field(default_factory=list)

    def all(self) -> list[Json]:
        return list(self.stored.values())

    def get(self, command_id: int) -> Json:
        """The command of that id, or ApiError 10063."""
        for command in self.stored.values():
            if command["id"] == str(command_id):
                return command
        raise refuse("unknown_command")

    def overwrite(self, payloads: object, ids: Iterable[int], now: float) -> list[Json]:
        """Replace all at once (the PUT of `tree.sync`); known names keep their ids."""
        errors = FormErrors()
        items(_COMMAND, 130)(errors, [], payloads)
        entries = json_objects(payloads)
        keys = [_key(payload) for payload in entries]
        for index, key in enumerate(keys):
            if key in keys[:index]:
                errors.add([index, "name"], "APPLICATION_COMMANDS_DUPLICATE_NAME")
        _check_number(keys)
        errors.raise_if_any()
        self._count_new([key for key in keys if key not in self.stored], now)
        fresh = iter(ids)
        self.stored = {_key(payload): self._store(payload, fresh) for payload in entries}
        return self.all()

    def upsert(self, payload: Json, ids: Iterable[int], now: float) -> tuple[Json, bool]:
        """Create or replace the command of a name; return it and whether it is new."""
        validate(_COMMAND, payload)
        key = _key(payload)
        new = key not in self.stored
        if new:
            _check_number([*self.stored, key])
            self._count_new([key], now)
        self.stored[key] = self._store(payload, iter(ids))
        return self.stored[key], new

    def edit(self, command_id: int, changes: Json) -> Json:
        before = self.get(command_id)
        after = {**before, **changes}
        validate(_COMMAND, after)
        if _key(after) != _key(before):
            if _key(after) in self.stored:
                raise bad_form(["name"], "APPLICATION_COMMANDS_DUPLICATE_NAME")
            del self.stored[_key(before)]
        self.stored[_key(after)] = after
        return after

    def delete(self, command_id: int) -> None:
        del self.stored[_key(self.get(command_id))]

    def _count_new(self, keys: list[tuple[int, str]], now: float) -> None:
        self.created = [at for at in self.created if now - at < _DAY]
        if len(self.created) + len(keys) > DAILY_CREATES:
            raise ApiError(
                429,
                30034,
                f"Max number of daily application command creates has been reached ({DAILY_CREATES})",
                extra={"retry_after": round(_DAY - (now - self.created[0]) if self.created else _DAY, 3)},
            )
        self.created.extend(now for _ in keys)

    def _store(self, payload: Json, ids: Iterable[int]) -> Json:
        old = self.stored.get(_key(payload))
        fresh = iter(ids)
        permissions = payload.get("default_member_permissions")
        stored: Json = {
            "id": old["id"] if old else str(next(fresh)),
            "application_id": str(self.application_id),
            "version": str(next(fresh)),
            "type": payload.get("type") or 1,
            "name": payload["name"],
            "name_localizations": payload.get("name_localizations"),
            "description": payload.get("description") or "",
            "description_localizations": payload.get("description_localizations"),
            "default_member_permissions": None if permissions is None else str(permissions),
            "nsfw": bool(payload.get("nsfw")),
            "options": payload.get("options") or [],
        }
        if self.guild_id is not None:
            stored["guild_id"] = str(self.guild_id)
        else:
            stored["dm_permission"] = payload.get("dm_permission")
            stored["contexts"] = payload.get("contexts")
            stored["integration_types"] = payload.get("integration_types") or [0]
        return stored


def _key(payload: Json) -> tuple[int, str]:
    kind = payload.get("type")
    return kind if isinstance(kind, int) and kind else 1, str(payload.get("name"))


def _check_number(keys: Sequence[tuple[int, str]]) -> None:
    for kind, most in _MOST.items():
        if sum(found == kind for found, _ in set(keys)) > most:
            raise ApiError(400, 30032, f"Maximum number of application commands reached ({most})")


def _check_name(errors: FormErrors, path: Path, value: Any) -> None:
    filled(32)(errors, path, value)
    if isinstance(value, str) and value and (not _NAME.match(value[:32]) or value != value.lower()):
        errors.add(path, "APPLICATION_COMMAND_INVALID_NAME")


def _check_kind(errors: FormErrors, path: Path, command: Json) -> None:
    if (command.get("type") or 1) == 1:
        _check_name(errors, [*path, "name"], command.get("name"))
        filled(100)(errors, [*path, "description"], command.get("description"))
    else:
        filled(32)(errors, [*path, "name"], command.get("name"))
        if command.get("description") or command.get("options"):
            errors.add([*path, "description"], "APPLICATION_COMMAND_CONTEXT_MENU_DESCRIPTION_INVALID")
    if _size(command) > TOTAL_CHARACTERS:
        errors.add(path, "APPLICATION_COMMAND_TOO_LARGE")


def _check_options(depth: int) -> Schema:
    """The rules about the options of a command, or `depth` levels below it."""

    def check(errors: FormErrors, path: Path, owner: Json) -> None:
        place: Path = [*path, "options"]
        items(_OPTION, 25)(errors, place, owner.get("options"))
        options = json_objects(owner.get("options"))
        subs = [option.get("type") in _SUBS for option in options]
        if any(subs) and not all(subs):
            errors.add(place, "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID")
        names = [option.get("name") for option in options]
        for index, option in enumerate(options):
            here: Path = [*place, index]
            if names[index] in names[:index]:
                errors.add([*here, "name"], "APPLICATION_COMMAND_OPTIONS_NAME_INVALID")
            if subs[index]:
                if depth > (1 if option["type"] == SUB_COMMAND else 0):
                    errors.add(here, "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID")
                check_inner = _check_options(depth + 1)
                check_inner(errors, here, option)
            elif option.get("required") and not all(each.get("required") for each in options[:index]):
                errors.add(here, "APPLICATION_COMMAND_OPTIONS_REQUIRED_INVALID")

    return check


def _check_values(errors: FormErrors, path: Path, option: Json) -> None:
    kind, choices = option.get("type"), option.get("choices")
    if option.get("autocomplete") and (choices or kind not in (STRING, INTEGER, NUMBER)):
        errors.add([*path, "autocomplete"], "APPLICATION_COMMAND_OPTIONS_AUTOCOMPLETE_INVALID")
    if kind not in _SUBS:
        items(choice_of(kind), 25)(errors, [*path, "choices"], choices)
    if kind == STRING:
        form({"min_length": integer(0, 6000), "max_length": integer(1, 6000)})(errors, path, option)


def choice_of(kind: Any) -> Schema:
    """A choice of an option of that type, registered or autocompleted."""

    def check_number(errors: FormErrors, path: Path, value: Any) -> None:
        fits = is_integer(value) if kind == INTEGER else is_integer(value) or isinstance(value, float)
        if not fits and not (isinstance(value, float) and value.is_integer()):
            errors.add(path, "NUMBER_TYPE_COERCE", value=value, type="a number")

    return form({"name": filled(100), "value": required(text(100) if kind == STRING else check_number)})


_SUBS = (SUB_COMMAND, SUB_COMMAND_GROUP)
_OPTION = form({"name": _check_name, "description": filled(100), "type": required(integer(1, 11))}, _check_values)
_COMMAND = form({"type": integer(1, 3)}, _check_kind, _check_options(0))


def _size(node: Json) -> int:
    own = sum(len(str(node.get(key) or "")) for key in ("name", "description"))
    choices = sum(
        len(str(c.get("name") or "")) + len(str(c.get("value") or "")) for c in json_objects(node.get("choices"))
    )
    return own + choices + sum(_size(option) for option in json_objects(node.get("options")))


def json_objects(value: object) -> list[Json]:
    """The objects in a list; none where it is no list."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
