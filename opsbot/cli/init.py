"""`opsbot init`: ask questions, write a configuration, print the invite link.

    code = run_init(Path("config.toml"))

Answers are validated like the keys of the file, so the result passes `opsbot check`. The token is never requested, only
its location.
"""

import argparse
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TextIO

from opsbot.cli.init_text import Answers, config_text
from opsbot.cli.invite import application_of, invite_link
from opsbot.cli.talk import ClosedError, Talk, yes_or_no
from opsbot.config import (
    Check,
    CheckKind,
    Discord,
    ManagerKind,
    Secret,
    SecretMissingError,
    Service,
    Source,
    StateConfig,
)
from opsbot.config_file import check_text, names, places
from opsbot.config_file.kinds import Kind, WrongError
from opsbot.config_file.names import SERVICE_NAME
from opsbot.config_file.rules import too_long_for_socket
from opsbot.config_file.schema import table_for
from opsbot.core.access import Ranks

FINE, WRONG = 0, 2
_MODE = 0o640
_CREDENTIAL = re.compile(r"[a-z]+(?:-[a-z]+)+")
"""No variable has such a name, and no token has this form."""


def init(args: argparse.Namespace) -> int:
    return run_init(args.config)


def run_init(
    path: Path,
    *,
    hear: TextIO | None = None,
    say: TextIO | None = None,
    environ: Mapping[str, str] | None = None,
) -> int:
    """Ask and write the configuration to `path` atomically, with mode 0640.

    Args:
        path: the file; an existing one is replaced only after confirmation.
        hear: source of the answers, default standard input.
        say: destination of the questions, default standard output.
        environ: searched for the token to derive the application id, default the process's environment.

    Returns:
        0 if the file was written, else 2.
    """
    talk = Talk(hear or sys.stdin, say or sys.stdout)
    try:
        return _init(path, talk, os.environ if environ is None else environ)
    except ClosedError:
        talk.show(
            "The input ended before all questions were answered; nothing was written. Run `opsbot init` in a terminal, "
            "or start from config.toml.example."
        )
    except KeyboardInterrupt:
        talk.show("\nNothing was written.")
    except OSError as error:
        talk.show(f"{path} cannot be written: {error.strerror}")
    return WRONG


def _init(path: Path, talk: Talk, environ: Mapping[str, str]) -> int:
    if not _can_write(path):
        talk.show(f"{path} cannot be written: its folder is not writable. Choose another with -c, or use sudo.")
        return WRONG
    replace = path.exists()
    if replace and not talk.ask(f"{path} already exists. Replace it? (yes or no)", yes_or_no, "no"):
        talk.show(f"{path} was not changed.")
        return WRONG
    talk.show("A few questions; an empty answer selects the value in [brackets]. Nothing is written before the end.")
    answers = _questions(talk)
    application = _application(talk, answers.token, environ)
    text = config_text(answers)
    problems = check_text(text, path)
    if problems:
        # Each answer is valid by itself; only the complete file reveals a conflict.
        talk.show("These answers conflict; nothing was written:")
        for problem in problems:
            talk.show(f"  {problem.key}: {problem.text}")
        return WRONG
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        _write(path, text, replace=replace)
    except FileExistsError:
        talk.show(f"{path} was created in the meantime; nothing was written.")
        return WRONG
    talk.show(f"\nWritten: {path}. All keys: config.toml.example and docs/configuration.md.")
    if application:
        talk.show("Invite the bot to your server with exactly the permissions it needs:")
        talk.show(f"  {invite_link(application)}")
    else:
        talk.show("For the invite link, run this again with the application id.")
    named = shlex.quote(str(path))
    if answers.manager is ManagerKind.SYSTEMD:
        talk.show(f"Then: opsbot check -c {named}, and opsbot install -c {named}; see docs/installing.md")
    else:
        talk.show(f"Then: opsbot check -c {named}, and opsbot run -c {named}")
        talk.show(f"  or, to have systemd start it: opsbot install -c {named}, see docs/installing.md")
    return FINE


