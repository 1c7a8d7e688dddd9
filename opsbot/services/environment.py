"""The environment of a service, without opsbot's own, which contains secrets."""

import os
import pwd
from collections.abc import Mapping
from pathlib import Path

from opsbot.config import Service
from opsbot.core.manager_codes import ManagerCode
from opsbot.core.message import message
from opsbot.services.port import ManagerError
from opsbot.services.processes import RUN_VARIABLE

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_WHITE = " \t\n"
_ESCAPED_IN_DOUBLE = '"\\`$'


def parse(text: str) -> dict[str, str]:
    """Parse an environment file by the rules of systemd.exec(5), EnvironmentFile=.

    A line is `NAME=value`; empty lines, lines that begin with `#` or `;` and lines without `=` are skipped. In 'single
    quotes' everything is literal, in "double quotes" a backslash escapes `"`, backslash, backtick and `$` only, outside
    them any character, and at the end of a line it joins the next one. White space around an unquoted value is dropped,
    and nothing is expanded.
    """
    variables: dict[str, str] = {}
    at = 0
    while at < len(text):
        if text[at] in _WHITE:
            at += 1
        elif text[at] in "#;":
            at = _end_of_line(text, at)
        else:
            equals, end = text.find("=", at), _end_of_line(text, at)
            if equals < 0 or equals > end:
                at = end
                continue
            name = text[at:equals].strip()
            value, at = _value(text, equals + 1)
            if name.isidentifier() and name.isascii():
                variables[name] = value
    return variables


def _end_of_line(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def _value(text: str, at: int) -> tuple[str, int]:  # noqa: PLR0912 - the states of systemd's own parser, one branch each
    """The value that begins at `at`, and the position after it."""
    out: list[str] = []
    solid = 0  # length of `out` without trailing white space
    quote = ""
    fresh = True  # a quote counts only here, or right after a quoted piece
    while at < len(text):
        char, following = text[at], text[at + 1 : at + 2]
        at += 1
        if quote:
            if char == quote:
                quote, fresh = "", True
            elif char == "\\" and quote == '"' and following and following in _ESCAPED_IN_DOUBLE:
                out.append(following)
                at += 1
            elif char == "\\" and quote == '"' and following == "\n":
                at += 1
            else:
                out.append(char)
            solid = len(out)
        elif char == "\n":
            break
        elif fresh and char in "'\"":
            quote = char
        elif fresh and char in _WHITE:
            continue
        elif char == "\\":
            fresh = False
            if following != "\n":
                out.append(following)
                solid = len(out)
            at += 1
        else:
            fresh = False
            out.append(char)
            if char not in _WHITE:
                solid = len(out)
    return "".join(out[:solid]), at


def base() -> dict[str, str]:
    """The variables of all processes of services: PATH, HOME, USER, LOGNAME, LANG, TZ."""
    try:
        user = pwd.getpwuid(os.getuid())
        home, name = user.pw_dir, user.pw_name
    except KeyError:
        home, name = os.environ.get("HOME", "/"), os.environ.get("USER", str(os.getuid()))
    environment = {
        "PATH": os.environ.get("PATH", _PATH),
        "HOME": home,
        "USER": name,
        "LOGNAME": name,
        "LANG": os.environ.get("LANG", "C.UTF-8"),
    }
    if "TZ" in os.environ:
        environment["TZ"] = os.environ["TZ"]
    return environment


def of_service(service: Service, run: str, release: Path | None) -> dict[str, str]:
    """The environment of one run; ManagerError if its file cannot be read."""
    return {
        **base(),
        **_from_file(service.environment_file),
        **service.environment,
        "OPSBOT_SERVICE": service.name,
        RUN_VARIABLE: run,
        "OPSBOT_RELEASE": "" if release is None else str(release),
    }


def _from_file(path: Path | None) -> Mapping[str, str]:
    if path is None:
        return {}
    try:
        return parse(path.read_text(encoding="utf-8", errors="surrogateescape"))
    except OSError as error:
        reason = error.strerror or str(error)
        raise ManagerError(message(ManagerCode.ENVIRONMENT_UNREADABLE, path=str(path), reason=reason)) from error
