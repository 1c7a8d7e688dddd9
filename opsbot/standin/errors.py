"""Discord's error responses: status, code, message, and a form's `errors` tree."""

from typing import Any

Json = dict[str, Any]
Path = list[str | int]


class ApiError(Exception):
    """An error of Discord. errors: the tree of a 50035. extra: keys of the body."""

    def __init__(
        self, status: int, code: int, message: str, errors: Json | None = None, extra: Json | None = None
    ) -> None:
        """`code` is Discord's JSON error code, 0 for none."""
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.errors = errors
        self.extra = extra or {}

    def body(self) -> Json:
        body: Json = {"message": self.message, "code": self.code, **self.extra}
        if self.errors is not None:
            body["errors"] = self.errors
        return body


# (status, code, message): https://discord.com/developers/docs/topics/opcodes-and-status-codes#json
_KNOWN = {
    "unknown_application": (404, 10002, "Unknown Application"),
    "unknown_channel": (404, 10003, "Unknown Channel"),
    "unknown_guild": (404, 10004, "Unknown Guild"),
    "unknown_member": (404, 10007, "Unknown Member"),
    "unknown_message": (404, 10008, "Unknown Message"),
    "unknown_role": (404, 10011, "Unknown Role"),
    "unknown_user": (404, 10013, "Unknown User"),
    "unknown_emoji": (400, 10014, "Unknown Emoji"),
    "unknown_webhook": (404, 10015, "Unknown Webhook"),
    "unknown_interaction": (404, 10062, "Unknown interaction"),
    "unknown_command": (404, 10063, "Unknown application command"),
    "too_many_pins": (400, 30003, "Maximum number of pins reached (250)"),
    "too_many_attachments": (400, 30015, "Maximum number of attachments in a message reached (10)"),
    "unauthorized": (401, 0, "401: Unauthorized"),
    "file_too_large": (413, 40005, "Request entity too large"),
    "already_acknowledged": (400, 40060, "Interaction has already been acknowledged."),
    "tag_required": (400, 40067, "A tag is required to create a forum post in this channel"),
    "missing_access": (403, 50001, "Missing Access"),
    "not_your_message": (403, 50005, "Cannot edit a message authored by another user"),
    "empty_message": (400, 50006, "Cannot send an empty message"),
    "not_text_channel": (400, 50008, "Cannot send messages in a non-text channel"),
    "missing_permissions": (403, 50013, "Missing Permissions"),
    "system_message": (403, 50021, "Cannot execute action on a system message"),
    "wrong_channel_type": (400, 50024, "Cannot execute action on this channel type"),
    "token_expired": (401, 50027, "Invalid Webhook Token"),
    "invalid_json": (400, 50109, "The request body contains invalid JSON."),
    "thread_archived": (400, 50083, "Thread is archived"),
    "thread_exists": (400, 160004, "A thread has already been created for this message"),
    "thread_locked": (403, 50013, "Missing Permissions"),
}


def refuse(name: str) -> ApiError:
    status, code, message = _KNOWN[name]
    return ApiError(status, code, message)


