"""Validation of message components (both systems) and modals."""

from collections.abc import Callable, Iterator
from typing import Any

from opsbot.standin.emoji import is_emoji
from opsbot.standin.errors import FormErrors, Json, Path
from opsbot.standin.schema import MEDIA, Schema, filled, form, integer, items, required, text, url, validate

ROW, BUTTON, STRING_SELECT, TEXT_INPUT = 1, 2, 3, 4
USER_SELECT, ROLE_SELECT, MENTIONABLE_SELECT, CHANNEL_SELECT = 5, 6, 7, 8
SECTION, TEXT_DISPLAY, THUMBNAIL, GALLERY, FILE, SEPARATOR, CONTAINER = 9, 10, 11, 12, 13, 14, 17
LABEL, FILE_UPLOAD, RADIO_GROUP, CHECKBOX_GROUP, CHECKBOX = 18, 19, 21, 22, 23
SELECTS = (STRING_SELECT, USER_SELECT, ROLE_SELECT, MENTIONABLE_SELECT, CHANNEL_SELECT)
LINK, PREMIUM = 5, 6
ROWS = 5
V2_TOTAL = 40
V2_TEXT = 4000
MODAL_PARTS = 40
MODAL_FIELDS = 5
_IN_CONTAINER = (ROW, SECTION, TEXT_DISPLAY, GALLERY, FILE, SEPARATOR)


def walk(components: object) -> Iterator[Json]:
    """Every component, nested ones included, in reading order."""
    return (component for _, component in _walk([], components))


def _walk(path: Path, components: object) -> Iterator[tuple[Path, Json]]:
    for index, component in enumerate(components if isinstance(components, list) else ()):
        yield from _walk_one([*path, index], component)


def _walk_one(path: Path, component: object) -> Iterator[tuple[Path, Json]]:
    if isinstance(component, dict):
        yield path, component
        yield from _walk([*path, "components"], component.get("components"))
        for key in ("accessory", "component"):
            yield from _walk_one([*path, key], component.get(key))


def rebuild(component: Json, change: Callable[[Json], Json]) -> Json:
    """A copy with `change` applied to each component, the outermost first."""
    done = change(component)
    if isinstance(done.get("components"), list):
        done["components"] = [rebuild(inner, change) for inner in done["components"]]
    for key in ("accessory", "component"):
        if isinstance(done.get(key), dict):
            done[key] = rebuild(done[key], change)
    return done


def number(components: list[Json]) -> list[Json]:
    """A copy in which every component has an integer `id`, as Discord returns them."""
    counter = iter(range(1, 10_000))
    return [rebuild(each, lambda c: {**c, "id": c.get("id") or next(counter)}) for each in components]


def _one_of(*kinds: int) -> Schema:
    def check(errors: FormErrors, path: Path, component: Any) -> None:
        if not isinstance(component, dict):
            errors.add(path, "MODEL_TYPE_CONVERT")
        elif component.get("type") not in kinds:
            errors.add([*path, "type"], "UNION_TYPE_CHOICES", choices=kinds)
        else:
            _COMPONENTS[component["type"]](errors, path, component)

    return check


def check_message_components(errors: FormErrors, components: object, *, v2: bool) -> None:
    """Check a message's components: five rows, or with V2 forty nested ones."""
    path: Path = ["components"]
    if v2:
        items(_one_of(*_IN_CONTAINER, CONTAINER), V2_TOTAL)(errors, path, components)
        if sum(1 for _ in walk(components)) > V2_TOTAL:
            errors.add(path, "BASE_TYPE_MAX_LENGTH", most=V2_TOTAL)
        texts = (str(c.get("content") or "") for c in walk(components) if c.get("type") == TEXT_DISPLAY)
        if sum(map(len, texts)) > V2_TEXT:
            errors.add(path, "COMPONENT_TEXT_DISPLAY_MAX_LENGTH_EXCEEDED", most=V2_TEXT)
    else:
        items(_one_of(ROW), ROWS)(errors, path, components)
    _check_unique(errors, components)


