"""Validation of message components (both systems) and modals."""

from collections.abc import Callable, Iterator

from opsbot.standin.emoji import is_emoji
from opsbot.standin.errors import FormErrors, Json
from opsbot.standin.urls import check_url

Path = list[str | int]

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
_V2_TOP = (ROW, SECTION, TEXT_DISPLAY, GALLERY, FILE, SEPARATOR, CONTAINER)


def walk(components: object) -> Iterator[Json]:
    """Every component, nested ones included, in reading order."""
    if not isinstance(components, list):
        return
    for component in components:
        if isinstance(component, dict):
            yield component
            yield from walk(component.get("components"))
            for key in ("accessory", "component"):
                if isinstance(component.get(key), dict):
                    yield from walk([component[key]])


def number(components: list[Json]) -> list[Json]:
    """A copy in which every component has an integer `id`, as Discord returns them."""
    counter = iter(range(1, 10_000))

    def copy(component: Json) -> Json:
        done = {**component, "id": component.get("id") or next(counter)}
        if isinstance(done.get("components"), list):
            done["components"] = [copy(inner) for inner in done["components"]]
        for key in ("accessory", "component"):
            if isinstance(done.get(key), dict):
                done[key] = copy(done[key])
        return done

    return [copy(component) for component in components]


def check_message_components(errors: FormErrors, components: object, *, v2: bool) -> None:
    """Check a message's components: five rows, or with IS_COMPONENTS_V2 the forty nested ones."""
    if v2:
        tops = errors.objects(["components"], components, most=V2_TOTAL)
        count = sum(1 for _ in walk(components))
        if count > V2_TOTAL:
            errors.add(["components"], "BASE_TYPE_MAX_LENGTH", f"Must be {V2_TOTAL} or fewer in length.")
        text = sum(len(str(c.get("content") or "")) for c in walk(components) if c.get("type") == TEXT_DISPLAY)
        if text > V2_TEXT:
            errors.add(
                ["components"],
                "COMPONENT_TEXT_DISPLAY_MAX_LENGTH_EXCEEDED",
                f"The total length of displayable text exceeds the maximum size of {V2_TEXT}.",
            )
    else:
        tops = errors.objects(["components"], components, most=ROWS)
    for index, component in tops:
        _check(errors, ["components", index], component, _V2_TOP if v2 else (ROW,))
    _check_unique(errors, components)


def _check_unique(errors: FormErrors, components: object) -> None:
    seen: set[str] = set()

    def check(path: Path, items: object) -> None:
        if not isinstance(items, list):
            return
        for index, component in enumerate(items):
            if not isinstance(component, dict):
                continue
            here = [*path, index]
            visit(here, component)

    def visit(here: Path, component: Json) -> None:
        custom_id = component.get("custom_id")
        if isinstance(custom_id, str):
            if custom_id in seen:
                errors.add(
                    [*here, "custom_id"], "COMPONENT_CUSTOM_ID_DUPLICATED", "Component custom id cannot be duplicated"
                )
            seen.add(custom_id)
        check([*here, "components"], component.get("components"))
        for key in ("accessory", "component"):
            if isinstance(component.get(key), dict):
                visit([*here, key], component[key])

    check(["components"], components)


def _check(errors: FormErrors, path: Path, component: Json, allowed: tuple[int, ...]) -> None:
    kind = component.get("type")
    if kind not in allowed:
        errors.add([*path, "type"], "UNION_TYPE_CHOICES", f'Value of field "type" must be one of {allowed}.')
        return
    check = _CHECKS.get(kind)
    if check is not None:
        check(errors, path, component)


def _check_row(errors: FormErrors, path: Path, row: Json) -> None:
    inner = errors.objects([*path, "components"], row.get("components"), most=5, least=1)
    for index, component in inner:
        _check(errors, [*path, "components", index], component, (BUTTON, *SELECTS))
    if len(inner) > 1 and any(component.get("type") in SELECTS for _, component in inner):
        errors.add(
            [*path, "components"],
            "COMPONENT_LAYOUT_WIDTH_EXCEEDED",
            "Width of components in an action row must be less than or equal to 5",
        )


