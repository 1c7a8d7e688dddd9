"""Validation of user input before the bot sees it: options, components, modals.

Returns the `data` object of the interaction, or raises InputError with what the client would say.
"""

from opsbot.standin import commands as kinds
from opsbot.standin import components as parts
from opsbot.standin.errors import Json
from opsbot.standin.guild import Member
from opsbot.standin.interaction import value_options
from opsbot.standin.state import GUILD_ID, StandinState


class InputError(Exception):
    """The client (or Discord for it) refuses the input; the text says why."""


def find_command(state: StandinState, data: Json) -> Json:
    """The command by id or name; those of the guild come first."""
    known = [*state.guild_commands.all(), *state.global_commands.all()]
    wanted_id, name = data.get("id"), data.get("name")
    for command in known:
        if (wanted_id and command["id"] == str(wanted_id)) or (not wanted_id and command["name"] == name):
            return command
    raise InputError(f"There is no command /{name or wanted_id}.")


def command_data(state: StandinState, data: Json, *, autocomplete: bool) -> Json:
    """Check the options of a command, incomplete while completing."""
    command = find_command(state, data)
    resolved: Json = {}
    sent: Json = {"id": command["id"], "name": command["name"], "type": command["type"]}
    if "guild_id" in command:
        sent["guild_id"] = command["guild_id"]
    if command["type"] == 1:
        given = kinds.json_objects(data.get("options"))
        sent["options"] = _options(state, command, given, resolved, autocomplete=autocomplete)
        if autocomplete and sum(1 for option in value_options(sent["options"]) if option.get("focused")) != 1:
            raise InputError("Exactly one option must be focused.")
    else:
        sent["target_id"] = str(data.get("target_id") or "")
    if resolved:
        sent["resolved"] = resolved
    return sent


def _options(state: StandinState, owner: Json, given: list[Json], resolved: Json, *, autocomplete: bool) -> list[Json]:
    known = {option["name"]: option for option in kinds.json_objects(owner.get("options"))}
    sent = []
    for option in given:
        name = option.get("name")
        spec = known.get(name) if isinstance(name, str) else None
        if spec is None:
            raise InputError(f"{owner['name']} has no option {name!r}.")
        if spec["type"] in (kinds.SUB_COMMAND, kinds.SUB_COMMAND_GROUP):
            inner = _options(
                state, spec, kinds.json_objects(option.get("options")), resolved, autocomplete=autocomplete
            )
            sent.append({"name": spec["name"], "type": spec["type"], "options": inner})
            continue
        if option.get("focused"):
            if not spec.get("autocomplete"):
                raise InputError(f"{name} has no autocompletion.")
            sent.append({"name": name, "type": spec["type"], "value": str(option.get("value", "")), "focused": True})
            continue
        value = _value(state, spec, option.get("value"), resolved)
        sent.append({"name": name, "type": spec["type"], "value": value})
    have = {option["name"] for option in sent}
    missing = [name for name, spec in known.items() if spec.get("required") and name not in have]
    needs_sub = any(spec["type"] in (kinds.SUB_COMMAND, kinds.SUB_COMMAND_GROUP) for spec in known.values())
    if not autocomplete and missing:
        raise InputError(f"{missing[0]}: This option is required.")
    if not autocomplete and needs_sub and len(sent) != 1:
        raise InputError("A sub-command is required.")
    return sent


def _value(state: StandinState, spec: Json, value: object, resolved: Json) -> object:
    kind, name = spec["type"], spec["name"]
    choices = kinds.json_objects(spec.get("choices"))
    if choices and all(choice["value"] != value for choice in choices):
        raise InputError(f"{name}: pick one of the choices.")
    if kind == kinds.STRING:
        return _string(spec, value)
    if kind in (kinds.INTEGER, kinds.NUMBER):
        return _number(spec, value)
    if kind == kinds.BOOLEAN:
        if not isinstance(value, bool):
            raise InputError(f"{name}: true or false.")
        return value
    if kind in (kinds.USER, kinds.ROLE, kinds.CHANNEL, kinds.MENTIONABLE):
        return _resolve(state, name, kind, value, resolved)
    raise InputError(f"{name}: attachments cannot be given here.")


def _string(spec: Json, value: object) -> str:
    name = spec["name"]
    if not isinstance(value, str) or not value:
        raise InputError(f"{name}: This option is required." if spec.get("required") else f"{name}: text.")
    least, most = spec.get("min_length") or 0, spec.get("max_length") or 6000
    if not least <= len(value) <= most:
        raise InputError(f"{name}: between {least} and {most} characters.")
    return value


def _number(spec: Json, value: object) -> int | float:
    name = spec["name"]
    whole = spec["type"] == kinds.INTEGER
    try:
        number = int(str(value)) if whole else float(str(value))
    except ValueError:
        raise InputError(f"{name}: {'a whole number' if whole else 'a number'}.") from None
    least, most = spec.get("min_value"), spec.get("max_value")
    if (least is not None and number < least) or (most is not None and number > most):
        raise InputError(f"{name}: between {least} and {most}.")
    return number


