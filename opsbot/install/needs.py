"""The secrets, folders and permissions that the configuration needs. No I/O."""

from collections.abc import Iterator
from pathlib import Path

from opsbot.config import Config, Secret, Service
from opsbot.core.globs import glob

_HOMES = ("/home", "/root", "/run/user")
TEMPORARY = ("/tmp", "/var/tmp")  # noqa: S108 - what PrivateTmp= hides


def secrets(config: Config) -> Iterator[Secret]:
    """Yield all configured secrets, the bot token first."""
    yield config.discord.token
    for service in config.services.values():
        if service.source is not None:
            yield from (each for each in (service.source.token, service.source.hook_secret) if each is not None)


def credentials(config: Config) -> list[str]:
    names = [str(each.file) for each in secrets(config) if each.file is not None and not each.file.is_absolute()]
    return list(dict.fromkeys(names))


def variables(config: Config) -> list[str]:
    return list(dict.fromkeys(each.env for each in secrets(config) if each.env is not None))


def secret_files(config: Config) -> list[Path]:
    """List the files from which opsbot reads secrets directly, as its own user."""
    found = [each.file for each in secrets(config) if each.file is not None and each.file.is_absolute()]
    keys = [each.source.ssh_key for each in config.services.values() if each.source is not None]
    return list(dict.fromkeys([*found, *(key for key in keys if key is not None)]))


def supervised(config: Config) -> list[Service]:
    return [each for each in config.services.values() if each.manager.capabilities.runs_children]


def with_units(config: Config) -> list[Service]:
    return [each for each in config.services.values() if each.manager.capabilities.has_units]


def written(config: Config) -> list[Path]:
    """List the folders outside the state directory that opsbot writes to."""
    found: list[Path] = []
    for service in config.services.values():
        if service.source is not None:
            found.append(service.source.directory)
        elif service.manager.capabilities.runs_children:
            found.append(service.run_directory)
        for cleanup in service.cleanup:
            found += [Path("/", *glob(pattern).fixed) for pattern in cleanup.paths if pattern.startswith("/")]
    found = [_whole_temporary(path) for path in found if path != Path("/")]
    return sorted({path for path in found if not any(path != other and path.is_relative_to(other) for other in found)})


def _whole_temporary(path: Path) -> Path:
    """Widen a path below /tmp to /tmp, whose subfolders are lost at each boot."""
    return next((Path(each) for each in TEMPORARY if path.is_relative_to(each)), path)


def temporary(config: Config) -> bool:
    """Whether opsbot writes to the host's /tmp or /var/tmp."""
    return any(str(path) in TEMPORARY for path in written(config))


def at_home(config: Config, *more: Path) -> list[Path]:
    """List the paths that opsbot reads or runs inside a home directory."""
    paths = [config.path, config.state.directory, *more, *secret_files(config), *written(config)]
    for service in config.services.values():
        paths += [service.environment_file] if service.environment_file is not None else []
        paths += [Path(each) for each in service.command[:1] if each.startswith("/")]
    return [path for path in dict.fromkeys(paths) if any(path.is_relative_to(home) for home in _HOMES)]