def _check_button(errors: FormErrors, path: Path, button: Json) -> None:
    style = errors.integer([*path, "style"], button.get("style"), least=1, most=6)
    if style is None:
        errors.required([*path, "style"])
    label = errors.text([*path, "label"], button.get("label"), most=80)
    emoji = button.get("emoji")
    if not (label or "").strip() and not emoji and style != PREMIUM:
        errors.add(path, "BUTTON_COMPONENT_LABEL_OR_EMOJI_REQUIRED", "A button must have a label or an emoji")
    _check_emoji(errors, [*path, "emoji"], emoji)
    if style == LINK:
        if button.get("custom_id"):
            errors.add(
                path,
                "BUTTON_COMPONENT_CUSTOM_ID_URL_MUTUALLY_EXCLUSIVE",
                "A custom id and url cannot both be specified",
            )
        url = errors.text([*path, "url"], button.get("url"), most=512, least=1, required=True)
        check_url(errors, [*path, "url"], url)
    elif style != PREMIUM:
        if button.get("url"):
            errors.add([*path, "url"], "BUTTON_COMPONENT_URL_REQUIRES_LINK_STYLE", "Only a link button has a url")
        errors.text([*path, "custom_id"], button.get("custom_id"), most=100, least=1, required=True)


def _check_emoji(errors: FormErrors, path: Path, emoji: object) -> None:
    if emoji is None:
        return
    if not isinstance(emoji, dict):
        errors.add(path, "MODEL_TYPE_CONVERT", "Only dictionaries may be used in a ModelType")
    elif emoji.get("id") is not None or not is_emoji(str(emoji.get("name") or "")):
        # The guild has no custom emoji, so every id is unknown.
        errors.add([*path, "name"], "BUTTON_COMPONENT_INVALID_EMOJI", "Invalid emoji")


def _check_select(errors: FormErrors, path: Path, select: Json) -> None:
    errors.text([*path, "custom_id"], select.get("custom_id"), most=100, least=1, required=True)
    errors.text([*path, "placeholder"], select.get("placeholder"), most=150)
    least = errors.integer([*path, "min_values"], select.get("min_values"), least=0, most=25)
    most = errors.integer([*path, "max_values"], select.get("max_values"), least=1, most=25)
    if least is not None and least > (1 if most is None else most):
        errors.add(
            [*path, "min_values"],
            "SELECT_COMPONENT_MIN_VALUES_GREATER_THAN_MAX",
            "min_values cannot be greater than max_values",
        )
    if select.get("type") == STRING_SELECT:
        _check_options(errors, path, select, most=25)
        if most is not None and most > len(select.get("options") or ()):
            errors.add(
                [*path, "max_values"],
                "SELECT_COMPONENT_MAX_VALUES_GREATER_THAN_OPTIONS",
                "max_values cannot be greater than the number of options",
            )


def _check_options(errors: FormErrors, path: Path, owner: Json, *, most: int, least: int = 1) -> None:
    seen: set[object] = set()
    for index, option in errors.objects([*path, "options"], owner.get("options"), most=most, least=least):
        here = [*path, "options", index]
        errors.text([*here, "label"], option.get("label"), most=100, least=1, required=True)
        errors.text([*here, "value"], option.get("value"), most=100, least=1, required=True)
        errors.text([*here, "description"], option.get("description"), most=100)
        _check_emoji(errors, [*here, "emoji"], option.get("emoji"))
        if option.get("value") in seen:
            errors.add(
                [*here, "value"],
                "SELECT_COMPONENT_OPTION_VALUE_DUPLICATED",
                "The specified option value is already used",
            )
        seen.add(option.get("value"))


def _check_section(errors: FormErrors, path: Path, section: Json) -> None:
    for index, text in errors.objects([*path, "components"], section.get("components"), most=3, least=1):
        _check(errors, [*path, "components", index], text, (TEXT_DISPLAY,))
    accessory = section.get("accessory")
    if isinstance(accessory, dict):
        _check(errors, [*path, "accessory"], accessory, (BUTTON, THUMBNAIL))
    else:
        errors.required([*path, "accessory"])


def _check_text(errors: FormErrors, path: Path, text: Json) -> None:
    errors.text([*path, "content"], text.get("content"), most=V2_TEXT, least=1, required=True)


def _check_media(errors: FormErrors, path: Path, holder: Json, key: str, *, only_attachment: bool = False) -> None:
    media = holder.get(key)
    url = media.get("url") if isinstance(media, dict) else None
    if url is None:
        errors.required([*path, key])
        return
    if only_attachment and not str(url).startswith("attachment://"):
        errors.add([*path, key, "url"], "URL_TYPE_INVALID_SCHEME", "Scheme must be one of ('attachment',).")
    check_url(errors, [*path, key, "url"], url, attachment=True)


def _check_thumbnail(errors: FormErrors, path: Path, thumbnail: Json) -> None:
    _check_media(errors, path, thumbnail, "media")
    errors.text([*path, "description"], thumbnail.get("description"), most=1024)


