"""What no single key can say: which keys need, exclude or contradict each other, within a service and between services.

Rules see the values by table and key. One that is wrong by itself is BROKEN: it counts as given, and no
rule judges it.
"""

from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path, PurePosixPath
from typing import Any

from opsbot.config import Check, CheckKind, ManagerKind, StateConfig, Strategy
from opsbot.config_file import cleanups
from opsbot.config_file.kinds import nearest
from opsbot.config_file.lines import Path as KeyPath
from opsbot.config_file.notice_rules import named_services, repeated_names, window_breaches
from opsbot.config_file.schema import table_for
from opsbot.core.amounts import show_duration
from opsbot.core.dependencies import ways_back
from opsbot.core.health import CheckPolicy

Breach = tuple[KeyPath, str]
Values = Mapping[str, Any]

_SOCKET_NAME = "/control.sock"
_SOCKET_PATH_AT_MOST = 107  # sun_path of unix(7) holds 108 bytes, the last of them zero
_FOR_SUPERVISED = ("stop_timeout", "log_keep", "log_size")


class _Broken:
    """Replaces a value that was given and is wrong."""


BROKEN = _Broken()


def breaches(tree: Values) -> Iterator[Breach]:
    """Every rule that is broken: the key it is about, what is wrong, and what would be right."""
    yield from _ranks(tree)
    yield from _state(tree)
    services = _part(tree, "services") or {}
    for name, service in services.items():
        yield from _service(service, ("services", name))
    yield from _notices(tree, services)
    yield from _between(tree, services)
    yield from _dependencies(services)
    yield from _cleanups(tree, services)


def _notices(tree: Values, services: Values) -> Iterator[Breach]:
    windows = _get(tree, "windows") or []
    yield from window_breaches([_sound(window) for window in windows], services)
    for name, notifier in (_part(tree, "notifiers") or {}).items():
        yield from named_services(_sound(notifier), ("notifiers", name), services)
    known = _part(tree, "notifiers") or {}
    for index, name in enumerate(_get(_part(tree, "alerts") or {}, "escalate_to") or ()):
        if name not in known:
            there = f"there are: {', '.join(known)}" if known else f"add [notifiers.{name}]"
            yield ("alerts", "escalate_to", index), f'"{name}" is not a notifier; {there}'


def _sound(values: Values) -> Values:
    """What is wrong by itself counts as given, without a value."""
    return {key: None if value is BROKEN else value for key, value in values.items()}


def _get(values: Values, key: str) -> Any:
    """The value, None where it is not given or is wrong by itself."""
    value = values.get(key)
    return None if value is BROKEN else value


def _part(values: Values, key: str) -> Values | None:
    part = _get(values, key)
    return part if isinstance(part, dict) else None


def _ranks(tree: Values) -> Iterator[Breach]:
    roles = _part(tree, "roles")
    if roles is None:
        return
    if not roles.get("admin"):
        said = "names nobody; name at least one role or user id, for example admin = [100000000000000003]"
        yield ("roles", "admin"), said
    guild = _get(_part(tree, "discord") or {}, "guild_id")
    for rank in ("operator", "deployer", "admin"):
        if guild is not None and str(guild) in (_get(roles, rank) or ()):
            yield ("roles", rank), "names the server's own id, which means everyone in it; name a role or a user"


def too_long_for_socket(directory: Path) -> str:
    """What is wrong with a state directory so deep that the control socket in it could not be bound; "" if nothing."""
    length = len(bytes(directory)) + len(_SOCKET_NAME)
    if length <= _SOCKET_PATH_AT_MOST:
        return ""
    return (
        f"is too long by {length - _SOCKET_PATH_AT_MOST}: the path of the control socket in it may have "
        f'{_SOCKET_PATH_AT_MOST} bytes; choose a shorter one, for example "/var/lib/opsbot"'
    )


def _state(tree: Values) -> Iterator[Breach]:
    state = _part(tree, "state") or {}
    directory = _get(state, "directory")
    if directory is not None and (said := too_long_for_socket(directory)):
        yield ("state", "directory"), said