def _resolve(state: StandinState, name: str, kind: int, value: object, resolved: Json) -> str:
    key = str(value)
    number = int(key) if key.isdecimal() else 0
    member = state.members.get(number) if kind in (kinds.USER, kinds.MENTIONABLE) else None
    role = state.roles.get(number) if kind in (kinds.ROLE, kinds.MENTIONABLE) else None
    channel = state.channels.get(number) if kind == kinds.CHANNEL else None
    if member is not None:
        _resolve_member(state, member, resolved)
    elif role is not None:
        resolved.setdefault("roles", {})[key] = role.json()
    elif channel is not None:
        resolved.setdefault("channels", {})[key] = channel.json(GUILD_ID) | {"permissions": "0"}
    else:
        raise InputError(f"{name}: not found.")
    return key


def _resolve_member(state: StandinState, member: Member, resolved: Json) -> None:
    resolved.setdefault("users", {})[str(member.id)] = member.user()
    shown = member.json(user=False, permissions=state.base_permissions(member))
    resolved.setdefault("members", {})[str(member.id)] = shown


def component_data(state: StandinState, message: Json, data: Json) -> Json:
    """Check a click or a selection against the message as it is now."""
    custom_id = data.get("custom_id")
    found = next((c for c in parts.walk(message.get("components")) if c.get("custom_id") == custom_id), None)
    if custom_id is None or found is None:
        raise InputError("This component is no longer on the message.")
    if found.get("disabled"):
        raise InputError("This component is disabled.")
    sent: Json = {"custom_id": custom_id, "component_type": found["type"], "id": found.get("id")}
    if found["type"] in parts.SELECTS:
        values = [str(value) for value in data.get("values") or ()]
        least, most = found.get("min_values"), found.get("max_values") or 1
        if not (1 if least is None else least) <= len(values) <= most:
            raise InputError("Wrong number of values.")
        resolved: Json = {}
        _check_picked(state, found, values, resolved)
        sent["values"] = values
        if resolved:
            sent["resolved"] = resolved
    elif found["type"] != parts.BUTTON:
        raise InputError("This component cannot be used.")
    return sent


_SELECT_KINDS = {
    parts.USER_SELECT: kinds.USER,
    parts.ROLE_SELECT: kinds.ROLE,
    parts.MENTIONABLE_SELECT: kinds.MENTIONABLE,
    parts.CHANNEL_SELECT: kinds.CHANNEL,
}


def _check_picked(state: StandinState, select: Json, values: list[str], resolved: Json) -> None:
    if select["type"] == parts.STRING_SELECT:
        offered = {option["value"] for option in select["options"]}
        if not offered.issuperset(values):
            raise InputError("Pick one of the options.")
        return
    for value in values:
        _resolve(state, str(select["custom_id"]), _SELECT_KINDS[select["type"]], value, resolved)


_SUBMITTED = ("type", "id", "custom_id", "components", "component")


def modal_data(state: StandinState, modal: Json, given: object) -> Json:
    """Check the fields of a modal; return the data of its submission."""
    values = {str(c["custom_id"]): c for c in parts.walk(given) if c.get("custom_id") is not None}
    unknown = set(values) - {c.get("custom_id") for c in parts.walk(modal["components"])}
    if unknown:
        raise InputError(f"The form has no field {min(map(str, unknown))!r}.")
    resolved: Json = {}

    def submitted(component: Json) -> Json:
        done = {key: component[key] for key in _SUBMITTED if component.get(key) is not None}
        if component.get("custom_id") is not None:
            _fill(state, component, done, values.get(str(component["custom_id"]), {}), resolved)
        return done

    filled = [parts.rebuild(component, submitted) for component in modal["components"]]
    sent: Json = {"custom_id": modal["custom_id"], "components": filled}
    if resolved:
        sent["resolved"] = resolved
    return sent


def _fill(state: StandinState, component: Json, done: Json, given: Json, resolved: Json) -> None:
    name = str(component["custom_id"])
    required = component.get("required") is not False
    if component["type"] == parts.TEXT_INPUT:
        text = str(given.get("value", component.get("value")) or "")
        least, most = component.get("min_length") or 0, component.get("max_length") or 4000
        if required and not text:
            raise InputError(f"{name}: This field is required.")
        if text and not least <= len(text) <= most:
            raise InputError(f"{name}: between {least} and {most} characters.")
        done["value"] = text
    elif component["type"] == parts.CHECKBOX:
        done["value"] = bool(given.get("value", component.get("default")))
    elif component["type"] == parts.RADIO_GROUP:
        done["value"] = given.get("value")
        if required and done["value"] is None:
            raise InputError(f"{name}: This field is required.")
    elif component["type"] == parts.FILE_UPLOAD:
        raise InputError(f"{name}: files cannot be given here.")
    else:
        values = [str(value) for value in given.get("values") or ()]
        if required and not values:
            raise InputError(f"{name}: This field is required.")
        if component["type"] in parts.SELECTS:
            _check_picked(state, component, values, resolved)
        done["values"] = values