def _check_gallery(errors: FormErrors, path: Path, gallery: Json) -> None:
    for index, item in errors.objects([*path, "items"], gallery.get("items"), most=10, least=1):
        _check_thumbnail(errors, [*path, "items", index], item)


def _check_file(errors: FormErrors, path: Path, file: Json) -> None:
    _check_media(errors, path, file, "file", only_attachment=True)


def _check_separator(errors: FormErrors, path: Path, separator: Json) -> None:
    errors.integer([*path, "spacing"], separator.get("spacing"), least=1, most=2)


def _check_container(errors: FormErrors, path: Path, container: Json) -> None:
    errors.integer([*path, "accent_color"], container.get("accent_color"), least=0, most=0xFFFFFF)
    inner = errors.objects([*path, "components"], container.get("components"), most=V2_TOTAL, least=1)
    for index, component in inner:
        _check(errors, [*path, "components", index], component, tuple(k for k in _V2_TOP if k != CONTAINER))


def check_modal(modal: Json) -> None:
    """Raise ApiError 50035 for an invalid modal (the `data` of a type 9 callback)."""
    errors = FormErrors()
    errors.text(["custom_id"], modal.get("custom_id"), most=100, least=1, required=True)
    errors.text(["title"], modal.get("title"), most=45, least=1, required=True)
    tops = errors.objects(["components"], modal.get("components"), most=MODAL_PARTS, least=1)
    if sum(1 for _, top in tops if top.get("type") != TEXT_DISPLAY) > MODAL_FIELDS:
        errors.add(["components"], "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 5 in length.")
    for index, top in tops:
        path: Path = ["components", index]
        if top.get("type") == ROW:
            for place, inner in errors.objects([*path, "components"], top.get("components"), most=1, least=1):
                _check(errors, [*path, "components", place], inner, (TEXT_INPUT,))
                errors.text([*path, "components", place, "label"], inner.get("label"), most=45, least=1, required=True)
        elif top.get("type") == LABEL:
            _check_label(errors, path, top)
        else:
            _check(errors, path, top, (TEXT_DISPLAY,))
    _check_unique(errors, modal.get("components"))
    errors.raise_if_any()


def _check_label(errors: FormErrors, path: Path, label: Json) -> None:
    errors.text([*path, "label"], label.get("label"), most=45, least=1, required=True)
    errors.text([*path, "description"], label.get("description"), most=100)
    inner = label.get("component")
    if not isinstance(inner, dict):
        errors.required([*path, "component"])
        return
    allowed = (TEXT_INPUT, *SELECTS, FILE_UPLOAD, RADIO_GROUP, CHECKBOX_GROUP, CHECKBOX)
    _check(errors, [*path, "component"], inner, allowed)


def _check_text_input(errors: FormErrors, path: Path, field: Json) -> None:
    errors.text([*path, "custom_id"], field.get("custom_id"), most=100, least=1, required=True)
    if errors.integer([*path, "style"], field.get("style"), least=1, most=2) is None:
        errors.required([*path, "style"])
    errors.text([*path, "placeholder"], field.get("placeholder"), most=100)
    least = errors.integer([*path, "min_length"], field.get("min_length"), least=0, most=4000)
    most = errors.integer([*path, "max_length"], field.get("max_length"), least=1, most=4000)
    if least is not None and most is not None and least > most:
        errors.add([*path, "min_length"], "TEXT_INPUT_MIN_GREATER_THAN_MAX", "min_length cannot exceed max_length")
    errors.text([*path, "value"], field.get("value"), most=4000)


def _check_group(errors: FormErrors, path: Path, group: Json) -> None:
    errors.text([*path, "custom_id"], group.get("custom_id"), most=100, least=1, required=True)
    if group.get("type") in (RADIO_GROUP, CHECKBOX_GROUP):
        _check_options(errors, path, group, most=10, least=2 if group.get("type") == RADIO_GROUP else 1)


_CHECKS: dict[int, Callable[[FormErrors, Path, Json], None]] = {
    ROW: _check_row,
    BUTTON: _check_button,
    **dict.fromkeys(SELECTS, _check_select),
    TEXT_INPUT: _check_text_input,
    SECTION: _check_section,
    TEXT_DISPLAY: _check_text,
    THUMBNAIL: _check_thumbnail,
    GALLERY: _check_gallery,
    FILE: _check_file,
    SEPARATOR: _check_separator,
    CONTAINER: _check_container,
    **dict.fromkeys((FILE_UPLOAD, RADIO_GROUP, CHECKBOX_GROUP, CHECKBOX), _check_group),
}