def _service(service: Values, where: KeyPath) -> Iterator[Breach]:
    manager = _get(service, "manager")
    source = _part(service, "source")
    yield from _managed(service, where, manager)
    yield from _working_directory(service, where)
    if source is not None:
        yield from _source(source, (*where, "source"))
    elif "source" not in service and service.get("install"):
        header = f"[{'.'.join(map(str, where))}.source]"
        yield (*where, "install"), f"has nothing to install without a source; add {header}, or remove it"
    for index, each in enumerate(_get(service, "checks") or ()):
        yield from _check(each, (*where, "checks", index), manager)
        yield from _check_unit(each, (*where, "checks", index), service, manager)
    yield from repeated_names(_get(service, "checks") or (), (*where, "checks"), "check")
    if "login_limit" in service and service.get("discord_bot") not in {True, BROKEN}:
        yield (*where, "login_limit"), "has no effect without discord_bot = true; add that, or remove it"
    recovery = _part(service, "recovery") or {}
    backoff, most = _get(recovery, "backoff"), _get(recovery, "backoff_max")
    if backoff is not None and most is not None and most < backoff:
        said = f'is shorter than backoff; write at least "{show_duration(backoff)}", or leave it out'
        yield (*where, "recovery", "backoff_max"), said


_COMMAND_MISSING = 'is missing; manager = "process" runs it, for example command = ["node", "index.js"]'
_COMMAND_UNUSED = (
    'has no effect with manager = "systemd", where the unit says what runs; remove it, or write manager = "process"'
)
_UNIT_MISSING = 'is missing; manager = "systemd" needs it, for example unit = "voice-meeting-discord-bot.service"'
_UNIT_UNUSED = 'has no effect with manager = "process"; remove it, or write manager = "systemd"'
_WITHOUT_SOURCE = (
    "is relative, and there is no source it could be relative to; write an absolute path, for example "
    '"/srv/voice-meeting-bot"'
)
_OUTSIDE_RELEASE = 'is outside the release; write it relative to the release, for example "node-bot"'
_FOR_HTTP = "is only sent to an http(s) repository; remove it, or write the repository's https address"
_FOR_SSH = "is only used with an ssh repository; remove it, or write the repository as git@host:path"
_SET_IN_UNIT = 'has no effect with manager = "systemd"; remove it, and set it in the unit or in journald.conf'


def _managed(service: Values, where: KeyPath, manager: ManagerKind | None) -> Iterator[Breach]:
    if manager is ManagerKind.PROCESS:
        if "command" not in service:
            yield (*where, "command"), _COMMAND_MISSING
        for key in ("unit", "units"):
            if key in service:
                yield (*where, key), _UNIT_UNUSED
    elif manager is ManagerKind.SYSTEMD:
        yield from _units(service, where)
        if "command" in service:
            yield (*where, "command"), _COMMAND_UNUSED
        for key in _FOR_SUPERVISED:
            if key in service:
                yield (*where, key), _SET_IN_UNIT


def _units(service: Values, where: KeyPath) -> Iterator[Breach]:
    if "unit" in service and "units" in service:
        yield (*where, "units"), "cannot be given together with unit; keep one of the two"
    elif "unit" not in service and "units" not in service:
        yield (*where, "unit"), _UNIT_MISSING


def _units_of(service: Values) -> tuple[str, ...]:
    """The units of a service, as far as they are known to be right."""
    unit = _get(service, "unit")
    return (unit,) if unit is not None else tuple(_get(service, "units") or ())


def _working_directory(service: Values, where: KeyPath) -> Iterator[Breach]:
    directory = _get(service, "working_directory")
    if directory is None:
        return
    path = PurePosixPath(directory)
    if "source" not in service:
        if not path.is_absolute():
            yield (*where, "working_directory"), _WITHOUT_SOURCE
    elif path.is_absolute() or ".." in path.parts:
        yield (*where, "working_directory"), _OUTSIDE_RELEASE


def _source(source: Values, where: KeyPath) -> Iterator[Breach]:
    repository = _get(source, "repository")
    if repository is not None:
        over_http = repository.startswith(("https://", "http://"))
        for key in ("token_env", "token_file", "username"):
            if key in source and not over_http:
                yield (*where, key), _FOR_HTTP
        if "ssh_key" in source and (over_http or repository.startswith(("/", "file:"))):
            yield (*where, "ssh_key"), _FOR_SSH
    for (first, one), (second, two) in combinations(enumerate(_get(source, "shared") or ()), 2):
        a, b = PurePosixPath(one), PurePosixPath(two)
        if a == b:
            yield (*where, "shared", second), f'"{two}" is named twice; keep one of them'
        elif "." not in {one, two} and (a.is_relative_to(b) or b.is_relative_to(a)):
            inner, outer, index = (one, two, first) if a.is_relative_to(b) else (two, one, second)
            yield (*where, "shared", index), f'"{inner}" is inside "{outer}", which is shared too; keep one of them'
    for index, path in enumerate(_get(source, "shared") or ()):
        if path == ".":
            said = 'is the whole release; name what is to be kept, for example "node-bot/data"'
            yield (*where, "shared", index), said


