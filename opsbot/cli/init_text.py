"""Render the configuration file that `opsbot init` writes."""

from dataclasses import dataclass, field
from pathlib import Path

from opsbot.config import CheckKind, ManagerKind, Secret
from opsbot.config_file.kinds import quoted


@dataclass(slots=True)
class Answers:
    """The answers so far.

    `health`: a port for a tcp check, a URL for an http check, or None.
    """

    token: Secret = field(default_factory=Secret)
    guild: int = 0
    channel: int = 0
    admin: frozenset[str] = frozenset()
    state: Path = Path()
    name: str = ""
    manager: ManagerKind = ManagerKind.PROCESS
    unit: str = ""
    command: tuple[str, ...] = ()
    working_directory: str = "."
    repository: str = ""
    branch: str = "main"
    directory: Path | None = None
    install: tuple[str, ...] = ()
    health: tuple[CheckKind, str | int] | None = None


def config_text(answers: Answers) -> str:
    """Render the file.

    Keys with default values are omitted; a few useful ones are included as comments.
    """
    source = _source(answers) if answers.directory is not None else ""
    install = _install(answers) if answers.install else ""
    return "\n".join(filter(None, [_opsbot(answers), _service(answers), source, install, _checks(answers)]))


def _array(words: tuple[str, ...]) -> str:
    return "[" + ", ".join(map(quoted, words)) + "]"


def _header(answers: Answers, table: str = "") -> str:
    # A dot in a bare key would start another table.
    name = quoted(answers.name) if "." in answers.name else answers.name
    return f"services.{name}{table}"


def _opsbot(answers: Answers) -> str:
    token = answers.token
    secret = f"token_env = {quoted(token.env)}" if token.env else f"token_file = {quoted(str(token.file))}"
    admin = ", ".join(each if each.isdigit() else quoted(each) for each in sorted(answers.admin))
    return f"""\
# Written by `opsbot init`. All keys: config.toml.example and docs/configuration.md.
# `opsbot check` lists problems in this file.

[discord]
{secret}
guild_id = {answers.guild}
ops_channel_id = {answers.channel}

# Ids of roles and users; each rank includes the ranks before it.
[roles]
viewer = []
operator = []
deployer = []
admin = [{admin}]

[state]
directory = {quoted(str(answers.state))}

[http]
listen = "127.0.0.1:9464"
"""


def _service(answers: Answers) -> str:
    lines = [f"[{_header(answers)}]", f"manager = {quoted(answers.manager)}"]
    if answers.manager is ManagerKind.SYSTEMD:
        lines.append(f"unit = {quoted(answers.unit)}")
    else:
        lines += [
            f"command = {_array(answers.command)}",
            f"working_directory = {quoted(answers.working_directory)}",
            f'# environment_file = "/etc/{answers.name}.env"',
        ]
    return "\n".join(lines) + "\n"


def _source(answers: Answers) -> str:
    return f"""\
[{_header(answers, ".source")}]
repository = {quoted(answers.repository)}
branch = {quoted(answers.branch)}
directory = {quoted(str(answers.directory))}
# poll = "5m"
# auto = true
# shared = [".env", "data"]       # kept across releases, linked into each
# token_env = "GIT_TOKEN"         # for a private repository over https
"""


def _install(answers: Answers) -> str:
    return f"""\
[[{_header(answers, ".install")}]]
run = {_array(answers.install)}
directory = {quoted(answers.working_directory)}
# when_changed = ["package.json", "package-lock.json"]   # otherwise reuse the live release's result
"""


def _checks(answers: Answers) -> str:
    kind = CheckKind.UNIT if answers.manager is ManagerKind.SYSTEMD else CheckKind.PROCESS
    text = f"[[{_header(answers, '.checks')}]]\nkind = {quoted(kind)}\n"
    if answers.health is None:
        return text
    kind, place = answers.health
    where = f"port = {place}" if isinstance(place, int) else f"url = {quoted(place)}"
    return f"""{text}
[[{_header(answers, ".checks")}]]
kind = {quoted(kind)}
{where}
interval = "10s"
timeout = "3s"
"""