def _check_unique(errors: FormErrors, components: object) -> None:
    seen: set[str] = set()
    for path, component in _walk(["components"], components):
        custom_id = component.get("custom_id")
        if isinstance(custom_id, str):
            if custom_id in seen:
                errors.add([*path, "custom_id"], "COMPONENT_CUSTOM_ID_DUPLICATED")
            seen.add(custom_id)


def _is_select(component: object) -> bool:
    return isinstance(component, dict) and component.get("type") in SELECTS


def _check_row(errors: FormErrors, path: Path, row: Json) -> None:
    inner = row.get("components")
    if isinstance(inner, list) and len(inner) > 1 and any(_is_select(each) for each in inner):
        errors.add([*path, "components"], "COMPONENT_LAYOUT_WIDTH_EXCEEDED")


def _check_button(errors: FormErrors, path: Path, button: Json) -> None:
    style = button.get("style")
    if not str(button.get("label") or "").strip() and not button.get("emoji") and style != PREMIUM:
        errors.add(path, "BUTTON_COMPONENT_LABEL_OR_EMOJI_REQUIRED")
    if style == LINK:
        if button.get("custom_id"):
            errors.add(path, "BUTTON_COMPONENT_CUSTOM_ID_URL_MUTUALLY_EXCLUSIVE")
        required(url(most=512))(errors, [*path, "url"], button.get("url") or None)
    elif style != PREMIUM:
        if button.get("url"):
            errors.add([*path, "url"], "BUTTON_COMPONENT_URL_REQUIRES_LINK_STYLE")
        _CUSTOM_ID(errors, [*path, "custom_id"], button.get("custom_id"))


def _check_emoji(errors: FormErrors, path: Path, emoji: Any) -> None:
    # The guild has no custom emoji, so every id is unknown.
    if isinstance(emoji, dict):
        if emoji.get("id") is not None or not is_emoji(str(emoji.get("name") or "")):
            errors.add([*path, "name"], "BUTTON_COMPONENT_INVALID_EMOJI")
    elif emoji is not None:
        errors.add(path, "MODEL_TYPE_CONVERT")


def _check_bounds(low: str, high: str, code: str, most_unset: int | None = None) -> Schema:
    """`low` is at most `high`, which is `most_unset` by default."""

    def check(errors: FormErrors, path: Path, owner: Json) -> None:
        least, most = owner.get(low), most_unset if owner.get(high) is None else owner[high]
        if isinstance(least, int) and isinstance(most, int) and least > most:
            errors.add([*path, low], code)

    return check


def _check_most_values(errors: FormErrors, path: Path, select: Json) -> None:
    most, options = select.get("max_values"), select.get("options")
    if isinstance(most, int) and isinstance(options, list) and most > len(options):
        errors.add([*path, "max_values"], "SELECT_COMPONENT_MAX_VALUES_GREATER_THAN_OPTIONS")


def _check_values(errors: FormErrors, path: Path, owner: Json) -> None:
    seen: list[object] = []
    options = owner.get("options")
    for index, option in enumerate(options if isinstance(options, list) else ()):
        if isinstance(option, dict):
            if option.get("value") in seen:
                errors.add([*path, "options", index, "value"], "SELECT_COMPONENT_OPTION_VALUE_DUPLICATED")
            seen.append(option.get("value"))


def _options(most: int, least: int = 1) -> Schema:
    option = form({"label": filled(100), "value": filled(100), "description": text(100), "emoji": _check_emoji})
    return items(option, most, least)


def _check_attachment(errors: FormErrors, path: Path, file: Json) -> None:
    media = file.get("file")
    if isinstance(media, dict) and not str(media.get("url")).startswith("attachment://"):
        errors.add([*path, "file", "url"], "URL_TYPE_INVALID_SCHEME", choices=("attachment",))