# The text of each problem of a body, by its code.
_PROBLEMS = {
    "APPLICATION_COMMANDS_DUPLICATE_NAME": "Application command names must be unique",
    "APPLICATION_COMMAND_CONTEXT_MENU_DESCRIPTION_INVALID": "Context menu commands cannot have description",
    "APPLICATION_COMMAND_INVALID_NAME": "Command name is invalid",
    "APPLICATION_COMMAND_OPTIONS_AUTOCOMPLETE_INVALID": "Autocomplete is for texts and numbers without choices",
    "APPLICATION_COMMAND_OPTIONS_NAME_INVALID": "Option names must be unique",
    "APPLICATION_COMMAND_OPTIONS_REQUIRED_INVALID": "Required options must be placed before non-required options",
    "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID": "Sub-commands exclude other types, and only groups nest them",
    "APPLICATION_COMMAND_TOO_LARGE": "Command exceeds maximum size (8000)",
    "BASE_TYPE_BAD_LENGTH": "Must be between {least} and {most} in length.",
    "BASE_TYPE_CHOICES": "Value must be one of {choices}.",
    "BASE_TYPE_MAX_LENGTH": "Must be {most} or fewer in length.",
    "BASE_TYPE_REQUIRED": "This field is required",
    "BUTTON_COMPONENT_CUSTOM_ID_URL_MUTUALLY_EXCLUSIVE": "A custom id and url cannot both be specified",
    "BUTTON_COMPONENT_INVALID_EMOJI": "Invalid emoji",
    "BUTTON_COMPONENT_LABEL_OR_EMOJI_REQUIRED": "A button must have a label or an emoji",
    "BUTTON_COMPONENT_URL_REQUIRES_LINK_STYLE": "Only a link button has a url",
    "COMPONENT_CUSTOM_ID_DUPLICATED": "Component custom id cannot be duplicated",
    "COMPONENT_LAYOUT_WIDTH_EXCEEDED": "Width of components in an action row must be less than or equal to 5",
    "COMPONENT_TEXT_DISPLAY_MAX_LENGTH_EXCEEDED": "The total length of text exceeds the maximum size of {most}.",
    "DATE_TIME_TYPE_PARSE": "Could not parse {value}. Should be ISO8601.",
    "LIST_TYPE_CONVERT": "Only iterables may be used in a ListType",
    "MAX_EMBED_SIZE_EXCEEDED": "Embed size exceeds maximum size of {most}",
    "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE": 'parse:["{kind}"] and {kind}: [ids...] are mutually exclusive.',
    "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2": (
        "The '{field}' field cannot be used when using MessageFlags.IS_COMPONENTS_V2"
    ),
    "MODEL_TYPE_CONVERT": "Only dictionaries may be used in a ModelType",
    "NUMBER_TYPE_COERCE": 'Value "{value}" is not {type}.',
    "NUMBER_TYPE_MAX": "int value should be less than or equal to {most}.",
    "NUMBER_TYPE_MIN": "int value should be greater than or equal to {least}.",
    "REPLIES_UNKNOWN_MESSAGE": "Unknown message",
    "SELECT_COMPONENT_MAX_VALUES_GREATER_THAN_OPTIONS": "max_values cannot be greater than the number of options",
    "SELECT_COMPONENT_MIN_VALUES_GREATER_THAN_MAX": "min_values cannot be greater than max_values",
    "SELECT_COMPONENT_OPTION_VALUE_DUPLICATED": "The specified option value is already used",
    "STRING_TYPE_CONVERT": 'Could not interpret "{value}" as string.',
    "TEXT_INPUT_MIN_GREATER_THAN_MAX": "min_length cannot exceed max_length",
    "UNFURLED_MEDIA_ITEM_REFERENCED_ATTACHMENT_NOT_FOUND": "The referenced attachment {url} was not found",
    "UNION_TYPE_CHOICES": 'Value of field "type" must be one of {choices}.',
    "URL_TYPE_INVALID_SCHEME": "Scheme must be one of {choices}.",
    "URL_TYPE_INVALID_URL": "Not a well formed URL.",
}


class FormErrors:
    """Collects the errors in a request body and raises them together as 50035."""

    def __init__(self) -> None:
        self._tree: Json = {}

    def add(self, path: Path, code: str, **words: object) -> None:
        """Note one problem at a path like ["embeds", 0]; `words` complete its text."""
        node = self._tree
        for key in path:
            node = node.setdefault(str(key), {})
        node.setdefault("_errors", []).append({"code": code, "message": _PROBLEMS[code].format(**words)})

    def raise_if_any(self) -> None:
        if self._tree:
            raise ApiError(400, 50035, "Invalid Form Body", self._tree)


def bad_form(path: Path, code: str, **words: object) -> ApiError:
    """A 50035 of one problem."""
    errors = FormErrors()
    errors.add(path, code, **words)
    return ApiError(400, 50035, "Invalid Form Body", errors._tree)  # noqa: SLF001 - of this module