def _questions(talk: Talk) -> Answers:
    got = Answers()
    talk.show(
        "\nDiscord. The token (discord.com/developers/applications > your application > Bot > Reset Token) never goes"
    )
    talk.show("into the file: enter the environment variable or the file (an absolute path) that holds it. If systemd")
    talk.show("starts opsbot, use discord-token: a credential stored in /etc/opsbot/discord-token.")
    got.token = talk.ask("The bot's token is in", _secret_place, "OPSBOT_DISCORD_TOKEN")
    talk.show("Ids: in Discord, enable Settings > Advanced > Developer Mode, then right-click > Copy ID.")
    got.guild = talk.ask("Server id (right-click the server)", _snowflake("the id of the server"))
    got.channel = talk.ask("Ops channel id (right-click the channel)", _snowflake("the id of the channel"))

    def admins(answer: str) -> frozenset[str]:
        held = _holders(answer)
        if str(got.guild) in held:
            raise WrongError("this is the server's id, which means everyone; enter a role or a user")
        return held

    got.admin = talk.ask(
        "Admins: ids of roles or users, separated by spaces (right-click yourself > Copy User ID)", admins
    )
    talk.show("\nThe first service. More of them, and everything else, can be added to the file later.")
    repository = _unless_none(_kind(Source, "repository"))
    got.repository = talk.ask("Git repository to deploy from (- for none: monitoring only)", repository, "-")
    got.name = talk.ask("Its name", _service_name, _name_from(got.repository))
    example, folder = f"/srv/{got.name}", places.inside("the repository", "node-bot").read
    if got.repository:
        got.branch = talk.ask("Branch", _kind(Source, "branch").read, "main")
        got.directory = talk.ask("Folder for its releases", places.directory(example).read, example)
    manager = "Service manager: process (opsbot itself) or systemd"
    got.manager = talk.ask(manager, _kind(Service, "manager").read, "process")
    if got.manager is ManagerKind.SYSTEMD:
        got.unit = talk.ask("Its unit", _kind(Service, "unit").read, f"{got.name}.service")
    else:
        got.command = talk.ask("Start command, such as node index.js", _command)
        if got.repository:
            got.working_directory = talk.ask("Working directory in the repository", folder, ".")
        else:
            got.working_directory = str(talk.ask("Working directory", places.absolute_path(example).read, example))
    if got.repository:
        got.install = talk.ask("Install command, such as npm ci (- for none)", _optional_command, "-")
        if got.install and got.manager is ManagerKind.SYSTEMD:
            # A unit has the service's working directory, but not the folder of its package.json.
            got.working_directory = talk.ask("Folder in the repository for that command", folder, ".")
    health = "Port or URL for a health check, such as 3003 or http://127.0.0.1:3003/health (- for none)"
    got.health = talk.ask(health, _health, "-")
    talk.show("\nopsbot itself.")
    got.state = talk.ask("Folder for its database and logs", _state, str(StateConfig().directory))
    return got


def _kind(of: type, key: str) -> Kind:
    return table_for(of).key(key).kind


def _secret_place(answer: str) -> Secret:
    if answer.startswith("/") or _CREDENTIAL.fullmatch(answer):
        return Secret(file=_kind(Discord, "token_file").read(answer))
    return Secret(env=_kind(Discord, "token_env").read(answer))


def _snowflake(what: str) -> Callable[[str], int]:
    kind = names.snowflake(what)
    return lambda answer: int(kind.read(int(answer) if answer.isascii() and answer.isdigit() else answer))


def _holders(answer: str) -> frozenset[str]:
    words = re.split(r"[\s,]+", answer.strip(" ,"))
    found: frozenset[str] = _kind(Ranks, "admin").read(words)
    return found


def _unless_none(kind: Kind) -> Callable[[str], str]:
    return lambda answer: "" if answer == "-" else str(kind.read(answer))


def _service_name(answer: str) -> str:
    if not SERVICE_NAME.fullmatch(answer):
        raise WrongError("use 1 to 64 lower-case letters, digits, '.', '_' and '-', starting with a letter or digit")
    return answer


def _name_from(repository: str) -> str | None:
    """Derive a service name from the last part of the repository's path."""
    last = re.split(r"[/:]", repository.rstrip("/"))[-1].removesuffix(".git").lower()
    return re.sub(r"[^a-z0-9._-]+", "-", last).strip("-._")[:64] or None


def _command(answer: str) -> tuple[str, ...]:
    try:
        words = shlex.split(answer)
    except ValueError as error:
        raise WrongError(f"the quotes do not match ({error})") from error
    if any(word in {"&&", "||", "|", ";", ">", "<", "&"} for word in words):
        raise WrongError("commands run without a shell; enter one command with its arguments, or a script")
    command: tuple[str, ...] = _kind(Service, "command").read(words)
    return command


def _optional_command(answer: str) -> tuple[str, ...]:
    return () if answer == "-" else _command(answer)


def _health(answer: str) -> tuple[CheckKind, str | int] | None:
    if answer == "-":
        return None
    if answer.isascii() and answer.isdigit():
        return CheckKind.TCP, int(_kind(Check, "port").read(int(answer)))
    return CheckKind.HTTP, str(_kind(Check, "url").read(answer))


def _state(answer: str) -> Path:
    directory: Path = _kind(StateConfig, "directory").read(answer)
    if said := too_long_for_socket(directory):
        raise WrongError(said)
    return directory


def _application(talk: Talk, token: Secret, environ: Mapping[str, str]) -> str:
    """Return the application id: from the token if available, else from an answer.

    "" if unknown.
    """
    try:
        value = environ.get(token.env, "") if token.env else token.read()
    except SecretMissingError:
        value = ""
    if known := application_of(value):
        return known
    kind = _snowflake("the id of the application")
    talk.show("\nFor the invite link: discord.com/developers/applications > your application > General Information.")
    return str(
        talk.ask("Application id (- to leave it out)", lambda answer: "" if answer == "-" else kind(answer), "-")
    )


def _can_write(path: Path) -> bool:
    """Whether the file can be written; checked before asking questions."""
    folder = next(each for each in path.absolute().parents if each.exists())
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK) and not path.is_dir()


def _write(path: Path, text: str, *, replace: bool) -> None:
    """Write the text atomically.

    Raises:
        FileExistsError: the file exists and `replace` is false.
        OSError: it cannot be written.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w") as file:
            os.fchmod(file.fileno(), _MODE)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            Path(name).replace(path)
        else:
            os.link(name, path)  # unlike a rename, fails if the file exists by now
    finally:
        Path(name).unlink(missing_ok=True)
