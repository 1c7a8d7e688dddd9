"""Resolve mentions from `allowed_mentions` and the author's permissions."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from opsbot.standin.components import TEXT_DISPLAY
from opsbot.standin.errors import FormErrors, Json

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


def check(errors: FormErrors, allowed: object) -> None:
    """Validate an `allowed_mentions` object."""
    if allowed is None:
        return
    if not isinstance(allowed, dict):
        errors.add(["allowed_mentions"], "MODEL_TYPE_CONVERT", "Only dictionaries may be used in a ModelType")
        return
    parse = errors.items(["allowed_mentions", "parse"], allowed.get("parse"), most=3)
    for index, kind in enumerate(parse):
        if not isinstance(kind, str) or kind not in KINDS:
            errors.add(
                ["allowed_mentions", "parse", index],
                "BASE_TYPE_CHOICES",
                "Value must be one of ('roles', 'users', 'everyone').",
            )
    for kind in ("users", "roles"):
        listed = errors.items(["allowed_mentions", kind], allowed.get(kind), most=100)
        for index, item in enumerate(listed):
            errors.snowflake(["allowed_mentions", kind, index], item)
        if listed and kind in parse:
            errors.add(
                ["allowed_mentions"],
                "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE",
                f'parse:["{kind}"] and {kind}: [ids...] are mutually exclusive.',
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
    """The text of a message that can mention: its content, and the text displays of Components V2."""
    return "\n".join([str(payload.get("content") or ""), *_displays(payload.get("components") or ())])


def _displays(components: object) -> Iterator[str]:
    if not isinstance(components, (list, tuple)):
        return
    for component in components:
        if component.get("type") == TEXT_DISPLAY:
            yield str(component.get("content") or "")
        yield from _displays(component.get("components"))