def _check(check: Values, where: KeyPath, manager: ManagerKind | None) -> Iterator[Breach]:
    kind = _get(check, "kind")
    if kind is None:
        return
    for key in table_for(Check).keys:
        only = key.declared.only
        if only and key.name in check and kind != only:
            yield (*where, key.name), f'has no effect for kind = "{kind}"; remove it, or write kind = "{only}"'
        elif key.declared.needed and kind == only and key.name not in check:
            example = f"for example {key.name} = {key.kind.example}"
            yield (*where, key.name), f'is missing; kind = "{kind}" needs it, {example}'
    if kind is CheckKind.UNIT and manager is ManagerKind.PROCESS:
        yield (*where, "kind"), '"unit" asks systemd, and this service has manager = "process"; write kind = "process"'
    of, fall = _get(check, "of"), _get(check, "fall") or CheckPolicy().fall
    if of is not None and of < fall:
        said = f"is less than fall, which is {fall}; it must be at least as large, or the check could never fail"
        yield (*where, "of"), said
    interval, timeout = _get(check, "interval"), _get(check, "timeout")
    if timeout is not None and "interval" not in check:
        interval = table_for(Check).key("interval").default
    if timeout is not None and interval is not None and timeout > interval:
        said = f'is longer than the interval; write at most "{show_duration(interval)}", or a longer interval'
        yield (*where, "timeout"), said


def _check_unit(check: Values, where: KeyPath, service: Values, manager: ManagerKind | None) -> Iterator[Breach]:
    unit, units = _get(check, "unit"), _units_of(service)
    if unit is None:
        return
    if manager is ManagerKind.PROCESS:
        yield (*where, "unit"), 'has no effect with manager = "process"; remove it'
    elif units and unit not in units:
        yield (*where, "unit"), f'"{unit}" is none of the service\'s units ({", ".join(units)}); name one of them'


def _between(tree: Values, services: Values) -> Iterator[Breach]:
    units: dict[str, str] = {}
    folders: list[tuple[str, Path]] = []
    for name, service in services.items():
        key = "unit" if "unit" in service else "units"
        for unit in _units_of(service):
            if units.setdefault(unit, name) != name:
                said = "is the unit" if key == "unit" else f'has "{unit}", which is a unit'
                yield ("services", name, key), f"{said} of services.{units[unit]} too; each service needs its own"
        folder = _get(_part(service, "source") or {}, "directory")
        if folder is None:
            continue
        where = ("services", name, "source", "directory")
        for other, taken in folders:
            if folder == taken:
                yield where, f"is the directory of services.{other} too; each service needs its own"
            elif folder.is_relative_to(taken) or taken.is_relative_to(folder):
                said = f"overlaps with the directory of services.{other}, {taken}; neither may be inside the other"
                yield where, said
        folders.append((name, folder))
        state = _get(_part(tree, "state") or {}, "directory")
        if state is not None and state.is_relative_to(folder):
            yield where, f"holds opsbot's own state.directory, {state}; give the service a separate folder"


def _dependencies(services: Values) -> Iterator[Breach]:
    needs = {name: tuple(_get(service, "depends_on") or ()) for name, service in services.items()}
    for name, others in needs.items():
        for index, other in enumerate(others):
            if other not in services:
                said = f'"{other}" is no service of this file{nearest(other, services)}'
                yield ("services", name, "depends_on", index), said
    for way in ways_back(needs):
        index = needs[way[0]].index(way[1])
        said = "is the service itself" if way[0] == way[1] else f"leads back to it: {' → '.join(way)}"
        yield ("services", way[0], "depends_on", index), f"{said}; leave out one of these dependencies"


def _cleanups(tree: Values, services: Values) -> Iterator[Breach]:
    state: Path = _get(_part(tree, "state") or {}, "directory") or StateConfig().directory
    sources = {name: _part(service, "source") or {} for name, service in services.items()}
    directories = [folder for source in sources.values() if (folder := _get(source, "directory")) is not None]
    for name, service in services.items():
        source = sources[name]
        if "source" in service and _get(source, "directory") is None:
            continue  # wrong by itself, so that what a relative pattern means is not known
        for number, each in enumerate(_get(service, "cleanup") or ()):
            paths, shared = _get(each, "paths") or (), _get(source, "shared") or ()
            if _get(source, "strategy") is Strategy.IN_PLACE:
                for index in (index for index, path in enumerate(paths) if not path.startswith("/")):
                    said = "is relative to shared/, which an in-place checkout does not have; write it from the root"
                    yield ("services", name, "cleanup", number, "paths", index), said
            for index, said in cleanups.breaches(paths, _get(source, "directory"), shared, state, directories):
                yield ("services", name, "cleanup", number, "paths", index), said
