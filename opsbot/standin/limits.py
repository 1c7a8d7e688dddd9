"""Validation of messages: lengths, counts and conflicting fields (error 50035).

Figures: Discord's OpenAPI description (schemas MessageCreateRequest, RichEmbed*) and its documentation of embed
limits. Lengths are in code points.
"""

from datetime import datetime

from opsbot.standin import components as parts
from opsbot.standin import mentions
from opsbot.standin.errors import FormErrors, Json, refuse
from opsbot.standin.urls import check_url

CONTENT = 2000
EMBEDS = 10
EMBED_TOTAL = 6000
FILES = 10
FILE_BYTES = 10 * 1024 * 1024
NONCE = 25
EPHEMERAL = 1 << 6
LOADING = 1 << 7
SUPPRESS_EMBEDS = 1 << 2
HAS_THREAD = 1 << 5
SUPPRESS_NOTIFICATIONS = 1 << 12
V2 = 1 << 15
_LEGACY = "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2"
_EMBED_CONTENT = ("title", "description", "fields", "image", "thumbnail", "footer", "author", "url")
_EMBED_TEXTS = (("title", 256), ("description", 4096))


def check_message(payload: Json, *, files: int = 0, before: Json | None = None, extra_flags: int = 0) -> None:
    """Raise ApiError for an invalid body of a create (`before` None) or of an edit of `before`.

    `files` is the number of uploaded files, `extra_flags` flags the message already has (a deferral's).
    """
    errors = FormErrors()
    errors.text(["content"], payload.get("content"), most=CONTENT)
    _check_nonce(errors, payload.get("nonce"))
    mentions.check(errors, payload.get("allowed_mentions"))
    check_embeds(errors, payload.get("embeds"))
    flags = errors.integer(["flags"], payload.get("flags"), least=0, most=2**31 - 1) or 0
    flags |= extra_flags | (int(before.get("flags", 0)) if before else 0)
    attachments = errors.objects(["attachments"], payload.get("attachments"), most=FILES)
    for index, attachment in attachments:
        errors.text(["attachments", index, "description"], attachment.get("description"), most=1024)
        errors.text(["attachments", index, "filename"], attachment.get("filename"), most=1024)
    parts.check_message_components(errors, payload.get("components"), v2=bool(flags & V2))
    if flags & V2:
        _check_v2(errors, payload, before)
    errors.raise_if_any()
    if files > FILES:
        raise refuse("too_many_attachments")
    if _is_empty(payload, files, before, v2=bool(flags & V2)):
        raise refuse("empty_message")


def _check_nonce(errors: FormErrors, nonce: object) -> None:
    if nonce is None or (isinstance(nonce, int) and not isinstance(nonce, bool)):
        return
    errors.text(["nonce"], nonce, most=NONCE)


def _check_v2(errors: FormErrors, payload: Json, before: Json | None) -> None:
    converting = before is not None and not int(before.get("flags", 0)) & V2
    for field in ("content", "embeds", "poll", "sticker_ids"):
        # A message that becomes V2 must lose its old text in the same edit: content=None, embeds=[].
        left = before.get(field) if before is not None and converting else None
        if payload.get(field, left):
            errors.add([field], _LEGACY, f"The '{field}' field cannot be used when using MessageFlags.IS_COMPONENTS_V2")


def _is_empty(payload: Json, files: int, before: Json | None, *, v2: bool) -> bool:
    after = {**(before or {}), **payload}
    if v2:
        return not after.get("components")
    kept = after.get("attachments")
    if before is None:
        kept = None  # on a create the list only describes the uploaded files
    return not ((after.get("content") or "").strip() or after.get("embeds") or files or kept or after.get("poll"))


def check_embeds(errors: FormErrors, embeds: object) -> None:
    """Check a list of embeds, including their total length."""
    total = 0
    for index, embed in errors.objects(["embeds"], embeds, most=EMBEDS):
        total += _check_embed(errors, ["embeds", index], embed)
    if total > EMBED_TOTAL:
        errors.add(["embeds"], "MAX_EMBED_SIZE_EXCEEDED", f"Embed size exceeds maximum size of {EMBED_TOTAL}")


def _check_embed(errors: FormErrors, path: list[str | int], embed: Json) -> int:
    size = 0
    for name, most in _EMBED_TEXTS:
        size += len(errors.text([*path, name], embed.get(name), most=most) or "")
    for part, key, most in (("footer", "text", 2048), ("author", "name", 256)):
        inner = embed.get(part)
        if isinstance(inner, dict):
            size += len(errors.text([*path, part, key], inner.get(key), most=most, least=1, required=True) or "")
            check_url(errors, [*path, part, "icon_url"], inner.get("icon_url"), attachment=True)
            check_url(errors, [*path, part, "url"], inner.get("url"))
    check_url(errors, [*path, "url"], embed.get("url"))
    for part in ("image", "thumbnail"):
        if isinstance(embed.get(part), dict):
            check_url(errors, [*path, part, "url"], embed[part].get("url"), attachment=True)
    for part in ("footer", "author", "image", "thumbnail", "provider", "video"):
        if embed.get(part) is not None and not isinstance(embed[part], dict):
            errors.add([*path, part], "MODEL_TYPE_CONVERT", "Only dictionaries may be used in a ModelType")
    errors.integer([*path, "color"], embed.get("color"), least=0, most=0xFFFFFF)
    _check_timestamp(errors, [*path, "timestamp"], embed.get("timestamp"))
    for index, field in errors.objects([*path, "fields"], embed.get("fields"), most=25):
        for name, most in (("name", 256), ("value", 1024)):
            where = [*path, "fields", index, name]
            value = errors.text(where, field.get(name), most=most, least=1, required=True)
            if value and not value.strip():
                errors.required(where)
            size += len(value or "")
    if not any(embed.get(key) for key in _EMBED_CONTENT):
        errors.required([*path, "description"])
    return size


def _check_timestamp(errors: FormErrors, path: list[str | int], value: object) -> None:
    if value is None:
        return
    try:
        datetime.fromisoformat(str(value))
    except ValueError:
        errors.add(path, "DATE_TIME_TYPE_PARSE", f"Could not parse {value}. Should be ISO8601.")
