"""Validation of messages: lengths, counts and conflicting fields (error 50035).

Figures: Discord's OpenAPI description (schemas MessageCreateRequest, RichEmbed*) and its documentation of embed
limits. Lengths are in code points.
"""

from typing import Any

from opsbot.standin import components as parts
from opsbot.standin import mentions
from opsbot.standin.errors import FormErrors, Json, Path, refuse
from opsbot.standin.schema import MEDIA, filled, form, integer, is_integer, items, text, timestamp, url, validate

CONTENT = 2000
EMBEDS = 10
EMBED_TOTAL = 6000
FILES = 10
FILE_BYTES = 10 * 1024 * 1024
EPHEMERAL = 1 << 6
LOADING = 1 << 7
SUPPRESS_EMBEDS = 1 << 2
HAS_THREAD = 1 << 5
SUPPRESS_NOTIFICATIONS = 1 << 12
V2 = 1 << 15
_EMBED_CONTENT = ("title", "description", "fields", "image", "thumbnail", "footer", "author", "url")


def _check_nonce(errors: FormErrors, path: Path, nonce: Any) -> None:
    if not is_integer(nonce):
        text(25)(errors, path, nonce)


def _check_field(errors: FormErrors, path: Path, field: Json) -> None:
    for key in ("name", "value"):
        if isinstance(field.get(key), str) and field[key].isspace():
            errors.add([*path, key], "BASE_TYPE_REQUIRED")


def _check_embed_content(errors: FormErrors, path: Path, embed: Json) -> None:
    if not any(embed.get(key) for key in _EMBED_CONTENT):
        errors.add([*path, "description"], "BASE_TYPE_REQUIRED")


def _embed_size(embed: Json) -> int:
    holders = [(embed, "title"), (embed, "description"), (embed.get("footer"), "text"), (embed.get("author"), "name")]
    holders += [(field, key) for field in embed.get("fields") or () for key in ("name", "value")]
    return sum(len(holder[key]) for holder, key in holders if holder and holder.get(key))


_MEDIA = form({"url": url(MEDIA)})
_EMBED = form(
    {
        "title": text(256),
        "description": text(4096),
        "url": url(),
        "footer": form({"text": filled(2048), "icon_url": url(MEDIA), "url": url()}),
        "author": form({"name": filled(256), "icon_url": url(MEDIA), "url": url()}),
        "image": _MEDIA,
        "thumbnail": _MEDIA,
        "provider": form({}),
        "video": form({}),
        "color": integer(0, 0xFFFFFF),
        "timestamp": timestamp,
        "fields": items(form({"name": filled(256), "value": filled(1024)}, _check_field), 25),
    },
    _check_embed_content,
)
_MESSAGE = form(
    {
        "content": text(CONTENT),
        "nonce": _check_nonce,
        "allowed_mentions": mentions.ALLOWED_MENTIONS,
        "embeds": items(_EMBED, EMBEDS),
        "flags": integer(0, 2**31 - 1),
        "attachments": items(form({"description": text(1024), "filename": text(1024)}), FILES),
    }
)


def check_message(payload: Json, *, files: int = 0, before: Json | None = None) -> None:
    """Raise ApiError for an invalid new message, or an invalid edit of `before`.

    `files` is the number of uploaded files.
    """
    validate(_MESSAGE, payload)
    errors = FormErrors()
    if sum(map(_embed_size, payload.get("embeds") or ())) > EMBED_TOTAL:
        errors.add(["embeds"], "MAX_EMBED_SIZE_EXCEEDED", most=EMBED_TOTAL)
    flags = (payload.get("flags") or 0) | (int(before.get("flags", 0)) if before else 0)
    v2 = bool(flags & V2)
    parts.check_message_components(errors, payload.get("components"), v2=v2)
    if v2:
        _check_v2(errors, payload, before)
    errors.raise_if_any()
    if files > FILES:
        raise refuse("too_many_attachments")
    if _is_empty(payload, files, before, v2=v2):
        raise refuse("empty_message")


def _check_v2(errors: FormErrors, payload: Json, before: Json | None) -> None:
    converting = before is not None and not int(before.get("flags", 0)) & V2
    for field in ("content", "embeds", "poll", "sticker_ids"):
        # A message that becomes V2 must lose its old text in the same edit: content=None, embeds=[].
        left = before.get(field) if before is not None and converting else None
        if payload.get(field, left):
            errors.add([field], "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2", field=field)


def _is_empty(payload: Json, files: int, before: Json | None, *, v2: bool) -> bool:
    after = {**(before or {}), **payload}
    if v2:
        return not after.get("components")
    kept = after.get("attachments")
    if before is None:
        kept = None  # on a create the list only describes the uploaded files
    return not ((after.get("content") or "").strip() or after.get("embeds") or files or kept or after.get("poll"))
