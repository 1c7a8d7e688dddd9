"""What the configuration needs of the host, told without asking it: secrets, folders to write in, homes to see."""

from collections.abc import Iterator
from pathlib import Path

from opsbot.config import Config, Secret, Service
from opsbot.core.globs import glob

_HOMES = ("/home", "/root", "/run/user")
_TEMPORARY = ("/tmp", "/var/tmp")  # noqa: S108 - what PrivateTmp= hides


def secrets(config: Config) -> Iterator[Secret]:
    """All that are named, the bot's token first."""
    yield config.discord.token
    for service in config.services.values():
        if service.source is not None:
            yield from (each for each in (service.source.token, service.source.hook_secret) if each is not None)


def credentials(config: Config) -> list[str]:
    """The names that are looked for among systemd's credentials."""
    names = [str(each.file) for each in secrets(config) if each.file is not None and not each.file.is_absolute()]
    return list(dict.fromkeys(names))


def variables(config: Config) -> list[str]:
    """The environment variables that hold a secret."""
    return list(dict.fromkeys(each.env for each in secrets(config) if each.env is not None))


def secret_files(config: Config) -> list[Path]:
    """The files that opsbot's user reads a secret from itself."""
    found = [each.file for each in secrets(config) if each.file is not None and each.file.is_absolute()]
    keys = [each.source.ssh_key for each in config.services.values() if each.source is not None]
    return list(dict.fromkeys([*found, *(key for key in keys if key is not None)]))


def supervised(config: Config) -> list[Service]:
    """The services that opsbot itself starts, as its children."""
    return [each for each in config.services.values() if each.manager.capabilities.runs_children]


def with_units(config: Config) -> list[Service]:
    """The services that systemd starts."""
    return [each for each in config.services.values() if each.manager.capabilities.has_units]


def written(config: Config) -> list[Path]:
    """The folders outside its state that opsbot or a child of it writes in, or deletes from."""
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
    """What lies in /tmp is made anew at each boot, after opsbot was started: the folder itself is what can be named."""
    return next((Path(each) for each in _TEMPORARY if path.is_relative_to(each)), path)


def temporary(config: Config) -> bool:
    """Whether something is cleaned or kept in the host's /tmp."""
    return any(str(path) in _TEMPORARY for path in written(config))


def at_home(config: Config, *more: Path) -> list[Path]:
    """What opsbot reads or runs that lies in somebody's home."""
    paths = [config.path, config.state.directory, *more, *secret_files(config), *written(config)]
    for service in config.services.values():
        paths += [service.environment_file] if service.environment_file is not None else []
        paths += [Path(each) for each in service.command[:1] if each.startswith("/")]
    return [path for path in dict.fromkeys(paths) if any(path.is_relative_to(home) for home in _HOMES)]
