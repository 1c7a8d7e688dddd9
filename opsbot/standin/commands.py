"""Registered application commands: validation and storage."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from opsbot.standin.errors import ApiError, FormErrors, Json, refuse

# https://discord.com/developers/docs/interactions/application-commands#naming, with \w for the listed scripts.
_NAME = re.compile(r"^[-_'\w]{1,32}$")
SUB_COMMAND, SUB_COMMAND_GROUP, STRING, INTEGER, BOOLEAN, USER, CHANNEL, ROLE, MENTIONABLE, NUMBER, ATTACHMENT = range(
    1, 12
)
DAILY_CREATES = 200
TOTAL_CHARACTERS = 8000
NAME_CHARACTERS = 32
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
        """Every command, in the order registered."""
        return list(self.stored.values())

    def get(self, command_id: int) -> Json:
        """The command of that id, or ApiError 10063."""
        for command in self.stored.values():
            if command["id"] == str(command_id):
                return command
        raise refuse("unknown_command")

    def overwrite(self, payloads: object, ids: Iterable[int], now: float) -> list[Json]:
        """Replace all of them at once (the PUT of `tree.sync`).

        A command of the same name keeps its id.
        """
        errors = FormErrors()
        entries = errors.objects([], payloads, most=130)
        seen: set[tuple[int, str]] = set()
        for index, payload in entries:
            check_command(errors, [index], payload)
            key = _key(payload)
            if key in seen:
                errors.add(
                    [index, "name"], "APPLICATION_COMMANDS_DUPLICATE_NAME", "Application command names must be unique"
                )
            seen.add(key)
        for kind, most in _MOST.items():
            if sum(1 for found, _ in seen if found == kind) > most:
                raise ApiError(400, 30032, f"Maximum number of application commands reached ({most})")
        errors.raise_if_any()
        self._count_new([key for key in seen if key not in self.stored], now)
        fresh = iter(ids)
        self.stored = {_key(p): self._store(p, fresh) for _, p in entries}
        return self.all()

    def upsert(self, payload: Json, ids: Iterable[int], now: float) -> tuple[Json, bool]:
        """Create one, or replace the one of the same name.

        Returns it and whether it is new.
        """
        errors = FormErrors()
        check_command(errors, [], payload)
        errors.raise_if_any()
        key = _key(payload)
        new = key not in self.stored
        if new:
            kind = key[0]
            if sum(1 for found, _ in self.stored if found == kind) >= _MOST[kind]:
                raise ApiError(400, 30032, f"Maximum number of application commands reached ({_MOST[kind]})")
            self._count_new([key], now)
        self.stored[key] = self._store(payload, iter(ids))
        return self.stored[key], new

    def edit(self, command_id: int, changes: Json) -> Json:
        """Change some keys of one."""
        before = self.get(command_id)
        after = {**before, **changes}
        errors = FormErrors()
        check_command(errors, [], after)
        errors.raise_if_any()
        if _key(after) != _key(before):
            if _key(after) in self.stored:
                errors.add(["name"], "APPLICATION_COMMANDS_DUPLICATE_NAME", "Application command names must be unique")
                errors.raise_if_any()
            del self.stored[_key(before)]
        self.stored[_key(after)] = after
        return after

    def delete(self, command_id: int) -> None:
        """Remove one."""
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
        stored: Json = {
            "id": old["id"] if old else str(next(fresh)),
            "application_id": str(self.application_id),
            "version": str(next(fresh)),
            "type": payload.get("type") or 1,
            "name": payload["name"],
            "name_localizations": payload.get("name_localizations"),
            "description": payload.get("description") or "",
            "description_localizations": payload.get("description_localizations"),
            "default_member_permissions": _as_text(payload.get("default_member_permissions")),
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


def _as_text(value: object) -> str | None:
    return None if value is None else str(value)


def _key(payload: Json) -> tuple[int, str]:
    kind = payload.get("type")
    return kind if isinstance(kind, int) and kind else 1, str(payload.get("name"))


def check_command(errors: FormErrors, path: list[str | int], command: Json) -> None:
    """Check one command: names, lengths, counts, the order of required options, 8000 characters altogether."""
    kind = errors.integer([*path, "type"], command.get("type"), least=1, most=3) or 1
    if kind == 1:
        _check_name(errors, [*path, "name"], command.get("name"))
        errors.text([*path, "description"], command.get("description"), most=100, least=1, required=True)
    else:
        errors.text([*path, "name"], command.get("name"), most=32, least=1, required=True)
        if command.get("description") or command.get("options"):
            errors.add(
                [*path, "description"],
                "APPLICATION_COMMAND_CONTEXT_MENU_DESCRIPTION_INVALID",
                "Context menu commands cannot have description",
            )
    _check_options(errors, path, command, depth=0)
    if _size(command) > TOTAL_CHARACTERS:
        errors.add(path, "APPLICATION_COMMAND_TOO_LARGE", "Command exceeds maximum size (8000)")


def _check_name(errors: FormErrors, path: list[str | int], name: object) -> None:
    text = errors.text(path, name, most=32, least=1, required=True)
    if text and len(text) <= NAME_CHARACTERS and (not _NAME.match(text) or text != text.lower()):
        errors.add(path, "APPLICATION_COMMAND_INVALID_NAME", "Command name is invalid")


def _check_options(errors: FormErrors, path: list[str | int], owner: Json, depth: int) -> None:
    optional_seen = False
    names: set[object] = set()
    options = errors.objects([*path, "options"], owner.get("options"), most=25)
    subs = [option.get("type") in (SUB_COMMAND, SUB_COMMAND_GROUP) for _, option in options]
    if any(subs) and not all(subs):
        errors.add(
            [*path, "options"],
            "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID",
            "Sub-command and sub-command group option types are mutually exclusive to all other types",
        )
    for index, option in options:
        here = [*path, "options", index]
        _check_name(errors, [*here, "name"], option.get("name"))
        errors.text([*here, "description"], option.get("description"), most=100, least=1, required=True)
        if option.get("name") in names:
            errors.add([*here, "name"], "APPLICATION_COMMAND_OPTIONS_NAME_INVALID", "Option names must be unique")
        names.add(option.get("name"))
        kind = errors.integer([*here, "type"], option.get("type"), least=1, most=11)
        if kind is None:
            errors.required([*here, "type"])
        elif kind in (SUB_COMMAND, SUB_COMMAND_GROUP):
            if (kind == SUB_COMMAND_GROUP and depth > 0) or depth > 1:
                errors.add(here, "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID", "Sub-commands are nested too deeply")
            _check_options(errors, here, option, depth + 1)
        else:
            if option.get("required") and optional_seen:
                errors.add(
                    [*path, "options", index],
                    "APPLICATION_COMMAND_OPTIONS_REQUIRED_INVALID",
                    "Required options must be placed before non-required options",
                )
            optional_seen = optional_seen or not option.get("required")
            _check_values(errors, here, option, kind)


def _check_values(errors: FormErrors, path: list[str | int], option: Json, kind: int) -> None:
    choices = errors.objects([*path, "choices"], option.get("choices"), most=25)
    if option.get("autocomplete"):
        if choices:
            errors.add(
                [*path, "autocomplete"],
                "APPLICATION_COMMAND_OPTIONS_AUTOCOMPLETE_INVALID",
                "Choices and autocomplete are mutually exclusive",
            )
        if kind not in (STRING, INTEGER, NUMBER):
            errors.add(
                [*path, "autocomplete"],
                "APPLICATION_COMMAND_OPTIONS_AUTOCOMPLETE_INVALID",
                "Autocomplete is not available for this option type",
            )
    for index, choice in choices:
        check_choice(errors, [*path, "choices", index], choice, kind)
    if kind == STRING:
        errors.integer([*path, "min_length"], option.get("min_length"), least=0, most=6000)
        errors.integer([*path, "max_length"], option.get("max_length"), least=1, most=6000)


def check_choice(errors: FormErrors, path: list[str | int], choice: Json, kind: int) -> None:
    """Check one choice, registered or autocompleted: name 1-100, a string value at most 100."""
    errors.text([*path, "name"], choice.get("name"), most=100, least=1, required=True)
    value = choice.get("value")
    if kind == STRING:
        errors.text([*path, "value"], value, most=100, required=True)
    elif isinstance(value, bool) or not isinstance(value, (int, float)) or (kind == INTEGER and value != int(value)):
        errors.add([*path, "value"], "NUMBER_TYPE_COERCE", f'Value "{value}" is not a number.')


def _size(node: Json) -> int:
    own = sum(len(str(node.get(key) or "")) for key in ("name", "description"))
    choices = sum(len(str(c.get("name") or "")) + len(str(c.get("value") or "")) for c in _dicts(node.get("choices")))
    return own + choices + sum(_size(option) for option in _dicts(node.get("options")))


def _dicts(items: object) -> list[Json]:
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