_CUSTOM_ID = filled(100)
_MEDIA = required(form({"url": required(url(MEDIA))}))
_THUMBNAIL = form({"media": _MEDIA, "description": text(1024)})
_SELECT_FIELDS = {
    "custom_id": _CUSTOM_ID,
    "placeholder": text(150),
    "min_values": integer(0, 25),
    "max_values": integer(1, 25),
}
_SELECT_BOUNDS = _check_bounds("min_values", "max_values", "SELECT_COMPONENT_MIN_VALUES_GREATER_THAN_MAX", 1)
_COMPONENTS: dict[int, Schema] = {
    ROW: form({"components": items(_one_of(BUTTON, *SELECTS), 5, 1)}, _check_row),
    BUTTON: form({"style": required(integer(1, 6)), "label": text(80), "emoji": _check_emoji}, _check_button),
    **dict.fromkeys(SELECTS, form(_SELECT_FIELDS, _SELECT_BOUNDS)),
    STRING_SELECT: form(_SELECT_FIELDS | {"options": _options(25)}, _SELECT_BOUNDS, _check_values, _check_most_values),
    TEXT_INPUT: form(
        {
            "custom_id": _CUSTOM_ID,
            "style": required(integer(1, 2)),
            "placeholder": text(100),
            "min_length": integer(0, 4000),
            "max_length": integer(1, 4000),
            "value": text(4000),
        },
        _check_bounds("min_length", "max_length", "TEXT_INPUT_MIN_GREATER_THAN_MAX"),
    ),
    SECTION: form(
        {"components": items(_one_of(TEXT_DISPLAY), 3, 1), "accessory": required(_one_of(BUTTON, THUMBNAIL))}
    ),
    TEXT_DISPLAY: form({"content": filled(V2_TEXT)}),
    THUMBNAIL: _THUMBNAIL,
    GALLERY: form({"items": items(_THUMBNAIL, 10, 1)}),
    FILE: form({"file": _MEDIA}, _check_attachment),
    SEPARATOR: form({"spacing": integer(1, 2)}),
    CONTAINER: form({"accent_color": integer(0, 0xFFFFFF), "components": items(_one_of(*_IN_CONTAINER), V2_TOTAL, 1)}),
    LABEL: form(
        {
            "label": filled(45),
            "description": text(100),
            "component": required(_one_of(TEXT_INPUT, *SELECTS, FILE_UPLOAD, RADIO_GROUP, CHECKBOX_GROUP, CHECKBOX)),
        }
    ),
    FILE_UPLOAD: form({"custom_id": _CUSTOM_ID}),
    CHECKBOX: form({"custom_id": _CUSTOM_ID}),
    RADIO_GROUP: form({"custom_id": _CUSTOM_ID, "options": _options(10, 2)}, _check_values),
    CHECKBOX_GROUP: form({"custom_id": _CUSTOM_ID, "options": _options(10)}, _check_values),
}


def _check_modal_part(errors: FormErrors, path: Path, part: Any) -> None:
    if isinstance(part, dict) and part.get("type") == ROW:
        items(_check_row_input, 1, 1)(errors, [*path, "components"], part.get("components"))
    else:
        _one_of(LABEL, TEXT_DISPLAY)(errors, path, part)


def _check_row_input(errors: FormErrors, path: Path, field: Any) -> None:
    _one_of(TEXT_INPUT)(errors, path, field)
    form({"label": filled(45)})(errors, path, field)


_MODAL = form({"custom_id": _CUSTOM_ID, "title": filled(45), "components": items(_check_modal_part, MODAL_PARTS, 1)})


def check_modal(modal: Json) -> None:
    """Raise ApiError 50035 for an invalid modal (the `data` of a type 9 callback)."""
    validate(_MODAL, modal)
    errors = FormErrors()
    if sum(part["type"] != TEXT_DISPLAY for part in modal["components"]) > MODAL_FIELDS:
        errors.add(["components"], "BASE_TYPE_BAD_LENGTH", least=1, most=MODAL_FIELDS)
    _check_unique(errors, modal["components"])
    errors.raise_if_any()
