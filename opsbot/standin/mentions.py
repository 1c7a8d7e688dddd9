"""Resolve mentions from `allowed_mentions` and the author's permissions."""

import re
from collections.abc import Collection
from dataclasses import dataclass

from opsbot.standin.components import TEXT_DISPLAY, walk
from opsbot.standin.errors import FormErrors, Json, Path
from opsbot.standin.schema import choice, form, items, snowflake

_FENCE = re.compile(r"```.*?```", re.DOTALL)
_SPAN = re.compile(r"(?<!`)(`{1,2})(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
_USER = re.compile(r"<@!?(\d{1,20})>")
_ROLE = re.compile(r"<@&(\d{1,20})>")
_EVERYONE = re.compile(r"@(?:everyone|here)\b")
KINDS = ("users", "roles", "everyone")


@dataclass(frozen=True, slots=True)
class Mentioned:
    """The resolved ids, and whether everyone is mentioned."""

    users: tuple[int, ...] = ()
    roles: tuple[int, ...] = ()
    everyone: bool = False


def _check_exclusive(errors: FormErrors, path: Path, allowed: Json) -> None:
    for kind in ("users", "roles"):
        parse = allowed.get("parse")
        if allowed.get(kind) and isinstance(parse, list) and kind in parse:
            errors.add(path, "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE", kind=kind)


ALLOWED_MENTIONS = form(
    {"parse": items(choice(*KINDS), 3), "users": items(snowflake, 100), "roles": items(snowflake, 100)},
    _check_exclusive,
)


def find(
    text: str,
    allowed: Json | None,
    *,
    default: Collection[str],
    known_roles: Collection[int],
    known_users: Collection[int],
    mentionable_roles: Collection[int],
    may_mention_everyone: bool,
) -> Mentioned:
    """Parse a message's text.

    `default` are the kinds parsed when `allowed` is None (interactions: users only).

    Code blocks and spans are ignored. A role counts if it is mentionable or the author may mention everyone.
    """
    plain = _SPAN.sub(" ", _FENCE.sub(" ", text))
    parse = set(default) if allowed is None else set(allowed.get("parse") or ())
    listed_users = {int(i) for i in (allowed or {}).get("users") or ()}
    listed_roles = {int(i) for i in (allowed or {}).get("roles") or ()}
    users = tuple(
        dict.fromkeys(
            i for i in map(int, _USER.findall(plain)) if i in known_users and ("users" in parse or i in listed_users)
        )
    )
    roles = tuple(
        dict.fromkeys(
            i
            for i in map(int, _ROLE.findall(plain))
            if i in known_roles
            and ("roles" in parse or i in listed_roles)
            and (may_mention_everyone or i in mentionable_roles)
        )
    )
    everyone = "everyone" in parse and may_mention_everyone and _EVERYONE.search(plain) is not None
    return Mentioned(users, roles, everyone)


def visible_text(payload: Json) -> str:
    """The text of a message that can mention: content and text displays."""
    displays = (c for c in walk(payload.get("components")) if c.get("type") == TEXT_DISPLAY)
    return "\n".join(str(each.get("content") or "") for each in (payload, *displays))
